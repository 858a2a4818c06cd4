// An HTTP/1.1 echo server on nothing but the net and http rooms. Lives on one event loop.
#pragma once

#include <memory>
#include <unordered_map>

#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"

namespace fairlead::echo {

class EchoServer final : public net::AcceptEvents {
 public:
  // `socket` must be listening.
  EchoServer(net::EventLoop& loop, net::ListenSocket socket);
  ~EchoServer() override;
  const net::Address& address() const { return socket_.local_address(); }
  void on_accept(int fd, const net::Address& remote) override;
  size_t connections() const { return clients_.size(); }

 private:
  class Client;

  net::EventLoop& loop_;
  net::ListenSocket socket_;
  std::unique_ptr<net::Listener> listener_;
  std::unordered_map<Client*, net::DeferredPtr<Client>> clients_;
};

}  // namespace fairlead::echo
