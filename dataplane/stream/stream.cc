// The life of a request: begin, headers, filters, response, end; see stream.h. The filters' part is in filter_chain.cc.
#include "dataplane/stream/stream.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>

#include <memory>
#include <utility>

#include "dataplane/http/inline_headers.h"
#include "dataplane/http/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/http_connection.h"
#include "dataplane/stream/local_reply.h"
#include "dataplane/stream/request_headers.h"

namespace fairlead::stream {

using format::ResponseFlag;
using format::TimePoint;
using http::Token;
using stats::HttpStat;
using stats::ListenerHttpStat;
using std::chrono::milliseconds;

namespace {
// In the place of a discovered filter that has no configuration. Envoy 1.40: no body, no details.
class MissingFilterConfig final : public Filter {
  HeadersStatus decode_headers(http::HeaderMap&, bool) override {
    stream().set_flag(ResponseFlag::NoFilterConfigFound);
    stream().send_local_reply({.status = 500});
    return HeadersStatus::kStop;
  }
};

}  // namespace

Stream::Stream(WorkerContext& worker)
    : worker_(worker),
      idle_timer_(worker.loop().timers(), [this] { on_idle_timeout(); }),
      timeout_timer_(worker.loop().timers(), [this] { on_timeout(); }),
      again_task_(net::LoopTask::of<&Stream::run_again>(this)),
      recycle_task_(net::LoopTask::of<&Stream::recycle>(this)) {}

Stream::~Stream() = default;

const ConnectionManager& Stream::manager() const { return connection_->manager(); }
std::chrono::nanoseconds Stream::since_start() const { return worker_.loop().now() - start_; }

void Stream::begin(HttpConnection& connection, http::MessageSender& sender) {
  connection_ = &connection;
  sender_ = &sender;
  active_ = true;
  start_ = worker_.loop().now();
  random_ = worker_.random().next();
  buffer_limit_ = manager().listener().per_connection_buffer_limit;
  epoch_ = worker_.epoch();
  next_active_ = worker_.first_active_;
  if (next_active_ != nullptr) next_active_->prev_active_ = this;
  worker_.first_active_ = this;
  record_.times.set(TimePoint::DownstreamRxBegin, std::chrono::nanoseconds(0));
  record_.start = worker_.loop().wall_now();
  if (!manager().access_log().empty()) connection.local_text();  // while there is a socket to ask: the line may be written when the client has gone
  count_request();
  if (const auto timeout = manager().config().request_timeout; timeout.count() != 0) arm(request_timer_, timeout, &Stream::on_request_timeout);
}

void Stream::arm(std::unique_ptr<net::Timer>& timer, milliseconds after, void (Stream::*action)()) {
  if (timer == nullptr) timer = std::make_unique<net::Timer>(worker_.loop().timers(), [this, action] { (this->*action)(); });
  timer->arm(after);
}

// A pass through the filters begins.
void Stream::count_request() {
  stats::Cells& cells = worker_.cells();
  const auto& stats = manager().stats;
  cells.add(stats, HttpStat::downstream_rq_total);
  cells.add(stats, HttpStat::downstream_rq_active);
  cells.add(stats, connection_->http2() ? HttpStat::downstream_rq_http2_total : HttpStat::downstream_rq_http1_total);
  const config::HcmConfig& config = manager().config();
  set_idle_timeout(config.stream_idle_timeout);
  if (config.max_stream_duration.count() != 0) arm(duration_timer_, config.max_stream_duration, &Stream::on_max_duration);
}

void Stream::on_headers(http::HeaderMap& headers, bool end_stream) {
  connection_->head_complete();
  request_headers_ = &headers;
  decode_.ended = end_stream;
  request_complete_ = end_stream;
  if (end_stream) {
    mark(TimePoint::DownstreamRxEnd);
    if (request_timer_ != nullptr) request_timer_->disarm();
  }
  touch();
  if (worker_.overload().refuses_requests() && refuse_for_overload()) return;
  if (prepare_request() && active_) enter_filters();
}

// Envoy 1.40: as soon as the headers are there, before they are looked at.
bool Stream::refuse_for_overload() {
  if (bypasses_overload() || (!worker_.sheds(config::ShedAt::RequestHeaders) && !OverloadState::drawn(worker_.overload().stop_requests, worker_.random()))) return false;
  head_ = request_headers_->get(Token::PseudoMethod) == "HEAD";
  grpc_ = has_grpc_content_type(*request_headers_);
  worker_.cells().add(manager().overload_close);
  set_flag(ResponseFlag::OverloadManager);
  LocalReply reply{.status = 503, .body = "envoy overloaded", .details = "overload"};
  if (manager().config().append_local_overload) reply.modify_headers = [](http::HeaderMap& headers) { headers.add("x-envoy-local-overloaded", "true"); };
  send_local_reply(reply);
  return true;
}

bool Stream::bypasses_overload() const { return manager().listener().bypass_overload; }

uint64_t Stream::held_bytes() const {
  uint64_t bytes = sender_ != nullptr ? sender_->held_bytes() : 0;
  for (const Direction* direction : {&decode_, &encode_})
    if (direction->held != nullptr) bytes += direction->held->size();
  for (uint8_t i = 0; i < filter_count_; ++i) bytes += filters_[i]->held_bytes();
  return bytes;
}

void Stream::reset_for_overload() {
  set_flag(ResponseFlag::OverloadManager);
  reset("overload");
}

void Stream::rescale_timeouts() {
  if (idle_timeout_.count() == 0 || bypasses_overload()) return;
  const milliseconds was = idle_now_;
  idle_now_ = worker_.overload().scaled(config::ScaledTimer::StreamIdle, idle_timeout_);
  if (idle_timer_.armed()) idle_timer_.arm_at(idle_timer_.deadline() - was + idle_now_);
}

void Stream::enter_filters() {
  if (!manager().access_log().empty()) {
    const config::HcmConfig& config = manager().config();
    if (config.flush_access_log_on_new_request) write_access_log(format::LogType::DownstreamStart);
    if (config.access_log_flush_interval) arm(log_timer_, *config.access_log_flush_interval, &Stream::on_log_interval);
  }
  create_filters();
  pass_headers<true>(0);
}

// Checks and normalises; false when the request has been answered here.
bool Stream::prepare_request() {
  http::HeaderMap& headers = *request_headers_;
  const config::HcmConfig& config = manager().config();
  http::join_repeated(headers, http::MessageKind::kRequest);
  const std::string_view method = headers.get(Token::PseudoMethod);
  head_ = method == "HEAD";
  grpc_ = has_grpc_content_type(headers);  // Envoy 1.40: as the request came, whatever early mutation makes of it
  find_upgrade();
  if (headers.has(Token::Expect) && !config.proxy_100_continue && absl::EqualsIgnoreCase(headers.get(Token::Expect), "100-continue")) {
    http::HeaderMap go_on(arena_);
    go_on.add_ref(Token::PseudoStatus, "100");
    sender_->send_informational(go_on);
    count_response(100);
    headers.remove(Token::Expect);
  }
  if (config.headers_with_underscores != config::HcmConfig::HeadersWithUnderscores::Allow && !check_underscores(headers, config.headers_with_underscores == config::HcmConfig::HeadersWithUnderscores::DropHeader)) {
    record_.flags.set(ResponseFlag::DownstreamProtocolError);
    if (connection_->http2()) {
      reset("http2.unexpected_underscore");
      return false;
    }
    connection_->close_after_response();
    send_local_reply({.status = 400, .body = http::reason_phrase(400), .details = "http1.unexpected_underscore"});
    return false;
  }
  if (!config.early_header_changes.empty()) {  // Envoy 1.40: after what its codec looks at, before all else
    router::apply(config.early_header_changes, headers, info());
    connection_described_ = false;  // the client's address is yet to be found
    http::join_repeated(headers, http::MessageKind::kRequest);
    find_upgrade();
  }
  if (!check_target()) return false;
  if (!clean_hop_by_hop(headers, tunnel_ && asks_for_upgrade(headers))) return refuse(400, "connection_header_rejected");
  net::Connection& connection = connection_->connection();
  // the snapshot that came with the next form of a listener that drains still knows its discovered filters, later ones do not
  if (manager().discovery() != nullptr && connection_->kept_epoch() && !(epoch_ && epoch_->snapshot().filters.contains(manager().discovery()))) epoch_ = connection_->kept_epoch();
  table_ = epoch_ ? epoch_->snapshot().route_table(config.routes) : nullptr;
  if (table_ == nullptr && connection_->kept_epoch()) {
    epoch_ = connection_->kept_epoch();
    table_ = epoch_->snapshot().route_table(config.routes);
  }
  const Peer peer{.remote = &connection.remote_address(), .remote_ip = config.use_remote_address || !config.ip_detections.empty() ? std::string_view(connection_->remote_ip()) : std::string_view(),
                  .local_ip = manager().local_ip(), .local_port = static_cast<uint16_t>(config.append_x_forwarded_port ? connection.local_address().port() : 0),
                  .tls = connection_->tls() != nullptr, .certificates = config.client_cert_header != config::ClientCertHeader::Sanitize ? connection_->tls_facts() : nullptr,
                  .service_cluster = manager().service_cluster(), .service_node = manager().service_node()};
  const Origin origin = set_origin_headers(headers, config, peer, table_ != nullptr ? &table_->internal_only_headers() : nullptr, random_, worker_.random().next());
  if (origin.reject_status != 0) {
    worker_.cells().add(manager().stats, HttpStat::downstream_rq_rejected_via_ip_detection);
    return refuse(origin.reject_status, "rejecting_because_detection_failed");
  }
  internal_ = origin.internal;
  client_ip_ = origin.client_ip;
  record_.request_id = headers.get(Token::XRequestId);
  return !tunnel_ || judge_upgrade();
}

bool Stream::refuse(uint32_t status, std::string_view details) {
  send_local_reply({.status = status, .details = details});
  return false;
}

// Host and path, of the client or of a redirect; normalises both.
bool Stream::check_target() {
  http::HeaderMap& headers = *request_headers_;
  if (!headers.has(Token::PseudoAuthority)) return refuse(400, "missing_host_header");
  const std::string_view path = headers.get(Token::PseudoPath);
  if ((path.empty() || path[0] != '/') && !connect_) {
    worker_.cells().add(manager().stats, HttpStat::downstream_rq_non_relative_path);
    return refuse(404, "absolute_path_rejected");
  }
  PathResult normal = normalize_path(path, manager().path_options());
  if (normal.verdict == PathVerdict::kReject) {
    worker_.cells().add(manager().stats, HttpStat::downstream_rq_failed_path_normalization);
    return refuse(400, "path_normalization_failed");
  }
  if (normal.path) headers.set(Token::PseudoPath, *normal.path);
  if (normal.verdict == PathVerdict::kRedirect) {
    worker_.cells().add(manager().stats, HttpStat::downstream_rq_redirected_with_normalized_path);
    send_local_reply({.status = 307, .details = "path_normalization_failed", .modify_headers = [this](http::HeaderMap& h) { h.add_ref(Token::Location, request_headers_->get(Token::PseudoPath)); }});
    return false;
  }
  const config::HcmConfig& config = manager().config();
  if (config.strip_any_host_port || config.strip_matching_host_port || config.strip_trailing_host_dot) strip_port();
  return true;
}

void Stream::strip_port() {
  http::HeaderMap& headers = *request_headers_;
  const std::string_view before = headers.get(Token::PseudoAuthority);
  strip_host(headers, manager().config(), connection_->connection().local_address().port());
  const size_t colon = before.rfind(':');
  if (!connect_ || colon == std::string_view::npos || before.find(']', colon) != std::string_view::npos) return;
  if (!absl::EndsWith(headers.get(Token::PseudoAuthority), before.substr(colon))) connect_port_ = before.substr(colon);
}

void Stream::find_upgrade() {
  connect_ = request_headers_->get(Token::PseudoMethod) == "CONNECT";
  tunnel_ = connect_ || (request_headers_->has(Token::Upgrade) && asks_for_upgrade(*request_headers_));
}

// HTTP/2 over an upgrade is ignored, as in Envoy.
bool Stream::judge_upgrade() {
  http::HeaderMap& headers = *request_headers_;
  const std::string_view type = headers.get(Token::Upgrade);  // empty: a CONNECT
  if (!connect_ && absl::EqualsIgnoreCase(type, "h2c")) {
    headers.remove(Token::Upgrade);
    headers.remove(Token::Connection);
    tunnel_ = false;
    return true;
  }
  stats::Cells& cells = worker_.cells();
  if ((connect_ && !upgrade_allowed("connect")) || (!type.empty() && !upgrade_allowed(type))) {
    if (route().route != nullptr || route().outcome == router::Match::Outcome::RedirectToTls) {
      cells.add(manager().stats, HttpStat::downstream_rq_ws_on_non_ws_route);
      connection_->close_after_response();
      return refuse(403, "upgrade_failed");
    }
    // The router answers 404. Should a filter find another route, nothing is upgraded there.
    headers.remove(Token::Upgrade);
    headers.remove(Token::Connection);
    return true;
  }
  upgrade_ = true;
  cells.add(manager().stats, HttpStat::downstream_cx_upgrades_total);
  cells.add(manager().stats, HttpStat::downstream_cx_upgrades_active);
  return true;
}

// The route's word on an upgrade type counts before the connection manager's.
bool Stream::upgrade_allowed(std::string_view type) {
  const std::string wanted = absl::AsciiStrToLower(type);
  const router::Match& match = route();
  if (match.outcome == router::Match::Outcome::Route && match.route->action == router::Route::Action::Forward) {
    for (const router::UpgradeOption& option : match.route->forward.upgrades) {
      if (option.type == wanted) return option.enabled;
    }
  }
  for (const router::UpgradeOption& option : manager().config().upgrades) {
    if (option.type == wanted) return option.enabled;
  }
  return false;
}

const router::Match& Stream::route() {
  if (!route_known_) {
    route_known_ = true;
    match_ = {};
    if (table_ != nullptr && request_headers_ != nullptr) {
      match_ = table_->match(*request_headers_, {.scheme = request_headers_->get(Token::PseudoScheme), .internal = internal_, .random = random_, .source_ip = client_ip(), .runtime = runtime(),
                                                   .certificate_presented = connection_->tls() != nullptr && connection_->tls()->peer_presented(),
                                                   .certificate_validated = connection_->tls() != nullptr && connection_->tls()->peer_validated(),
                                                   .dynamic_metadata = connection_->info() != nullptr ? connection_->info()->dynamic_metadata.get() : nullptr});
      find_cluster();
    }
  }
  return match_;
}

std::string_view Stream::client_ip() const { return client_ip_.empty() ? std::string_view(connection_->remote_ip()) : client_ip_; }

void Stream::find_cluster() {
  cluster_.reset();
  if (match_.route != nullptr && !match_.cluster.empty()) cluster_ = upstream::Ref<upstream::Cluster>(worker_.clusters().find(match_.cluster));
}

const router::PerFilter* Stream::per_filter(std::string_view name) { return table_ == nullptr ? nullptr : table_->per_filter(name, route()); }

const router::PerFilterConfig* Stream::per_route_config(const Filter& filter) {
  const router::PerFilter* entry = per_filter(manager().filters()[filter_entries_[filter.index_]].name);
  return entry == nullptr ? nullptr : entry->config.get();
}

absl::InlinedVector<const router::PerFilterConfig*, 4> Stream::per_route_configs(const Filter& filter) {
  absl::InlinedVector<const router::PerFilterConfig*, 4> found;
  if (table_ == nullptr) return found;
  const std::string& name = filter_name(filter);
  const router::Match& match = route();
  const auto look_in = [&](const std::vector<router::PerFilter>& level) {
    const router::PerFilter* entry = router::find_per_filter(level, name);
    if (entry != nullptr && entry->config != nullptr) found.push_back(entry->config.get());
  };
  if (match.weighted != nullptr) look_in(match.weighted->per_filter);
  if (match.route != nullptr) look_in(match.route->extras.per_filter);
  if (match.virtual_host != nullptr) look_in(match.virtual_host->extras.per_filter);
  look_in(table_->per_filter());
  return found;
}

const std::string& Stream::filter_name(const Filter& filter) const { return manager().filters()[filter_entries_[filter.index_]].name; }
const matching::Runtime* Stream::runtime() const { return epoch_ ? epoch_->snapshot().runtime.get() : nullptr; }

void*& Stream::slot(const void* key) {
  for (Slot* s = slots_; s != nullptr; s = s->next) {
    if (s->key == key) return s->value;
  }
  slots_ = new (arena_.allocate(sizeof(Slot), alignof(Slot))) Slot{key, nullptr, slots_};
  return slots_->value;
}

void Stream::create_filters() {
  const auto& configured = manager().filters();
  filters_ = static_cast<Filter**>(arena_.allocate(configured.size() * sizeof(Filter*), alignof(Filter*)));
  filter_entries_ = reinterpret_cast<uint8_t*>(arena_.bytes(configured.size()));
  for (size_t i = 0; i < configured.size(); ++i) {
    if (i + 1 < configured.size()) {  // the terminal filter is always there
      const router::PerFilter* entry = per_filter(configured[i].name);
      if (entry != nullptr ? entry->disabled : configured[i].disabled) continue;
    }
    const FilterFactory* factory = configured[i].factory.get();
    if (configured[i].discovery != nullptr) factory = discovered_filter(*configured[i].discovery);
    Filter* filter = factory != nullptr ? factory->create(arena_) : make_filter<MissingFilterConfig>(arena_);
    filter->stream_ = this;
    filter->index_ = filter_count_;
    filter_entries_[filter_count_] = static_cast<uint8_t>(i);
    filters_[filter_count_++] = filter;
  }
}

const FilterFactory* Stream::discovered_filter(const config::FilterDiscovery& filter) const {
  if (!epoch_) return nullptr;
  const auto& filters = epoch_->snapshot().filters;
  const auto it = filters.find(&filter);
  return it == filters.end() ? nullptr : it->second.factory.get();
}

void Stream::on_data(net::Buffer& data, bool end_stream) {
  record_.bytes.body_received += data.size();
  if (end_stream) {
    request_complete_ = true;
    mark(TimePoint::DownstreamRxEnd);
    if (request_timer_ != nullptr) request_timer_->disarm();
  }
  touch();
  if (!decoding_stopped_) {
    arrived_data<true>(data, end_stream);
  } else if (end_stream && response_complete_) {
    end(true);
  }
}

void Stream::on_trailers(http::HeaderMap& trailers) {
  request_trailers_ = &trailers;
  request_complete_ = true;
  mark(TimePoint::DownstreamRxEnd);
  if (request_timer_ != nullptr) request_timer_->disarm();
  touch();
  if (!decoding_stopped_) {
    arrived_trailers<true>(trailers);
  } else if (response_complete_) {
    end(true);
  }
}

void Stream::on_reset(http::ResetReason reason, std::string_view detail) {
  take_wire_bytes();
  if (active_) describe();  // while the protocol is known
  sender_ = nullptr;
  if (!active_) return;
  if (!response_complete_) {
    const bool by_stream = connection_->http2() && (reason == http::ResetReason::RemoteReset || reason == http::ResetReason::ProtocolError || reason == http::ResetReason::RemoteRefused);
    record_.flags.set(!by_stream ? ResponseFlag::DownstreamConnectionTermination : reason == http::ResetReason::ProtocolError ? ResponseFlag::DownstreamProtocolError : ResponseFlag::DownstreamRemoteReset);
    record_.response_code_details = by_stream ? detail : "downstream_remote_disconnect";
  }
  end(false);
}

void Stream::on_protocol_error(const http::ProtocolError& error) {
  decoding_stopped_ = true;
  if (error.downstream_protocol_error) record_.flags.set(ResponseFlag::DownstreamProtocolError);
  if (error.overload) record_.flags.set(ResponseFlag::OverloadManager);
  if (request_headers_ == nullptr) request_headers_ = const_cast<http::HeaderMap*>(error.headers);  // ours: it is in our arena
  if (request_headers_ != nullptr) {
    head_ = request_headers_->get(Token::PseudoMethod) == "HEAD";
    if (request_headers_->get(Token::PseudoAuthority).empty()) request_headers_->remove(Token::PseudoAuthority);
  }
  if (response_begun_) return reset(error.details);
  send_local_reply({.status = error.status, .body = !error.body.empty() ? error.body : error.downstream_protocol_error ? http::reason_phrase(error.status) : std::string_view(), .details = error.details});
}

void Stream::on_write_blocked() {
  if (writer_blocked_) return;
  writer_blocked_ = true;
  pause_response();
}

void Stream::on_write_ready() {
  touch();
  if (!writer_blocked_) return;
  writer_blocked_ = false;
  resume_response();
}

void Stream::pause_response() {
  if (response_pauses_++ == 0 && filter_count_ != 0) filters_[filter_count_ - 1]->on_downstream_blocked();
}

void Stream::resume_response() {
  if (--response_pauses_ == 0 && filter_count_ != 0) filters_[filter_count_ - 1]->on_downstream_ready();
}

void Stream::answer(http::HeaderMap& headers, std::string_view details) {
  decoding_stopped_ = true;
  if (!active_) return;
  if (response_begun_ || response_headers_known_) return reset(details);
  record_.response_code_details = details;
  answered_here_ = true;
  encode_ = {};
  begin_response(headers, true);
}

void Stream::send_local_reply(const LocalReply& reply) {
  decoding_stopped_ = true;
  if (!active_) return;
  if (response_begun_ || response_headers_known_) return reset(reply.details);
  record_.response_code_details = reply.details;
  record_.response_code = reply.status;
  auto* headers = arena_.make<http::HeaderMap>(arena_);
  // Header operations of the route that answers count for answers in its place. Direct responses and redirects bring their own.
  const router::Match* match = route_known_ || filter_count_ != 0 ? &route() : nullptr;
  const bool has_operations = match != nullptr && match->outcome == router::Match::Outcome::Route && match->route->action == router::Route::Action::Forward;
  if (has_operations && table_->changes_responses(*match)) table_->apply_response_headers(*match, *headers, info());
  format::FormatContext& info = describe();
  const std::string_view body = make_local_reply(reply, manager().config(), grpc_, head_, info, random_, runtime(), *headers);
  record_.response_code = info.response_code;
  answered_here_ = true;
  encode_ = {};
  begin_response(*headers, body.empty());
  if (body.empty() || !active_) return;
  net::Buffer data(body);
  arrived_data<false>(data, true);
}

void Stream::encode_informational(http::HeaderMap& headers) {
  touch();
  if (sender_ == nullptr || response_begun_) return;
  count_response(http::parse_status(headers.get(Token::PseudoStatus)));
  sender_->send_informational(headers);
}

void Stream::encode_headers(http::HeaderMap& headers, bool end_stream) {
  if (!answered_here_) begin_response(headers, end_stream);
}

void Stream::begin_response(http::HeaderMap& headers, bool end_stream) {
  touch();
  response_headers_ = &headers;
  response_headers_known_ = true;
  encode_.ended = end_stream;
  pass_headers<false>(0);
}

void Stream::encode_data(net::Buffer& data, bool end_stream) {
  if (answered_here_) return data.clear();
  touch();
  arrived_data<false>(data, end_stream);
}

void Stream::encode_trailers(http::HeaderMap& trailers) {
  if (answered_here_) return;
  touch();
  record_.response_trailers = &trailers;
  arrived_trailers<false>(trailers);
}

void Stream::respond_headers(bool end_stream) {
  http::HeaderMap& headers = *response_headers_;
  const uint32_t status = http::parse_status(headers.get(Token::PseudoStatus));
  const std::string_view request_id = request_headers_ != nullptr ? request_headers_->get(Token::XRequestId) : std::string_view();
  finish_response(headers, manager().config(), request_id, status == 101, worker_.loop().wall_now());
  const bool granted = grants_tunnel(status);
  if (upgrade_ && !granted) {  // refused: an exchange like any other
    upgrade_ = false;
    worker_.cells().sub(manager().stats, HttpStat::downstream_cx_upgrades_active);
  }
  response_begun_ = true;
  if (request_timer_ != nullptr) request_timer_->disarm();
  record_.response_code = status;
  mark(TimePoint::DownstreamTxBegin);
  count_response(status);
  if (!request_complete_) {
    worker_.cells().add(manager().stats, HttpStat::downstream_rq_response_before_rq_complete);
    // Rather than wait for a rest that nobody reads; other streams of an HTTP/2 connection go on.
    if (!granted && sender_->protocol() < http::Protocol::Http2) {
      headers.set_ref(Token::Connection, "close");
      connection_->close_after_response();
    }
  }
  connection_->response_closes();
  sender_->send_headers(headers, end_stream);
  if (end_stream) response_sent();
}

void Stream::count_response(uint32_t status) {
  stats::Cells& cells = worker_.cells();
  const ConnectionManager& m = manager();
  cells.add(m.stats, HttpStat::downstream_rq_completed);
  cells.add(m.listener_stats, ListenerHttpStat::downstream_rq_completed);
  const uint32_t hundreds = status / 100;
  if (health_check_) return;
  if (hundreds < 1 || hundreds > 5) return;
  cells.add(m.stats, static_cast<HttpStat>(static_cast<uint32_t>(HttpStat::downstream_rq_1xx) + hundreds - 1));
  cells.add(m.listener_stats, static_cast<ListenerHttpStat>(static_cast<uint32_t>(ListenerHttpStat::downstream_rq_1xx) + hundreds - 1));
}

// end_stream of the response is with the codec. The stream is over unless the rest of an upload is still to be read and dropped.
void Stream::response_sent() {
  response_complete_ = true;
  decoding_stopped_ = true;
  mark(TimePoint::DownstreamTxEnd);
  end(request_complete_);
}

void Stream::reset(std::string_view details) {
  if (!active_) return;
  record_.response_code_details = details;
  worker_.cells().add(manager().stats, HttpStat::downstream_rq_tx_reset);
  if (response_begun_) worker_.cells().add(manager().stats, HttpStat::rq_reset_after_downstream_response_started);
  const bool upstream_lost = has_flag(ResponseFlag::UpstreamConnectionTermination) || has_flag(ResponseFlag::UpstreamConnectionFailure);
  if (sender_ != nullptr) sender_->reset(upstream_lost ? http::ResetReason::ConnectionTermination : http::ResetReason::LocalReset);
  end(false);
}

void Stream::start_over(http::HeaderMap& response, std::string_view details, net::Buffer body) {
  response_headers_ = &response;
  record_.response_code = http::parse_status(response.get(Token::PseudoStatus));
  record_.response_code_details = details;
  close_pass();
  past_filters_ = arena_.make<PastFilters>(PastFilters{filters_, filter_count_, past_filters_});
  filters_ = nullptr;
  filter_count_ = 0;
  decode_ = {};
  encode_ = {};
  response_headers_ = request_trailers_ = nullptr;
  route_known_ = false;
  match_ = {};
  cluster_.reset();
  slots_ = nullptr;
  override_host_.reset();
  health_check_ = decoding_stopped_ = false;
  buffer_limit_ = manager().listener().per_connection_buffer_limit;
  response_pauses_ = writer_blocked_ ? 1 : 0;
  const Record first = std::exchange(record_, {});  // Envoy 1.40: time goes on, and so do the bytes of the body
  record_.start = first.start;
  record_.request_id = first.request_id;
  record_.bytes.body_received = first.bytes.body_received;
  for (const TimePoint point : {TimePoint::DownstreamRxBegin, TimePoint::DownstreamRxEnd}) {
    if (const auto at = first.times.get(point)) record_.times.set(point, *at);
  }
  if (format_ != nullptr) *format_ = {};
  connection_described_ = false;
  if (duration_timer_ != nullptr) duration_timer_->disarm();
  connection_->request_begins_again();
  count_request();
  body_again_ = body.empty() ? nullptr : std::make_unique<net::Buffer>(std::move(body));
  worker_.loop().run_soon(again_task_);
}

void Stream::run_again() {
  if (!active_) return;
  net::Buffer body;
  if (body_again_ != nullptr) body = std::move(*std::exchange(body_again_, nullptr));
  decode_.ended = body.empty();
  if (!check_target() || !active_) return;
  enter_filters();
  if (body.empty() || !active_ || decoding_stopped_) return;
  record_.bytes.body_received += body.size();
  arrived_data<true>(body, true);
}

void Stream::end(bool complete) {
  active_ = timeout_armed_ = false;
  if (prev_active_ != nullptr || worker_.first_active_ == this) {
    (prev_active_ != nullptr ? prev_active_->next_active_ : worker_.first_active_) = next_active_;
    if (next_active_ != nullptr) next_active_->prev_active_ = prev_active_;
    prev_active_ = next_active_ = nullptr;
  }
  for (net::Timer* timer : {request_timer_.get(), duration_timer_.get()}) {
    if (timer != nullptr) timer->disarm();
  }
  if (!complete) worker_.cells().add(manager().stats, HttpStat::downstream_rq_rx_reset);
  if (upgrade_) worker_.cells().sub(manager().stats, HttpStat::downstream_cx_upgrades_active);
  close_pass();
  sender_ = nullptr;
  connection_->stream_ended();
  worker_.loop().run_soon(recycle_task_);
}

// The filters are done with the request, and it is logged.
void Stream::close_pass() {
  for (uint8_t i = 0; i < filter_count_; ++i) filters_[i]->on_stream_end();
  stats::Cells& cells = worker_.cells();
  cells.sub(manager().stats, HttpStat::downstream_rq_active);
  const auto took = since_start();
  cells.record(manager().stats, HttpStat::downstream_rq_time, std::chrono::duration_cast<milliseconds>(took).count());
  record_.times.set(TimePoint::StreamEnd, took);
  if (log_timer_ != nullptr) log_timer_->disarm();
  if (!manager().access_log().empty()) write_access_log(format::LogType::DownstreamEnd);
}

void Stream::set_idle_timeout(milliseconds timeout) {
  idle_timeout_ = timeout;
  idle_now_ = bypasses_overload() ? timeout : worker_.overload().scaled(config::ScaledTimer::StreamIdle, timeout);
  if (timeout.count() == 0) {
    idle_timer_.disarm();
  } else {
    touch();
  }
}

void Stream::set_max_duration(milliseconds timeout) {
  if (timeout.count() == 0) {
    if (duration_timer_ != nullptr) duration_timer_->disarm();
  } else {
    arm(duration_timer_, timeout, &Stream::on_max_duration);
    duration_timer_->arm_at(start_ + timeout);
  }
}

void Stream::arm_timeout(milliseconds after) {
  timeout_armed_ = true;
  timeout_timer_.arm(after);
}

void Stream::on_timeout() {
  if (std::exchange(timeout_armed_, false) && active_ && filter_count_ != 0) filters_[filter_count_ - 1]->on_timeout();
}

void Stream::on_request_timeout() {
  worker_.cells().add(manager().stats, HttpStat::downstream_rq_timeout);
  timed_out(408, "request timeout", "request_overall_timeout");
}

// Envoy 1.40: DEADLINE_EXCEEDED for gRPC, whatever the status
void Stream::on_max_duration() {
  worker_.cells().add(manager().stats, HttpStat::downstream_rq_max_duration_reached);
  send_local_reply({.status = request_complete_ ? 504u : 408u, .body = "downstream duration timeout", .details = "max_duration_timeout", .grpc_status = 4});
}

void Stream::on_log_interval() {
  write_access_log(format::LogType::DownstreamPeriodic);
  arm(log_timer_, *manager().config().access_log_flush_interval, &Stream::on_log_interval);
}

void Stream::on_idle_timeout() {
  if (!active_) return;  // the timer of a stream that is over
  worker_.cells().add(manager().stats, HttpStat::downstream_rq_idle_timeout);
  record_.flags.set(ResponseFlag::StreamIdleTimeout);
  timed_out(request_complete_ ? 504 : 408, "stream timeout", "stream_idle_timeout");
}

void Stream::timed_out(uint32_t status, std::string_view body, std::string_view details) { send_local_reply({.status = status, .body = body, .details = details}); }

void Stream::destroy_filters() {
  for (uint8_t i = 0; i < filter_count_; ++i) filters_[i]->~Filter();
  for (PastFilters* past = std::exchange(past_filters_, nullptr); past != nullptr; past = past->next) {
    for (uint8_t i = 0; i < past->count; ++i) past->filters[i]->~Filter();
  }
}

// At the end of the turn, when nothing on the stack can still refer to the request.
void Stream::recycle() {
  destroy_filters();
  again_task_.cancel();
  body_again_.reset();
  filters_ = nullptr;
  filter_entries_ = nullptr;
  filter_count_ = 0;
  decode_ = {};
  encode_ = {};
  request_headers_ = request_trailers_ = response_headers_ = nullptr;
  epoch_.reset();
  table_ = nullptr;
  match_ = {};
  cluster_.reset();
  record_ = {};
  if (format_ != nullptr) worker_.give_back(std::move(format_));
  client_ip_ = connect_port_ = {};
  connection_ = nullptr;
  slots_ = nullptr;
  override_host_.reset();
  response_pauses_ = 0;
  health_check_ = writer_blocked_ = false;
  route_known_ = internal_ = grpc_ = head_ = upgrade_ = connect_ = tunnel_ = request_complete_ = decoding_stopped_ = false;
  response_begun_ = response_headers_known_ = answered_here_ = response_complete_ = connection_described_ = false;
  arena_.reset();
  worker_.give_back(std::unique_ptr<Stream>(this));
}

}  // namespace fairlead::stream
