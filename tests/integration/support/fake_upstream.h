// An HTTP/1.1 or HTTP/2 server for tests, on a thread and a port of its own: answers each request with what a handler returns and remembers it.
// Handlers run on its thread, one at a time. Everything public is for the test's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::testing {

struct UpstreamRequest {
  std::string method, path, host;
  std::vector<std::pair<std::string, std::string>> headers;  // without pseudo-headers
  std::vector<std::pair<std::string, std::string>> trailers;
  std::string body;
  uint64_t connection = 0;
  std::string header(std::string_view name) const;  // first value, or ""
  bool has(std::string_view name) const;
};

struct UpstreamReply {
  int status = 200;                        // 101, and 2xx to CONNECT: what follows is echoed
  std::string body = "ok";
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, std::string>> trailers;
  bool chunked = false;                    // no content-length
  std::chrono::milliseconds delay{0};
  bool never = false;                      // no answer at all
  bool reset = false;                      // RST_STREAM in place of an answer
  bool close_first = false;                // the connection ends before any byte of a response
  std::ptrdiff_t close_after = -1;         // or after this many bytes of the body
  bool goodbye = false;                    // "connection: close"
};

class FakeUpstream {
 public:
  using Handler = std::function<UpstreamReply(const UpstreamRequest&)>;
  explicit FakeUpstream(Handler handler = [](const UpstreamRequest&) { return UpstreamReply{}; }, bool http2 = false);
  // Answers "<name>" to everything.
  static Handler named(std::string name);
  ~FakeUpstream();

  uint16_t port() const { return port_; }
  std::vector<UpstreamRequest> requests() const;
  UpstreamRequest last() const;
  size_t count() const;
  uint64_t connections() const;  // accepted so far
  size_t open_connections() const;
  // Waits (10 s at most) until that many requests have been seen; false if not.
  bool wait_for(size_t requests) const;
  void close_connections();

 private:
  class Session;
  class Exchange;
  struct Shared;
  std::shared_ptr<Shared> shared_;
  uint16_t port_ = 0;
};

}  // namespace fairlead::testing
