// The router's request side: what a route says is done, then hosts, timeouts, replay and mirrors; see filter.h.
#include "dataplane/filters/http/router/filter.h"

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "base/hash.h"
#include "dataplane/filters/http/router/mirror.h"
#include "dataplane/filters/http/router/original_dst.h"
#include "dataplane/http/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/router/hash_policy.h"
#include "dataplane/router/rewrite.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/http_connection.h"

namespace fairlead::filters::router {

using fairlead::router::Match;
using fairlead::router::Route;
using format::ResponseFlag;
using format::TimePoint;
using http::Token;
using stats::ClusterStat;
using stats::HttpStat;
using std::chrono::milliseconds;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

std::optional<milliseconds> take_milliseconds(http::HeaderMap& headers, Token token) {
  const http::Header* header = headers.find(token);
  if (header == nullptr) return std::nullopt;
  int64_t value;
  const bool good = absl::SimpleAtoi(header->value(), &value) && value >= 0;
  headers.remove(token);
  return good ? std::optional(milliseconds(value)) : std::nullopt;
}

// grpc-timeout: up to eight digits and a unit.
std::optional<milliseconds> parse_grpc_timeout(std::string_view text) {
  int64_t value;
  if (text.size() < 2 || text.size() > 9 || !absl::SimpleAtoi(text.substr(0, text.size() - 1), &value) || value < 0) return std::nullopt;
  switch (text.back()) {
    case 'H': return std::chrono::hours(value);
    case 'M': return std::chrono::minutes(value);
    case 'S': return std::chrono::seconds(value);
    case 'm': return milliseconds(value);
    case 'u': return milliseconds((value + 999) / 1000);
    case 'n': return milliseconds((value + 999'999) / 1'000'000);
    default: return std::nullopt;
  }
}

}  // namespace

void register_filter(stream::FilterRegistry& registry) { registry.add_configured<RouterFilter, RouterConfig>("type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"); }

RouterFilter::~RouterFilter() = default;

HeadersStatus RouterFilter::decode_headers(http::HeaderMap& headers, bool end_stream) {
  match_ = &stream().route();
  headers_only_ = end_stream;
  if (answer_without_upstream(*match_, headers) || !find_cluster(*match_) || refuse_connect() || !headers_valid(headers) || drop_for_overload()) return HeadersStatus::kStop;
  const fairlead::router::RouteAction& action = match_->route->forward;
  read_timeouts(action, headers);
  set_stream_limits(action, headers);
  const fairlead::router::RetryPolicy* policy = action.retry_policy ? &*action.retry_policy : nullptr;
  if (policy != nullptr || headers.has(Token::XEnvoyRetryOn) || headers.has(Token::XEnvoyRetryGrpcOn)) {
    retry_.emplace(policy, headers);
    if (!retry_->enabled()) retry_.reset();
  }
  terminates_ = terminates(action, headers);
  rewrite_request(*match_, headers);
  if (const auto& http = cluster_->config().http; (http.auto_sni || http.auto_san_validation) && cluster_->shared().tls_stats != nullptr) choose_tls_names(http, headers);
  if (stream().manager().config().scheme_match_upstream) headers.set_ref(Token::PseudoScheme, cluster_->config().tls ? "https" : "http");
  awaiting_upgrade_ = stream().is_upgrade();
  if (!action.mirrors.empty() && !awaiting_upgrade_) choose_mirrors(headers);
  keeps_body_ = (retry_ || !mirrors_.empty() || (action.internal_redirects && !awaiting_upgrade_)) && !end_stream;
  const auto& limit = match_->route->extras.retry_buffer_limit ? match_->route->extras.retry_buffer_limit : match_->virtual_host->extras.retry_buffer_limit;
  keep_limit_ = limit.value_or(stream().buffer_limit());
  begin_attempt();
  if (end_stream && stream().active()) request_complete();
  // What is not granted in time is a timeout like any other. Envoy 1.40: but for a CONNECT
  if (awaiting_upgrade_ && stream().active() && !stream().is_connect()) arm_global();
  return HeadersStatus::kContinue;
}

bool RouterFilter::answer_without_upstream(const Match& match, http::HeaderMap& headers) {
  cells().add(stream().manager().stats, HttpStat::rq_total);
  if (match.outcome == Match::Outcome::RedirectToTls || (match.outcome == Match::Outcome::Route && match.route->action == Route::Action::Redirect)) {
    const std::string location = fairlead::router::redirect_location(match, headers, headers.get(Token::PseudoScheme));
    cells().add(stream().manager().stats, HttpStat::rq_direct_response);  // Envoy 1.40: redirects too
    stream().send_local_reply({.status = match.outcome == Match::Outcome::RedirectToTls ? 301 : match.route->extras.redirect.code, .details = "direct_response", .modify_headers = [&](http::HeaderMap& reply) {
                                 reply.add(Token::Location, location);
                                 if (match.route != nullptr) stream().route_table()->apply_response_headers(match, reply, stream().info());
                               }});
    return true;
  }
  if (match.outcome == Match::Outcome::Route && match.route->action == Route::Action::Direct) {
    cells().add(stream().manager().stats, HttpStat::rq_direct_response);
    const uint32_t status = match.route->extras.direct.status;
    std::string location;  // Envoy 1.40: of 201 and 3xx, the request's own
    if (status == 201 || status / 100 == 3) location = fairlead::router::redirect_location(match, headers, headers.get(Token::PseudoScheme));
    stream().route_table()->apply_request_headers(match, headers, stream().info());
    stream().send_local_reply({.status = status, .body = match.route->extras.direct.body, .details = "direct_response", .modify_headers = [&](http::HeaderMap& reply) {
                                 if (!location.empty()) reply.add(Token::Location, location);
                                 stream().route_table()->apply_response_headers(match, reply, stream().info());
                               }});
    return true;
  }
  if (match.outcome == Match::Outcome::Route && match.route->action == Route::Action::Forward) return false;
  cells().add(stream().manager().stats, HttpStat::no_route);
  stream().set_flag(ResponseFlag::NoRouteFound);
  stream().send_local_reply({.status = 404, .details = "route_not_found"});
  return true;
}

bool RouterFilter::find_cluster(const Match& match) {
  upstream::Cluster* cluster = stream().cluster();
  if (cluster == nullptr) {
    cells().add(stream().manager().stats, HttpStat::no_cluster);
    stream().set_flag(ResponseFlag::NoClusterFound);
    stream().send_local_reply({.status = match.route->forward.cluster_not_found_code, .details = "cluster_not_found"});
    return false;
  }
  cluster_ = upstream::Ref<upstream::Cluster>(cluster);
  return true;
}

// One that the connection manager has not allowed, and that a filter has led to a route since.
bool RouterFilter::refuse_connect() {
  if (!stream().is_connect() || stream().is_upgrade()) return false;
  stream().send_local_reply({.status = 403, .details = "upgrade_failed"});
  return true;
}

bool RouterFilter::terminates(const fairlead::router::RouteAction& action, const http::HeaderMap& headers) const {
  if (!action.connect) return false;
  return stream().is_connect() || (action.connect->allow_post && headers.get(Token::PseudoMethod) == "POST");
}

// Policy.drop_overloads; retries are not asked again.
bool RouterFilter::drop_for_overload() {
  if (!cluster_->drop_overload()) return false;
  const bool all = cluster_->endpoints()->drop_overload->per_million >= 1'000'000;
  stream().set_flag(all ? ResponseFlag::UnconditionalDropOverload : ResponseFlag::DropOverload);
  cluster_->count_drop(true);
  count_status(503);
  stream().send_local_reply({.status = 503, .body = all ? "unconditional drop overload" : "drop overload", .details = all ? "unconditional_drop_overload" : "drop_overload",
                             .modify_headers = [&](http::HeaderMap& reply) {
                               if (!config_.suppress_envoy_headers) reply.add_ref(all ? "x-envoy-unconditional-drop-overload" : "x-envoy-drop-overload", "true");
                             }});
  return true;
}

// strict_check_headers: numbers and retry words must be well formed, else 400 IH.
bool RouterFilter::headers_valid(const http::HeaderMap& headers) {
  for (const std::string& name : config_.strict_check_headers) {
    const http::Header* header = headers.find(name);
    if (header == nullptr) continue;
    bool good = true;
    uint32_t number;
    if (name == "x-envoy-retry-on" || name == "x-envoy-retry-grpc-on") {
      std::vector<std::string> unknown;
      fairlead::router::parse_retry_on(header->value(), &unknown);
      good = unknown.empty();
    } else {
      good = absl::SimpleAtoi(header->value(), &number);
    }
    if (good) continue;
    stream().set_flag(ResponseFlag::InvalidEnvoyRequestHeaders);
    stream().send_local_reply({.status = 400, .body = in_arena(absl::StrCat("invalid header '", name, "' with value '", header->value(), "'")), .details = in_arena(absl::StrCat("request_headers_failed_strict_check{", name, "}"))});
    return false;
  }
  return true;
}

void RouterFilter::read_timeouts(const fairlead::router::RouteAction& action, http::HeaderMap& headers) {
  const auto& duration = action.max_stream_duration;  // Envoy 1.40: its presence takes the place of the route's timeout
  if (!duration.max_stream_duration && !duration.grpc_timeout_header_max && !duration.grpc_timeout_header_offset) timeouts_.global = action.timeout;
  if (action.retry_policy) {
    timeouts_.per_try = action.retry_policy->per_try_timeout;
    timeouts_.per_try_idle = action.retry_policy->per_try_idle_timeout;
  }
  if (config_.respect_expected_rq_timeout && headers.has(Token::XEnvoyExpectedRqTimeoutMs)) {
    if (const auto expected = take_milliseconds(headers, Token::XEnvoyExpectedRqTimeoutMs)) timeouts_.global = *expected;
  } else if (const auto timeout = take_milliseconds(headers, Token::XEnvoyUpstreamRqTimeoutMs)) {
    timeouts_.global = *timeout;
  }
  if (stream().internal_request() && headers.has("x-envoy-upstream-rq-timeout-alt-response")) {  // strangers' is gone already
    empty_timeout_answer_ = true;
    headers.remove("x-envoy-upstream-rq-timeout-alt-response");
  }
  if (const auto per_try = take_milliseconds(headers, Token::XEnvoyUpstreamRqPerTryTimeoutMs)) timeouts_.per_try = *per_try;
  if (timeouts_.per_try >= timeouts_.global && timeouts_.global.count() != 0) timeouts_.per_try = milliseconds(0);
  announce_timeout(headers);
}

// x-envoy-expected-rq-timeout-ms: what this attempt may still take, counted from the end of the request.
void RouterFilter::announce_timeout(http::HeaderMap& headers) const {
  if (config_.suppress_envoy_headers) return;
  milliseconds expected = timeouts_.per_try.count() != 0 ? timeouts_.per_try : timeouts_.global;
  if (expected.count() <= 0) return;
  if (request_complete_ && timeouts_.global.count() > 0) {
    const auto elapsed = std::chrono::duration_cast<milliseconds>(stream().worker().loop().now() - complete_at_);
    // Envoy 1.40: out of time is 1 ms, as 0 would mean no limit
    expected = elapsed >= timeouts_.global ? milliseconds(1) : std::min(expected, timeouts_.global - elapsed);
  }
  if (expected.count() == 15000) {  // the usual route timeout needs no formatting
    headers.set_ref(Token::XEnvoyExpectedRqTimeoutMs, "15000");
  } else {
    headers.set(Token::XEnvoyExpectedRqTimeoutMs, absl::StrCat(expected.count()));
  }
}

void RouterFilter::set_stream_limits(const fairlead::router::RouteAction& action, http::HeaderMap& headers) {
  if (action.idle_timeout) stream().set_idle_timeout(*action.idle_timeout);
  const auto& limit = action.max_stream_duration;
  if (limit.max_stream_duration) stream().set_max_duration(*limit.max_stream_duration);
  if (limit.grpc_timeout_header_max && stream().is_grpc()) {
    auto timeout = parse_grpc_timeout(headers.get(Token::GrpcTimeout));
    if (!timeout) return;
    if (limit.grpc_timeout_header_max->count() != 0) timeout = std::min(*timeout, *limit.grpc_timeout_header_max);
    if (limit.grpc_timeout_header_offset) timeout = std::max(milliseconds(0), *timeout - *limit.grpc_timeout_header_offset);
    headers.set(Token::GrpcTimeout, absl::StrCat(timeout->count(), "m"));  // the upstream is told what is left
    stream().set_max_duration(std::max(milliseconds(1), *timeout));
  }
}

// Envoy 1.40: of the host as it is rewritten, unless that is the endpoint's to say.
void RouterFilter::choose_tls_names(const config::UpstreamHttpOptions& http, const http::HeaderMap& headers) {
  std::string_view name = http.auto_sni_header.empty() ? std::string_view() : headers.get(http.auto_sni_header);
  if (name.empty()) name = headers.get(Token::PseudoAuthority);
  if (name.starts_with('[')) {
    name = name.substr(1, name.find(']') - 1);
  } else if (const size_t colon = name.find(':'); colon != std::string_view::npos) {
    name = name.substr(0, colon);
  }
  tls_names_ = std::make_unique<upstream::MadeFor>();
  if (http.auto_sni && !net::Address::from_ip(name, 0).ok()) tls_names_->server_name = name;
  if (http.auto_san_validation) tls_names_->verify_name = name;
}

void RouterFilter::rewrite_request(const Match& match, http::HeaderMap& headers) {
  if (match.virtual_host->include_request_attempt_count) headers.set_ref(Token::XEnvoyAttemptCount, "1");
  if (stream().route_table()->changes_requests(match)) stream().route_table()->apply_request_headers(match, headers, stream().info());
  const auto& action = match.route->forward;
  std::string text;
  if (match.weighted != nullptr && !match.weighted->host_rewrite_literal.empty()) {  // Envoy 1.40: the route's own rewrite follows, and alone is told
    headers.set(Token::PseudoAuthority, match.weighted->host_rewrite_literal);
  }
  if (action.host_rewrite.kind != fairlead::router::HostRewrite::Kind::Auto && fairlead::router::rewrite_host(match, headers, {}, text)) set_host(headers, text);
  if (action.path_rewrite.kind != fairlead::router::PathRewrite::Kind::None) {
    const std::string_view path = headers.get(Token::PseudoPath);
    text.clear();
    if (fairlead::router::rewrite_path(*match.route, path, text)) {
      if (!config_.suppress_envoy_headers) headers.set_ref(Token::XEnvoyOriginalPath, path);
      headers.set(Token::PseudoPath, text);
    }
  }
  if (!stream().connect_port().empty()) headers.set(Token::PseudoAuthority, absl::StrCat(headers.get(Token::PseudoAuthority), stream().connect_port()));
}

void RouterFilter::set_host(http::HeaderMap& headers, std::string_view host) {
  const std::string_view before = headers.get(Token::PseudoAuthority);
  if (!host_rewritten_) {  // a retry may go to a host of another name: what the client asked for stays
    host_rewritten_ = true;
    if (!config_.suppress_envoy_headers) headers.set_ref(Token::XEnvoyOriginalHost, before);
    if (match_->route->forward.host_rewrite.append_x_forwarded_host && !before.empty()) headers.append(Token::XForwardedHost, before);
  }
  headers.set(Token::PseudoAuthority, host);
}

DataStatus RouterFilter::decode_data(net::Buffer& data, bool end_stream) {
  if (keeps_body_) keep_for_replay(data);
  if (!stream().active()) return DataStatus::kContinue;
  if (attempt_.active()) {
    attempt_.send_data(data, end_stream);
  }
  if (end_stream && stream().active()) request_complete();
  return DataStatus::kContinue;
}

TrailersStatus RouterFilter::decode_trailers(http::HeaderMap& trailers) {
  request_trailers_ = &trailers;
  if (attempt_.active()) attempt_.send_trailers(trailers);
  if (stream().active()) request_complete();
  return TrailersStatus::kContinue;
}

void RouterFilter::keep_for_replay(const net::Buffer& data) {
  if (!kept_body_) kept_body_.emplace();
  if (kept_body_->size() + data.size() > keep_limit_) return give_up_replay();
  kept_body_->append(data.share());
}

// The body is too large to be sent twice: no retry and no mirror any more.
void RouterFilter::give_up_replay() {
  cells().add(cluster_->shared().stats, ClusterStat::retry_or_shadow_abandoned);
  keeps_body_ = false;
  body_lost_ = true;
  kept_body_.reset();
  mirrors_.clear();
  retry_.reset();
  if (waiting_to_retry_) {
    stream().send_local_reply({.status = 507, .body = "exceeded request buffer limit while retrying upstream", .details = "request_payload_exceeded_retry_buffer_limit"});
  }
}

void RouterFilter::request_complete() {
  request_complete_ = true;
  complete_at_ = stream().worker().loop().now();
  if (!stream().is_upgrade()) arm_global();
  if (attempt_.ready()) arm_per_try();
  if (!mirrors_.empty()) send_mirrors();
}

void RouterFilter::arm_global() {
  if (timeouts_.global.count() != 0) stream().arm_timeout(timeouts_.global);
}

void RouterFilter::arm_per_try() {
  if (!request_complete_ || response_begun_) return;
  if (timeouts_.per_try.count() != 0) {
    if (!per_try_timer_) per_try_timer_.emplace(stream().worker().loop().timers(), [this] { on_per_try_timeout(); });
    per_try_timer_->arm(timeouts_.per_try);
  }
  if (timeouts_.per_try_idle.count() != 0) {
    if (!per_try_idle_timer_) per_try_idle_timer_.emplace(stream().worker().loop().timers(), [this] { on_per_try_idle(); });
    per_try_idle_timer_->arm(timeouts_.per_try_idle);
  }
}

void RouterFilter::choose_mirrors(http::HeaderMap&) {
  const matching::Runtime* runtime = stream().worker().runtime();
  for (const auto& policy : match_->route->forward.mirrors) {
    if (!policy.fraction || policy.fraction->match(stream().worker().random().next(), runtime)) mirrors_.push_back(&policy);
  }
}

void RouterFilter::send_mirrors() {
  http::HeaderMap& headers = stream().request_headers();
  for (const fairlead::router::MirrorPolicy* policy : mirrors_) {
    upstream::Cluster* cluster = stream().worker().clusters().find(fairlead::router::mirror_cluster(*policy, headers));
    if (cluster == nullptr) continue;
    http::HeaderMap copy = headers.copy_to(stream().arena());
    if (!policy->host_rewrite_literal.empty()) {
      copy.set(Token::PseudoAuthority, policy->host_rewrite_literal);
    } else if (!policy->disable_shadow_host_suffix) {
      // "name:80" becomes "name-shadow:80"
      const std::string_view host = copy.get(Token::PseudoAuthority);
      const size_t colon = host.rfind(':');
      const size_t end = colon == std::string_view::npos || host.find(']', colon) != std::string_view::npos ? host.size() : colon;
      copy.set(Token::PseudoAuthority, absl::StrCat(host.substr(0, end), "-shadow", host.substr(end)));
    }
    send_mirror(*cluster, copy, kept_body(), request_trailers_, timeouts_.global, match_->route->forward.high_priority);
  }
  mirrors_.clear();
}

upstream::Host* RouterFilter::pick_host() {
  if (cluster_->config().original_dst) return pick_original(*cluster_, stream().request_headers(), stream().info().dynamic_metadata, &stream().connection().connection());
  const fairlead::router::RouteAction& action = match_->route->forward;
  upstream::PickContext wish;
  if (!action.hash_policy.empty() && cluster_->config().lb.hashes()) {  // Envoy 1.40: nobody else asks, so no cookie is made either
    wish.hash = fairlead::router::hash_request(action.hash_policy, stream().request_headers(), stream().client_ip(), [this](const auto& cookie) { return new_cookie(cookie); });
  }
  if (const stream::OverrideHost* session = override_host(); session != nullptr) {
    wish.override_host = session->address;
    wish.strict_override = session->strict;
  }
  return hosts_.pick(*cluster_, action.retry_policy ? &*action.retry_policy : nullptr, wish, attempts_ > 0);
}

// Envoy 1.40: retries go anywhere. One after a connection that was lost while idle is no retry for the client, so the session holds.
const stream::OverrideHost* RouterFilter::override_host() const {
  const bool first = attempts_ == 0 || (attempts_ == 1 && lost_connection_retry_);
  return first && stream().override_host() ? &*stream().override_host() : nullptr;
}

// The same for every request of a connection, as several may be on their way before the client has the cookie.
std::string_view RouterFilter::new_cookie(const fairlead::router::HashMethod& cookie) {
  stream::HttpConnection& connection = stream().connection();
  const uint64_t hash = xx_hash64(absl::StrCat(connection.remote_text(), connection.local_text()));
  const std::string_view value = in_arena(absl::StrCat(absl::Hex(hash, absl::kZeroPad16)));
  set_cookies_.push_back(in_arena(fairlead::router::set_cookie(cookie.name, value, cookie.ttl, cookie.attributes)));  // Envoy 1.40: again with each attempt
  return value;
}

void RouterFilter::begin_attempt() {
  const stream::OverrideHost* session = override_host();
  upstream::Host* host = pick_host();
  ++attempts_;
  if (host == nullptr) {
    cells().add(cluster_->shared().stats, ClusterStat::upstream_cx_none_healthy);
    const uint32_t status = session != nullptr && session->strict ? session->missing_status : 503;
    return fail(status, "no healthy upstream", "no_healthy_upstream", ResponseFlag::NoHealthyUpstream);
  }
  if (attempts_ > 1) {  // Envoy 1.40: times are those of the last attempt
    for (const TimePoint point : {TimePoint::UpstreamTxBegin, TimePoint::UpstreamTxEnd, TimePoint::UpstreamRxBegin}) stream().times().set(point, std::chrono::nanoseconds(-1));
  }
  const auto& rewrite = match_->route->forward.host_rewrite;
  if (rewrite.kind == fairlead::router::HostRewrite::Kind::Auto) {
    std::string text;
    if (fairlead::router::rewrite_host(*match_, stream().request_headers(), host->hostname(), text)) set_host(stream().request_headers(), text);
  }
  outcome_open_ = load_noted_ = false;
  attempt_.start(*host, match_->route->forward.high_priority, terminates_ ? &*match_->route->forward.connect : nullptr, tls_names_.get());
}

void RouterFilter::on_attempt_ready() {
  stream().mark(TimePoint::UpstreamTxBegin);
  response_paused_ = response_paused_ || stream().response_blocked();  // an earlier response may still fill the client's connection
  if (response_paused_) attempt_.sender()->pause_reading();
  if (const auto& limit = cluster_->config().http.max_stream_duration) {
    if (!duration_timer_) duration_timer_.emplace(stream().worker().loop().timers(), [this] { on_max_duration(); });
    duration_timer_->arm(*limit);
  }
  arm_per_try();
}

void RouterFilter::on_downstream_blocked() {
  if (response_paused_) return;
  response_paused_ = true;
  if (attempt_.sender() == nullptr) return;
  cells().add(cluster_->shared().stats, ClusterStat::upstream_flow_control_paused_reading_total);
  attempt_.sender()->pause_reading();
}

void RouterFilter::on_downstream_ready() {
  if (!response_paused_) return;
  response_paused_ = false;
  if (attempt_.sender() == nullptr) return;
  cells().add(cluster_->shared().stats, ClusterStat::upstream_flow_control_resumed_reading_total);
  attempt_.sender()->resume_reading();
}

void RouterFilter::on_upstream_blocked() {
  cells().add(cluster_->shared().stats, ClusterStat::upstream_flow_control_backed_up_total);
  stream().pause_request();
}

void RouterFilter::on_upstream_ready() {
  cells().add(cluster_->shared().stats, ClusterStat::upstream_flow_control_drained_total);
  stream().resume_request();
}

void RouterFilter::describe(format::FormatContext& info) {
  info.upstream_attempts = attempts_;
  const upstream::Host* host = no_pool_ ? nullptr : attempt_.host();
  info.upstream_host = host != nullptr ? std::string_view(host->address_text()) : std::string_view();
  info.upstream_host_name = host != nullptr && !host->hostname().empty() ? std::string_view(host->hostname()) : info.upstream_host;
  info.upstream_host_metadata = host != nullptr ? host->metadata().get() : nullptr;
  attempt_.describe(info);
}

void RouterFilter::on_stream_end() {
  stream().disarm_timeout();
  for (Lazy<net::Timer>* timer : {&per_try_timer_, &per_try_idle_timer_, &back_off_timer_, &duration_timer_}) {
    if (*timer) (*timer)->disarm();
  }
  release_retry();
  attempt_.abandon();
}

}  // namespace fairlead::filters::router
