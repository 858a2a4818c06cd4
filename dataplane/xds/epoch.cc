// The rules of epoch.h. commit() runs them to a fixed point, so that whatever an input made ready goes out together.
#include "dataplane/xds/epoch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace fairlead::xds {
namespace {

using Discovery = config::ClusterConfig::Discovery;

// 0 means for ever (ConfigSource.initial_fetch_timeout).
Epoch::Time after(Epoch::Time now, Epoch::Duration wait) { return wait.count() == 0 ? Epoch::Time::max() : now + wait; }

std::string dns_key(const config::ClusterConfig& c) { return absl::StrCat(c.name, "#", c.endpoints ? c.endpoints->content_hash : 0); }

// The clusters that a listener's own route tables name, sorted; false: it has no such table.
bool inline_clusters(const config::ListenerConfig* listener, std::vector<std::string>& out) {
  size_t tables = 0;
  if (listener != nullptr)
    listener->for_each_hcm([&](const config::HcmConfig& hcm) {
      if (hcm.routes.inline_table == nullptr) return;
      const auto& names = hcm.routes.inline_table->cluster_names();
      out.insert(out.end(), names.begin(), names.end());
      ++tables;
    });
  if (tables > 1) std::sort(out.begin(), out.end());
  return tables > 0;
}

// Calls `visit` for each connection manager that gets its table by RDS.
template <class Visit>
void for_each_rds(const config::ListenerConfig* listener, const Visit& visit) {
  if (listener == nullptr) return;
  listener->for_each_hcm([&](const config::HcmConfig& hcm) {
    if (hcm.routes.inline_table == nullptr && !hcm.routes.rds_name.empty()) visit(hcm);
  });
}

std::vector<std::string_view> rds_names(const config::ListenerConfig* listener) {
  std::vector<std::string_view> out;
  for_each_rds(listener, [&](const config::HcmConfig& hcm) { out.push_back(hcm.routes.rds_name); });
  return out;
}

// Calls `visit` with the secrets of each filter chain's TLS.
template <class Visit>
void for_each_tls(const config::ListenerConfig* listener, const Visit& visit) {
  if (listener == nullptr) return;
  for (size_t i = 0; i < listener->chain_count(); ++i)
    if (const auto& tls = listener->chain(i)->tls; tls != nullptr && !tls->secrets.empty()) visit(tls->secrets);
}

template <class Visit>
void for_each_discovery(const config::ListenerConfig* listener, const Visit& visit) {
  if (listener == nullptr) return;
  listener->for_each_hcm([&](const config::HcmConfig& hcm) {
    for (const config::HttpFilterEntry& filter : hcm.http_filters)
      if (filter.discovery != nullptr) visit(*filter.discovery);
  });
}

}  // namespace

Epoch::Epoch(Options options) : options_(std::move(options)) {}

void Epoch::set_cluster(std::shared_ptr<const config::ClusterConfig> cluster, Time now) {
  ClusterState& state = clusters_[cluster->name];
  if (state.removed) ++wanted_generation_;
  state.removed = false;
  removed_.erase(cluster->name);
  if (state.live != nullptr && state.live->content_hash == cluster->content_hash) {
    if (state.next.has_value()) wish_changed(state.next->config.get());
    state.next.reset();
    warming_.erase(cluster->name);
    return;
  }
  if (state.next.has_value() && state.next->config->content_hash == cluster->content_hash) return;
  cluster->each_tls([&](const config::UpstreamTls& tls) { want_secrets(tls.secrets, now); });
  const Duration wait = cluster->eds_source.has_value() ? cluster->eds_source->initial_fetch_timeout : options_.fetch_timeout;
  wish_changed(cluster.get());
  if (state.next.has_value()) wish_changed(state.next->config.get());
  warming_.insert(cluster->name);
  state.next = Candidate{std::move(cluster), after(now, wait)};
}

// A cluster's form has come or gone: of consequence where something is subscribed to or resolved for it.
void Epoch::wish_changed(const config::ClusterConfig* form) {
  if (form != nullptr)
    form->each_tls([&](const config::UpstreamTls& tls) {
      if (tls.secrets.empty() && tls.directories.empty()) return;
      ++wanted_generation_;
      secrets_may_be_unused_ = true;
    });
  if (form == nullptr || form->discovery == Discovery::Static) return;
  ++wanted_generation_;
  endpoints_may_be_unused_ = true;
}

void Epoch::remove_cluster(std::string_view name) {
  auto it = clusters_.find(name);
  if (it == clusters_.end()) return;
  it->second.next.reset();
  it->second.removed = true;
  warming_.erase(it->first);
  removed_.insert(it->first);
  endpoints_may_be_unused_ = true;
  secrets_may_be_unused_ = true;
  ++wanted_generation_;
}

void Epoch::set_eds(std::string_view service_name, std::shared_ptr<const config::EndpointSet> endpoints) {
  Endpoints& known = eds_[std::string(service_name)];
  if (known.set != nullptr && known.set->content_hash == endpoints->content_hash) return;
  if (known.set == nullptr) endpoints_may_be_unused_ = true;
  known.set = std::move(endpoints);
  touched_services_.emplace(service_name);
  changed_ = true;
}

void Epoch::set_dns(const config::ClusterConfig& cluster, std::shared_ptr<const config::EndpointSet> endpoints) {
  dns_[dns_key(cluster)].set = std::move(endpoints);
  touched_.insert(cluster.name);
  endpoints_may_be_unused_ = true;
  changed_ = true;
}

void Epoch::give_up_eds(std::string_view service_name) {
  eds_[std::string(service_name)].given_up = true;
  touched_services_.emplace(service_name);
  endpoints_may_be_unused_ = true;
}

void Epoch::set_listener(std::shared_ptr<const config::ListenerConfig> listener, Time now) {
  ListenerState& state = listeners_[listener->name];
  if (state.live != nullptr && state.live->content_hash == listener->content_hash) {
    if (state.next != nullptr) ++wanted_generation_;
    state.next.reset();
    state.lacking.clear();
    secrets_may_be_unused_ = true;
    return;
  }
  if (state.next != nullptr && state.next->content_hash == listener->content_hash) return;
  std::optional<Time> deadline;  // of the table that is waited for longest
  for_each_rds(listener.get(), [&](const config::HcmConfig& hcm) {
    const Duration wait = hcm.routes.rds_source.has_value() ? Duration(hcm.routes.rds_source->initial_fetch_timeout) : options_.fetch_timeout;
    deadline = std::max(deadline.value_or(Time::min()), after(now, wait));
  });
  // a listener that is replaced again before it was live does not wait anew
  std::vector<std::string> clusters;
  inline_clusters(listener.get(), clusters);
  keep_waiting_for(clusters, state.lacking, now);
  if (state.next == nullptr || rds_names(listener.get()).empty() || rds_names(listener.get()) != rds_names(state.next.get()))
    state.next_deadline = deadline.value_or(after(now, options_.fetch_timeout));
  for_each_discovery(listener.get(), [&](const config::FilterDiscovery& filter) {
    const auto [it, fresh] = extensions_.try_emplace(filter.key);
    if (!fresh) return;
    it->second.name = filter.name;
    it->second.deadline = after(now, filter.source.initial_fetch_timeout);
  });
  for_each_tls(listener.get(), [&](const std::vector<config::SecretRef>& secrets) { want_secrets(secrets, now); });
  state.next = std::move(listener);
  secrets_may_be_unused_ = true;
  ++wanted_generation_;
}

void Epoch::remove_listener(std::string_view name) {
  auto it = listeners_.find(name);
  if (it == listeners_.end()) return;
  changed_ = changed_ || it->second.live != nullptr;
  listeners_.erase(it);
  secrets_may_be_unused_ = true;
  ++wanted_generation_;
}

bool Epoch::set_route_table(std::shared_ptr<const router::RouteTable> table, Time now) {
  TableState& state = tables_[table->name()];
  state.given_up = false;
  const auto& last = state.next != nullptr ? state.next : state.live;
  const bool differs = last == nullptr || last->content_hash() != table->content_hash();
  if (state.live != nullptr && state.live->content_hash() == table->content_hash()) {
    state.next.reset();
    state.lacking.clear();
    return differs;
  }
  keep_waiting_for(table->cluster_names(), state.lacking, now);
  state.next = std::move(table);
  return differs;
}

void Epoch::give_up_route_table(std::string_view name) { tables_[std::string(name)].given_up = true; }

Epoch::Discoveries Epoch::discoveries(std::string_view name) const {
  Discoveries out;
  for (const auto& [listener, state] : listeners_)
    for (const auto* form : {state.live.get(), state.next.get()})
      for_each_discovery(form, [&](const config::FilterDiscovery& filter) {
        if (filter.name == name) out[filter.key].push_back(&filter);
      });
  return out;
}

bool Epoch::set_extension(std::string_view key, std::shared_ptr<const config::ExtensionConfig> extension) {
  const auto it = extensions_.find(key);
  if (it == extensions_.end()) return false;
  it->second.answered = true;
  if (it->second.live != nullptr && it->second.live->content_hash == extension->content_hash) return false;
  it->second.live = std::move(extension);
  changed_ = true;
  return true;
}

size_t Epoch::remove_extension(std::string_view name) {
  size_t n = 0;
  for (auto& [key, state] : extensions_) {
    if (state.name != name) continue;
    changed_ = changed_ || state.live != nullptr;
    state.live = nullptr;
    ++n;
  }
  return n;
}

void Epoch::give_up_extension(std::string_view name) {
  for (auto& [key, state] : extensions_)
    if (name.empty() || state.name == name) state.answered = true;
}

void Epoch::want_secrets(const std::vector<config::SecretRef>& secrets, Time now) {
  for (const config::SecretRef& secret : secrets) {
    const auto [it, fresh] = secrets_.try_emplace(secret.key);
    if (fresh) it->second = {secret.name, secret.source, after(now, secret.source.initial_fetch_timeout), false};
  }
}

void Epoch::secret_answered(std::string_view key) {
  if (const auto it = secrets_.find(key); it != secrets_.end()) it->second.answered = it->second.there = true;
}

void Epoch::give_up_secret(std::string_view name) {
  for (auto& [key, state] : secrets_)
    if (state.name == name) state.answered = true;
}

const config::SecretRef* Epoch::first_lacking(const std::vector<config::SecretRef>& secrets, Lack what) const {
  for (const config::SecretRef& secret : secrets)
    if (const auto it = secrets_.find(secret.key); it != secrets_.end() && !(what == Lack::answer ? it->second.answered : it->second.there)) return &secret;
  return nullptr;
}

const config::SecretRef* Epoch::first_lacking(const config::ClusterConfig& cluster, Lack what) const {
  const config::SecretRef* found = nullptr;
  cluster.each_tls([&](const config::UpstreamTls& tls) {
    if (found == nullptr) found = first_lacking(tls.secrets, what);
  });
  return found;
}

// What keeps the new form of a cluster from going live; null: nothing.
const config::SecretRef* Epoch::awaited_secret(const config::ClusterConfig& next, const config::ClusterConfig* live) const {
  const bool live_works = live != nullptr && first_lacking(*live, Lack::secret) == nullptr;
  return first_lacking(next, live_works ? Lack::secret : Lack::answer);
}

// Likewise of a listener. A chain that serves does not stop for a secret that has not come; one that is new, or has none of its own, holds nobody up.
const config::SecretRef* Epoch::awaited_secret(const ListenerState& state) const {
  const auto serves_now = [&](const config::FilterChain& chain, size_t place) {
    if (state.live == nullptr) return false;
    for (size_t i = 0; i < state.live->chain_count(); ++i) {
      const config::FilterChain& other = *state.live->chain(i);
      if (other.name == chain.name && (!chain.name.empty() || i == place)) return other.tls == nullptr || first_lacking(other.tls->secrets, Lack::secret) == nullptr;
    }
    return false;
  };
  for (size_t i = 0; i < state.next->chain_count(); ++i) {
    const config::FilterChain& chain = *state.next->chain(i);
    if (chain.tls == nullptr || chain.tls->secrets.empty()) continue;
    if (const auto* found = first_lacking(chain.tls->secrets, serves_now(chain, i) ? Lack::secret : Lack::answer)) return found;
  }
  return nullptr;
}

// Of everything live or warming.
template <class Visit>
void Epoch::each_secret(const Visit& visit) const {
  if (secrets_.empty()) return;
  const auto all = [&](const std::vector<config::SecretRef>& secrets) {
    for (const config::SecretRef& secret : secrets) visit(secret);
  };
  for (const auto& [name, state] : clusters_)
    for (const config::ClusterConfig* c : {state.live.get(), state.next.has_value() ? state.next->config.get() : nullptr})
      if (c != nullptr) c->each_tls([&](const config::UpstreamTls& tls) { all(tls.secrets); });
  for (const auto& [name, state] : listeners_)
    for (const auto* form : {state.live.get(), state.next.get()}) for_each_tls(form, all);
}

// With the last that names it the subscription ends; whatever was made of it keeps what it has.
void Epoch::drop_unused_secrets() {
  if (!secrets_may_be_unused_ || secrets_.empty()) return;
  secrets_may_be_unused_ = false;
  std::set<std::string_view> named;
  each_secret([&](const config::SecretRef& secret) { named.insert(secret.key); });
  for (auto it = secrets_.begin(); it != secrets_.end();) {
    if (named.contains(it->first)) {
      ++it;
      continue;
    }
    if (options_.secret_dropped) options_.secret_dropped(it->first);
    it = secrets_.erase(it);
    ++wanted_generation_;
  }
}

const Epoch::Endpoints* Epoch::endpoints_of(const config::ClusterConfig& cluster) const {
  const bool eds = cluster.discovery == Discovery::Eds;
  const auto& from = eds ? eds_ : dns_;
  const auto it = from.find(eds ? cluster.eds_service_name : dns_key(cluster));
  return it == from.end() ? nullptr : &it->second;
}

bool Epoch::warm(const config::ClusterConfig& cluster) const {
  if (cluster.discovery == Discovery::Static) return true;
  const Endpoints* endpoints = endpoints_of(cluster);
  return endpoints != nullptr && (endpoints->set != nullptr || endpoints->given_up);
}

std::shared_ptr<const config::EndpointSet> Epoch::endpoint_set(const config::ClusterConfig& cluster) const {
  if (cluster.discovery == Discovery::Static) return cluster.endpoints;
  const Endpoints* endpoints = endpoints_of(cluster);
  return endpoints != nullptr ? endpoints->set : nullptr;
}

bool Epoch::to_be_checked(const Candidate& candidate) const {
  if (!candidate.config->health_check || candidate.checked) return false;
  const auto endpoints = endpoint_set(*candidate.config);
  return endpoints != nullptr && endpoints->size() != 0;
}

std::vector<config::ClusterEntry> Epoch::awaiting_checks() const {
  std::vector<config::ClusterEntry> out;
  for (const std::string& name : warming_) {
    const ClusterState& state = clusters_.find(name)->second;
    const Candidate& next = *state.next;
    if (to_be_checked(next) && awaited_secret(*next.config, state.live.get()) == nullptr) out.push_back({next.config, endpoint_set(*next.config), false});
  }
  return out;
}

void Epoch::checks_done(const config::ClusterConfig& cluster) {
  const auto it = clusters_.find(cluster.name);
  if (it != clusters_.end() && it->second.next.has_value() && it->second.next->config.get() == &cluster) it->second.next->checked = true;
}

bool Epoch::promote_clusters(Time now) {
  bool any = false;
  for (auto it = warming_.begin(); it != warming_.end();) {
    ClusterState& state = clusters_.find(*it)->second;
    if ((!warm(*state.next->config) && now < state.next->deadline) || to_be_checked(*state.next) || awaited_secret(*state.next->config, state.live.get()) != nullptr) {
      ++it;
      continue;
    }
    wish_changed(state.live.get());
    wish_changed(state.next->config.get());
    state.live = std::move(state.next->config);
    state.next.reset();
    touched_.insert(*it);
    it = warming_.erase(it);
    any = true;
  }
  return any;
}

// What fairlead-control calls a share of traffic without a backend (plan::kInvalidBackend): no such cluster ever exists, and its route
// says which status it answers with.
constexpr std::string_view kNeverComes = "fairlead/invalid-backend";

// Of the unknown among `clusters` (sorted): those that were waited for already keep their time.
void Epoch::keep_waiting_for(const std::vector<std::string>& clusters, Lacking& lacking, Time now) const {
  Lacking still;
  auto next = clusters_.begin();  // both are sorted, and what a table names often lies side by side
  for (const std::string& name : clusters) {
    const auto it = next != clusters_.end() && next->first == name ? next : clusters_.find(name);
    if (it != clusters_.end()) {
      next = std::next(it);
      continue;
    }
    const auto waited = lacking.find(name);
    still.emplace(name, waited != lacking.end() ? waited->second : after(now, options_.fetch_timeout));
  }
  lacking = std::move(still);
}

bool Epoch::gate_open(const std::vector<std::string>& clusters, const std::vector<std::string>* already, Lacking& lacking, Time now) const {
  auto next = clusters_.begin();
  for (const std::string& name : clusters) {
    const auto it = next != clusters_.end() && next->first == name ? next : clusters_.find(name);
    if (it != clusters_.end()) next = std::next(it);
    if (it != clusters_.end() && it->second.live != nullptr) continue;
    if (it != clusters_.end() && it->second.next.has_value()) return false;  // warming, and bounded by its own deadline
    const bool lacking_already = already != nullptr && std::binary_search(already->begin(), already->end(), name);
    if (!options_.clusters_may_come || lacking_already || name == kNeverComes) continue;
    if (now < lacking.try_emplace(name, after(now, options_.fetch_timeout)).first->second) return false;
  }
  return true;
}

bool Epoch::promote_tables(Time now) {
  bool any = false;
  for (auto& [name, state] : tables_) {
    if (state.next == nullptr) continue;
    const auto* already = state.live != nullptr ? &state.live->cluster_names() : nullptr;
    if (!gate_open(state.next->cluster_names(), already, state.lacking, now)) continue;
    state.live = std::move(state.next);
    state.lacking.clear();
    any = true;
  }
  return any;
}

// The first filter of the listener that may not serve without an answer; null: none.
const config::FilterDiscovery* Epoch::awaited_filter(const config::ListenerConfig& listener) const {
  const config::FilterDiscovery* found = nullptr;
  for_each_discovery(&listener, [&](const config::FilterDiscovery& filter) {
    const auto it = extensions_.find(filter.key);
    if (found == nullptr && !filter.without_warming && it != extensions_.end() && !it->second.answered) found = &filter;
  });
  return found;
}

void Epoch::end_extension_waits(Time now) {
  for (auto& [key, state] : extensions_) state.answered = state.answered || now >= state.deadline;
  for (auto& [key, state] : secrets_) state.answered = state.answered || now >= state.deadline;
}

// With the last filter that names it the subscription ends, and what it brought is forgotten.
void Epoch::drop_unused_extensions() {
  if (extensions_.empty()) return;
  std::set<std::string_view> named;
  for (const auto& [name, state] : listeners_)
    for (const auto* form : {state.live.get(), state.next.get()})
      for_each_discovery(form, [&](const config::FilterDiscovery& filter) { named.insert(filter.key); });
  for (auto it = extensions_.begin(); it != extensions_.end();) {
    if (named.contains(it->first)) {
      ++it;
      continue;
    }
    const std::string name = it->second.name;
    it = extensions_.erase(it);
    const bool other = std::any_of(extensions_.begin(), extensions_.end(), [&](const auto& e) { return e.second.name == name; });
    if (!other && options_.extension_dropped) options_.extension_dropped(name);
  }
}

bool Epoch::listener_ready(ListenerState& state, Time now) const {
  if (awaited_filter(*state.next) != nullptr || awaited_secret(state) != nullptr) return false;
  std::vector<std::string> clusters, already;
  if (inline_clusters(state.next.get(), clusters)) {
    const bool had = inline_clusters(state.live.get(), already);
    if (!gate_open(clusters, had ? &already : nullptr, state.lacking, now)) return false;
  }
  if (now >= state.next_deadline) return true;
  for (const std::string_view table : rds_names(state.next.get())) {
    const auto it = tables_.find(table);
    if (it == tables_.end() || (it->second.live == nullptr && !it->second.given_up)) return false;
  }
  return true;
}

bool Epoch::promote_listeners(Time now) {
  bool any = false;
  for (auto& [name, state] : listeners_) {
    if (state.next == nullptr || !listener_ready(state, now)) continue;
    state.live = std::move(state.next);
    state.lacking.clear();
    secrets_may_be_unused_ = true;
    ++wanted_generation_;
    any = true;
  }
  return any;
}

// What was named once goes with the last name. What never was (a server that sends more than it was asked for, or sends it early) is kept for
// a while, and not for ever: a server's names may change without end.
template <class State>
bool Epoch::keep_unnamed(State& state, Time now) const {
  if (state.used) return false;
  if (!state.unasked_until.has_value()) state.unasked_until = after(now, options_.fetch_timeout);
  return now < *state.unasked_until;
}

bool Epoch::drop_unused_tables(Time now) {
  std::set<std::string_view> named;
  for (const auto& [name, state] : listeners_)
    for (const auto* listener : {state.live.get(), state.next.get()})
      for_each_rds(listener, [&](const config::HcmConfig& hcm) { named.insert(hcm.routes.rds_name); });
  bool any = false;
  for (auto it = tables_.begin(); it != tables_.end();) {
    const bool wanted = named.contains(it->first);
    it->second.used |= wanted;
    const bool first = !wanted && it->second.used && it->second.live != nullptr && !it->second.leaving;
    it->second.leaving = first;
    if (wanted || first || keep_unnamed(it->second, now)) {
      tables_leave_ |= first;
      ++it;
    } else {
      any = any || it->second.live != nullptr;
      if (options_.table_dropped) options_.table_dropped(it->first);
      it = tables_.erase(it);
    }
  }
  return any;
}

bool Epoch::drop_removed_clusters() {
  if (removed_.empty()) return false;
  std::set<std::string_view> in_use;
  auto use = [&](const std::vector<std::string>& names) { in_use.insert(names.begin(), names.end()); };
  for (const auto& [name, state] : tables_)
    if (state.live != nullptr) use(state.live->cluster_names());
  for (const auto& [name, state] : listeners_)
    if (state.live != nullptr)
      state.live->for_each_hcm([&](const config::HcmConfig& hcm) {
        if (hcm.routes.inline_table != nullptr) use(hcm.routes.inline_table->cluster_names());
      });
  bool any = false;
  for (auto it = removed_.begin(); it != removed_.end();) {
    const auto cluster = clusters_.find(*it);
    if (cluster->second.live != nullptr && in_use.contains(*it)) {
      ++it;
      continue;
    }
    if (cluster->second.live != nullptr) {
      any = true;
      touched_.insert(*it);
      endpoints_may_be_unused_ = true;
    }
    secrets_may_be_unused_ = true;
    clusters_.erase(cluster);
    it = removed_.erase(it);
  }
  return any;
}

void Epoch::drop_unused_endpoints(Time now) {
  if (!endpoints_may_be_unused_) return;
  endpoints_may_be_unused_ = false;
  std::set<const Endpoints*> named;
  for (const auto& [name, state] : clusters_)
    for (const config::ClusterConfig* c : {state.live.get(), state.next.has_value() ? state.next->config.get() : nullptr})
      if (c != nullptr && c->discovery != Discovery::Static)
        if (const Endpoints* e = endpoints_of(*c)) named.insert(e);
  for (auto* from : {&eds_, &dns_})
    for (auto it = from->begin(); it != from->end();) {
      const bool wanted = named.contains(&it->second);
      it->second.used |= wanted;
      if (wanted || keep_unnamed(it->second, now)) {
        endpoints_may_be_unused_ = endpoints_may_be_unused_ || !wanted;
        ++it;
        continue;
      }
      if (from == &eds_ && options_.endpoints_dropped) options_.endpoints_dropped(it->first);
      it = from->erase(it);
    }
}

std::shared_ptr<const config::Snapshot> Epoch::commit(Time now) {
  last_commit_ = now;
  bool any = changed_;
  tables_leave_ = false;
  end_extension_waits(now);
  while (promote_clusters(now) | promote_tables(now) | promote_listeners(now)) any = true;
  if (drop_unused_tables(now)) any = true;
  if (drop_removed_clusters()) any = true;
  drop_unused_endpoints(now);
  drop_unused_extensions();
  drop_unused_secrets();
  changed_ = false;
  if (!any) return nullptr;
  current_ = build();
  ++next_epoch_;
  return current_;
}

void Epoch::touch_users_of_services() {
  if (touched_services_.empty()) return;
  for (const auto& [name, state] : clusters_)
    if (state.live != nullptr && state.live->discovery == Discovery::Eds && touched_services_.contains(state.live->eds_service_name)) touched_.insert(name);
  touched_services_.clear();
}

config::ClusterEntry Epoch::entry_of(const ClusterState& state) const {
  config::ClusterEntry entry{state.live, endpoint_set(*state.live), warm(*state.live)};
  const bool dynamic = state.live->discovery == Discovery::Eds || state.live->discovery == Discovery::StrictDns;
  if (dynamic && state.live->health_check && options_.with_leaving) entry.endpoints = options_.with_leaving(*state.live, entry.endpoints);
  return entry;
}

std::shared_ptr<const config::Snapshot> Epoch::build() {
  auto out = std::make_shared<config::Snapshot>();
  out->epoch = next_epoch_;
  out->runtime = options_.runtime;
  touch_users_of_services();
  if (current_ == nullptr || any_may_differ_) {
    for (const auto& [name, state] : clusters_)
      if (state.live != nullptr) out->clusters[name] = entry_of(state);
  } else {
    out->clusters = current_->clusters;
    for (const std::string& name : touched_) {
      const auto it = clusters_.find(name);
      if (it != clusters_.end() && it->second.live != nullptr) {
        out->clusters[name] = entry_of(it->second);
      } else {
        out->clusters.erase(name);
      }
    }
    out->changed_clusters.emplace(touched_.begin(), touched_.end());
  }
  touched_.clear();
  any_may_differ_ = false;
  for (const auto& [name, state] : tables_)
    if (state.live != nullptr) out->routes.emplace(name, state.live);
  for (const auto& [name, state] : listeners_)
    if (state.live != nullptr) out->listeners.emplace(name, state.live);
  for (const auto& [key, state] : extensions_) out->extensions.emplace(key, state.live);
  if (options_.make_filters) options_.make_filters(*out);
  return out;
}

std::optional<Epoch::Time> Epoch::next_deadline() const {
  Time first = Time::max();
  auto consider = [&](Time t) {
    if (t > last_commit_) first = std::min(first, t);
  };
  for (const std::string& name : warming_) consider(clusters_.find(name)->second.next->deadline);
  const auto consider_all = [&](const Lacking& lacking) {
    for (const auto& [cluster, deadline] : lacking) consider(deadline);
  };
  for (const auto& [name, state] : tables_) consider_all(state.lacking);
  for (const auto& [name, state] : listeners_) {
    std::vector<std::string> clusters;
    if (state.next == nullptr) continue;
    inline_clusters(state.next.get(), clusters);
    consider_all(state.lacking);
    if (clusters.empty() || !rds_names(state.next.get()).empty()) consider(state.next_deadline);
  }
  for (const auto& [key, state] : extensions_)
    if (!state.answered) consider(state.deadline);
  for (const auto& [key, state] : secrets_)
    if (!state.answered) consider(state.deadline);
  if (tables_leave_) consider(last_commit_ + Duration(1));
  if (first == Time::max()) return std::nullopt;
  return first;
}

Epoch::Wanted Epoch::wanted() const {
  Wanted out;
  for (const auto& [name, state] : clusters_) {
    if (state.removed) continue;
    for (const config::ClusterConfig* c : {state.live.get(), state.next.has_value() ? state.next->config.get() : nullptr})
      if (c != nullptr && c->discovery == Discovery::Eds && c->eds_source.has_value()) out.eds.insert_or_assign(c->eds_service_name, *c->eds_source);
  }
  for (const auto& [name, state] : listeners_)
    for (const auto* listener : {state.live.get(), state.next.get()})
      for_each_rds(listener, [&](const config::HcmConfig& hcm) {
        if (!hcm.routes.rds_source.has_value()) return;
        out.rds.insert_or_assign(hcm.routes.rds_name, *hcm.routes.rds_source);
        out.rds_users.try_emplace(hcm.routes.rds_name, hcm.stat_prefix);
      });
  std::set<std::string_view> seen;
  for (const auto& [name, state] : listeners_)
    for (const auto* form : {state.live.get(), state.next.get()})
      for_each_discovery(form, [&](const config::FilterDiscovery& filter) {
        if (seen.insert(filter.key).second) out.extensions.emplace_back(filter.name, filter.source);
      });
  for (const auto& [key, state] : secrets_) out.secrets.push_back({state.name, key, state.source});
  return out;
}

std::vector<Epoch::Waiting> Epoch::waiting() const {
  std::vector<Waiting> out;
  auto missing = [&](const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& n : names) {
      const auto it = clusters_.find(n);
      if (it == clusters_.end() || it->second.live == nullptr) absl::StrAppend(&text, text.empty() ? "cluster '" : ", '", n, "'");
    }
    return text;
  };
  auto missing_of = [&](const config::ListenerConfig& listener) {
    for (const std::string_view table : rds_names(&listener)) {
      const auto it = tables_.find(table);
      if (it == tables_.end() || it->second.live == nullptr) return absl::StrCat("route table '", table, "'");
    }
    std::vector<std::string> clusters;
    inline_clusters(&listener, clusters);
    return missing(clusters);
  };
  for (const auto& [name, state] : clusters_)
    if (const auto* secret = state.next.has_value() ? awaited_secret(*state.next->config, state.live.get()) : nullptr)
      out.push_back({"cluster", name, absl::StrCat("secret '", secret->name, "'")});
    else if (state.next.has_value())
      out.push_back({"cluster", name, to_be_checked(*state.next) ? "the first round of health checks" : state.next->config->discovery == Discovery::Eds ? absl::StrCat("endpoints of '", state.next->config->eds_service_name, "'") : "name resolution"});
  for (const auto& [name, state] : tables_)
    if (state.next != nullptr) out.push_back({"route table", name, missing(state.next->cluster_names())});
  for (const auto& [name, state] : listeners_)
    if (const auto* secret = state.next != nullptr ? awaited_secret(state) : nullptr)
      out.push_back({"listener", name, absl::StrCat("secret '", secret->name, "'")});
    else if (state.next != nullptr && awaited_filter(*state.next) != nullptr)
      out.push_back({"listener", name, absl::StrCat("filter config '", awaited_filter(*state.next)->name, "'")});
    else if (state.next != nullptr)
      out.push_back({"listener", name, missing_of(*state.next)});
  return out;
}

size_t Epoch::warming_clusters() const { return warming_.size(); }
size_t Epoch::warming_listeners() const {
  return std::count_if(listeners_.begin(), listeners_.end(), [](const auto& l) { return l.second.next != nullptr; });
}
bool Epoch::clusters_settled() const { return warming_clusters() == 0; }
bool Epoch::listeners_settled() const { return warming_listeners() == 0; }
bool Epoch::knows_cluster(std::string_view name) const { return clusters_.contains(name); }
bool Epoch::cluster_warming(std::string_view name) const {
  const auto it = clusters_.find(name);
  return it != clusters_.end() && it->second.next.has_value();
}
bool Epoch::listener_warming(std::string_view name) const {
  const auto it = listeners_.find(name);
  return it != listeners_.end() && it->second.next != nullptr;
}

}  // namespace fairlead::xds
