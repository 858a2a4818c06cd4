// An HTTP/2 client for tests: one connection, as many requests at a time as wanted, on a thread of its own.
// Everything public is for the test's thread; every wait is bounded (10 s).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::testing {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct Http2Response {
  int status = 0;
  HeaderList headers, trailers;
  std::string body;
  bool ended = false;
  bool reset = false;
  std::string reset_reason;  // "remote refused stream reset", …
  std::string header(std::string_view name) const;
};

class Http2Client {
 public:
  explicit Http2Client(uint16_t port);
  ~Http2Client();

  // Starts a request. ":method" and ":path" as given, ":scheme" http, ":authority" test unless `headers` has it. `end`: nothing follows it.
  size_t start(const std::string& method, const std::string& path, HeaderList headers = {}, const std::string& body = "", bool end = true);
  void send(size_t request, const std::string& data, bool end);
  void send_trailers(size_t request, const HeaderList& trailers);
  void reset(size_t request);
  // Waits for the end of the response.
  Http2Response await(size_t request);
  // Waits for the head and that much of the body; `ended` may be false.
  Http2Response await_body(size_t request, size_t bytes);
  Http2Response get(const std::string& path, HeaderList headers = {}) { return await(start("GET", path, std::move(headers))); }
  bool wait_going_away();  // false: not within 10 s
  bool wait_closed();

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace fairlead::testing
