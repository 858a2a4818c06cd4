// See filter.h. What is logged is in log.cc.
#include "dataplane/filters/network/tcp_proxy/filter.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <bit>
#include <cmath>

#include "base/hash.h"
#include "base/status.h"
#include "dataplane/accesslog/log_file.h"
#include "dataplane/filters/network/tcp_proxy/described.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/network_connections.h"
#include "dataplane/upstream/pool/pooled_session.h"
#include "dataplane/upstream/pool/proxy_header.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::network::tcp_proxy {

using format::LogType;
using format::ResponseFlag;
using net::CloseReason;
using net::CloseType;
using stats::ClusterStat;
using upstream::ResetReason;

namespace {

constexpr uint64_t kCountEvery = 256 * 1024;  // bytes, between two updates of a cluster's counters
// A transfer is bulk when so much has come in reads of at least that size: small messages, however many, are cheaper to copy.
constexpr uint64_t kBulk = 512 * 1024;
constexpr size_t kLargeRead = 16 * 1024;

struct Factory final : stream::NetworkFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::TerminalFilter> create_terminal() const override { return std::make_unique<TcpProxy>(shared); }
};

stats::ScopeName scope_name(const std::string& prefix) { return {absl::StrCat("tcp.", absl::StrReplaceAll(prefix, {{":", "_"}}), "."), "tcp.", {{"envoy.tcp_prefix", prefix}}}; }

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::NetworkFactoryContext& context) -> stream::NetworkFilterRegistry::Made {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    FL_ASSIGN_OR_RETURN(shared->logs, accesslog::AccessLoggers::open(shared->config->access_logs, context.logs));
    shared->scope = context.stats.scope(scope_name(shared->config->stat_prefix));
    shared->stats = shared->scope->block<Stat>(kStats);
    shared->listener_name = context.listener_name;
    shared->chain_name = context.chain_name;
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

namespace {
net::TimerWheel& wheel() { return net::EventLoop::current()->timers(); }
}  // namespace

TcpProxy::TcpProxy(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)), idle_timer_(wheel(), [this] { on_idle(); }) {}
TcpProxy::~TcpProxy() = default;

stats::Cells& TcpProxy::cells() const { return connection_->worker().cells(); }
void TcpProxy::count(Stat stat) { cells().add(shared_->stats, stat); }

void TcpProxy::use(stream::NetworkConnection& connection) {
  connection_ = &connection;
  down_ = &connection.connection();
  count(Stat::downstream_cx_total);
}

// Envoy 1.40: counted and logged all the same.
void TcpProxy::not_reached(stream::NetworkConnection& connection) {
  use(connection);
  count_bytes();
  log(LogType::TcpConnectionEnd);
}

void TcpProxy::start(stream::NetworkConnection& connection, std::function<void(CloseReason)> on_end) {
  use(connection);
  on_end_ = std::move(on_end);
  const Config& config = *shared_->config;
  down_->set_half_close(true);
  down_->set_delayed_close(std::chrono::milliseconds(0));  // what is buffered is sent however long it takes; the idle timeout ends what stands still
  connection.take_events(downstream_);
  if (config.log_on_start) log(LogType::TcpConnectionStart);
  if (config.max_duration) {
    const double share = config.max_duration_jitter / 100 * static_cast<double>(connection.worker().random().below(10000)) / 10000;
    duration_timer_ = std::make_unique<net::Timer>(wheel(), [this] { on_max_duration(); });
    duration_timer_->arm(std::chrono::milliseconds(std::lround(static_cast<double>(config.max_duration->count()) * (1 + share))));
  }
  if (config.log_interval) {
    log_timer_ = std::make_unique<net::Timer>(wheel(), [this] { on_log_interval(); });
    log_timer_->arm(*config.log_interval);
  }
  arm_idle();
  const auto& state = connection.info().filter_state;
  const auto named = state.find("envoy.tcp_proxy.cluster");
  cluster_name_ = named != state.end() ? named->second : config.pick(connection.worker().random().next());
  if (!config.max_early_data) down_pauses_.add(*down_);  // until there is somebody to read it
  if (!config.connect_on_data) connect();
}

// --- The way to an upstream -----------------------------------------------------------------------------------------------

// Attempts follow one another here, as one may fail inside the other.
void TcpProxy::connect() {
  asked_ = again_ = true;
  if (connecting_) return;
  connecting_ = true;
  while (std::exchange(again_, false)) connect_once();
  connecting_ = false;
}

void TcpProxy::connect_once() {
  upstream::Cluster* cluster = connection_->worker().clusters().find(cluster_name_);
  cluster_ = upstream::Ref<upstream::Cluster>(cluster);
  if (cluster == nullptr) {
    count(Stat::downstream_cx_no_route);
    return fail(Failure::kNoRoute, ResponseFlag::NoClusterFound);
  }
  const auto& stats = cluster->shared().stats;
  if (!cluster->shared().breakers[0].connections.can_take()) {  // a pool would queue the request, and nothing would ever wake it
    cells().add(stats, ClusterStat::upstream_cx_overflow);
    return fail(Failure::kOverflow, ResponseFlag::UpstreamOverflow);
  }
  if (attempts_ >= shared_->config->max_connect_attempts) {
    cells().add(stats, ClusterStat::upstream_cx_connect_attempts_exceeded);
    return fail(Failure::kConnect, ResponseFlag::UpstreamRetryLimitExceeded);
  }
  upstream::Host* host = pick_host();
  if (host == nullptr) {
    cells().add(stats, ClusterStat::upstream_cx_none_healthy);
    return fail(Failure::kNoHealthyUpstream, ResponseFlag::NoHealthyUpstream);
  }
  ++attempts_;
  host_ = upstream::Ref<upstream::Host>(host);
  absl::StrAppend(&hosts_attempted_, hosts_attempted_.empty() ? "" : ",", host->address_text());
  const bool tcp = !shared_->config->tunnel;
  if (!host->cluster().config->proxy_protocol) return host->acquire(*this, false, http::Protocol::Http11, nullptr, tcp);
  const upstream::MadeFor whom{.client = upstream::ProxiedFor{connection_->info().remote, connection_->info().local}};
  host->acquire(*this, false, http::Protocol::Http11, &whom, tcp);
}

upstream::Host* TcpProxy::pick_host() {
  if (const auto& wish = cluster_->config().original_dst) {
    const stream::ConnectionInfo& info = connection_->info();
    if (!info.local_restored) return nullptr;
    return cluster_->original(wish->port ? info.local.with_port(*wish->port) : info.local);
  }
  upstream::PickContext context;
  context.hash = hash();
  return cluster_->pick(context);
}

std::optional<uint64_t> TcpProxy::hash() const {
  std::optional<uint64_t> out;
  for (const Config::Hash& part : shared_->config->hash_policy) {
    const stream::ConnectionInfo& info = connection_->info();
    std::optional<uint64_t> next;
    if (part.filter_state.empty()) {
      if (info.remote.is_ip()) next = xx_hash64(info.remote.ip_string());
    } else if (const auto at = info.filter_state.find(part.filter_state); at != info.filter_state.end()) {
      next = xx_hash64(at->second);
    }
    if (next) out = std::rotl(out.value_or(0), 1) ^ *next;
  }
  return out;
}

void TcpProxy::fail(Failure why, ResponseFlag flag) {
  connection_->info().flags.set(flag);
  close_downstream(CloseType::NoFlush, absl::StrCat("tcp_initializion_failure:", static_cast<int>(why)));  // Envoy's spelling
}

void TcpProxy::close_downstream(CloseType type, std::string_view why) {
  if (!why.empty()) connection_->info().local_close_reason = why;
  down_->close(type);
}

void TcpProxy::on_pool_failure(ResetReason reason, std::string_view detail) {
  const bool transport = upstream::never_connected(reason);
  host_known_ = transport;
  failure_reason_ = absl::StrReplaceAll(detail, {{" ", "_"}});
  if (transport) {
    connection_->info().flags.set(ResponseFlag::UpstreamConnectionFailure);
    if (reason != ResetReason::kLocalConnectFailure) host_->report_local(reason == ResetReason::kConnectTimeout ? upstream::LocalResult::TimedOut : upstream::LocalResult::ConnectFailed);
  } else {
    host_.reset();
  }
  if (!down_closed_) try_again();
}

void TcpProxy::try_again() {
  const auto& back_off = shared_->config->back_off;
  if (!back_off || attempts_ >= shared_->config->max_connect_attempts) return connect();
  // Envoy 1.40: fully jittered, doubling
  const auto limit = static_cast<uint64_t>(std::min<double>(static_cast<double>(back_off->max.count()), static_cast<double>(back_off->base.count()) * std::exp2(std::min(attempts_ - 1, 30u))));
  if (retry_timer_ == nullptr) retry_timer_ = std::make_unique<net::Timer>(wheel(), [this] { connect(); });
  retry_timer_->arm(std::chrono::milliseconds(connection_->worker().random().below(std::max<uint64_t>(limit, 1))));
}

void TcpProxy::on_pool_ready(upstream::PooledStream& stream) {
  stream_ = &stream;
  host_known_ = true;
  host_->report_local(upstream::LocalResult::Connected);
  if (const auto& tunnel = shared_->config->tunnel) {
    const Described context(*this);
    tunnel_.reset(new Tunnel(*this, stream, *tunnel, cluster_->config().tls != nullptr, context.format));
    return;
  }
  up_ = &stream.connection();
  stream.open_raw(upstream_);
  up_->set_delayed_close(std::chrono::milliseconds(0));
  on_ready(*up_);
}

// Bytes may go both ways now.
void TcpProxy::on_ready(net::Connection& connection) {
  ready_at_ = connection.loop().now();
  upstream_id_ = connection.id();
  if (tunnel_ == nullptr) failure_reason_.clear();  // Envoy 1.40: that an earlier upstream refused a tunnel stays
  if (logged()) {
    local_address_ = connection.local_address().to_string();
    remote_address_ = host_->race() == nullptr ? host_->address_text() : connection.remote_address().to_string();
  }
  if (shared_->config->log_on_connected) log(LogType::TcpUpstreamConnected);
  if (!early_.empty() || early_end_) {
    net::Buffer early = std::move(early_);
    send_upstream(early, early_end_);
  }
  if (down_->above_high_watermark()) on_downstream_high();
  down_pauses_.remove_all(*down_);
  if (up_ != nullptr && up_->above_high_watermark()) on_upstream_high();
  arm_idle();
}

void TcpProxy::on_tunnel_open() { on_ready(stream_->connection()); }

// As a connect that has failed.
void TcpProxy::on_tunnel_refused(uint32_t status) {
  tunnel_.reset();
  if (status != 0) failure_reason_ = absl::StrCat("tunnel_response:", status);
  std::exchange(stream_, nullptr)->release(false);
  connection_->info().flags.set(ResponseFlag::UpstreamConnectionFailure);
  if (!down_closed_) try_again();
}

// --- Bytes ----------------------------------------------------------------------------------------------------------------

void TcpProxy::on_downstream_data(net::Buffer& data, bool end_stream) {
  count_bytes();
  if (up_ == nullptr && !tunnel_open()) return take_early(data, end_stream);
  arm_idle();
  const size_t size = data.size();
  send_upstream(data, end_stream);
  if (up_ != nullptr && !end_stream) consider_splice(way_up_, size);
}

void TcpProxy::send_upstream(net::Buffer& data, bool end_stream) {
  up_sent_ += data.size();
  if (tunnel_ != nullptr) return tunnel_->send(data, end_stream);
  up_->write(data);
  if (end_stream) up_->end_write();
}

// Before the upstream is there, or after it has gone.
void TcpProxy::take_early(net::Buffer& data, bool end_stream) {
  const Config& config = *shared_->config;
  if (!config.max_early_data || (stream_ != nullptr && tunnel_ == nullptr) || ready_at_ != net::TimePoint{}) return data.clear();
  count(Stat::early_data_received_count_total);
  const bool any = !data.empty();
  early_.append(data);
  early_end_ = early_end_ || end_stream;
  arm_idle();
  if (early_.size() >= *config.max_early_data) down_pauses_.add(*down_);
  if (asked_ || !config.connect_on_data) return;
  if (!any && end_stream) return down_->close(CloseType::NoFlush);  // nobody will ever send anything
  connect();
}

void TcpProxy::on_upstream_data(net::Buffer& data, bool end_stream) {
  up_received_ += data.size();
  count_bytes();
  if (down_closed_) return data.clear();
  arm_idle();
  const size_t size = data.size();
  down_->write(data);
  if (end_stream) return down_->end_write();
  if (up_ != nullptr) consider_splice(way_down_, size);
}

void TcpProxy::on_upstream_high() {
  if (down_closed_) return;
  count(Stat::downstream_flow_control_paused_reading_total);
  down_pauses_.add(*down_);
}

void TcpProxy::on_upstream_low() {
  if (down_closed_) return;
  count(Stat::downstream_flow_control_resumed_reading_total);
  down_pauses_.remove(*down_);
}

void TcpProxy::on_downstream_high() {
  if (up_ == nullptr && !tunnel_open()) return;
  cells().add(cluster_->shared().stats, ClusterStat::upstream_flow_control_paused_reading_total);
  if (tunnel_ != nullptr) return tunnel_->pause_reading();
  up_pauses_.add(*up_);
}

void TcpProxy::on_downstream_low() {
  if (up_ == nullptr && !tunnel_open()) return;
  cells().add(cluster_->shared().stats, ClusterStat::upstream_flow_control_resumed_reading_total);
  if (tunnel_ != nullptr) return tunnel_->resume_reading();
  up_pauses_.remove(*up_);
}

void TcpProxy::count_bytes() {
  const uint64_t received = down_->bytes_received(), sent = down_->bytes_sent();
  cells().add(shared_->stats, Stat::downstream_cx_rx_bytes_total, received - received_counted_);
  cells().add(shared_->stats, Stat::downstream_cx_tx_bytes_total, sent - sent_counted_);
  received_counted_ = received;
  sent_counted_ = sent;
  if (stream_ == nullptr || up_sent_ + up_received_ - passed_ < kCountEvery) return;
  passed_ = up_sent_ + up_received_;
  stream_->count_bytes();
}

// --- In bulk --------------------------------------------------------------------------------------------------------------

void TcpProxy::consider_splice(Way& way, size_t bytes) {
  if (way.splice != nullptr || way.never) return;
  way.in_bulk = bytes >= kLargeRead ? way.in_bulk + bytes : 0;
  if (way.in_bulk < kBulk) return;
  net::Connection &from = way.up ? *down_ : *up_, &to = way.up ? *up_ : *down_;
  if (to.above_high_watermark() || !from.open() || !to.open()) return;
  if (!connection_->looked_at()) way.splice = net::Splice::start(from, to, way);
  way.never = true;  // again
  if (way.splice != nullptr) (way.up ? down_pauses_ : up_pauses_).add(from);
}

void TcpProxy::on_spliced(Way& way, size_t bytes) {
  way.spliced += bytes;
  (way.up ? up_sent_ : up_received_) += bytes;
  cells().add(shared_->stats, way.up ? Stat::downstream_cx_rx_bytes_total : Stat::downstream_cx_tx_bytes_total, bytes);
  cells().add(cluster_->shared().stats, way.up ? ClusterStat::upstream_cx_tx_bytes_total : ClusterStat::upstream_cx_rx_bytes_total, bytes);
  arm_idle();
}

// The connection that was read from goes on as before, and meets its peer's end by itself.
void TcpProxy::end_splice(Way& way) {
  if (way.splice == nullptr) return;
  way.splice->stop();
  way.splice.reset();
  if (way.up) {
    down_pauses_.remove(*down_);
  } else if (up_ != nullptr) {
    up_pauses_.remove(*up_);
  }
}

// A reset: its connection's end is told as if it had met it itself.
void TcpProxy::on_splice_broken(const Way& way, bool reader) {
  const bool down = way.up == reader;
  (down ? down_broken_ : up_broken_) = true;
  net::Connection* broken = down ? down_ : up_;
  if (broken != nullptr) broken->close(CloseType::Reset);
}

// --- The end --------------------------------------------------------------------------------------------------------------

void TcpProxy::on_downstream_closed(CloseReason reason) {
  if (down_broken_) reason = CloseReason::RemoteReset;
  down_closed_ = true;
  close_reason_ = reason;
  if (reason == CloseReason::RemoteReset) detected_close_ = "RemoteReset";
  duration_timer_.reset();
  log_timer_.reset();
  retry_timer_.reset();
  if (waiting()) cancel();
  early_.clear();
  end_splice(way_up_);
  end_splice(way_down_);
  count_bytes();
  if (up_ != nullptr) end_upstream(reason);
  if (tunnel_ != nullptr) end_tunnel();
  log(LogType::TcpConnectionEnd);
  if (up_ == nullptr) finish();
}

// Envoy 1.40: what the client has sent still goes to the upstream if the client ended the connection in good order.
void TcpProxy::end_upstream(CloseReason reason) {
  up_pauses_.remove_all(*up_);
  if (reason == CloseReason::RemoteReset) return up_->close(CloseType::Reset);
  if (reason != CloseReason::Remote) return up_->close(CloseType::NoFlush);
  up_->close(CloseType::Flush);
  if (up_ == nullptr || !up_->closing()) return;
  flushing_ = true;
  count(Stat::upstream_flush_total);
  count(Stat::upstream_flush_active);
}

// Envoy 1.40: what the upstream has not got yet is lost with its stream.
void TcpProxy::end_tunnel() {
  tunnel_->abandon();
  tunnel_.reset();
  std::exchange(stream_, nullptr)->release(false);
}

void TcpProxy::on_upstream_closed(CloseReason reason) {
  if (up_broken_) reason = CloseReason::RemoteReset;
  end_splice(way_up_);
  end_splice(way_down_);
  up_ = nullptr;
  const bool complete = tunnel_ != nullptr && tunnel_->complete();  // its connection may serve others then
  tunnel_.reset();
  std::exchange(stream_, nullptr)->release(complete);
  if (flushing_) cells().sub(shared_->stats, Stat::upstream_flush_active);
  if (down_closed_) return finish();
  down_pauses_.remove_all(*down_);
  if (reason != CloseReason::RemoteReset) return down_->close(CloseType::Flush);
  connection_->info().flags.set(ResponseFlag::UpstreamRemoteReset);
  detected_close_ = "LocalReset";
  down_->close(CloseType::Reset);
}

void TcpProxy::finish() {
  if (std::exchange(ended_, true)) return;
  idle_timer_.disarm();
  on_end_(close_reason_);
}

// --- Timers ---------------------------------------------------------------------------------------------------------------

void TcpProxy::arm_idle() {
  if (shared_->config->idle_timeout.count() != 0) idle_timer_.arm(shared_->config->idle_timeout);
}

// Reads arm the timer; bytes that are still being sent count too, as far as they move.
void TcpProxy::on_idle() {
  const bool in_pipes = (way_up_.splice != nullptr && way_up_.splice->pending() != 0) || (way_down_.splice != nullptr && way_down_.splice->pending() != 0);
  const bool waiting_bytes = in_pipes || !down_->output().empty() || (up_ != nullptr && !up_->output().empty());
  const uint64_t sent = down_->bytes_sent() + (up_ != nullptr ? up_->bytes_sent() : 0);
  if (waiting_bytes && sent != stuck_at_) {
    stuck_at_ = sent;
    return arm_idle();
  }
  count(Stat::idle_timeout);
  if (!down_closed_) return close_downstream(CloseType::NoFlush, "tcp_session_idle_timeout");
  if (up_ != nullptr) up_->close(CloseType::NoFlush);
}

void TcpProxy::on_max_duration() {
  count(Stat::max_downstream_connection_duration);
  connection_->info().flags.set(ResponseFlag::DurationTimeout);
  close_downstream(CloseType::NoFlush, "max_connection_duration_reached");
}

void TcpProxy::on_log_interval() {
  log(LogType::TcpPeriodic);
  log_timer_->arm(*shared_->config->log_interval);
}

}  // namespace fairlead::filters::network::tcp_proxy
