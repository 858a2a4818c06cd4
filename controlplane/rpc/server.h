// A gRPC server on the data plane's HTTP/2 codec: one listening socket, one event loop, any number of connections and calls. It knows methods by
// name and messages as bytes; what they mean is the services' business. Complete where gRPC's own clients look: deadlines, message limits,
// compressed requests, flow control, PINGs both ways, GOAWAY with a grace, statuses with details, TLS with client certificates. Answers are not
// compressed.
// Made, used and destroyed on its loop's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <absl/container/node_hash_map.h>
#include <absl/status/statusor.h>

#include "controlplane/rpc/call.h"
#include "controlplane/rpc/peer.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/net/buffer.h"
#include "dataplane/net/listener.h"
#include "dataplane/tls/context.h"

namespace fairlead::rpc {

class Server;

// One client connection.
class Connection final : private http::ServerSessionEvents, public net::Deferred {
 public:
  Connection(Server& server, net::ConnectionPtr connection);
  ~Connection() override;
  Server& server() const { return *server_; }
  const PeerPtr& peer();

 private:
  friend class Call;
  friend class Server;
  http::MessageReceiver* on_stream(http::MessageSender& sender) override;
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver& receiver, const http::ProtocolError& error) override;
  void on_session_closed(net::CloseReason reason) override;
  void remove(Call& call);
  absl::Status identify(std::string_view method, const http::HeaderMap& head, PeerPtr& peer);
  void abandon();
  void drain(bool at_once);  // at once: a call on its way is refused, which its client may repeat elsewhere
  void drain_after(std::chrono::milliseconds time);

  Server* server_;
  net::EventLoop& loop_;
  net::DeferredPtr<http::ServerSession> session_;
  std::unique_ptr<net::Timer> age_;
  PeerPtr peer_;        // once asked for
  PeerPtr identified_;  // that the last call was found to be from: its next ones have the same object
  Call* first_ = nullptr;
  bool draining_ = false;
  Connection* previous_ = nullptr;
  Connection* next_ = nullptr;
};

class Server final : private net::AcceptEvents {
 public:
  struct Options {
    std::string address = "127.0.0.1:0";      // HOST:PORT, [V6]:PORT or unix:PATH; port 0: the kernel picks
    size_t max_message_bytes = 4 << 20;       // gRPC: 4 MiB
    size_t max_waiting_bytes = 64 << 10;      // of one call, before send() says false
    uint32_t max_calls_per_connection = 10'000;
    size_t max_connections = 100'000;         // further ones are closed at once
    // PINGs of ours find a peer that is gone without a word; gRPC: 2 hours and 20 s
    std::chrono::milliseconds keepalive_interval{60'000}, keepalive_timeout{60'000};
    std::chrono::milliseconds handshake_timeout{10'000};  // of TLS
    // A connection that old, give or take a tenth, gets a GOAWAY, so that clients spread anew over all servers. 0: none.
    std::chrono::milliseconds max_connection_age{0};
  };
  struct Counts {
    uint64_t connections_refused = 0;  // above max_connections
    uint64_t handshakes_failed = 0;    // of TLS
    uint64_t too_large = 0;            // messages above max_message_bytes
  };
  // The service's side of a new call, which must outlive it; null when the call has been finished already.
  using Open = std::function<CallEvents*(Call& call)>;

  // Binds and listens, but serves nothing before serve(). Errors: an address in use or not of this machine, by its name.
  static absl::StatusOr<std::unique_ptr<Server>> listen(net::EventLoop& loop, Options options);
  // What an address of Options means. Names are resolved, which may take its time.
  static absl::StatusOr<net::Address> resolve(std::string_view address);
  ~Server() override;  // closes everything at once

  // Connections accepted from now on speak TLS with this; those that are open stay as they are. Null: none.
  void set_tls(std::shared_ptr<const tls::ServerContext> context) { tls_ = std::move(context); }

  // Who a call is from, by its head and its connection's peer: that one, or another in its place. An error ends the call with it. Unset: the connection's.
  using Identify = std::function<absl::StatusOr<PeerPtr>(std::string_view method, const PeerPtr& peer, const http::HeaderMap& head)>;
  void set_identify(Identify identify) { identify_ = std::move(identify); }

  // "/package.Service/Method". Before serve().
  void add(std::string method, Open open) { methods_[std::move(method)] = std::move(open); }
  using Method = std::pair<const std::string, Open>;
  const Method* find(std::string_view method) const {
    const auto found = methods_.find(method);
    return found == methods_.end() ? nullptr : &*found;
  }
  void serve();
  // No further connection; the address is free for others. Connections are told to go, and their calls asked to finish, one after the other, evenly over
  // the time `over` and each by chance within its share of that, so that other servers get them as gradually. `done` is called once none is left, at the
  // latest `grace` after all have been told. A second time, with less time: those that are left have only that.
  void drain(std::chrono::milliseconds over, std::chrono::milliseconds grace, std::function<void()> done);

  const Options& options() const { return options_; }
  const std::string& address() const { return address_; }  // with the port the kernel picked
  size_t connections() const { return connections_; }
  size_t calls() const { return calls_; }
  const Counts& counts() const { return counts_; }

 private:
  friend class Call;
  friend class Connection;
  Server(net::EventLoop& loop, Options options, net::ListenSocket socket);
  void on_accept(int fd, const net::Address& remote) override;
  void gone(Connection& connection);
  void handshake_failed(net::Connection& connection);
  std::chrono::milliseconds jittered_age();
  uint64_t random();

  net::EventLoop& loop_;
  const Options options_;
  net::PieceBlock pieces_;  // of small messages, of all calls
  h2::Settings settings_;
  std::optional<net::ListenSocket> socket_;  // until drain()
  std::string address_;
  std::shared_ptr<const tls::ServerContext> tls_;
  net::TimePoint complained_{};  // of a failed handshake, last
  std::unique_ptr<net::Listener> listener_;
  Identify identify_;
  absl::node_hash_map<std::string, Open> methods_;  // its entries stay where they are
  Connection* first_ = nullptr;
  size_t connections_ = 0, calls_ = 0;
  Counts counts_;
  uint64_t seed_ = 0;
  std::unique_ptr<net::Timer> grace_;
  std::function<void()> drained_;
};

}  // namespace fairlead::rpc
