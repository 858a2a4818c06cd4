// A UDP listener in the test's process: udp_proxy and clusters from YAML, one worker, real sockets, no listener configuration; and sockets to talk
// to it with. Everything public is for the test's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::testing {

// A blocking UDP socket on a loopback port of its own. Every wait is bounded (10 s) and then throws.
class UdpSocket {
 public:
  explicit UdpSocket(const char* ip = "127.0.0.1");
  ~UdpSocket();
  UdpSocket(const UdpSocket&) = delete;
  uint16_t port() const { return port_; }
  void send(uint16_t to, std::string_view bytes) const;
  std::string receive();  // remembers who sent it
  uint16_t from() const { return from_; }
  void answer(std::string_view bytes) const { send(from_, bytes); }
  bool quiet_for(std::chrono::milliseconds wait) const;
  void close();

 private:
  int fd_;
  uint16_t port_ = 0, from_ = 0;
};

class TestUdp {
 public:
  // `fields` of UdpProxyConfig (YAML, indented freely; LOG_FILE is a path in a folder of the test). Throws when the configuration is refused.
  TestUdp(const std::string& fields, const std::vector<std::string>& clusters);
  ~TestUdp();

  uint16_t port() const { return port_; }
  void publish(const std::vector<std::string>& clusters);
  // The same cluster as before, with the endpoints of this one.
  void publish_endpoints(const std::string& cluster);
  // The listener's new form. False: the filter could not go on, and another took its place.
  bool update(const std::string& fields);
  uint64_t stat(const std::string& name) const;
  bool wait_for_stat(const std::string& name, uint64_t value) const;
  std::vector<std::string> access_log(size_t lines) const;
  // As in a hot restart, but within this process: another filter, of this configuration, goes on with the sessions; returns how many. `meanwhile`
  // is called while nobody reads. Without a configuration the restart fails: the filter goes on as it was.
  size_t hand_over(const std::optional<std::string>& fields, const std::function<void()>& meanwhile = [] {});
  void end();  // the listener goes; the log remains

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint16_t port_ = 0;
};

}  // namespace fairlead::testing
