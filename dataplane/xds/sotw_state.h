// One type on one state-of-the-world stream: interest, versions and nonces in, requests out. Pure: no sockets, no clock, no protobuf.
// Rules (reference/dataplane.md X1, X4): the first request of a stream has the last accepted version and no nonce; each response is answered once,
// with its nonce and the last accepted version, and an error when refused; a change of interest is sent with the newest nonce;
// a response that is superseded before it was answered is not answered.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace fairlead::xds {

struct Interest {
  bool wildcard = false;
  std::set<std::string, std::less<>> names;  // ignored when wildcard
  bool empty() const { return !wildcard && names.empty(); }
  bool operator==(const Interest&) const = default;
};

struct SotwRequest {
  std::string version, nonce;
  std::vector<std::string> names;
  std::optional<std::string> error;  // NACK
  bool operator==(const SotwRequest&) const = default;
};

class SotwState {
 public:
  void set_interest(Interest interest);
  const Interest& interest() const { return interest_; }

  void stream_opened();
  void stream_closed();
  // A response came in: answered by accept() or refuse(), which must follow before the next one.
  void response(std::string version, std::string nonce);
  void accept();
  void refuse(std::string error);
  // What is to be sent now; nothing when the server is up to date with us. Call until empty.
  std::optional<SotwRequest> next_request();

  const std::string& accepted_version() const { return version_; }

 private:
  Interest interest_;
  bool open_ = false;
  bool dirty_ = false;      // something to say
  bool spoken_ = false;     // on this stream
  std::string version_;     // last accepted
  std::string nonce_;       // newest seen on this stream
  std::string offered_;     // version of the response being judged
  std::optional<std::string> error_;
};

}  // namespace fairlead::xds
