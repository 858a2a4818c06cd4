// See server.h.
#include "controlplane/rpc/server.h"

#include <netdb.h>
#include <unistd.h>

#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/log.h"
#include "dataplane/tls/session.h"

namespace fairlead::rpc {
namespace {

h2::Settings settings_of(const Server::Options& options) {
  h2::Settings settings;
  settings.max_head_bytes = 16 << 10;  // gRPC: 16 KiB
  settings.max_concurrent_streams = options.max_calls_per_connection;
  settings.initial_stream_window_size = 256 << 10;
  settings.initial_connection_window_size = 4 << 20;
  settings.stream_buffer_limit = static_cast<uint32_t>(options.max_waiting_bytes);
  settings.keepalive_interval = options.keepalive_interval;
  settings.keepalive_timeout = options.keepalive_timeout;
  settings.drain_timeout = std::chrono::milliseconds(1000);
  settings.stream_error_on_invalid_http_message = true;
  return settings;
}

}  // namespace

// "localhost:18000", too.
absl::StatusOr<net::Address> Server::resolve(std::string_view text) {
  if (absl::StatusOr<net::Address> address = net::Address::parse(text); address.ok()) return address;
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string_view::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not an address: HOST:PORT, [V6]:PORT or unix:PATH"));
  }
  const std::string host(text.substr(0, colon));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), nullptr, &hints, &found); error != 0) {
    return absl::InvalidArgumentError(absl::StrCat("'", host, "' in '", text, "': ", gai_strerror(error)));
  }
  const net::Address address = net::Address::from_sockaddr(found->ai_addr, found->ai_addrlen).with_port(static_cast<uint16_t>(port));
  freeaddrinfo(found);
  return address;
}

Connection::Connection(Server& server, net::ConnectionPtr connection) : server_(&server), loop_(connection->loop()) {
  session_ = h2::make_server_session(std::move(connection), server.settings_, *this);
  if (server.options_.max_connection_age.count() == 0) return;
  age_ = std::make_unique<net::Timer>(loop_.timers(), [this] { drain(false); });
  age_->arm(server.jittered_age());
}

Connection::~Connection() = default;

http::MessageReceiver* Connection::on_stream(http::MessageSender& sender) {
  if (server_ == nullptr) return nullptr;
  auto* call = new Call(*this, sender);
  call->next_ = first_;
  if (first_ != nullptr) first_->previous_ = call;
  first_ = call;
  ++server_->calls_;
  return call;
}

void Connection::remove(Call& call) {
  (call.previous_ != nullptr ? call.previous_->next_ : first_) = call.next_;
  if (call.next_ != nullptr) call.next_->previous_ = call.previous_;
  call.previous_ = call.next_ = nullptr;
  --server_->calls_;
  loop_.delete_later(&call);
}

// A head that is too large or comes too slowly.
void Connection::on_protocol_error(http::MessageSender&, http::MessageReceiver& receiver, const http::ProtocolError& error) {
  static_cast<Call&>(receiver).refuse(error.status);
}

void Connection::on_session_closed(net::CloseReason reason) {
  if (age_) age_->disarm();
  if (server_ == nullptr) return;
  if (reason == net::CloseReason::ConnectFailed || reason == net::CloseReason::ConnectTimeout) server_->handshake_failed(session_->connection());
  server_->gone(*this);
}

const PeerPtr& Connection::peer() {
  if (peer_) return peer_;
  const net::Connection& connection = session_->connection();
  const net::Address& address = connection.remote_address();
  auto peer = std::make_shared<Peer>();
  peer->address = address.is_ip() ? address.to_string() : "unix";
  peer->host = address.is_ip() ? address.ip_string() : "unix";
  peer->local = !address.is_ip() || address.is_loopback();
  if (const tls::Session* secured = tls::session_of(connection)) {
    peer->encrypted = true;
    const std::shared_ptr<const tls::ConnectionFacts>& facts = secured->facts();
    if (facts && facts->validated && facts->peer) {
      for (tls::San::Type type : {tls::San::Type::kUri, tls::San::Type::kDns}) {
        for (const tls::San& name : facts->peer->names) {
          if (name.type == type) peer->names.push_back(name.value);
        }
      }
    }
  }
  peer_ = std::move(peer);
  return peer_;
}

// Calls of one connection that show the same token share one peer, as long as none with another comes between.
absl::Status Connection::identify(std::string_view method, const http::HeaderMap& head, PeerPtr& peer) {
  if (!server_->identify_) return absl::OkStatus();
  absl::StatusOr<PeerPtr> found = server_->identify_(method, this->peer(), head);
  if (!found.ok()) return found.status();
  if (*found == peer_) return absl::OkStatus();
  if (!identified_ || *identified_ != **found) identified_ = *std::move(found);
  peer = identified_;
  return absl::OkStatus();
}

// New calls go elsewhere; those there are finish when it suits their services, and with the last of them the connection closes.
void Connection::drain(bool at_once) {
  if (at_once) session_->drain();
  if (draining_) return;
  draining_ = true;
  session_->drain();
  for (Call *call = first_, *next; call != nullptr; call = next) {
    next = call->next_;
    if (call->events_ != nullptr) call->events_->on_drain();
  }
}

void Connection::drain_after(std::chrono::milliseconds time) {
  if (draining_) return;
  age_ = std::make_unique<net::Timer>(loop_.timers(), [this] { drain(true); });
  age_->arm(time);
}

// The server ends before it; its own end is still to come.
void Connection::abandon() {
  while (first_ != nullptr) static_cast<http::MessageReceiver*>(first_)->on_reset(http::ResetReason::ConnectionTermination, "");
  session_->close(net::CloseType::NoFlush);
  server_ = nullptr;
}

absl::StatusOr<std::unique_ptr<Server>> Server::listen(net::EventLoop& loop, Options options) {
  absl::StatusOr<net::Address> address = resolve(options.address);
  if (!address.ok()) return address.status();
  net::ListenSocket::Options how;
  how.reuse_port = false;
  how.v6_only = !address->is_any();  // [::] takes both families
  absl::StatusOr<net::ListenSocket> socket = net::ListenSocket::bind(*address, how);
  if (!socket.ok()) return socket.status();
  if (absl::Status s = socket->listen(1); !s.ok()) return s;
  return std::unique_ptr<Server>(new Server(loop, std::move(options), *std::move(socket)));
}

Server::Server(net::EventLoop& loop, Options options, net::ListenSocket socket)
    : loop_(loop), options_(std::move(options)), settings_(settings_of(options_)), socket_(std::move(socket)), seed_(reinterpret_cast<uintptr_t>(this)) {
  const net::Address& local = socket_->local_address();
  const size_t colon = options_.address.rfind(':');
  // as it was given, so that a client elsewhere can use the name; only the port may be new
  address_ = local.is_ip() ? absl::StrCat(options_.address.substr(0, colon), ":", local.port()) : options_.address;
}

Server::~Server() {
  drained_ = nullptr;
  listener_.reset();
  while (first_ != nullptr) {
    Connection& connection = *first_;
    connection.abandon();
    gone(connection);
  }
}

void Server::serve() { listener_ = std::unique_ptr<net::Listener>(new net::Listener(loop_, socket_->fd(0), *this)); }

void Server::on_accept(int fd, const net::Address& remote) {
  if (connections_ >= options_.max_connections) {
    ++counts_.connections_refused;
    ::close(fd);
    return;
  }
  net::Connection::Options how;
  how.buffer_limit = 256 << 10;
  std::unique_ptr<net::Transport> transport;
  if (tls_) {
    transport = tls::Session::accept(tls_, nullptr);
    how.handshake_timeout = options_.handshake_timeout;
  }
  auto* connection = new Connection(*this, net::Connection::adopt(loop_, fd, remote, how, std::move(transport)));
  connection->next_ = first_;
  if (first_ != nullptr) first_->previous_ = connection;
  first_ = connection;
  ++connections_;
}

void Server::gone(Connection& connection) {
  (connection.previous_ != nullptr ? connection.previous_->next_ : first_) = connection.next_;
  if (connection.next_ != nullptr) connection.next_->previous_ = connection.previous_;
  connection.previous_ = connection.next_ = nullptr;
  --connections_;
  loop_.delete_later(&connection);
  if (connections_ == 0 && drained_) std::exchange(drained_, nullptr)();
}

// A line a second at most: whoever scans the port shall not fill the log.
void Server::handshake_failed(net::Connection& connection) {
  ++counts_.handshakes_failed;
  if (complained_ != net::TimePoint() && loop_.now() - complained_ < std::chrono::seconds(1)) return;
  complained_ = loop_.now();
  const std::string_view reason = connection.transport_failure_reason();
  FL_LOG(warning, "xds", "TLS with ", connection.remote_address().to_string(), " failed: ", reason.empty() ? "the client ended the connection, or took too long" : reason, " (",
         counts_.handshakes_failed, " so far)");
}

// xorshift: spread is all that matters.
uint64_t Server::random() {
  seed_ ^= seed_ << 13;
  seed_ ^= seed_ >> 7;
  seed_ ^= seed_ << 17;
  return seed_;
}

std::chrono::milliseconds Server::jittered_age() {
  const int64_t age = options_.max_connection_age.count();
  return std::chrono::milliseconds(age - age / 10 + static_cast<int64_t>(random() % static_cast<uint64_t>(age / 5 + 1)));
}

void Server::drain(std::chrono::milliseconds over, std::chrono::milliseconds grace, std::function<void()> done) {
  listener_.reset();
  socket_.reset();  // or clients that come now would wait in the kernel's line for somebody who takes them
  if (connections_ == 0) return done();
  drained_ = std::move(done);
  grace_ = std::make_unique<net::Timer>(loop_.timers(), [this] {
    for (Connection *c = first_, *next; c != nullptr; c = next) {
      next = c->next_;
      c->session_->close(net::CloseType::NoFlush);
    }
  });
  grace_->arm(over + grace);
  const auto share = static_cast<int64_t>(over.count()) / static_cast<int64_t>(connections_);
  int64_t n = 0;
  for (Connection *c = first_, *next; c != nullptr; c = next) {
    next = c->next_;
    if (over.count() == 0) {
      c->drain(true);
    } else {
      const int64_t begin = over.count() * n++ / static_cast<int64_t>(connections_);
      c->drain_after(std::chrono::milliseconds(begin + static_cast<int64_t>(random() % static_cast<uint64_t>(share + 1))));
    }
  }
}

}  // namespace fairlead::rpc
