// The order of start and end: server.h.
#include <malloc.h>
#include <signal.h>

#include <fstream>

#include "base/log.h"
#include "dataplane/server/admin_endpoints.h"
#include "dataplane/server/certs.h"
#include "dataplane/server/load_reporter.h"
#include "dataplane/server/server.h"
#include "dataplane/server/worker_slot.h"

namespace fairlead::server {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// How long idle connections may still bring a request after the drain has begun: a client that was about to send one gets its answer.
constexpr milliseconds kIdleGrace{1000};
constexpr milliseconds kDrainTick{50};
constexpr milliseconds kLeaveTick{250};  // of a process that nobody waits for

}  // namespace

std::string_view state_name(State state) {
  switch (state) {
    case State::live: return "LIVE";
    case State::draining: return "DRAINING";
    case State::pre_initializing: return "PRE_INITIALIZING";
    case State::initializing: return "INITIALIZING";
  }
  return "";
}

State Server::state() const {
  if (terminating_ || draining_ || healthcheck_failed_ || handover_->handed_over()) return State::draining;  // Envoy 1.40: /healthcheck/fail shows DRAINING too
  if (stage_ == Stage::done) return State::live;
  return stage_ <= Stage::clusters ? State::pre_initializing : State::initializing;
}

std::chrono::seconds Server::uptime() const { return std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - started_); }

int Server::run() {
  signal(SIGPIPE, SIG_IGN);
  loop_->on_signal(SIGTERM, [this](int) { on_term(); });
  loop_->on_signal(SIGINT, [this](int) { on_term(); });
  loop_->on_signal(SIGUSR1, [this](int) { reopen_logs(); });
  loop_->on_signal(SIGUSR2, [this](int) { handover_->restart(); });
  loop_->on_signal(SIGHUP, [](int) { FL_LOG(info, "main", "SIGHUP is ignored: configuration comes from files and xDS by itself"); });
  for (const std::string& w : bootstrap_.warnings) FL_LOG(warning, "config", w);
  FL_LOG(info, "main", "fairlead-proxy ", version_, ", ", workers_.size(), " workers");
  begin_runtime();
  settle_soon();
  if (overload_ != nullptr) overload_->start();
  watch_threads();
  loop_->run();
  stalls_.stop();
  handover_->goodbye();
  FL_LOG(info, "main", "exiting");
  return exit_code_;
}

Server::~Server() {
  stopping_ = true;
  if (admin_ != nullptr) admin_->stop();
  handover_.reset();
  sources_.reset();
  load_reporter_.reset();
  connector_.reset();
  resolver_.reset();
  workers_.clear();
  health_.reset();
  listeners_.reset();
  if (logs_ != nullptr) logs_->flush_all();
  log::flush();
}

// What is discovered of the runtime comes first: clusters and listeners are made with it.
void Server::begin_runtime() {
  if (runtime_awaited_.empty()) return begin_clusters();
  milliseconds longest(0);
  for (const config::RuntimeLayer& layer : runtime_->layers())
    if (layer.kind == config::RuntimeLayer::Kind::Discovered) longest = std::max(longest, layer.source.initial_fetch_timeout);
  if (longest.count() > 0) init_timer_->arm(longest);
}

void Server::begin_clusters() {
  stage_ = Stage::clusters;
  init_timer_->disarm();
  if (const auto& cds = bootstrap_.config->cds; cds.has_value() && cds->initial_fetch_timeout.count() > 0) init_timer_->arm(cds->initial_fetch_timeout);
}

void Server::advance_init() {
  const config::BootstrapConfig& boot = *bootstrap_.config;
  if (stage_ == Stage::runtime) {
    if (!runtime_awaited_.empty()) return;
    begin_clusters();
    subscribe();
  }
  if (stage_ == Stage::clusters && (!boot.cds.has_value() || cds_answered_) && epoch_->clusters_settled()) {
    FL_LOG(info, "main", "all clusters initialized");
    stage_ = Stage::listeners;
    init_timer_->disarm();
    if (boot.lds.has_value() && boot.lds->initial_fetch_timeout.count() > 0) init_timer_->arm(boot.lds->initial_fetch_timeout);
    subscribe();
  }
  if (stage_ == Stage::listeners && (!boot.lds.has_value() || lds_answered_) && epoch_->listeners_settled()) {
    stage_ = Stage::done;
    init_timer_->disarm();
    if (epoch_->current() != nullptr) apply_listeners(*epoch_->current());
    stats_->cells(0).set(listener_stats_, stats::ListenerManagerStat::workers_started, 1);
    stats_->cells(0).record(server_stats_, stats::ServerStat::initialization_time_ms,
                            static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(steady_clock::now() - started_).count()));
    FL_LOG(info, "main", "all dependencies initialized, ", listeners_->serving(), " listeners started");
    malloc_trim(0);  // reading the configuration took several times what is left of it, and no worker has work yet
    options_.mode == Options::Mode::init_only ? shut_down() : handover_->served();
  }
}

void Server::init_timed_out() {
  if (stage_ == Stage::runtime) {
    FL_LOG(warning, "config", "rtds: no answer within the initial fetch timeout");
    runtime_awaited_.clear();
    return settle_soon();
  }
  const xds::Type type = stage_ == Stage::clusters ? xds::Type::cluster : xds::Type::listener;
  if (handover_->taking_over()) {  // the process before serves: better that goes on than this one serves nothing
    FL_LOG(warning, "config", xds::short_name(type), ": no answer within the initial fetch timeout: the process before goes on serving");
    const auto& source = type == xds::Type::cluster ? bootstrap_.config->cds : bootstrap_.config->lds;
    return init_timer_->arm(source->initial_fetch_timeout);
  }
  // Envoy 1.40: the wait for a first answer is over; the server goes on with what it has
  FL_LOG(warning, "config", xds::short_name(type), ": no answer within the initial fetch timeout");
  subscription_stats_->timed_out(type);
  (type == xds::Type::cluster ? cds_answered_ : lds_answered_) = true;
  settle_soon();
}

void Server::on_term() {
  if (std::exchange(terminating_, true)) {
    FL_LOG(info, "main", "second signal: ending at once");
    shut_down();
    return;
  }
  handover_->stopping();
  if (options_.shutdown_delay.count() == 0 || handover_->handed_over() || stage_ != Stage::done) return begin_drain();
  // Whoever sends requests here has yet to learn that it is over: balancers that ask about health are told, all others are served as before.
  FL_LOG(info, "main", "readiness fails; drains in ", options_.shutdown_delay.count(), " ms");
  set_healthcheck_failed(true);
  delay_timer_ = std::make_unique<net::Timer>(loop_->timers(), [this] { begin_drain(); });
  delay_timer_->arm(options_.shutdown_delay);
}

void Server::begin_drain() {
  FL_LOG(info, "main", "draining: readiness fails, responses close their connections");
  draining_ = true;
  for (uint32_t i = 0; i < workers_.size(); ++i)
    on_worker(i, [](WorkerSlot& slot) {
      slot.context->drain_close = true;
      slot.listeners->drain_all();
    });
  const milliseconds grace = options_.drain_strategy == Options::DrainStrategy::immediate ? milliseconds(0) : std::min<milliseconds>(kIdleGrace, options_.drain_time);
  drained_by(steady_clock::now() + grace, options_.drain_time);
}

void Server::drained_by(steady_clock::time_point idle_from, milliseconds longest) {
  idle_closes_at_ = idle_from;
  drain_timer_->arm(longest);
  drain_tick();
}

void Server::step_back(bool back) {
  for (uint32_t i = 0; i < workers_.size(); ++i) on_worker(i, [back](WorkerSlot& slot) { slot.listeners->step_back(back); });
}

std::vector<UdpSessions> Server::hand_over_sessions(const std::set<std::string>& addresses) {
  std::vector<UdpSessions> out;
  for (auto& slot : workers_)
    slot->worker.run_and_wait([&] {
      for (UdpSessions& of : slot->listeners->hand_over(addresses)) out.push_back(std::move(of));
    });
  return out;
}

void Server::await_sessions() {
  for (uint32_t i = 0; i < workers_.size(); ++i) on_worker(i, [](WorkerSlot& slot) { slot.listeners->await_sessions(); });
}

// Each worker takes its own, and none reads before it has.
void Server::take_sessions(std::vector<restart::HandedSessions> sessions) {
  struct All {
    std::vector<UdpSessions> sockets;
    ~All() {
      for (const UdpSessions& of : sockets)
        for (const stream::HandedSession& one : of.sessions) restart::Descriptor(one.fd).reset();  // that nobody has taken
    }
  };
  auto all = std::make_shared<All>();
  size_t count = 0;
  for (restart::HandedSessions& from : sessions) {
    UdpSessions& to = all->sockets.emplace_back(UdpSessions{from.socket, {}});
    for (size_t i = 0; i < from.states.size(); ++i, ++count) to.sessions.push_back({std::move(from.states[i]), from.descriptors[i].release()});
  }
  if (count > 0) FL_LOG(info, "main", "hot restart: ", count, " UDP sessions of the process before go on");
  on_all_workers([all](WorkerSlot& slot) { slot.listeners->take(all->sockets); }, [all] {});
}

// Unlike after SIGTERM there is no hurry, and all clients at once would be many for the process that has taken over.
void Server::leave(milliseconds longest) {
  const bool immediate = options_.drain_strategy == Options::DrainStrategy::immediate;
  const milliseconds drain = immediate ? milliseconds(0) : std::min<milliseconds>(options_.drain_time, longest);
  on_all_workers(
      [immediate, drain](WorkerSlot& slot) {
        slot.listeners->leave_sockets();
        slot.context->drain_close |= immediate;
        immediate ? slot.listeners->drain_all() : slot.listeners->drain_all_gradually(drain);
      },
      [this] { listeners_->give_up_sockets(); });
  admin_->leave();
  drained_by(steady_clock::now() + (immediate ? kIdleGrace : drain), longest);
}

// Asks every worker for its connections; ends the process when the answers of one round add up to none.
void Server::drain_tick() {
  if (stopping_) return;
  struct Round { size_t missing, connections = 0; };
  auto round = std::make_shared<Round>(Round{workers_.size()});
  const bool close_idle = steady_clock::now() >= idle_closes_at_;
  for (uint32_t i = 0; i < workers_.size(); ++i)
    on_worker(i, [this, round, close_idle](WorkerSlot& slot) {
      if (close_idle) {
        slot.context->drain_close = true;
        slot.listeners->close_idle();
      }
      loop_->post([this, round, n = slot.listeners->connections()] {
        round->connections += n;
        if (--round->missing > 0) return;
        if (round->connections == 0) {
          FL_LOG(info, "main", "drained");
          shut_down();
        } else {
          idle_timer_->arm(draining_ ? kDrainTick : kLeaveTick);
        }
      });
    });
}

void Server::shut_down() {
  stopping_ = true;
  loop_->stop();
}

void Server::fail(const absl::Status& status) {
  FL_LOG(error, "main", status.message());
  exit_code_ = 1;
  shut_down();
}

void Server::set_healthcheck_failed(bool failed) {
  healthcheck_failed_ = failed;
  for (uint32_t i = 0; i < workers_.size(); ++i)
    on_worker(i, [failed](WorkerSlot& slot) { slot.context->health_failed = failed; });
}

absl::Status Server::make_overload(const config::OverloadConfig& config) {
  OverloadManager::Options options{.loop = *loop_, .stats = *stats_, .connections = [this] { return connections_.count.open.load(std::memory_order_relaxed); }, .publish = {}, .reset_streams = {}};
  options.publish = [this](const stream::OverloadState& state) {
    for (uint32_t i = 0; i < workers_.size(); ++i)
      on_worker(i, [state](WorkerSlot& slot) {
        const stream::OverloadState before = slot.context->overload();
        slot.context->set_overload(state);
        slot.listeners->overload_changed(before);
      });
  };
  options.reset_streams = [this](stats::Counter count) {
    for (uint32_t i = 0; i < workers_.size(); ++i) on_worker(i, [count](WorkerSlot& slot) { slot.context->cells().add(count, slot.context->reset_heavy_streams()); });
  };
  FL_ASSIGN_OR_RETURN(overload_, OverloadManager::create(config, std::move(options)));
  if (const auto limit = overload_->connection_limit()) {
    connections_.limit = limit->limit;
    connections_.refused = limit->refused;
  }
  return absl::OkStatus();
}

void Server::watch_threads() {
  stalls_.watch("main_thread", *loop_, bootstrap_.config->watchdogs.main);
  for (auto& slot : workers_) stalls_.watch(slot->worker.loop().name(), slot->worker.loop(), bootstrap_.config->watchdogs.workers);
  main_thread_scope_ = stats_->scope(stats::plain_scope("main_thread."));
  workers_scope_ = stats_->scope(stats::plain_scope("workers."));
  stalls_counted_.resize(workers_.size() + 1);
  count_stalls();
  stalls_.start();
}

// The watch counts by itself, since it must not wait for the thread whose cells these are. Envoy 1.40's names.
void Server::count_stalls() {
  stats::Cells& cells = stats_->cells(0);
  for (size_t i = 0; i < stalls_counted_.size(); ++i) {
    const StallWatch::Counts now = stalls_.counts(i), before = std::exchange(stalls_counted_[i], now);
    const std::string name = i == 0 ? "main_thread" : workers_[i - 1]->worker.loop().name();
    stats::Scope& dog = i == 0 ? *main_thread_scope_ : *workers_scope_;
    for (const auto& [leaf, more] : {std::pair("watchdog_miss", now.misses - before.misses), std::pair("watchdog_mega_miss", now.mega_misses - before.mega_misses)}) {
      cells.add(dog.counter(leaf), more);
      cells.add(server_scope_->counter(absl::StrCat(name, ".", leaf)), more);
    }
  }
}

void Server::drain_listeners(bool graceful, bool inbound_only, bool skip_exit) {
  const milliseconds gradually = options_.drain_strategy == Options::DrainStrategy::gradual ? milliseconds(options_.drain_time) : milliseconds(0);
  for (const ListenerSet::Row& row : listeners_->rows()) {
    if (inbound_only && !row.inbound) continue;
    if (!graceful && !skip_exit) {
      listeners_->stop(row.name);
      continue;
    }
    for (uint32_t i = 0; i < workers_.size(); ++i) on_worker(i, [name = row.name, gradually](WorkerSlot& slot) { slot.listeners->drain(name, gradually); });
  }
  if (!graceful || skip_exit) return;
  // Envoy 1.40: a graceful drain ends after the drain time with the listeners closed
  graceful_timer_ = std::make_unique<net::Timer>(loop_->timers(), [this, inbound_only] { drain_listeners(false, inbound_only, false); });
  graceful_timer_->arm(options_.drain_time);
}

void Server::set_gauges() {
  stats::Cells& cells = stats_->cells(0);
  using C = stats::ClusterManagerStat;
  using L = stats::ListenerManagerStat;
  const xds::Ingest::Counts& now = ingest_->counts();
  const config::Snapshot* current = snapshot();
  cells.set(cluster_stats_, C::active_clusters, current != nullptr ? current->clusters.size() : 0);
  cells.set(cluster_stats_, C::warming_clusters, epoch_->warming_clusters());
  cells.set(cluster_stats_, C::cluster_added, now.clusters_added);
  cells.set(cluster_stats_, C::cluster_modified, now.clusters_modified);
  cells.set(cluster_stats_, C::cluster_removed, now.clusters_removed);
  cells.set(listener_stats_, L::total_listeners_active, listeners_->serving());
  cells.set(listener_stats_, L::listener_in_place_updated, listeners_->updated_in_place());
  cells.set(listener_stats_, L::total_filter_chains_draining, listeners_->draining_chains());
  cells.set(listener_stats_, L::total_listeners_warming, epoch_->warming_listeners());
  cells.set(listener_stats_, L::listener_added, now.listeners_added);
  cells.set(listener_stats_, L::listener_modified, now.listeners_modified);
  cells.set(listener_stats_, L::listener_removed, now.listeners_removed);
  cells.set(listener_stats_, L::listener_create_failure, now.listeners_failed);
  cells.set(listener_stats_, L::listener_create_success, (now.listeners_added + now.listeners_modified) * workers_.size());
}

void Server::refresh_gauges() {
  set_gauges();
  uint64_t connections = 0;
  for (auto& slot : workers_)
    slot->worker.run_and_wait([&] {
      slot->listeners->refresh_gauges();
      connections += slot->listeners->connections();
    });
  stats::Cells& cells = stats_->cells(0);
  count_stalls();
  shared_clusters_->refresh_gauges(cells);
  using S = stats::ServerStat;
  const MemoryUse memory = memory_use();
  connections_seen_ = connections;
  cells.set(server_scope_->gauge("hot_restart_epoch"), handover_->epoch());
  cells.set(server_scope_->gauge("hot_restart_generation"), handover_->generation() + 1);
  cells.set(server_scope_->gauge("parent_connections"), handover_->others_connections());
  cells.set(server_stats_, S::memory_allocated, memory.allocated + handover_->others_memory());  // Envoy 1.40: with those that drain
  cells.set(server_stats_, S::memory_heap_size, memory.heap);
  cells.set(server_stats_, S::memory_physical_size, memory.physical);
  cells.set(server_stats_, S::total_connections, connections + handover_->others_connections());
  cells.set(server_stats_, S::uptime, static_cast<uint64_t>(uptime().count()));
  cells.set(server_stats_, S::live, state() == State::live ? 1 : 0);
  cells.set(server_stats_, S::state, static_cast<uint64_t>(state()));
  cells.set(server_stats_, S::days_until_first_cert_expiring,
            days_until_first_expires(snapshot(), std::chrono::system_clock::now()).value_or(UINT32_MAX));  // Envoy 1.40: without certificates
}

Server::MemoryUse Server::memory_use() {
  const struct mallinfo2 info = mallinfo2();
  MemoryUse out{info.uordblks + info.hblkhd, info.arena + info.hblkhd, info.fordblks, 0};
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  if (statm >> size >> resident) out.physical = resident * 4096;
  return out;
}

}  // namespace fairlead::server
