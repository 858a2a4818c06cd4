// A filter chain in the test's process: network filters and clusters from YAML, one worker, real sockets, no listener configuration.
// Everything public is for the test's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/support/raw_socket.h"

namespace fairlead::testing {

// YAML of one network filter; `fields` is indented freely.
std::string filter_yaml(const std::string& message, const std::string& fields = "");
// tcp_proxy to cluster "up" with stat_prefix "t", an access log, and `more` fields.
std::string tcp_proxy_yaml(const std::string& more = "", const std::string& clusters = "cluster: up");

class TestChain {
 public:
  struct Options {
    size_t buffer_limit = 1024 * 1024;
    std::string server_name;  // as if tls_inspector had found it
  };
  // Throws with the error when the configuration is refused. The access log's format is
  // "%ACCESS_LOG_TYPE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %DOWNSTREAM_DETECTED_CLOSE_TYPE%".
  TestChain(const std::vector<std::string>& filters, const std::vector<std::string>& clusters);
  TestChain(const std::vector<std::string>& filters, const std::vector<std::string>& clusters, const Options& options);
  ~TestChain();

  uint16_t port() const { return port_; }
  RawSocket connect() const { return RawSocket::connect(port_); }
  uint64_t stat(const std::string& name) const;
  // Waits (10 s at most) until the statistic has that value; false if not.
  bool wait_for_stat(const std::string& name, uint64_t value) const;
  // Lines of the access log so far, waiting (10 s at most) until there are `lines`.
  std::vector<std::string> access_log(size_t lines) const;
  bool wait_for_connections(size_t count) const;
  // What a listener does with its chain.
  void drain();
  void close_idle();
  void close_all();

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint16_t port_ = 0;
};

}  // namespace fairlead::testing
