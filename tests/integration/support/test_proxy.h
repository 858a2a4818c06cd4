// A proxy in the test's process: one listener and its clusters from YAML, one worker, real sockets, no xDS and no admin.
// Everything public is for the test's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/support/raw_socket.h"

namespace fairlead::testing {

// YAML of a static cluster with these local ports; `more` is appended (indented by two spaces or more).
std::string cluster_yaml(const std::string& name, const std::vector<uint16_t>& ports, const std::string& more = "");
// YAML of a listener whose connection manager has one virtual host for "*" with these routes (a YAML list, indented freely), and `more`
// fields of the connection manager.
std::string listener_yaml(const std::string& routes, const std::string& more = "", const std::string& virtual_host_more = "");

class TestProxy {
 public:
  // Throws with the error when the configuration is refused. The access log's format is "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%".
  TestProxy(const std::string& listener, const std::vector<std::string>& clusters);
  ~TestProxy();

  uint16_t port() const { return port_; }
  RawSocket connect() const { return RawSocket::connect(port_); }
  // One request on a connection of its own.
  RawResponse get(const std::string& path, const std::string& headers = "", const std::string& method = "GET", const std::string& body = "") const;

  // Publishes other clusters and route tables (RDS, by name) to the worker.
  void publish(const std::vector<std::string>& clusters, const std::vector<std::string>& route_tables = {});
  uint64_t stat(const std::string& name) const;
  // Waits (10 s at most) until the statistic has that value; false if not.
  bool wait_for_stat(const std::string& name, uint64_t value) const;
  // Lines of the access log so far, waiting (10 s at most) until there are `lines`.
  std::vector<std::string> access_log(size_t lines) const;
  void drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint16_t port_ = 0;
};

}  // namespace fairlead::testing
