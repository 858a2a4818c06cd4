// Two net::Connections over one socket pair, each with its TLS: what the tests of this room talk through.
#pragma once

#include <sys/socket.h>

#include <map>
#include <memory>
#include <string>

#include "dataplane/net/connection.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/tls/session.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace fairlead::test {

using namespace std::chrono_literals;

// What has been counted; shared with the session's observer, which dies with it.
struct Counts {
  std::map<tls::Count, int> of;
  int negotiated = 0;
  int operator[](tls::Count what) const {
    const auto it = of.find(what);
    return it == of.end() ? 0 : it->second;
  }
};

class CountingObserver final : public tls::Observer {
 public:
  explicit CountingObserver(Counts& counts) : counts_(counts) {}
  void count(tls::Count what) override { ++counts_.of[what]; }
  void negotiated(const tls::Session&) override { ++counts_.negotiated; }

 private:
  Counts& counts_;
};

// One end: remembers everything that happens to it.
struct End : net::ConnectionEvents {
  net::ConnectionPtr connection;
  Counts counts;
  std::string received;
  bool connected = false, ended = false, closed = false, keep_reading = true;
  net::CloseReason reason{};
  void on_connected() override { connected = true; }
  void on_data(net::Buffer& data, bool end) override {
    received += data.to_string();
    data.clear();
    ended = ended || end;
  }
  void on_closed(net::CloseReason why) override {
    closed = true;
    reason = why;
  }
  const tls::Session& session() const { return *tls::session_of(*connection); }
  std::string failure() const { return std::string(connection->transport_failure_reason()); }
};

struct Pair {
  explicit Pair(net::EventLoop& loop_in) : loop(loop_in) {}

  // A socket pair with the server at one end; the other end is returned raw.
  int serve(std::shared_ptr<const tls::ServerContext> context, const net::Connection::Options& options = {}) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) throw std::runtime_error("socketpair");
    server.connection = net::Connection::adopt(loop, fds[0], {}, options, tls::Session::accept(std::move(context), std::make_unique<CountingObserver>(server.counts)));
    server.connection->set_events(&server);
    return fds[1];
  }
  void join(std::shared_ptr<const tls::ServerContext> server_context, std::shared_ptr<const tls::ClientContext> client_context, tls::ClientPeer peer = {},
            const net::Connection::Options& options = {}) {
    const int fd = serve(std::move(server_context), options);
    client.connection = net::Connection::adopt(loop, fd, {}, options, tls::Session::connect(std::move(client_context), std::move(peer), std::make_unique<CountingObserver>(client.counts)));
    client.connection->set_events(&client);
  }
  bool until(const std::function<bool()>& done) { return loop.run_until(done, 5s); }
  // Both handshakes are done, or one of them has failed.
  bool shake() {
    return until([this] { return (client.connected && server.connected) || client.closed || server.closed; }) && client.connected && server.connected;
  }
  bool fail() {
    return until([this] { return client.closed && server.closed; });
  }

  net::EventLoop& loop;
  End client, server;
};

inline std::shared_ptr<const tls::ServerContext> server_context(const tls::ServerOptions& options) { return tls::ServerContext::create(options).value(); }
inline std::shared_ptr<const tls::ClientContext> client_context(const tls::ClientOptions& options) { return tls::ClientContext::create(options).value(); }
inline tls::KeyPair pair_of(const MadeCertificate& made) {
  tls::KeyPair pair;
  pair.chain = made.chain;
  pair.key = made.key;
  return pair;
}
inline tls::ServerOptions serving(const MadeCertificate& made) {
  tls::ServerOptions options;
  options.certificates.push_back(pair_of(made));
  return options;
}
inline tls::ClientOptions trusting(const std::string& ca) {
  tls::ClientOptions options;
  options.parameters.max = tls::Version::kTls13;
  options.verification.emplace().trusted_ca = ca;
  return options;
}

}  // namespace fairlead::test
