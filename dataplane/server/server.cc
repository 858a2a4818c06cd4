// Assembly and the configuration pipeline: responses in, snapshots out. The life cycle (init order, drain) is in lifecycle.cc.
#include "dataplane/server/server.h"

#include <google/protobuf/struct.pb.h>

#include <mutex>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "dataplane/config/health.h"
#include "dataplane/server/admin_endpoints.h"
#include "dataplane/server/load_reporter.h"
#include "dataplane/server/worker_slot.h"
#include "dataplane/tls/session.h"
#include "dataplane/upstream/balancing.h"
#include "dataplane/upstream/membership.h"
#include "dataplane/xds/grpc_connector.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace fairlead::server {

using std::chrono::steady_clock;

namespace {

constexpr std::string_view kOwnRecordsKey = "fairlead.tls_own_records";  // off: OpenSSL protects all records (docs/differences.md)

// Rows of another worker: equal address and priority add up.
void add_rows(std::vector<upstream::HostStatus>& out, std::vector<upstream::HostStatus> rows) {
  for (upstream::HostStatus& row : rows) {
    const auto same = std::find_if(out.begin(), out.end(), [&](const auto& o) { return o.address == row.address && o.priority == row.priority; });
    if (same == out.end()) {
      out.push_back(std::move(row));
      continue;
    }
    same->counters.cx_total += row.counters.cx_total;
    same->counters.cx_active += row.counters.cx_active;
    same->counters.cx_connect_fail += row.counters.cx_connect_fail;
    same->counters.rq_pending += row.counters.rq_pending;
    same->counters.rq_total += row.counters.rq_total;
    same->counters.rq_success += row.counters.rq_success;
    same->counters.rq_error += row.counters.rq_error;
    same->counters.rq_timeout += row.counters.rq_timeout;
    same->rq_active += row.rq_active;
  }
}

}  // namespace

Server::Server(Options options, std::string version, LoadedBootstrap bootstrap)
    : options_(std::move(options)), version_(std::move(version)), bootstrap_(std::move(bootstrap)), started_(steady_clock::now()) {}

absl::StatusOr<std::unique_ptr<Server>> Server::create(Options options, std::string version, LoadedBootstrap bootstrap) {
  std::unique_ptr<Server> server(new Server(std::move(options), std::move(version), std::move(bootstrap)));
  FL_RETURN_IF_ERROR(server->start());
  return server;
}

absl::Status Server::start() {
  const uint32_t workers = worker_count(options_);
  loop_ = std::make_unique<net::EventLoop>("main");
  stats_ = std::make_unique<stats::Registry>(workers + 1);
  server_scope_ = stats_->scope(stats::plain_scope("server."));
  cluster_manager_scope_ = stats_->scope(stats::plain_scope("cluster_manager."));
  listener_manager_scope_ = stats_->scope(stats::plain_scope("listener_manager."));
  control_plane_scope_ = stats_->scope(stats::plain_scope("control_plane."));
  subscription_stats_ = std::make_unique<SubscriptionStats>(*stats_);
  server_stats_ = server_scope_->block<stats::ServerStat>(stats::kServerStats);
  cluster_stats_ = cluster_manager_scope_->block<stats::ClusterManagerStat>(stats::kClusterManagerStats);
  listener_stats_ = listener_manager_scope_->block<stats::ListenerManagerStat>(stats::kListenerManagerStats);
  stats_->cells(0).set(server_stats_, stats::ServerStat::concurrency, workers);
  control_plane_scope_->gauge("connected_state");
  stats_->cells(0).add(server_stats_, stats::ServerStat::static_unknown_fields, bootstrap_.unknown_fields);
  stats_->cells(0).add(server_scope_->counter("ignored_fields"), bootstrap_.ignored_fields);

  accesslog::LogFile::Options log_options;
  log_options.interval = options_.file_flush_interval;
  log_options.flush_bytes = size_t{options_.file_flush_min_size_kb} * 1024;
  logs_ = std::make_unique<accesslog::LogFiles>(workers + 1, log_options);
  if (const std::string& path = bootstrap_.config->outlier_event_log; !path.empty()) {
    FL_ASSIGN_OR_RETURN(outlier_log_, logs_->open(path));
  }
  shared_clusters_ = std::make_unique<upstream::SharedClusters>(*stats_);
  if (bootstrap_.config->load_stats.has_value()) shared_clusters_->report_loads();
  discovery_counters_ = std::make_unique<DiscoveryCounters>(*stats_, *shared_clusters_);
  upstream::LocalZone zone;
  zone.cluster = bootstrap_.config->local_cluster_name;
  if (bootstrap_.config->node->has_locality()) {
    const auto& own = bootstrap_.config->node->locality();
    zone.locality.emplace(own.region(), own.zone(), own.sub_zone());
  }
  shared_clusters_->set_local_zone(std::move(zone));
  runtime_ = std::make_unique<RuntimeLayers>(bootstrap_.config->runtime_layers, *stats_);
  for (const config::RuntimeLayer& layer : runtime_->layers())
    if (layer.kind == config::RuntimeLayer::Kind::Discovered) runtime_awaited_.insert(layer.resource);
  shared_clusters_->set_runtime(runtime_->current());
  tls::allow_own_records(runtime_->current()->boolean(kOwnRecordsKey, true));
  shared_clusters_->set_health_sink([this](const config::ClusterConfig* cluster, const std::string& address, upstream::HealthEvent event) {
    loop_->post([this, cluster, address, event] { health_->on_event(cluster, address, event); });
  });
  FL_ASSIGN_OR_RETURN(dns_, net::DnsResolver::create(*loop_, {}));

  std::random_device random;
  const uint64_t seed = (uint64_t{random()} << 32) | random();
  if (bootstrap_.config->overload.has_value()) FL_RETURN_IF_ERROR(make_overload(*bootstrap_.config->overload));
  for (uint32_t i = 0; i < workers; ++i)
    workers_.push_back(std::make_unique<WorkerSlot>(i, stats_->cells(i + 1), *shared_clusters_, seed + i, connections_));
  publisher_ = std::make_unique<Publisher>(
      workers,
      [this](uint32_t worker, Publisher::SnapshotPtr snapshot) {
        on_worker(worker, [snapshot = std::move(snapshot)](WorkerSlot& slot) mutable {
          slot.context->apply(std::move(snapshot));
          slot.listeners->clusters_changed();
        });
      },
      [loop = loop_.get()](std::function<void()> job) { loop->post(std::move(job)); });

  ListenerSet::Options listen;
  listen.stats = stats_.get();
  listen.logs = logs_.get();
  listen.workers = workers;
  listen.gradual_drain = options_.drain_strategy == Options::DrainStrategy::gradual;
  listen.service_cluster = bootstrap_.config->node->cluster();
  listen.service_node = bootstrap_.config->node->id();
  listen.serve = [this](std::shared_ptr<const ServingListener> listener, std::function<void()> released) {
    on_all_workers([listener = std::move(listener), drain = options_.drain_time](WorkerSlot& slot) { slot.listeners->set(listener, drain); }, std::move(released));
  };
  listen.withdraw = [this](const std::string& name, std::function<void()> released) {
    on_all_workers([name, drain = options_.drain_time](WorkerSlot& slot) { slot.listeners->remove(name, drain); }, std::move(released));
  };
  listen.inherited = [this](const std::string& listener, const config::Address& configured, const net::Address& address, const net::ListenSocket::Options& how) {
    return handover_->inherited(listener, configured, address, how);
  };
  listen.filter_conflict = [this](const std::string& name) { subscription_stats_->conflict(name); };
  listeners_ = std::make_unique<ListenerSet>(std::move(listen));
  resolver_ = std::make_unique<upstream::ClusterResolver>(*loop_, dns_.get(), seed, [this](const std::string& cluster, std::shared_ptr<const config::EndpointSet> set) {
    const auto it = dns_clusters_.find(cluster);
    if (it == dns_clusters_.end()) return;
    epoch_->set_dns(*it->second, std::move(set));
    settle_soon();
  });
  handover_ = std::make_unique<Handover>(*this);
  FL_RETURN_IF_ERROR(handover_->start());
  make_health(seed);
  make_pipeline();
  FL_RETURN_IF_ERROR(add_static());
  FL_RETURN_IF_ERROR(start_admin());
  start_dynamic(seed);
  return absl::OkStatus();
}

void Server::make_health(uint64_t seed) {
  upstream::HealthMonitor::Options options{.loop = *loop_, .shared = *shared_clusters_, .registry = *stats_, .seed = seed, .changed = {}, .checked = {}, .left = {}};
  options.changed = [this](const std::shared_ptr<const config::ClusterConfig>& cluster) {
    discovery_counters_->health_changed(*cluster);
    for (uint32_t i = 0; i < workers_.size(); ++i) on_worker(i, [cluster](WorkerSlot& slot) { slot.context->clusters().health_changed(*cluster); });
  };
  options.checked = [this](const config::ClusterConfig& cluster) {
    epoch_->checks_done(cluster);
    settle_soon();
  };
  options.left = [this] {
    epoch_->leaving_changed();
    settle_soon();
  };
  options.logs = logs_.get();
  options.outlier_log = std::move(outlier_log_);
  health_ = std::make_unique<upstream::HealthMonitor>(std::move(options));
}

void Server::make_pipeline() {
  const config::BootstrapConfig& boot = *bootstrap_.config;
  xds::Epoch::Options gate;
  gate.clusters_may_come = boot.cds.has_value();
  gate.runtime = runtime_->current();
  gate.with_leaving = [this](const config::ClusterConfig& cluster, const std::shared_ptr<const config::EndpointSet>& named) { return health_->with_leaving(cluster, named); };
  gate.endpoints_dropped = [this](const std::string& name) {
    ledger_.remove(xds::Type::endpoint, name);
    discovery_counters_->endpoints_dropped(name);
  };
  gate.extension_dropped = [this](const std::string& name) { ledger_.remove(xds::Type::extension, name); };
  gate.secret_dropped = [this](const std::string& key) {
    ledger_.remove(xds::Type::secret, key);
    bootstrap_.config->discovered->forget(key);
  };
  gate.make_filters = [this](config::Snapshot& snapshot) { listeners_->make_filters(snapshot); };
  gate.table_dropped = [this](const std::string& name) { ledger_.remove(xds::Type::route, name); };
  epoch_ = std::make_unique<xds::Epoch>(std::move(gate));

  xds::Ingest::Options in;
  in.epoch = epoch_.get();
  in.ledger = &ledger_;
  in.hcm.registry = &config::Registry::global();
  in.hcm.read_file = [](const std::string& path) { return read_file(path); };
  in.hcm.secrets = boot.secrets;
  in.hcm.discovered = boot.discovered;
  in.reject_unknown_fields = options_.reject_unknown_dynamic_fields;
  in.prepare_listener = [this](const std::shared_ptr<const config::ListenerConfig>& listener) { return listeners_->prepare(listener); };
  in.prepare_cluster = [this](const config::ClusterConfig& cluster) -> absl::Status {
    if (!cluster.health_check) return absl::OkStatus();
    for (const std::string& path : cluster.health_check->event_logs) {
      if (auto log = logs_->open(path); !log.ok()) return prefix(absl::StrCat("cluster '", cluster.name, "': health_checks[0]"), log.status());
    }
    return absl::OkStatus();
  };
  in.listener_removed = [this](std::string_view name) { listeners_->forget(std::string(name)); };
  in.cluster_set = [this](const std::shared_ptr<const config::ClusterConfig>& cluster) {
    using Discovery = config::ClusterConfig::Discovery;
    if (cluster->discovery != Discovery::StrictDns && cluster->discovery != Discovery::LogicalDns) {
      if (dns_clusters_.erase(cluster->name) > 0) resolver_->remove(cluster->name);
      return;
    }
    dns_clusters_[cluster->name] = cluster;
    resolver_->add(cluster);
  };
  in.cluster_removed = [this](std::string_view name) {
    if (dns_clusters_.erase(std::string(name)) > 0) resolver_->remove(std::string(name));
  };
  in.wants_runtime = [this](std::string_view name) { return runtime_->discovers(name); };
  in.runtime_set = [this](const std::string& name, const google::protobuf::Struct& values) -> absl::Status {
    FL_RETURN_IF_ERROR(runtime_->set(name, values));
    runtime_awaited_.erase(name);
    runtime_changed();
    return absl::OkStatus();
  };
  in.runtime_removed = [this](std::string_view name) {
    if (!runtime_->discovers(name)) return;
    runtime_->clear(name);
    runtime_awaited_.erase(std::string(name));
    runtime_changed();
  };
  in.count_unknown_fields = [this](uint64_t n) {
    if (!options_.ignore_unknown_dynamic_fields) stats_->cells(0).add(server_stats_, stats::ServerStat::dynamic_unknown_fields, n);
  };
  in.count_ignored_field = [this](const std::string&) { stats_->cells(0).add(server_scope_->counter("ignored_fields")); };
  in.now = [] { return steady_clock::now(); };
  in.wall_now = [] { return std::chrono::system_clock::now(); };
  ingest_ = std::make_unique<xds::Ingest>(std::move(in));
}

absl::Status Server::add_static() {
  const auto whole = bootstrap_.proto;
  const auto& resources = whole->static_resources();
  absl::flat_hash_map<std::string_view, const google::protobuf::Message*> protos;
  for (const auto& c : resources.clusters()) protos.emplace(c.name(), &c);
  for (const auto& cluster : bootstrap_.config->clusters) ingest_->add_static_cluster(cluster, std::shared_ptr<const google::protobuf::Message>(whole, protos.at(cluster->name)));
  for (size_t i = 0; i < bootstrap_.config->listeners.size(); ++i) {
    std::shared_ptr<const google::protobuf::Message> proto(whole, &resources.listeners(static_cast<int>(i)));
    FL_RETURN_IF_ERROR(ingest_->add_static_listener(bootstrap_.config->listeners[i], std::move(proto)));
  }
  // What is asked for from here on is the node, and now and then the whole, whose messages would take ten times its bytes.
  auto node = std::make_shared<envoy::config::bootstrap::v3::Bootstrap>();
  *node->mutable_node() = whole->node();
  bootstrap_.bytes = whole->SerializeAsString();
  bootstrap_.proto = std::move(node);
  return absl::OkStatus();
}

absl::Status Server::start_admin() {
  const auto& address = bootstrap_.config->admin.address;
  const bool waits = address.has_value() && handover_->admin_address_waits(*address).has_value();
  admin_endpoints_ = std::make_unique<AdminEndpoints>(*this);
  admin_ = std::make_unique<admin::AdminServer>(admin_endpoints_->all(), [loop = loop_.get()](std::function<void()> job) { loop->post(std::move(job)); });
  return waits ? absl::OkStatus() : open_admin(false);
}

absl::Status Server::open_admin(bool shared) {
  const auto& address = bootstrap_.config->admin.address;
  if (!address.has_value() || admin_->address().kind() != net::Address::Kind::None) return absl::OkStatus();
  absl::StatusOr<net::Address> where =
      address->kind == config::Address::Kind::Pipe ? net::Address::from_unix(address->path) : net::Address::from_ip(address->host, address->port);
  if (!where.ok()) return prefix("admin.address", where.status());
  if (const auto taken = handover_->admin_address_waits(*address)) where = *taken;
  FL_RETURN_IF_ERROR(prefix("admin", admin_->start(*where, shared)));
  FL_LOG(info, "admin", "admin address: ", admin_->address().to_string());
  if (!options_.admin_address_path.empty()) FL_RETURN_IF_ERROR(prefix("--admin-address-path", replace_file(options_.admin_address_path, admin_->address().to_string())));
  return absl::OkStatus();
}

// Streams go to what the bootstrap names for them, or to any other static cluster.
std::shared_ptr<const envoy::config::cluster::v3::Cluster> Server::stream_cluster(const std::string& name) const {
  if (const auto it = bootstrap_.grpc_clusters.find(name); it != bootstrap_.grpc_clusters.end()) return it->second;
  const xds::LedgerEntry* known = ledger_.find(xds::Type::cluster, name);
  auto out = std::make_shared<envoy::config::cluster::v3::Cluster>();
  if (known == nullptr || !known->is_static || !out->ParseFromString(*known->accepted)) return nullptr;
  return out;
}

void Server::start_dynamic(uint64_t seed) {
  epoch_timer_ = std::make_unique<net::Timer>(loop_->timers(), [this] { settle(); });
  init_timer_ = std::make_unique<net::Timer>(loop_->timers(), [this] { init_timed_out(); });
  drain_timer_ = std::make_unique<net::Timer>(loop_->timers(), [this] {
    FL_LOG(info, "main", "drain time is over");
    shut_down();
  });
  idle_timer_ = std::make_unique<net::Timer>(loop_->timers(), [this] { drain_tick(); });
  file_watch_ = std::make_unique<xds::DirectoryWatch>(*loop_, [this](const std::set<std::string>& directories) { files_moved(directories); });
  connector_ = xds::make_grpc_connector(*loop_, [this](const std::string& name) { return stream_cluster(name); });
  xds::Sources::Options from;
  from.loop = loop_.get();
  from.connector = connector_.get();
  from.node = bootstrap_.config->node;
  from.ads = bootstrap_.config->ads.has_value() ? &*bootstrap_.config->ads : nullptr;
  from.seed = seed;
  from.apply = [this](const xds::Update& update) { return apply(update); };
  from.failed = [this](xds::Type type, const absl::Status& status) { source_failed(type, status); };
  from.no_answer = [this](xds::Type type, const std::vector<std::string>& names) { source_has_none(type, names); };
  from.ignored = [this](std::string_view row) {
    FL_LOG(warning, "config", row, " is ignored");
    stats_->cells(0).add(server_scope_->counter("ignored_fields"));
  };
  from.attempted = [this](xds::Type type) { subscription_stats_->attempted(type); };
  from.connected = [this](bool connected) { stats_->cells(0).set(control_plane_scope_->gauge("connected_state"), connected ? 1 : 0); };
  sources_ = std::make_unique<xds::Sources>(std::move(from));
  if (!bootstrap_.config->load_stats.has_value()) return;
  LoadReporter::Options loads;
  loads.loop = loop_.get();
  loads.connector = connector_.get();
  loads.node = bootstrap_.config->node;
  loads.target = bootstrap_.config->load_stats->services.front();
  loads.seed = seed;
  loads.stats = stats_.get();
  loads.gather = [this](std::function<void(upstream::Loads)> done) { gather_loads(std::move(done)); };
  loads.snapshot = [this] { return publisher_->current(); };
  load_reporter_ = std::make_unique<LoadReporter>(std::move(loads));
}

void Server::gather_loads(std::function<void(upstream::Loads)> done) {
  struct Gathered {
    std::mutex mutex;
    upstream::Loads loads;
  };
  auto gathered = std::make_shared<Gathered>();
  on_all_workers(
      [gathered](WorkerSlot& slot) {
        upstream::Loads mine;
        slot.context->clusters().take_loads(mine);
        std::lock_guard lock(gathered->mutex);
        upstream::add_loads(gathered->loads, mine);
      },
      [this, gathered, done = std::move(done)] {
        upstream::add_loads(gathered->loads, shared_clusters_->departed_loads()->take());
        done(std::move(gathered->loads));
      });
}

xds::Outcome Server::apply(const xds::Update& update) {
  const auto begin = steady_clock::now();
  xds::Outcome outcome = ingest_->apply(update);
  subscription_stats_->updated(update, outcome, std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin));
  if (!outcome.status.ok()) {
    FL_LOG(warning, "config", xds::short_name(update.type), ": update ", update.version, " rejected: ", outcome.status.message());
  } else {
    FL_LOG(debug, "config", xds::short_name(update.type), ": update ", update.version, ": ", outcome.applied.size(), " set, ", outcome.removed.size(), " removed");
  }
  if (update.type == xds::Type::endpoint) discovery_counters_->endpoints_updated(update, outcome);
  if (update.type == xds::Type::cluster) cds_answered_ = true;
  if (update.type == xds::Type::listener) lds_answered_ = true;
  if (update.type == xds::Type::runtime && !outcome.status.ok()) runtime_awaited_.clear();  // Envoy 1.40: a refusal ends the wait of every subscription
  if (update.type == xds::Type::secret) watch_files();
  settle_soon();
  return outcome;
}

void Server::watch_files() {
  // what has happened in a directory before it was watched was not seen
  if (const auto fresh = file_watch_->set(bootstrap_.config->discovered->directories()); !fresh.empty()) files_moved(fresh);
}

void Server::files_moved(const std::set<std::string>& directories) {
  for (const auto& read : bootstrap_.config->discovered->moved(directories)) {
    const std::string what = read.secret.empty() ? read.place : absl::StrCat("secret '", read.secret, "'");
    if (read.status.ok()) {
      FL_LOG(info, "config", what, ": its files have changed and are in use");
      continue;
    }
    FL_LOG(warning, "config", what, ": its files have changed and are not used: ", read.status.message());
    if (!read.secret.empty()) subscription_stats_->rotation_failed(read.secret);
  }
}

void Server::source_failed(xds::Type type, const absl::Status& status) {
  FL_LOG(warning, "config", xds::short_name(type), ": ", status.message());
  subscription_stats_->failed(type);
  if (type == xds::Type::endpoint) discovery_counters_->endpoints_failed();
}

void Server::source_has_none(xds::Type type, const std::vector<std::string>& names) {
  if (type == xds::Type::cluster) cds_answered_ = true;
  if (type == xds::Type::listener) lds_answered_ = true;
  if (type == xds::Type::runtime)
    for (const std::string& name : names) runtime_awaited_.erase(name);
  // once traffic flows, a listener whose table is not there yet waits while its old form serves
  if (type != xds::Type::route || stage_ != Stage::done)
    for (const std::string& name : names) ingest_->give_up(type, name);
  for (const std::string& name : names) subscription_stats_->unanswered(type, name);
  settle_soon();
}

void Server::settle_soon() { loop_->run_soon(settle_task_); }

// Requests see it with the next snapshot; what clusters read of the runtime, those that are made from then on.
bool Server::modify_runtime(const std::multimap<std::string, std::string>& changes) {
  if (!runtime_->modify(changes)) return false;
  runtime_changed();
  return true;
}

void Server::runtime_changed() {
  shared_clusters_->set_runtime(runtime_->current());
  epoch_->set_runtime(runtime_->current());
  tls::allow_own_records(runtime_->current()->boolean(kOwnRecordsKey, true));
  settle_soon();
}

void Server::settle() {
  if (stopping_) return;
  if (auto snapshot = epoch_->commit(steady_clock::now())) publish(std::move(snapshot));
  subscription_stats_->expire(steady_clock::now());
  health_->watch(publisher_->current(), epoch_->awaiting_checks());
  // endpoint and route updates, by far the most frequent, change no wish
  if (subscribed_ != epoch_->wanted_generation()) subscribe();
  advance_init();
  if (const auto deadline = std::min(epoch_->next_deadline().value_or(steady_clock::time_point::max()), subscription_stats_->next_deadline());
      deadline != steady_clock::time_point::max()) {
    epoch_timer_->arm_at(deadline);
  } else {
    epoch_timer_->disarm();
  }
  set_gauges();
}

void Server::publish(std::shared_ptr<const config::Snapshot> snapshot) {
  FL_LOG(debug, "config", "epoch ", snapshot->epoch, ": ", snapshot->clusters.size(), " clusters, ", snapshot->routes.size(), " route tables, ",
         snapshot->listeners.size(), " listeners");
  discovery_counters_->apply(*snapshot);
  upstream::prepare(*snapshot, *shared_clusters_);
  publisher_->publish(snapshot);
  if (stage_ == Stage::done) apply_listeners(*snapshot);
}

void Server::apply_listeners(const config::Snapshot& snapshot) {
  if (absl::Status status = listeners_->apply(snapshot); !status.ok()) {
    FL_LOG(error, "config", status.message());
    stats_->cells(0).add(listener_stats_, stats::ListenerManagerStat::listener_create_failure);
  }
}

void Server::subscribe() {
  subscribed_ = epoch_->wanted_generation();
  const config::BootstrapConfig& boot = *bootstrap_.config;
  xds::Sources::Wish wish;
  for (const config::RuntimeLayer& layer : runtime_->layers())
    if (layer.kind == config::RuntimeLayer::Kind::Discovered) xds::Sources::add(wish, xds::Type::runtime, layer.source, layer.resource);
  if (boot.cds.has_value() && stage_ != Stage::runtime) xds::Sources::add(wish, xds::Type::cluster, *boot.cds, boot.cds_resources_locator);
  if (boot.lds.has_value() && stage_ > Stage::clusters) xds::Sources::add(wish, xds::Type::listener, *boot.lds, boot.lds_resources_locator);
  const xds::Epoch::Wanted wanted = epoch_->wanted();
  // "self": the source that the cluster or listener itself came from
  auto actual = [](const config::ConfigSource& source, const std::optional<config::ConfigSource>& parent) -> const config::ConfigSource& {
    return source.kind == config::ConfigSource::Kind::Self && parent.has_value() ? *parent : source;
  };
  for (const auto& [name, source] : wanted.eds) xds::Sources::add(wish, xds::Type::endpoint, actual(source, boot.cds), name);
  for (const auto& [name, source] : wanted.rds) xds::Sources::add(wish, xds::Type::route, actual(source, boot.lds), name);
  for (const auto& [name, source] : wanted.extensions) xds::Sources::add(wish, xds::Type::extension, actual(source, boot.lds), name);
  for (const auto& secret : wanted.secrets) xds::Sources::add(wish, xds::Type::secret, secret.source, secret.name);
  watch_files();
  follow_subscriptions(wanted);
  if (absl::Status status = sources_->set(wish); !status.ok()) FL_LOG(error, "config", status.message());
}

void Server::follow_subscriptions(const xds::Epoch::Wanted& wanted) {
  const config::BootstrapConfig& boot = *bootstrap_.config;
  std::vector<SubscriptionStats::Followed> all;
  for (const config::RuntimeLayer& layer : runtime_->layers())
    if (layer.kind == config::RuntimeLayer::Kind::Discovered) all.push_back({xds::Type::runtime, layer.resource, "", layer.source.initial_fetch_timeout});
  if (boot.cds.has_value()) all.push_back({xds::Type::cluster, "", ""});
  if (boot.lds.has_value()) all.push_back({xds::Type::listener, "", ""});
  for (const auto& [name, source] : wanted.rds) all.push_back({xds::Type::route, name, wanted.rds_users.at(name), source.initial_fetch_timeout});
  for (const auto& [name, source] : wanted.extensions) all.push_back({xds::Type::extension, name, "", source.initial_fetch_timeout});
  for (const auto& secret : wanted.secrets) all.push_back({xds::Type::secret, secret.name, "", secret.source.initial_fetch_timeout, config::source_key(secret.source)});
  subscription_stats_->follow(all, steady_clock::now());
}

void Server::on_worker(uint32_t index, std::function<void(WorkerSlot&)> job) {
  WorkerSlot& slot = *workers_[index];
  slot.worker.post([&slot, job = std::move(job)]() mutable { job(slot); });
}

void Server::on_all_workers(const std::function<void(WorkerSlot&)>& job, std::function<void()> done) {
  auto missing = std::make_shared<size_t>(workers_.size());
  auto finished = std::make_shared<std::function<void()>>(std::move(done));
  for (uint32_t i = 0; i < workers_.size(); ++i)
    on_worker(i, [this, job, missing, finished](WorkerSlot& slot) {
      job(slot);
      loop_->post([missing, finished] {
        if (--*missing == 0) (*finished)();
      });
    });
}

void Server::when_all_workers_turn(std::function<void()> done) { on_all_workers([](WorkerSlot&) {}, std::move(done)); }

std::map<std::string, std::vector<upstream::HostStatus>> Server::hosts(const std::vector<std::string>& clusters) {
  std::map<std::string, std::vector<upstream::HostStatus>> out;
  // Which there are, and then what those workers have counted that had requests for them.
  for (const std::string& name : clusters)
    if (const config::ClusterEntry* entry = snapshot()->cluster(name)) out[name] = upstream::named_hosts(*entry, *shared_clusters_);
  for (auto& slot : workers_) {
    std::map<std::string, std::vector<upstream::HostStatus>> here;
    slot->worker.run_and_wait([&] {
      for (const std::string& cluster : clusters) slot->context->clusters().describe(cluster, here[cluster]);
    });
    for (auto& [cluster, found] : here) add_rows(out[cluster], std::move(found));
  }
  return out;
}

void Server::reopen_logs() {
  logs_->reopen_all();
  if (absl::Status status = log::reopen(); !status.ok()) FL_LOG(error, "main", status.message());
}

}  // namespace fairlead::server
