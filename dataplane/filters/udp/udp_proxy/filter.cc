// See filter.h. What is logged is in log.cc.
#include "dataplane/filters/udp/udp_proxy/filter.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "dataplane/accesslog/log_file.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::filters::udp::udp_proxy {

using stats::ClusterStat;
using upstream::Health;

namespace {

constexpr size_t kAnswerRoom = 65'536;
constexpr size_t kMostAnswers = 64;
constexpr size_t kCopiedAnswers = 2048;  // bytes of a batch: copying more would cost about as much as a call of its own

struct Factory final : stream::UdpFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::UdpFilter> create(stream::WorkerContext& worker, const net::UdpPort::Options& port) const override {
    return std::make_unique<UdpProxy>(shared, worker, port);
  }
};

stats::ScopeName scope_name(const std::string& prefix) { return {absl::StrCat("udp.", absl::StrReplaceAll(prefix, {{":", "_"}}), "."), "udp.", {{"envoy.udp_prefix", prefix}}}; }

}  // namespace

void register_filter(stream::UdpFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::UdpFactoryContext& context) -> stream::UdpFilterRegistry::Made {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    FL_ASSIGN_OR_RETURN(shared->session_logs, accesslog::AccessLoggers::open(shared->config->session_logs, context.logs));
    FL_ASSIGN_OR_RETURN(shared->proxy_logs, accesslog::AccessLoggers::open(shared->config->proxy_logs, context.logs));
    shared->scope = context.stats.scope(scope_name(shared->config->stat_prefix));
    shared->stats = shared->scope->block<Stat>(kStats);
    shared->listener_scope = context.listener_scope;
    shared->dropped = context.listener_scope->counter("udp.downstream_rx_datagram_dropped");
    shared->registry = &context.stats;
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

UdpProxy::UdpProxy(std::shared_ptr<const Shared> shared, stream::WorkerContext& worker, const net::UdpPort::Options& port)
    : shared_(std::move(shared)), worker_(worker), port_(worker.loop(), port, *this), send_answers_(net::LoopTask::of<&UdpProxy::send_answers>(this)) {
  for (const std::string& name : shared_->config->clusters) {
    slots_.push_back(std::make_unique<ClusterSlot>());
    slots_.back()->name = name;
  }
  clusters_changed();
}

UdpProxy::~UdpProxy() {
  send_answers();
  if (handed_over_) absl::erase_if(sessions_, [](const auto& entry) { return entry.second->fd_ >= 0; });
  end_all([](const Session&) { return true; });
  log_proxy();
}

stats::Cells& UdpProxy::cells() const { return worker_.cells(); }
void UdpProxy::count(Stat stat, uint64_t n) const { cells().add(shared_->stats, stat, n); }

// --- Datagrams of clients -------------------------------------------------------------------------------------------------

void UdpProxy::on_datagrams(std::span<const net::DatagramMessage> messages) {
  pieces_.clear();
  touched_.clear();
  const bool per_packet = shared_->config->per_packet;
  for (const net::DatagramMessage& message : messages) {
    received_ += message.bytes.size();
    Session* session = per_packet ? nullptr : session_for(message.path);
    if (session == nullptr && !per_packet) continue;
    net::for_each_datagram(message, [&](std::string_view datagram) {
      if (per_packet && (session = session_for(message.path)) == nullptr) return;
      add_piece(*session, datagram);
    });
  }
  for (Session* session : touched_) send_pending(*session);
}

void UdpProxy::add_piece(Session& session, std::string_view bytes) {
  const auto number = static_cast<int32_t>(pieces_.size());
  pieces_.push_back({bytes});
  if (session.first_ < 0) {
    session.first_ = number;
    touched_.push_back(&session);
  } else {
    pieces_[static_cast<size_t>(session.last_)].next = number;
  }
  session.last_ = number;
}

void UdpProxy::send_pending(Session& session) {
  out_.clear();
  for (int32_t at = session.first_; at >= 0; at = pieces_[static_cast<size_t>(at)].next) out_.push_back({.bytes = pieces_[static_cast<size_t>(at)].bytes});
  session.first_ = session.last_ = -1;
  session.send_upstream(out_);
}

void UdpProxy::on_receive_error(int) { count(Stat::downstream_sess_rx_errors); }
void UdpProxy::on_dropped(uint64_t datagrams) { cells().add(shared_->dropped, datagrams); }

// --- Sessions -------------------------------------------------------------------------------------------------------------

ClusterSlot* UdpProxy::route(const net::DatagramPath& path) {
  const Config& config = *shared_->config;
  ClusterSlot* slot = config.matcher ? slot_of(config.route(path.local_address(port_.local_address().port()), path.peer_address())) : slots_.front().get();
  if (slot != nullptr && slot->cluster) return slot;
  count(Stat::downstream_sess_no_route);
  return nullptr;
}

ClusterSlot* UdpProxy::slot_of(std::string_view cluster) const {
  for (const auto& slot : slots_)
    if (slot->name == cluster) return slot.get();
  return nullptr;
}

upstream::Host* UdpProxy::pick_host(const ClusterSlot& slot, const net::DatagramPath& path) {
  upstream::PickContext context;
  if (const Config& config = *shared_->config; config.hash_source_ip || config.hash_key) context.hash = config.hash(path.peer_address());
  return slot.cluster->pick(context);
}

Session* UdpProxy::session_for(const net::DatagramPath& path) {
  SessionKey key{path};
  if (shared_->config->per_packet) {
    ClusterSlot* slot = route(path);
    if (slot == nullptr) return nullptr;
    upstream::Host* host = pick_host(*slot, path);
    if (host == nullptr) {
      cells().add(slot->cluster->shared().stats, ClusterStat::upstream_cx_none_healthy);
      return nullptr;
    }
    key.host = host;
    const auto known = sessions_.find(key);
    return known != sessions_.end() ? known->second.get() : create(key, *slot, upstream::Ref<upstream::Host>(host));
  }
  if (const auto known = sessions_.find(key); known != sessions_.end()) {
    Session& session = *known->second;
    if (session.host().health != Health::kUnhealthy || session.pending()) return &session;
    // Envoy 1.40: another session if there is a better host, else on with this one
    ClusterSlot& slot = *session.slot_;
    upstream::Host* better = pick_host(slot, path);
    if (better == nullptr || better->health == Health::kUnhealthy || better == &session.host()) return &session;
    end(key);
    return create(key, slot, upstream::Ref<upstream::Host>(better));
  }
  ClusterSlot* slot = route(path);
  return slot == nullptr ? nullptr : create(key, *slot, {});
}

// `host`: picked already; null: it is picked here, after the breaker.
Session* UdpProxy::create(const SessionKey& key, ClusterSlot& slot, upstream::Ref<upstream::Host> host) {
  upstream::SharedCluster& cluster = slot.cluster->shared();
  if (!cluster.breakers[0].connections.can_take()) {
    cells().add(cluster.stats, ClusterStat::upstream_cx_overflow);
    // Envoy 1.40: a session that was there, all the same
    count(Stat::downstream_sess_total);
    log_facts({.path = key.path, .cluster = slot.name, .id = next_session_id(), .began = worker_.loop().wall_now(), .began_at = worker_.loop().now(), .overflow = true}, format::LogType::UdpSessionEnd);
    return nullptr;
  }
  if (!host) host = upstream::Ref<upstream::Host>(pick_host(slot, key.path));
  if (!host) {
    cells().add(cluster.stats, ClusterStat::upstream_cx_none_healthy);
    return nullptr;
  }
  auto session = std::make_unique<Session>(*this, key, slot, std::move(host));
  Session* made = session.get();
  sessions_.emplace(key, std::move(session));
  return made;
}

void UdpProxy::end(const SessionKey& key) {
  send_answers();
  const auto it = sessions_.find(key);
  log_session(*it->second, format::LogType::UdpSessionEnd);
  sessions_.erase(it);
}

template <class Which>
void UdpProxy::end_all(const Which& which) {
  send_answers();
  absl::erase_if(sessions_, [&](const auto& entry) {
    if (!which(*entry.second)) return false;
    log_session(*entry.second, format::LogType::UdpSessionEnd);
    return true;
  });
}

void UdpProxy::on_idle(Session& session) {
  count(Stat::idle_timeout);
  end(SessionKey(session.key()));
}

void UdpProxy::answer(Session& session) {
  size_t bytes = 0;
  for (net::OutDatagram& datagram : out_) {
    datagram.to = &session.key_.path;
    bytes += datagram.bytes.size();
  }
  const bool kept = bytes <= kCopiedAnswers && out_.size() <= kMostAnswers;
  if (!kept || answer_size_ + bytes > kAnswerRoom || answers_.size() + out_.size() > kMostAnswers) send_answers();
  if (!kept) {
    const net::SentDatagrams sent = port_.send(out_);
    return count_answers(session, sent.datagrams, sent.bytes, sent.errors);
  }
  if (answer_bytes_ == nullptr) answer_bytes_.reset(new char[kAnswerRoom]);
  for (const net::OutDatagram& datagram : out_) {
    char* at = answer_bytes_.get() + answer_size_;
    std::copy(datagram.bytes.begin(), datagram.bytes.end(), at);
    answer_size_ += datagram.bytes.size();
    answers_.push_back({.bytes = {at, datagram.bytes.size()}, .to = datagram.to});
    answering_.push_back(&session);
  }
  worker_.loop().run_at_flush(send_answers_);
}

void UdpProxy::send_answers() {
  send_answers_.cancel();
  if (answers_.empty()) return;
  port_.send(answers_);
  for (size_t i = 0; i < answers_.size(); ++i) {
    const bool lost = answers_[i].lost;
    count_answers(*answering_[i], lost ? 0 : 1, lost ? 0 : answers_[i].bytes.size(), lost ? 1 : 0);
  }
  answers_.clear();
  answering_.clear();
  answer_size_ = 0;
}

void UdpProxy::count_answers(Session& session, uint64_t datagrams, uint64_t bytes, uint64_t errors) {
  session.counts_.tx_errors += errors;
  session.counts_.tx_bytes += bytes;
  session.counts_.tx_datagrams += datagrams;
  if (errors != 0) count(Stat::downstream_sess_tx_errors, errors);
  sent_ += bytes;
  count(Stat::downstream_sess_tx_bytes, bytes);
  count(Stat::downstream_sess_tx_datagrams, datagrams);
}

// --- Hot restarts ---------------------------------------------------------------------------------------------------------

void UdpProxy::pause() {
  if (std::exchange(paused_, true)) return;
  port_.pause();
  for (const auto& [key, session] : sessions_) session->pause();
  send_answers();
}

void UdpProxy::resume() {
  if (!std::exchange(paused_, false)) return;
  handed_over_ = false;
  for (const auto& [key, session] : sessions_) session->resume();
  port_.resume();
}

// One that never got a socket is nothing but a client that will come again.
std::vector<stream::HandedSession> UdpProxy::hand_over() {
  std::vector<stream::HandedSession> out;
  out.reserve(sessions_.size());
  for (const auto& [key, session] : sessions_)
    if (session->fd_ >= 0) out.push_back({session->hand_over().encode(), session->fd_});
  handed_over_ = true;
  return out;
}

// It goes on where its route is the same here and its host is there; how loaded or healthy that is does not matter, as with any other session.
bool UdpProxy::take(std::string_view state, int fd) {
  const auto from = HandedState::decode(state);
  if (!from) return false;
  const Config& config = *shared_->config;
  ClusterSlot* slot = slot_of(from->cluster);
  const bool same_route = slot != nullptr && slot->cluster && config.route(from->path.local_address(port_.local_address().port()), from->path.peer_address()) == slot->name;
  if (same_route && config.per_packet == from->per_packet) {
    for (const auto& host : slot->cluster->hosts()) {
      if (host->address_text() != from->host) continue;
      const SessionKey key{from->path, from->per_packet ? host.get() : nullptr};
      if (sessions_.contains(key)) break;
      Session& session = *sessions_.emplace(key, std::make_unique<Session>(*this, *from, fd, *slot, host)).first->second;
      if (!paused_) session.resume();
      return true;
    }
  }
  log_facts({.path = from->path,
             .cluster = from->cluster,
             .id = next_session_id(),
             .began = std::chrono::system_clock::time_point(std::chrono::microseconds(from->began_us)),
             .began_at = worker_.loop().now() - std::chrono::microseconds(from->age_us),
             .counts = from->counts},
            format::LogType::UdpSessionEnd);
  return false;
}

// --- Configuration --------------------------------------------------------------------------------------------------------

// Envoy 1.40: sessions end with their cluster's or host's leaving, also where the cluster was replaced by another of its name.
void UdpProxy::clusters_changed() {
  bool gone = false;
  for (const auto& slot : slots_) {
    upstream::Cluster* now = worker_.clusters().find(slot->name);
    if (now == slot->cluster.get() && (now == nullptr || now->endpoints() == slot->endpoints)) continue;
    if (now != nullptr && now != slot->cluster.get()) slot->stats = now->shared().scope->block<ClusterUdpStat>(kClusterStats);
    gone = gone || slot->cluster;
    slot->cluster = upstream::Ref<upstream::Cluster>(now);
    slot->endpoints = now != nullptr ? now->endpoints() : nullptr;
  }
  if (gone) end_all([](const Session& session) { return session.host().removed() || session.cluster_.get() != session.slot_->cluster.get(); });
}

// Envoy 1.40 ends every session when anything of the listener changes. Here those go on whose route stays.
bool UdpProxy::adopt(const std::shared_ptr<const stream::UdpFilterFactory>& next, const net::UdpPort::Options& port) {
  const auto* factory = dynamic_cast<const Factory*>(next.get());
  if (factory == nullptr || !port_.reads_as(port)) return false;
  const std::shared_ptr<const Shared>& other = factory->shared;
  const Config &before = *shared_->config, &after = *other->config;
  if (shared_->stats.base != other->stats.base || before.per_packet != after.per_packet || before.join_datagrams != after.join_datagrams) return false;
  const uint16_t local_port = port_.local_address().port();
  end_all([&](const Session& session) {
    const net::DatagramPath& path = session.key().path;
    return after.route(path.local_address(local_port), path.peer_address()) != session.slot().name;
  });
  auto slots = std::exchange(slots_, {});
  for (const std::string& name : after.clusters) {
    const auto known = std::find_if(slots.begin(), slots.end(), [&](const auto& slot) { return slot != nullptr && slot->name == name; });
    if (known == slots.end()) {
      slots_.push_back(std::make_unique<ClusterSlot>());
      slots_.back()->name = name;
    } else {
      slots_.push_back(std::move(*known));
    }
  }
  shared_ = other;
  clusters_changed();
  return true;
}

}  // namespace fairlead::filters::udp::udp_proxy
