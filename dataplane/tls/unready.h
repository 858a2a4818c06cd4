// Unready: the transport of a connection whose certificates have not come yet. It ends with its first event, and no byte is taken for plain text.
// One worker; owned by the net::Connection.
#pragma once

#include <string_view>

#include "dataplane/net/transport.h"

namespace fairlead::tls {

class Unready final : public net::Transport {
 public:
  ~Unready() override;
  void attach(int fd) override { fd_ = fd; }
  net::HandshakeState handshake() override { return net::HandshakeState::Failed; }
  net::IoResult read(net::Buffer&, size_t) override { return {net::IoResult::Next::Error, 0, 0}; }
  net::IoResult write(net::Buffer&) override { return {net::IoResult::Next::Error, 0, 0}; }
  void shutdown_write() override {}
  void close(bool reset) override;
  std::string_view failure_reason() const override { return "TLS error: Secret is not supplied by SDS"; }  // Envoy 1.40

 private:
  int fd_ = -1;
};

}  // namespace fairlead::tls
