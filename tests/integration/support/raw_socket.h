// Blocking sockets for tests: a client that sends exact bytes and reads responses, and a server whose every byte the test decides.
// Used from the test's own thread. Every wait is bounded (10 s) and then throws, which fails the test.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace fairlead::testing {

struct RawResponse {
  int status = 0;
  std::string head;  // status line and headers, as received
  std::multimap<std::string, std::string> headers;  // lower-case names
  std::string body;  // decoded from chunks
  std::string header(const std::string& name) const;  // first value, or ""
  bool has(const std::string& name) const { return headers.count(name) != 0; }
};

class RawSocket {
 public:
  explicit RawSocket(int fd) : fd_(fd) {}
  static RawSocket connect(uint16_t port);
  RawSocket(RawSocket&& other) noexcept : fd_(other.fd_), input_(std::move(other.input_)) { other.fd_ = -1; }
  RawSocket& operator=(RawSocket&& other) noexcept;
  ~RawSocket() { close(); }

  void send(std::string_view bytes);
  // As much as the peer takes within `wait`; returns how much that was.
  size_t send_some(std::string_view bytes, std::chrono::milliseconds wait);
  std::string read_until(std::string_view mark);  // up to and including the mark
  std::string read_exactly(size_t n);
  std::string read_all();  // until the peer closes
  RawResponse read_response(bool head_request = false);
  bool closed_by_peer();   // waits for the end; true when nothing but the end came
  bool quiet_for(std::chrono::milliseconds wait);  // nothing arrives, not even the end
  void shut_write();
  void reset();            // RST
  void close();
  int fd() const { return fd_; }

 private:
  bool fill();  // false at the end
  int fd_;
  std::string input_;
};

class RawServer {
 public:
  RawServer();
  ~RawServer();
  uint16_t port() const { return port_; }
  RawSocket accept();
  bool nobody_for(std::chrono::milliseconds wait);  // no connection arrives
  void stop_listening();

 private:
  int fd_;
  uint16_t port_;
};

// A port on which nobody listens.
uint16_t unused_port();

}  // namespace fairlead::testing
