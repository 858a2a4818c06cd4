// Accepting and draining on one worker.
#include "dataplane/server/worker_listeners.h"

#include <fcntl.h>
#include <unistd.h>

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "dataplane/server/filtered_socket.h"
#include "dataplane/stream/http_connection.h"

namespace fairlead::server {

using stats::ListenerStat;
using stream::ConnectionInfo;

struct WorkerListeners::Accepting final : net::AcceptEvents {
  Accepting(Active& owner, net::EventLoop& loop, int fd) : owner(owner), listener(loop, fd, *this) {}
  void on_accept(int fd, const net::Address& remote) override;
  void on_exhausted() override;
  Active& owner;
  net::Listener listener;
};

struct WorkerListeners::Active {
  Active(WorkerListeners& owner, std::shared_ptr<const ServingListener> config) : owner(owner), config(std::move(config)) {}
  ~Active();
  bool admit();
  GlobalConnections* counted_globally() const;
  void leave();
  void join_balance(const ServingListener* before);
  void accept_or_wait();
  void begin(int fd, const net::Address& remote, std::unique_ptr<ConnectionInfo> info, bool redirected);
  void filtered(int fd, std::unique_ptr<ConnectionInfo> info, bool redirected);
  std::optional<size_t> choose(int fd, const net::Address& remote, const ConnectionInfo* info) const;
  void serve(int fd, const net::Address& remote, std::unique_ptr<ConnectionInfo> info);
  stream::ChainConnections& connections_of(size_t chain);
  void close_filtered();

  WorkerListeners& owner;
  std::shared_ptr<const ServingListener> config;
  std::vector<std::unique_ptr<stream::ChainConnections>> connections;  // by chain number; none or null: no connection has come yet
  absl::flat_hash_set<FilteredSocket*> filtering;
  std::vector<std::unique_ptr<Accepting>> accepting;
  struct Datagrams {
    int fd = -1;
    uint64_t cookie = 0;
    std::string address;
    std::unique_ptr<stream::UdpFilter> filter;
  };
  std::vector<Datagrams> datagrams;                                     // instead, of a UDP listener: by socket
  bool draining = false;
  std::optional<net::TimePoint> drains_until;  // gradually
};

struct WorkerListeners::Draining {
  stats::ScopePtr scope;
  stats::Block<stats::ListenerStat> stats;
  std::shared_ptr<const ServingChain> chain;
  std::unique_ptr<stream::ChainConnections> connections;
  std::unique_ptr<net::Timer> deadline;
};

// --- from accept() to a chain ---------------------------------------------------------------------------------------------

void WorkerListeners::Accepting::on_accept(int fd, const net::Address& remote) {
  if (!owner.admit()) {
    ::close(fd);
    return;
  }
  const auto& balance = owner.config->balance;
  if (balance != nullptr && ConnectionBalance::pass_on(balance, owner.owner.worker_.index(), fd, remote)) return;
  owner.begin(fd, remote, nullptr, false);
}

void WorkerListeners::Accepting::on_exhausted() {
  constexpr std::chrono::seconds kBetweenWarnings{10};
  WorkerListeners& all = owner.owner;
  all.worker_.cells().add(owner.config->out_of_descriptors);
  const net::TimePoint now = all.worker_.loop().now();
  if (now < all.next_warning_) return;
  all.next_warning_ = now + kBetweenWarnings;
  FL_LOG(warning, "main", "listener '", owner.config->name, "': descriptors are running out; new connections wait");
}

GlobalConnections* WorkerListeners::Active::counted_globally() const {
  return owner.global_ != nullptr && !(owner.global_->limit && config->config->ignore_global_connection_limit) ? owner.global_ : nullptr;
}

// A place for a connection that has just been accepted, in Envoy 1.40's order: the limit over all listeners, overload, the listener's own limit.
bool WorkerListeners::Active::admit() {
  stream::WorkerContext& worker = owner.worker_;
  const config::ListenerConfig& listener = *config->config;
  const matching::Runtime* runtime = worker.epoch() ? worker.epoch()->snapshot().runtime.get() : nullptr;
  const auto runtime_limit = [&](std::string_view key) -> std::optional<uint64_t> {
    const matching::Runtime::Value* value = runtime != nullptr ? runtime->find(key) : nullptr;
    return value != nullptr && value->number ? std::optional<uint64_t>(static_cast<uint64_t>(std::max(*value->number, 0.0))) : std::nullopt;
  };
  GlobalConnections* global = counted_globally();
  if (global != nullptr) {
    std::optional<uint64_t> limit = global->limit;
    if (!limit && !listener.ignore_global_connection_limit) limit = runtime_limit("overload.global_downstream_max_connections");
    if (!take_place(global->count, limit)) {
      worker.cells().add(config->global_overflow);
      if (global->limit) worker.cells().add(global->refused);
      return false;
    }
  }
  if (!listener.bypass_overload && (worker.sheds(config::ShedAt::TcpAccept) || stream::OverloadState::drawn(worker.overload().reject_connections, worker.random()))) {
    worker.cells().add(config->overload_reject);
  } else if (!take_place(*config->open, config->limit_key.empty() ? std::nullopt : runtime_limit(config->limit_key))) {
    worker.cells().add(config->stats, ListenerStat::downstream_cx_overflow);
  } else {
    return true;
  }
  if (global != nullptr) leave_place(global->count);
  return false;
}

// One that admit() has let in and that never became its chain's.
void WorkerListeners::Active::leave() {
  leave_place(*config->open);
  if (GlobalConnections* global = counted_globally()) leave_place(global->count);
  if (config->balance != nullptr) config->balance->gone(owner.worker_.index());
}

// Other workers may pass connections to this one. The places that admit() has taken for them are given back where they come too late.
void WorkerListeners::Active::join_balance(const ServingListener* before) {
  if (before != nullptr && before->balance != nullptr && before->balance != config->balance) before->balance->leave(owner.worker_.index());
  if (config->balance == nullptr) return;
  config->balance->join(owner.worker_.index(), owner.worker_.loop(),
                        [&all = owner, alive = std::weak_ptr<char>(owner.alive_), name = config->name, open = config->open, global = counted_globally()](int fd, const net::Address& remote) {
                          if (!alive.expired()) {
                            if (const auto it = all.active_.find(name); it != all.active_.end()) {
                              it->second->begin(fd, remote, nullptr, false);
                              return true;
                            }
                          }
                          leave_place(*open);
                          if (global != nullptr) leave_place(global->count);
                          return false;
                        });
}

void WorkerListeners::Active::accept_or_wait() {
  const bool wait = owner.stepped_back_ || (owner.worker_.overload().stop_connections && !config->config->bypass_overload);
  for (auto& socket : accepting) wait ? socket->listener.pause() : socket->listener.resume();
}

WorkerListeners::Active::~Active() {
  close_filtered();
  if (config->balance != nullptr) config->balance->leave(owner.worker_.index());
}

void WorkerListeners::Active::close_filtered() {
  while (!filtering.empty()) (*filtering.begin())->close();
}

void WorkerListeners::Active::begin(int fd, const net::Address& remote, std::unique_ptr<ConnectionInfo> info, bool redirected) {
  if (info == nullptr && (config->listener_filters != nullptr || config->log != nullptr)) {
    info = std::make_unique<ConnectionInfo>();
    info->direct_remote = info->remote = remote;
    if (auto local = net::Address::local_of(fd); local.ok()) info->direct_local = info->local = *std::move(local);
    info->accepted = owner.worker_.loop().now();
  }
  if (info != nullptr) info->log = config->log;
  if (config->listener_filters == nullptr) return serve(fd, remote, std::move(info));
  auto* socket = new FilteredSocket(owner.worker_, *config, owner.peek_buffer_, fd, std::move(info),
                                    [this, redirected](FilteredSocket& done, int passed, std::unique_ptr<ConnectionInfo> known) {
                                      filtering.erase(&done);
                                      if (passed >= 0) return filtered(passed, std::move(known), redirected);
                                      if (known->log != nullptr) known->log->refused(owner.worker_, *known);
                                      leave();
                                    });
  filtering.insert(socket);
  socket->begin();
}

// A listener that was handed a connection keeps it.
void WorkerListeners::Active::filtered(int fd, std::unique_ptr<ConnectionInfo> info, bool redirected) {
  const net::Address remote = info->direct_remote;
  if (config->config->use_original_dst && info->local_restored && !redirected)
    if (Active* other = owner.redirected_to(info->local, *this); other != nullptr) {
      leave_place(*config->open);
      if (config->balance != nullptr) config->balance->gone(owner.worker_.index());
      take_place(*other->config->open, std::nullopt);
      if (other->config->balance != nullptr) other->config->balance->came(owner.worker_.index());
      return other->begin(fd, remote, std::move(info), true);
    }
  serve(fd, remote, std::move(info));
}

std::optional<size_t> WorkerListeners::Active::choose(int fd, const net::Address& remote, const ConnectionInfo* info) const {
  const config::ListenerConfig& listener = *config->config;
  if (!listener.chooses()) return 0;
  if (info != nullptr)
    return listener.choose({.local = info->local, .remote = info->remote, .direct_remote = info->direct_remote, .server_name = info->server_name,
                            .transport_protocol = info->transport_protocol, .application_protocols = info->application_protocols});
  const auto local = net::Address::local_of(fd);
  const net::Address none;
  return listener.choose({.local = local.ok() ? *local : none, .remote = remote, .direct_remote = remote});
}

void WorkerListeners::Active::serve(int fd, const net::Address& remote, std::unique_ptr<ConnectionInfo> info) {
  stream::WorkerContext& worker = owner.worker_;
  const std::optional<size_t> number = choose(fd, remote, info.get());
  if (!number.has_value()) {
    worker.cells().add(config->stats, ListenerStat::no_filter_chain_match);
    if (config->log != nullptr) {
      info->flags.set(format::ResponseFlag::NoRouteFound);
      info->code_details = "filter_chain_not_found";
      config->log->refused(worker, *info);
    }
    ::close(fd);
    leave();
    return;
  }
  const ServingChain& chain = *config->chains[*number];
  net::Connection::Options options;
  options.buffer_limit = config->config->per_connection_buffer_limit;
  if (chain.manager != nullptr) options.delayed_close = chain.manager->config().delayed_close_timeout;
  net::ConnectionPtr connection = chain.transport != nullptr ? chain.transport->adopt(worker.loop(), fd, remote, options, worker.cells())
                                                             : net::Connection::adopt(worker.loop(), fd, remote, options);
  if (info != nullptr) {
    if (info->local_restored) connection->restore_local_address(info->local);
    connection->restore_remote_address(info->remote);
  }
  worker.cells().add(config->stats, ListenerStat::downstream_cx_total);
  connections_of(*number).accept(std::move(connection), std::move(info));
}

stream::ChainConnections& WorkerListeners::Active::connections_of(size_t chain) {
  if (connections.size() <= chain) connections.resize(chain + 1);
  std::unique_ptr<stream::ChainConnections>& slot = connections[chain];
  if (slot == nullptr) {
    const ServingChain& what = *config->chains[chain];
    if (what.network != nullptr) {
      slot = std::make_unique<stream::NetworkConnections>(owner.worker_, what.network);
    } else {
      slot = std::make_unique<stream::HttpConnections>(owner.worker_, what.manager);
    }
    slot->on_gone = [open = config->open, global = counted_globally(), balance = config->balance, worker = owner.worker_.index()] {
      leave_place(*open);
      if (balance != nullptr) balance->gone(worker);
      if (global != nullptr) leave_place(global->count);
    };
    const net::TimePoint now = owner.worker_.loop().now();
    if (draining || (drains_until && now >= *drains_until)) {
      slot->drain();
    } else if (drains_until) {
      slot->drain_gradually(std::chrono::duration_cast<std::chrono::milliseconds>(*drains_until - now));
    }
  }
  return *slot;
}

// Envoy 1.40: the listener of exactly that address, else that of its port and any address.
WorkerListeners::Active* WorkerListeners::redirected_to(const net::Address& address, const Active& from) {
  auto it = by_address_.find(address);
  if (it == by_address_.end() && address.kind() == net::Address::Kind::V4) it = by_address_.find(net::Address::v4_any(address.port()));
  if (it == by_address_.end() && address.kind() == net::Address::Kind::V6)
    if (const auto any = net::Address::from_ip("::", address.port()); any.ok()) it = by_address_.find(*any);
  return it == by_address_.end() || it->second == &from ? nullptr : it->second;
}

// --- forms of listeners ---------------------------------------------------------------------------------------------------

WorkerListeners::WorkerListeners(stream::WorkerContext& worker, uint32_t socket_index, GlobalConnections* global)
    : worker_(worker), socket_index_(socket_index), global_(global) {}

WorkerListeners::~WorkerListeners() {
  for (Draining& d : draining_) d.connections->on_empty = nullptr;
  close_all();
}

namespace {

// A chain of the new form that can take over the connections of one that is not in it; the end: there is none.
ServingChains::const_iterator successor(const ServingListener& before, const ServingChain& chain, const ServingListener& after) {
  return std::find_if(after.chains.begin(), after.chains.end(), [&](const auto& other) {
    return chain.config->connection_hash != 0 && other->config->connection_hash == chain.config->connection_hash &&
           std::find(before.chains.begin(), before.chains.end(), other) == before.chains.end();
  });
}

// Sessions of a UDP filter that pauses, since another takes its place: those that this one can go on with.
void pass_sessions(stream::UdpFilter& from, stream::UdpFilter& to) {
  for (const stream::HandedSession& one : from.hand_over()) {
    const int copy = fcntl(one.fd, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0 && !to.take(one.state, copy)) ::close(copy);
  }
}

}  // namespace

void WorkerListeners::set(std::shared_ptr<const ServingListener> listener, std::chrono::milliseconds drain_time) {
  std::unique_ptr<Active>& slot = active_[listener->name];
  const bool same_sockets = slot != nullptr && slot->config->sockets == listener->sockets;
  // before the old configuration, and with it the old sockets, may go
  if (slot != nullptr && !same_sockets) {
    slot->accepting.clear();
    slot->datagrams.clear();
  }
  if (slot == nullptr) {
    slot = std::make_unique<Active>(*this, listener);
    slot->join_balance(nullptr);
  } else {
    const std::shared_ptr<const ServingListener> before = std::exchange(slot->config, listener);
    auto connections = std::exchange(slot->connections, {});
    slot->draining = false;
    slot->drains_until.reset();
    const bool in_place = before->config->outer_hash == listener->config->outer_hash;
    for (size_t i = 0; i < connections.size(); ++i) {
      if (connections[i] == nullptr) continue;
      auto stays = std::find(listener->chains.begin(), listener->chains.end(), before->chains[i]);
      if (stays == listener->chains.end() && in_place) {
        stays = successor(*before, *before->chains[i], *listener);
        if (stays != listener->chains.end()) connections[i]->take((*stays)->manager, drain_time);
      }
      if (stays == listener->chains.end()) {
        start_drain(*before, before->chains[i], std::move(connections[i]), drain_time, in_place && listener->gradual_drain);
        continue;
      }
      const auto number = static_cast<size_t>(stays - listener->chains.begin());
      if (slot->connections.size() <= number) slot->connections.resize(number + 1);
      slot->connections[number] = std::move(connections[i]);
    }
    forget_addresses(*before, *slot);
    slot->join_balance(before.get());
  }
  if (listener->udp != nullptr) return set_datagrams(*slot);
  for (const net::Address& address : listener->addresses) by_address_.try_emplace(address, slot.get());
  if (!same_sockets) {
    for (const auto& socket : listener->sockets)
      for (const int fd : socket->fds_of(socket_index_)) slot->accepting.push_back(std::make_unique<Accepting>(*slot, worker_.loop(), fd));
  }
  slot->accept_or_wait();
}

// Those of the form before, where the sockets are the same, go on if they can.
void WorkerListeners::set_datagrams(Active& active) {
  const ServingListener& listener = *active.config;
  size_t count = 0;
  for (const auto& socket : listener.sockets)
    for (const int fd : socket->fds_of(socket_index_)) {
      const net::UdpPort::Options port{.fd = fd, .local = socket->local_address(), .largest = listener.config->max_datagram, .join = listener.config->join_datagrams};
      if (active.datagrams.size() == count) active.datagrams.emplace_back();
      Active::Datagrams& slot = active.datagrams[count++];
      if (slot.filter != nullptr && slot.filter->adopt(listener.udp, port)) continue;
      if (slot.filter != nullptr) slot.filter->pause();  // one descriptor can be watched once
      auto filter = listener.udp->create(worker_, port);
      if (datagrams_wait_) filter->pause();
      if (slot.filter != nullptr) pass_sessions(*slot.filter, *filter);
      slot = {fd, net::socket_cookie(fd), socket->local_address().to_string(), std::move(filter)};
    }
  active.datagrams.resize(count);
}

std::vector<UdpSessions> WorkerListeners::hand_over(const std::set<std::string>& addresses) {
  std::vector<UdpSessions> out;
  datagrams_wait_ = true;
  for (const auto& [name, active] : active_)
    for (const auto& socket : active->datagrams) {
      if (socket.cookie == 0 || !addresses.contains(socket.address)) continue;
      socket.filter->pause();
      out.push_back({socket.cookie, socket.filter->hand_over()});
    }
  return out;
}

void WorkerListeners::await_sessions() { datagrams_wait_ = true; }

void WorkerListeners::take(std::vector<UdpSessions>& sessions) {
  datagrams_wait_ = false;
  for (const auto& [name, active] : active_)
    for (const auto& socket : active->datagrams) {
      for (UdpSessions& of : sessions) {
        if (of.socket != socket.cookie) continue;
        for (stream::HandedSession& one : of.sessions)
          if (one.fd >= 0 && socket.filter->take(one.state, one.fd)) one.fd = -1;
      }
      socket.filter->resume();
    }
}

void WorkerListeners::clusters_changed() {
  for (const auto& [name, active] : active_)
    for (const auto& socket : active->datagrams) socket.filter->clusters_changed();
}

void WorkerListeners::forget_addresses(const ServingListener& listener, const Active& owner) {
  for (const net::Address& address : listener.addresses)
    if (const auto it = by_address_.find(address); it != by_address_.end() && it->second == &owner) by_address_.erase(it);
}

void WorkerListeners::remove(const std::string& name, std::chrono::milliseconds drain_time) {
  auto it = active_.find(name);
  if (it == active_.end()) return;
  Active& active = *it->second;
  active.accepting.clear();
  active.datagrams.clear();
  active.close_filtered();
  auto connections = std::exchange(active.connections, {});
  for (size_t i = 0; i < connections.size(); ++i) start_drain(*active.config, active.config->chains[i], std::move(connections[i]), drain_time, false);
  forget_addresses(*active.config, active);
  active_.erase(it);
}

// Without the sockets: whoever connects while old connections drain is to be refused, or served by the next listener of that address.
void WorkerListeners::start_drain(const ServingListener& listener, std::shared_ptr<const ServingChain> chain, std::unique_ptr<stream::ChainConnections> connections,
                                  std::chrono::milliseconds drain_time, bool gradual) {
  if (connections == nullptr || connections->size() == 0) return;
  connections->keep_epoch();
  draining_.push_back({listener.scope, listener.stats, std::move(chain), std::move(connections), nullptr});
  auto it = std::prev(draining_.end());
  it->connections->on_empty = [this, it] {
    worker_.loop().post([this, it, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) draining_.erase(it);
    });
  };
  gradual ? it->connections->drain_gradually(drain_time) : it->connections->drain();
  it->deadline = std::make_unique<net::Timer>(worker_.loop().timers(), [it] { it->connections->close_all(net::CloseType::NoFlush); });
  it->deadline->arm(drain_time);
}

void WorkerListeners::drain(const std::string& name, std::chrono::milliseconds gradually) {
  auto it = active_.find(name);
  if (it == active_.end()) return;
  Active& active = *it->second;
  active.draining = gradually.count() == 0;
  active.drains_until = worker_.loop().now() + gradually;
  for (auto& connections : active.connections)
    if (connections != nullptr) active.draining ? connections->drain() : connections->drain_gradually(gradually);
}

void WorkerListeners::drain_all() {
  for (auto& [name, active] : active_) drain(name);
}

void WorkerListeners::step_back(bool back) {
  stepped_back_ = back;
  for (auto& [name, active] : active_) active->accept_or_wait();
  if (back) return;
  datagrams_wait_ = false;
  for (const auto& [name, active] : active_)
    for (const auto& socket : active->datagrams) socket.filter->resume();
}

void WorkerListeners::leave_sockets() {
  for (auto& [name, active] : active_) {
    active->accepting.clear();
    active->datagrams.clear();
  }
}

void WorkerListeners::drain_all_gradually(std::chrono::milliseconds time) {
  for (auto& [name, active] : active_)
    for (auto& connections : active->connections)
      if (connections != nullptr) connections->drain_gradually(time);
}

void WorkerListeners::close_idle() {
  for (auto& [name, active] : active_) {
    active->close_filtered();
    for (auto& connections : active->connections)
      if (connections != nullptr) connections->close_idle();
  }
  for (Draining& d : draining_) d.connections->close_idle();
}

void WorkerListeners::close_all() {
  for (auto& [name, active] : active_) {
    active->close_filtered();
    for (auto& connections : active->connections)
      if (connections != nullptr) connections->close_all(net::CloseType::NoFlush);
  }
  for (Draining& d : draining_) d.connections->close_all(net::CloseType::NoFlush);
}

void WorkerListeners::overload_changed(const stream::OverloadState& before) {
  const bool rescale = before.shorter_timeouts != worker_.overload().shorter_timeouts;
  for (auto& [name, active] : active_) {
    active->accept_or_wait();
    for (auto& connections : active->connections)
      if (rescale && connections != nullptr) connections->rescale_timeouts(before);
  }
  for (Draining& d : draining_)
    if (rescale) d.connections->rescale_timeouts(before);
}

size_t WorkerListeners::connections() const {
  size_t n = 0;
  for (const auto& [name, active] : active_) {
    n += active->filtering.size();
    for (const auto& connections : active->connections) n += connections != nullptr ? connections->size() : 0;
  }
  for (const Draining& d : draining_) n += d.connections->size();
  return n;
}

void WorkerListeners::refresh_gauges() {
  stats::Cells& cells = worker_.cells();
  for (const auto& [name, active] : active_) {
    uint64_t now = 0;
    for (const auto& connections : active->connections) now += connections != nullptr ? connections->size() : 0;
    for (const Draining& d : draining_)
      if (d.stats.base == active->config->stats.base) now += d.connections->size();
    const uint64_t total = cells.read(active->config->stats.at(ListenerStat::downstream_cx_total));
    cells.set(active->config->stats, ListenerStat::downstream_cx_active, now);
    cells.set(active->config->stats, ListenerStat::downstream_cx_destroy, total - now);
  }
}

}  // namespace fairlead::server
