// One upstream connection and the requests it serves; see pooled_session.h.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <optional>

#include "dataplane/http/h1/session.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/lb/random.h"
#include "dataplane/upstream/pool/host.h"
#include "dataplane/upstream/pool/http2_codec.h"
#include "dataplane/upstream/pool/negotiating_session.h"
#include "dataplane/upstream/pool/pooled_session.h"
#include "dataplane/upstream/pool/proxy_header.h"
#include "dataplane/upstream/pool/tcp_session.h"
#include "dataplane/upstream/pool/tls.h"

namespace fairlead::upstream {

using stats::ClusterStat;

namespace {

net::Connection::Options connection_options(const config::ClusterConfig& config) {
  net::Connection::Options options;
  options.buffer_limit = config.per_connection_buffer_limit;
  options.connect_timeout = config.connect_timeout;
  if (config.bind && config.bind->source_address && config.bind->source_address->is_ip()) {
    auto source = net::Address::from_ip(config.bind->source_address->host, config.bind->source_address->port);
    if (source.ok()) options.bind_to = *std::move(source);
  }
  return options;
}

// 0 leaves the system's value.
void set_keepalive(int fd, const config::TcpKeepalive& keepalive) {
  const int on = 1, probes = static_cast<int>(keepalive.probes), time = static_cast<int>(keepalive.time.count()), interval = static_cast<int>(keepalive.interval.count());
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (probes != 0) ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  if (time != 0) ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &time, sizeof time);
  if (interval != 0) ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
}

std::string_view offered(PoolProtocol protocol) {
  switch (protocol) {
    case PoolProtocol::kHttp1: return kAlpnHttp1;
    case PoolProtocol::kHttp2: return kAlpnHttp2;
    case PoolProtocol::kAuto: return kAlpnBoth;
    case PoolProtocol::kTcp: break;
  }
  return {};
}

net::ConnectionPtr connect_to(const Host& host, const MadeFor* whom, const config::ClusterConfig& config, PoolProtocol protocol) {
  net::Dial dial;
  if (const std::vector<net::Address>* race = host.race()) dial.others.assign(race->begin() + 1, race->end());
  if (config.proxy_protocol) {
    const std::optional<ProxiedFor> client = whom != nullptr ? whom->client : std::nullopt;
    dial.preamble = [protocol = config.proxy_protocol, client](const net::Address& local, const net::Address& remote) { return proxy_header(*protocol, client ? &*client : nullptr, local, remote); };
  }
  add_tls(dial, config.tls_for(host.metadata().get()), {host.hostname(), whom}, offered(protocol), host.cluster().tls_stats, host.env().cells);
  return net::Connection::connect(host.env().loop, host.race() != nullptr ? host.race()->front() : host.address(), connection_options(config), std::move(dial));
}

class UpstreamHttp2Stats final : public Http2StatSink {
 public:
  UpstreamHttp2Stats(stats::Cells& cells, const SharedCluster& cluster) : Http2StatSink(cells, cluster.http2_stats), stats_(cluster.stats) {}
  void protocol_error() override { cells_.add(stats_, ClusterStat::upstream_cx_protocol_error); }

 private:
  stats::Block<ClusterStat> stats_;
};

h1::Settings http1_settings(const config::UpstreamHttpOptions& http) {
  h1::Settings settings;
  settings.max_head_bytes = http.max_response_headers_kb * 1024;
  settings.max_headers = http.max_headers_count;
  settings.enable_trailers = http.http1.enable_trailers;
  settings.accept_http_10 = http.http1.accept_http_10;
  settings.allow_chunked_length = http.http1.allow_chunked_length;
  return settings;
}

}  // namespace

// --- PooledStream ---------------------------------------------------------------------------------------------------------

http::MessageSender& PooledStream::open(http::MessageReceiver& receiver) { return session_->session_->new_stream(receiver); }
void PooledStream::open_raw(net::ConnectionEvents& events) { upstream::open_raw(*session_->session_, events); }
void PooledStream::count_bytes() { session_->count_bytes(); }
void PooledStream::release(bool complete) {
  if (session_ != nullptr) session_->released(*this, complete);
}
net::Connection& PooledStream::connection() const { return session_->session_->connection(); }
std::chrono::nanoseconds PooledStream::connect_time() const { return session_->connect_time_; }
bool PooledStream::response_begun() const { return connection().bytes_received() != received_before_; }
bool PooledStream::request_begun() const { return connection().bytes_sent() != sent_before_; }

// --- PooledSession --------------------------------------------------------------------------------------------------------

PooledSession::PooledSession(ConnectionPool& pool) : pool_(pool), host_(&pool.host_), max_streams_(pool.max_streams()), idle_timer_(host_->env().loop.timers(), [this] { on_idle_timeout(); }) {
  const config::ClusterConfig& config = *pool.cluster().config;
  ++pool_.sessions_;
  if (const auto& http = config.http; http.max_connection_duration && http.max_connection_duration_jitter != 0)
    age_jitter_ = *http.max_connection_duration * static_cast<int64_t>(host_->env().random.below(static_cast<uint64_t>(http.max_connection_duration_jitter * 100) + 1)) / 10'000;
  net::ConnectionPtr connection = connect_to(*host_, pool.whom_.get(), config, pool.protocol());
  if (pool.protocol() == PoolProtocol::kTcp) {
    session_ = make_tcp_session(std::move(connection), *this);
  } else if (pool.protocol() == PoolProtocol::kAuto) {
    session_ = net::DeferredPtr<http::ClientSession>(new NegotiatingSession(std::move(connection), *this));
  } else {
    make_session(std::move(connection), pool.protocol() == PoolProtocol::kHttp2);
  }
}

void PooledSession::make_session(net::ConnectionPtr connection, bool http2) {
  const config::ClusterConfig& config = *pool_.cluster().config;
  if (http2) {
    h2::Settings settings = http2_settings(config.http.http2);
    settings.max_head_bytes = config.http.max_response_headers_kb * 1024;
    settings.max_headers = config.http.max_headers_count;
    settings.stats = std::make_shared<UpstreamHttp2Stats>(host_->env().cells, pool_.cluster());
    session_ = h2::make_client_session(std::move(connection), settings, *this);
  } else {
    h1::Settings settings = http1_settings(config.http);
    settings.peer_counts = &peer_counts_;
    session_ = h1::make_client_session(std::move(connection), settings, *this);
  }
}

PooledSession::~PooledSession() { --pool_.sessions_; }

PooledStream& PooledSession::attach() {
  PooledStream* stream = &first_;
  if (first_free_) {
    first_free_ = false;
  } else if (spare_.empty()) {
    stream = new PooledStream();
  } else {
    stream = spare_.back().release();
    spare_.pop_back();
  }
  const net::Connection& connection = session_->connection();
  stream->session_ = this;
  stream->number_ = ++requests_;
  stream->sent_before_ = connection.bytes_sent();
  stream->received_before_ = connection.bytes_received();
  ++streams_;
  cut_ = false;
  return *stream;
}

void PooledSession::released(PooledStream& stream, bool complete) {
  stream.session_ = nullptr;
  if (&stream == &first_) {
    first_free_ = true;
  } else {
    spare_.emplace_back(&stream);
  }
  --streams_;
  cut_ = !complete;
  pool_.breakers_.requests.give_back();
  --host_->active_requests;
  pool_.cells().sub(pool_.cluster().stats, ClusterStat::upstream_rq_active);
  count_bytes();
  settle();
}

// There is room again when both the owner of a request and the codec are done with it.
void PooledSession::settle() {
  if (state_ != State::kReady && state_ != State::kFull) return;
  if (going_away_) {
    if (streams_ == 0 && session_->active_streams() == 0) close(net::CloseType::Flush);
  } else if (has_room()) {
    pool_.session_has_room(*this);
  }
}

void PooledSession::on_session_connected() {
  const net::Connection& connection = session_->connection();
  connect_time_ = connection.loop().now() - connection.created_at();
  if (const auto& keepalive = pool_.cluster().config->keepalive) set_keepalive(connection.fd(), *keepalive);
  --pool_.connecting_;
  pool_.cells().record(pool_.cluster().stats, ClusterStat::upstream_cx_connect_ms, std::chrono::duration_cast<std::chrono::milliseconds>(connect_time_).count());
  count_race();
  state_ = State::kFull;
  const bool automatic = pool_.protocol() == PoolProtocol::kAuto;
  if (automatic) negotiated();
  pool_.session_has_room(*this);
  // What was taken for HTTP/2 may be HTTP/1.1: those that still wait then need connections of their own.
  if (automatic) pool_.connect_for_waiting();
}

// ALPN has said which protocol it is; without an answer it is HTTP/1.1.
void PooledSession::negotiated() {
  const tls::Session* tls = tls::session_of(session_->connection());
  const bool http2 = tls != nullptr && tls->alpn() == "h2";
  make_session(static_cast<NegotiatingSession&>(*session_).release(), http2);
  max_streams_ = http2 ? pool_.cluster().config->http.http2.max_concurrent_streams : 1;
  pool_.cells().add(pool_.cluster().stats, http2 ? ClusterStat::upstream_cx_http2_total : ClusterStat::upstream_cx_http1_total);
  pool_.expect(max_streams_);
}

// Envoy 1.40: each connect of a race counts as a connection, only one of them as active.
void PooledSession::count_race() {
  const uint32_t more = session_->connection().attempts() - 1;
  if (more == 0) return;
  host_->counters.cx_total += more;
  pool_.cells().add(pool_.cluster().stats, ClusterStat::upstream_cx_total, more);
}

void PooledSession::on_stream_slot() {
  cut_ = false;
  settle();
}

void PooledSession::on_going_away() {
  if (session_->protocol() == http::Protocol::Http2) pool_.cells().add(pool_.cluster().stats, ClusterStat::upstream_cx_close_notify);
  retire();
}

void PooledSession::retire() {
  going_away_ = true;
  if (state_ == State::kReady) pool_.set_ready(*this, false);
  if (state_ == State::kFull && streams_ == 0 && session_->active_streams() == 0) close(net::CloseType::NoFlush);
}

void PooledSession::close(net::CloseType type) {
  if (state_ == State::kReady) pool_.set_ready(*this, false);
  if (state_ == State::kFull) state_ = State::kClosing;  // one that is still connecting ends as a failed connect
  session_->close(type);
}

void PooledSession::on_session_closed(net::CloseReason reason) {
  if (state_ == State::kGone) return;
  count_bytes();
  if (state_ == State::kConnecting) count_race();
  idle_timer_.disarm();
  stats::Cells& cells = pool_.cells();
  cells.record(pool_.cluster().stats, ClusterStat::upstream_cx_length_ms, std::chrono::duration_cast<std::chrono::milliseconds>(age()).count());
  cells.record(pool_.cluster().stats, ClusterStat::upstream_rq_per_cx, requests_);
  pool_.session_gone(*this, reason);
  host_->env().loop.delete_later(this);
}

net::Duration PooledSession::time_left(std::chrono::milliseconds max_age) const { return max_age + age_jitter_ - age(); }
net::Duration PooledSession::age() const { return session_->connection().loop().now() - session_->connection().created_at(); }

void PooledSession::on_idle_timeout() {
  if (state_ != State::kReady || streams_ != 0) return;  // the timer is left armed while a request runs
  const auto& max_age = pool_.cluster().config->http.max_connection_duration;
  const bool old = max_age && time_left(*max_age).count() <= 0;
  pool_.cells().add(pool_.cluster().stats, old ? ClusterStat::upstream_cx_max_duration_reached : ClusterStat::upstream_cx_idle_timeout);
  retire();
}

void PooledSession::count_bytes() {
  const net::Connection& connection = session_->connection();
  stats::Cells& cells = pool_.cells();
  cells.add(pool_.cluster().stats, ClusterStat::upstream_cx_rx_bytes_total, connection.bytes_received() - received_counted_);
  cells.add(pool_.cluster().stats, ClusterStat::upstream_cx_tx_bytes_total, connection.bytes_sent() - sent_counted_);
  cells.add(pool_.cluster().stats, ClusterStat::upstream_cx_protocol_error, std::exchange(peer_counts_.unasked_bytes, 0));
  cells.add(pool_.cluster().stats, ClusterStat::upstream_cx_close_notify, std::exchange(peer_counts_.close_announced, 0));
  received_counted_ = connection.bytes_received();
  sent_counted_ = connection.bytes_sent();
}

}  // namespace fairlead::upstream
