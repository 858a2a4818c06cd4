// The proxy as a whole: owns the main loop, workers, configuration pipeline, admin and the order of start and end.
// Everything here runs on the main thread; workers are reached by posts only.
//   start: bootstrap → static clusters → RTDS (bounded) → CDS (bounded) → LDS and routes (bounded) → workers accept → LIVE
//   end:   SIGTERM fails readiness and, after --shutdown-delay-s, drains: responses carry "connection: close", exit 0 with the last connection or
//          after --drain-time-s; a second SIGTERM ends at once. Or another process takes over (handover.h): then it drains gradually.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/admin/admin.h"
#include "dataplane/net/dns.h"
#include "dataplane/net/worker.h"
#include "dataplane/server/bootstrap_loader.h"
#include "dataplane/server/discovery_counters.h"
#include "dataplane/server/handover.h"
#include "dataplane/server/listener_set.h"
#include "dataplane/server/options.h"
#include "dataplane/server/overload_manager.h"
#include "dataplane/server/publisher.h"
#include "dataplane/server/runtime_layers.h"
#include "dataplane/server/stall_watch.h"
#include "dataplane/server/subscription_stats.h"
#include "dataplane/server/worker_listeners.h"
#include "dataplane/stream/worker_context.h"
#include "dataplane/upstream/cluster_resolver.h"
#include "dataplane/upstream/health/health_monitor.h"
#include "dataplane/xds/directory_watch.h"
#include "dataplane/xds/epoch.h"
#include "dataplane/xds/ingest.h"
#include "dataplane/xds/ledger.h"
#include "dataplane/xds/sources.h"

namespace fairlead::server {

class AdminEndpoints;
class LoadReporter;

enum class State : uint8_t { live, draining, pre_initializing, initializing };  // envoy.admin.v3.ServerInfo.State
std::string_view state_name(State state);

class Server {
 public:
  // Reads nothing but `bootstrap`; binds static listeners and the admin's address, starts workers. Errors are fit for the user.
  static absl::StatusOr<std::unique_ptr<Server>> create(Options options, std::string version, LoadedBootstrap bootstrap);
  ~Server();
  Server(const Server&) = delete;

  // Until a signal, /quitquitquit or (init_only) initialisation ends it. The exit code.
  int run();

  // What admin shows and does.
  const Options& options() const { return options_; }
  const std::string& version() const { return version_; }
  const LoadedBootstrap& bootstrap() const { return bootstrap_; }
  State state() const;
  std::chrono::seconds uptime() const;
  stats::Registry& stats() { return *stats_; }
  const xds::Epoch& epoch() const { return *epoch_; }
  const xds::Ledger& ledger() const { return ledger_; }
  const config::Snapshot* snapshot() const { return publisher_->current().get(); }
  const ListenerSet& listeners() const { return *listeners_; }
  uint32_t workers() const { return static_cast<uint32_t>(workers_.size()); }
  // Host rows of these clusters, summed over workers by address.
  std::map<std::string, std::vector<upstream::HostStatus>> hosts(const std::vector<std::string>& clusters);
  void refresh_gauges();            // before a scrape; asks every worker
  void set_healthcheck_failed(bool failed);
  void drain_listeners(bool graceful, bool inbound_only, bool skip_exit);
  void reopen_logs();
  const RuntimeLayers& runtime() const { return *runtime_; }
  const StallWatch& stalls() const { return stalls_; }
  bool modify_runtime(const std::multimap<std::string, std::string>& changes);  // false: there is no layer for it
  void shut_down();                 // at once, exit code 0
  void fail(const absl::Status& status);  // at once, exit code 1

  // What a handover does.
  const Handover& handover() const { return *handover_; }
  ListenerSet& listener_set() { return *listeners_; }
  admin::AdminServer& admin() { return *admin_; }
  bool all_served() const { return stage_ == Stage::done; }
  bool ending() const { return terminating_ || draining_ || stopping_; }
  uint64_t connections() const { return connections_seen_; }  // of this process, as of the last refresh_gauges()
  absl::Status open_admin(bool shared);  // `shared`: with a process that is about to let go of the address
  void step_back(bool back);        // no worker accepts; false: they do again
  std::vector<UdpSessions> hand_over_sessions(const std::set<std::string>& addresses);  // WorkerListeners::hand_over() of all; descriptors stay
  void await_sessions();            // UDP sockets are not read until
  void take_sessions(std::vector<restart::HandedSessions> sessions);
  void leave(std::chrono::milliseconds longest);  // drain and end: another process serves
  void when_all_workers_turn(std::function<void()> done);
  struct MemoryUse { uint64_t allocated, heap, free, physical; };
  static MemoryUse memory_use();
  net::EventLoop& loop() { return *loop_; }
  const net::Address& admin_address() const { return admin_->address(); }

 private:
  struct WorkerSlot;
  Server(Options options, std::string version, LoadedBootstrap bootstrap);
  absl::Status start();
  void make_pipeline();
  void make_health(uint64_t seed);
  absl::Status add_static();
  absl::Status start_admin();
  void start_dynamic(uint64_t seed);
  std::shared_ptr<const envoy::config::cluster::v3::Cluster> stream_cluster(const std::string& name) const;
  xds::Outcome apply(const xds::Update& update);
  void source_failed(xds::Type type, const absl::Status& status);
  void source_has_none(xds::Type type, const std::vector<std::string>& names);
  void settle_soon();               // once for all inputs of this turn
  void settle();                    // commit, publish, subscribe, advance the start
  void subscribe();
  void watch_files();               // that secrets and TLS contexts name
  void files_moved(const std::set<std::string>& directories);
  void follow_subscriptions(const xds::Epoch::Wanted& wanted);
  void advance_init();
  void begin_runtime();
  void begin_clusters();
  void runtime_changed();
  void init_timed_out();
  void publish(std::shared_ptr<const config::Snapshot> snapshot);
  void apply_listeners(const config::Snapshot& snapshot);
  void on_term();
  void drained_by(std::chrono::steady_clock::time_point idle_from, std::chrono::milliseconds longest);
  void begin_drain();
  void drain_tick();
  void on_worker(uint32_t index, std::function<void(WorkerSlot&)> job);
  void on_all_workers(const std::function<void(WorkerSlot&)>& job, std::function<void()> done);  // `done` here, after the last
  void set_gauges();
  absl::Status make_overload(const config::OverloadConfig& config);
  void watch_threads();
  void count_stalls();
  void gather_loads(std::function<void(upstream::Loads)> done);

  enum class Stage : uint8_t { runtime, clusters, listeners, done };
  Options options_;
  const std::string version_;
  LoadedBootstrap bootstrap_;
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<stats::Registry> stats_;
  stats::ScopePtr server_scope_, cluster_manager_scope_, listener_manager_scope_, control_plane_scope_;
  stats::Block<stats::ServerStat> server_stats_;
  stats::Block<stats::ClusterManagerStat> cluster_stats_;
  stats::Block<stats::ListenerManagerStat> listener_stats_;
  std::unique_ptr<DiscoveryCounters> discovery_counters_;
  std::unique_ptr<SubscriptionStats> subscription_stats_;
  std::unique_ptr<RuntimeLayers> runtime_;
  std::unique_ptr<accesslog::LogFiles> logs_;
  std::shared_ptr<accesslog::LogFile> outlier_log_;  // until health_ takes it
  std::unique_ptr<upstream::SharedClusters> shared_clusters_;
  std::unique_ptr<upstream::HealthMonitor> health_;
  std::unique_ptr<net::DnsResolver> dns_;
  std::unique_ptr<upstream::ClusterResolver> resolver_;
  absl::flat_hash_map<std::string, std::shared_ptr<const config::ClusterConfig>> dns_clusters_;
  std::unique_ptr<xds::Epoch> epoch_;
  xds::Ledger ledger_;
  std::unique_ptr<xds::Ingest> ingest_;
  std::unique_ptr<xds::Connector> connector_;
  std::unique_ptr<xds::Sources> sources_;
  std::unique_ptr<LoadReporter> load_reporter_;  // null: nobody asks
  std::unique_ptr<xds::DirectoryWatch> file_watch_;
  std::unique_ptr<ListenerSet> listeners_;
  GlobalConnections connections_;
  std::unique_ptr<OverloadManager> overload_;  // null: the bootstrap has none
  std::vector<std::unique_ptr<WorkerSlot>> workers_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<net::Timer> epoch_timer_, init_timer_, drain_timer_, idle_timer_, graceful_timer_, delay_timer_;
  net::LoopTask settle_task_ = net::LoopTask::of<&Server::settle>(this);
  std::unique_ptr<AdminEndpoints> admin_endpoints_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::unique_ptr<Handover> handover_;
  StallWatch stalls_;               // of main and the workers, in this order
  std::vector<StallWatch::Counts> stalls_counted_;
  stats::ScopePtr main_thread_scope_, workers_scope_;
  std::chrono::steady_clock::time_point started_;
  Stage stage_ = Stage::runtime;
  std::set<std::string, std::less<>> runtime_awaited_;  // layers that no answer has come for
  uint64_t subscribed_ = 0;         // generation of the epoch's wishes that the sources know
  bool cds_answered_ = false, lds_answered_ = false;
  std::chrono::steady_clock::time_point idle_closes_at_ = std::chrono::steady_clock::time_point::max();  // while draining
  uint64_t connections_seen_ = 0;
  bool healthcheck_failed_ = false, terminating_ = false, draining_ = false, stopping_ = false;
  int exit_code_ = 0;
};

}  // namespace fairlead::server
