// One type on one incremental stream: interest and per-resource versions in, requests out. Pure: no sockets, no clock, no protobuf.
// Rules: the first request of a stream subscribes to all interest and carries initial_resource_versions of what is held; a wildcard is asked for by
// an empty first subscription; later changes are sent as differences; each response is answered with its nonce; the versions of a
// refused response are not remembered, so that a reconnect asks for them again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/xds/sotw_state.h"

namespace fairlead::xds {

struct DeltaRequest {
  std::vector<std::string> subscribe, unsubscribe;
  std::map<std::string, std::string> initial_versions;
  std::string nonce;
  std::optional<std::string> error;
  bool operator==(const DeltaRequest&) const = default;
};

class DeltaState {
 public:
  void set_interest(Interest interest);
  const Interest& interest() const { return interest_; }

  void stream_opened();
  void stream_closed();
  void response(std::string nonce);
  // `updated`: name → version of what was applied (also of the good part of a refused response); `removed`: what the server took back.
  void accept(const std::map<std::string, std::string>& updated, const std::vector<std::string>& removed);
  void refuse(std::string error, const std::map<std::string, std::string>& applied, const std::vector<std::string>& removed);
  std::optional<DeltaRequest> next_request();

  const std::map<std::string, std::string>& versions() const { return versions_; }

 private:
  struct Answer { std::string nonce; std::optional<std::string> error; };
  void apply(const std::map<std::string, std::string>& updated, const std::vector<std::string>& removed);

  Interest interest_;
  Interest sent_;            // what the server has been told on this stream
  bool open_ = false;
  bool spoken_ = false;
  std::string nonce_;
  std::vector<Answer> answers_;
  std::map<std::string, std::string> versions_;
};

}  // namespace fairlead::xds
