// Binding, keeping and serving listeners.
#include "dataplane/server/listener_set.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace fairlead::server {
namespace {

absl::StatusOr<net::Address> to_net(const config::Address& address) {
  if (address.kind == config::Address::Kind::Pipe) return net::Address::from_unix(address.path);
  return net::Address::from_ip(address.host, address.port);
}

// Port 0 is a different port each time.
bool same_place(const config::Address& a, const config::Address& b) { return a == b && (a.kind == config::Address::Kind::Pipe || a.port != 0); }

bool same_sockets(const config::ListenerConfig& a, const config::ListenerConfig& b) {
  return a.addresses == b.addresses && a.reuse_port == b.reuse_port && a.bind_to_port == b.bind_to_port && a.transparent == b.transparent &&
         a.freebind == b.freebind && a.tcp_backlog == b.tcp_backlog && a.tcp_fast_open_queue_length == b.tcp_fast_open_queue_length && a.socket_options == b.socket_options;
}

std::vector<net::ListenSocket::Options::SocketOption> socket_options(const config::ListenerConfig& listener) {
  using When = net::ListenSocket::Options::SocketOption::When;
  std::vector<net::ListenSocket::Options::SocketOption> out;
  for (const config::SocketOption& option : listener.socket_options) {
    const When when = option.state == config::SocketOption::State::Prebind ? When::BeforeBind
                      : option.state == config::SocketOption::State::Bound ? When::Bound
                                                                           : When::Listening;
    out.push_back({when, option.level, option.name, option.bytes});
  }
  if (listener.tcp_fast_open_queue_length) {
    const int length = static_cast<int>(*listener.tcp_fast_open_queue_length);
    out.push_back({When::Listening, IPPROTO_TCP, TCP_FASTOPEN, std::string(reinterpret_cast<const char*>(&length), sizeof length)});
  }
  return out;
}

}  // namespace

ListenerSet::ListenerSet(Options options) : options_(std::move(options)), filters_(options_.filter_conflict) {}
ListenerSet::~ListenerSet() = default;

absl::Status ListenerSet::check_duplicate(const config::ListenerConfig& listener) const {
  auto clash = [&](const config::ListenerConfig& other) {
    if (other.name == listener.name || !other.bind_to_port || !listener.bind_to_port) return false;
    for (const config::Address& a : listener.addresses)
      for (const config::Address& b : other.addresses)
        if (same_place(a, b)) return true;
    return false;
  };
  const config::ListenerConfig* other = nullptr;
  for (const auto& [name, p] : serving_)
    if (!leaving_.contains(name) && clash(*p.config)) other = p.config.get();
  for (const auto& [name, p] : prepared_)
    if (clash(*p.config)) other = p.config.get();
  if (other == nullptr) return absl::OkStatus();
  // Envoy 1.40's words up to "existing listener"
  return absl::InvalidArgumentError(absl::StrCat("error adding listener: '", listener.name, "' has duplicate address '", listener.addresses.front().text(),
                                                 "' as existing listener '", other->name, "'"));
}

const ListenerSet::Sockets* ListenerSet::kept_sockets(const config::ListenerConfig& listener) const {
  if (auto it = prepared_.find(listener.name); it != prepared_.end())
    if (same_sockets(*it->second.config, listener)) return &it->second.listener->sockets;
  if (auto it = serving_.find(listener.name); it != serving_.end())
    if (same_sockets(*it->second.config, listener)) return &it->second.listener->sockets;
  // what another listener leaves behind: check_duplicate() has seen to it that nobody else took it
  auto fits = [&](const Prepared& left) {
    return same_sockets(*left.config, listener) && !left.listener->sockets.empty() &&
           std::all_of(listener.addresses.begin(), listener.addresses.end(), [](const config::Address& a) { return same_place(a, a); });
  };
  for (const std::string& name : leaving_)
    if (auto it = serving_.find(name); it != serving_.end() && fits(it->second)) return &it->second.listener->sockets;
  for (const auto& [id, left] : retired_)
    if (fits(left)) return &left.listener->sockets;
  return nullptr;
}

std::function<void()> ListenerSet::retire(Prepared old) {
  const uint64_t id = next_retired_++;
  retired_.emplace(id, std::move(old));
  return [this, id] { retired_.erase(id); };
}

absl::StatusOr<ListenerSet::Sockets> ListenerSet::sockets_for(const config::ListenerConfig& listener) {
  Sockets out;
  if (given_up_) return out;
  if (const Sockets* kept = kept_sockets(listener)) return *kept;
  if (!listener.bind_to_port) return out;
  for (const config::Address& address : listener.addresses) {
    FL_ASSIGN_OR_RETURN(net::Address where, to_net(address));
    net::ListenSocket::Options how;
    how.reuse_port = listener.reuse_port;
    how.backlog = listener.tcp_backlog.has_value() ? static_cast<int>(*listener.tcp_backlog) : -1;
    how.transparent = listener.transparent;
    how.freebind = listener.freebind;
    how.v6_only = !address.ipv4_compat;
    how.unix_mode = address.mode;
    how.socket_options = socket_options(listener);
    how.datagrams = listener.udp;
    if (auto inherited = options_.inherited ? options_.inherited(listener.name, address, where, how) : std::nullopt) {
      out.push_back(std::make_shared<net::ListenSocket>(*std::move(inherited)));
      continue;
    }
    FL_ASSIGN_OR_RETURN(net::ListenSocket socket, net::ListenSocket::bind(where, how));
    out.push_back(std::make_shared<net::ListenSocket>(std::move(socket)));
  }
  return out;
}

absl::Status ListenerSet::prepare(const std::shared_ptr<const config::ListenerConfig>& listener) {
  if (auto it = prepared_.find(listener->name); it != prepared_.end() && it->second.config->content_hash == listener->content_hash) return absl::OkStatus();
  if (auto it = serving_.find(listener->name); it != serving_.end() && it->second.config->content_hash == listener->content_hash) {
    prepared_.erase(listener->name);  // a change was taken back before it went live
    leaving_.erase(listener->name);   // or removed and added again at once
    return absl::OkStatus();
  }
  const std::string place = absl::StrCat("listener '", listener->name, "'");
  FL_RETURN_IF_ERROR(prefix(place, check_duplicate(*listener)));
  if (listener->udp && !listener->reuse_port && options_.workers > 1)  // Envoy 1.40's words
    return absl::InvalidArgumentError(absl::StrCat(place, ": Listening on UDP when concurrency is > 1 without the SO_REUSEPORT socket option results in unstable packet proxying. "
                                                          "Configure the reuse_port listener option or set concurrency = 1."));
  absl::StatusOr<Sockets> sockets = sockets_for(*listener);
  if (!sockets.ok()) return prefix(place, sockets.status());

  auto serving = std::make_shared<ServingListener>();
  serving->name = listener->name;
  serving->config = listener;
  serving->sockets = *std::move(sockets);
  serving->inbound = listener->direction == config::ListenerConfig::Direction::Inbound;
  serving->gradual_drain = options_.gradual_drain;
  for (size_t i = 0; i < listener->addresses.size(); ++i) {
    if (i < serving->sockets.size()) {
      serving->addresses.push_back(serving->sockets[i]->local_address());
    } else if (auto where = to_net(listener->addresses[i]); where.ok()) {
      serving->addresses.push_back(*std::move(where));
    }
  }
  const std::string address = !listener->stat_prefix.empty()      ? listener->stat_prefix
                              : !serving->sockets.empty()         ? serving->sockets.front()->local_address().to_string()
                                                                  : listener->addresses.front().text();
  serving->scope = options_.stats->scope(stats::listener_scope(address));
  serving->stats = serving->scope->block<stats::ListenerStat>(stats::kListenerStats);
  serving->overload_reject = serving->scope->counter("downstream_cx_overload_reject");
  serving->global_overflow = serving->scope->counter("downstream_global_cx_overflow");
  serving->out_of_descriptors = serving->scope->counter_on_use("downstream_cx_out_of_descriptors");
  serving->open = count_of(listener->name);
  if (listener->exact_balance && !listener->udp) serving->balance = balance_of(listener->name);
  serving->limit_key = absl::StrCat("envoy.resource_limits.listener.", listener->name, ".connection_limit");
  auto log = stream::ConnectionLog::open(listener, *options_.logs);
  if (!log.ok()) return prefix(place, log.status());
  serving->log = *std::move(log);
  FL_RETURN_IF_ERROR(prefix(place, make_filters_of(*serving)));
  FL_RETURN_IF_ERROR(make_chains(*serving, address));
  prepared_.insert_or_assign(listener->name, Prepared{listener, std::move(serving)});
  leaving_.erase(listener->name);
  return absl::OkStatus();
}

// One for all forms of the listener, those that drain included.
std::shared_ptr<ConnectionCount> ListenerSet::count_of(const std::string& name) const {
  for (const auto* set : {&prepared_, &serving_})
    if (const auto it = set->find(name); it != set->end()) return it->second.listener->open;
  return std::make_shared<ConnectionCount>();
}

std::shared_ptr<ConnectionBalance> ListenerSet::balance_of(const std::string& name) const {
  for (const auto* set : {&prepared_, &serving_})
    if (const auto it = set->find(name); it != set->end() && it->second.listener->balance != nullptr) return it->second.listener->balance;
  return std::make_shared<ConnectionBalance>();
}

absl::Status ListenerSet::make_filters_of(ServingListener& serving) const {
  if (serving.config->listener_filters.empty()) return absl::OkStatus();
  if (serving.config->udp) {
    const config::ListenerFilterEntry& entry = serving.config->listener_filters.front();
    const auto* make = stream::UdpFilterRegistry::global().find(entry.type->type_url);
    if (make == nullptr) return absl::InvalidArgumentError(absl::StrCat("listener filter '", entry.name, "': this build cannot run ", entry.type->type_url));
    FL_ASSIGN_OR_RETURN(serving.udp, (*make)(entry.config, {*options_.stats, *options_.logs, serving.scope, serving.name}));
    return absl::OkStatus();
  }
  auto filters = std::make_shared<ListenerFilters>();
  for (const config::ListenerFilterEntry& entry : serving.config->listener_filters) {
    const auto* make = stream::ListenerFilterRegistry::global().find(entry.type->type_url);
    if (make == nullptr) return absl::InvalidArgumentError(absl::StrCat("listener filter '", entry.name, "': this build cannot run ", entry.type->type_url));
    filters->push_back((*make)(entry.config, {*options_.stats, serving.scope, serving.name}));
  }
  serving.listener_filters = std::move(filters);
  return absl::OkStatus();
}

// The same chain of a form that differs in its chains alone; null: there is none.
std::shared_ptr<const ServingChain> ListenerSet::unchanged(const config::ListenerConfig& listener, size_t number) const {
  const config::FilterChain& chain = *listener.chain(number);
  const bool is_default = number == listener.chains.size();
  for (const auto* set : {&prepared_, &serving_}) {
    const auto it = set->find(listener.name);
    if (it == set->end() || it->second.config->outer_hash != listener.outer_hash) continue;
    const config::ListenerConfig& other = *it->second.config;
    for (size_t i = 0; i < other.chain_count(); ++i)
      if (other.chain(i)->content_hash == chain.content_hash && (i == other.chains.size()) == is_default) return it->second.listener->chains[i];
  }
  return nullptr;
}

absl::Status ListenerSet::make_chains(ServingListener& serving, const std::string& address) const {
  const config::ListenerConfig& listener = *serving.config;
  for (size_t i = 0; i < listener.chain_count(); ++i) {
    std::shared_ptr<const ServingChain> chain = unchanged(listener, i);
    if (chain == nullptr) {
      auto made = make_chain(serving, listener.chain(i), address);
      if (!made.ok()) return made.status();
      chain = *std::move(made);
    }
    serving.chains.push_back(std::move(chain));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ServingChain>> ListenerSet::make_chain(const ServingListener& serving, std::shared_ptr<const config::FilterChain> chain,
                                                                            const std::string& address) const {
  auto out = std::make_shared<ServingChain>();
  out->config = std::move(chain);
  if (out->config->tls != nullptr) {
    out->transport = std::make_shared<const stream::ChainTransport>(out->config->tls, out->config->transport_socket_connect_timeout, serving.scope, serving.stats, options_.stats->cells(0));
  }
  if (out->config->hcm != nullptr) {
    stream::ConnectionManager::Options how;
    how.stats = options_.stats;
    how.logs = options_.logs;
    how.listener_address = address;
    how.service_cluster = options_.service_cluster;
    how.service_node = options_.service_node;
    auto manager = stream::ConnectionManager::create(serving.config, out->config, how);
    if (!manager.ok()) return prefix(absl::StrCat("listener '", serving.name, "'"), manager.status());
    out->manager = *std::move(manager);
    if (out->config->filters.empty()) return std::shared_ptr<const ServingChain>(std::move(out));
  }
  auto network = std::make_shared<stream::NetworkChain>();
  network->listener_name = serving.name;
  network->chain_name = out->config->name;
  const stream::NetworkFactoryContext context{*options_.stats, *options_.logs, serving.scope, serving.name, out->config->name};
  for (const config::NetworkFilterEntry& entry : out->config->filters)
    FL_RETURN_IF_ERROR(prefix(absl::StrCat("listener '", serving.name, "'"), network->add(entry.name, *entry.type, entry.config, context)));
  network->manager = out->manager;
  out->network = std::move(network);
  return std::shared_ptr<const ServingChain>(std::move(out));
}

void ListenerSet::note_in_place(const ServingListener& before, const ServingListener& after) {
  if (before.config->outer_hash != after.config->outer_hash) return;
  ++updated_in_place_;
  for (const auto& chain : before.chains)
    if (std::find(after.chains.begin(), after.chains.end(), chain) == after.chains.end()) left_chains_.push_back(chain);
}

size_t ListenerSet::draining_chains() {
  std::erase_if(left_chains_, [](const auto& chain) { return chain.expired(); });
  return left_chains_.size();
}

absl::Status ListenerSet::apply(const config::Snapshot& snapshot) {
  ErrorList errors;
  for (auto it = serving_.begin(); it != serving_.end();) {
    if (snapshot.listeners.contains(it->first)) {
      ++it;
      continue;
    }
    options_.withdraw(it->first, retire(std::move(it->second)));
    leaving_.erase(it->first);
    it = serving_.erase(it);
  }
  for (const auto& [name, config] : snapshot.listeners) {
    auto live = serving_.find(name);
    if (live != serving_.end() && live->second.config->content_hash == config->content_hash) continue;
    auto prepared = prepared_.find(name);
    if (prepared == prepared_.end() || prepared->second.config->content_hash != config->content_hash) continue;
    const Prepared chosen = std::move(prepared->second);
    prepared_.erase(prepared);
    absl::Status listening;
    for (const auto& socket : chosen.listener->sockets)
      if (listening.ok() && !socket->listening()) listening = socket->listen(options_.workers);
    if (!listening.ok()) {
      errors.add(prefix(absl::StrCat("listener '", name, "'"), listening));
      continue;
    }
    Prepared& slot = serving_[name];
    if (slot.listener != nullptr) note_in_place(*slot.listener, *chosen.listener);
    std::function<void()> released = slot.listener != nullptr ? retire(std::move(slot)) : [] {};
    slot = chosen;
    options_.serve(chosen.listener, std::move(released));
  }
  return errors.status();
}

void ListenerSet::make_filters(config::Snapshot& snapshot) {
  std::vector<const stream::ConnectionManager*> managers;
  for (const auto* set : {&serving_, &prepared_})
    for (const auto& [name, prepared] : *set)
      for (const auto& chain : prepared.listener->chains)
        if (chain->manager != nullptr && chain->manager->discovery() != nullptr && std::find(managers.begin(), managers.end(), chain->manager.get()) == managers.end())
          managers.push_back(chain->manager.get());
  filters_.fill(managers, snapshot);
}

void ListenerSet::stop(const std::string& name) {
  const auto it = serving_.find(name);
  if (it == serving_.end()) return;
  auto closed = std::make_shared<ServingListener>(*it->second.listener);
  closed->sockets.clear();
  options_.withdraw(name, retire({it->second.config, std::exchange(it->second.listener, std::move(closed))}));
}

void ListenerSet::forget(const std::string& name) {
  prepared_.erase(name);
  if (serving_.contains(name)) leaving_.insert(name);
}

std::shared_ptr<const net::ListenSocket> ListenerSet::socket_of(const std::string& listener, const std::string& address, bool udp) const {
  for (const auto* set : {&serving_, &prepared_})
    for (const auto& [name, p] : *set) {
      const auto& sockets = p.listener->sockets;
      for (size_t i = 0; p.config->udp == udp && i < sockets.size(); ++i) {
        const config::Address& configured = p.config->addresses[i];
        const bool as_configured = configured.text() == address && (same_place(configured, configured) || name == listener);
        if ((as_configured || sockets[i]->local_address().to_string() == address) && !sockets[i]->fds().empty()) return sockets[i];
      }
    }
  return nullptr;
}

void ListenerSet::give_up_sockets() {
  given_up_ = true;
  for (const auto* set : {&serving_, &prepared_})
    for (const auto& [name, p] : *set)
      for (const auto& socket : p.listener->sockets) socket->give_up();
  for (auto& [name, p] : prepared_) p.listener->sockets.clear();  // no worker knows it yet
  for (const auto& [id, p] : retired_)
    for (const auto& socket : p.listener->sockets) socket->give_up();
}

void ListenerSet::own_paths(const std::function<bool(const net::Address&)>& keep) {
  for (const auto* set : {&serving_, &prepared_})
    for (const auto& [name, p] : *set)
      for (const auto& socket : p.listener->sockets)
        if (!keep(socket->local_address())) socket->own_path();
}

std::vector<ListenerSet::Row> ListenerSet::rows() const {
  std::vector<Row> out;
  for (const auto& [name, p] : serving_) {
    Row row{name, {}, p.listener->inbound};
    for (const auto& socket : p.listener->sockets) row.addresses.push_back(socket->local_address());
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace fairlead::server
