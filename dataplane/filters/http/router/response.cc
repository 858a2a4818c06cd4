// The router's response side: what comes back from an attempt, whether to try again, and what the client gets when nothing came; see filter.h.
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "dataplane/filters/http/router/filter.h"
#include "dataplane/http/grpc_status.h"
#include "dataplane/http/inline_headers.h"
#include "dataplane/http/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/http_connection.h"
#include "dataplane/upstream/orca.h"

namespace fairlead::filters::router {

using format::ResponseFlag;
using format::TimePoint;
using http::Token;
using stats::ClusterResponseStat;
using stats::ClusterStat;
using stats::HttpStat;
using std::chrono::milliseconds;
using upstream::ResetReason;

namespace {

constexpr char kHistoryKey = 0;  // of the stream's slot with its RedirectHistory

ResponseFlag flag_of(ResetReason reason) {
  switch (reason) {
    case ResetReason::kConnectFailure:
    case ResetReason::kLocalConnectFailure:
    case ResetReason::kConnectTimeout: return ResponseFlag::UpstreamConnectionFailure;
    case ResetReason::kConnectionTermination: return ResponseFlag::UpstreamConnectionTermination;
    case ResetReason::kOverflow: return ResponseFlag::UpstreamOverflow;
    case ResetReason::kNoPool: return ResponseFlag::NoHealthyUpstream;
    case ResetReason::kLocalReset: return ResponseFlag::LocalReset;
    case ResetReason::kRemoteReset:
    case ResetReason::kRemoteRefusedStream: return ResponseFlag::UpstreamRemoteReset;
    case ResetReason::kProtocolError: return ResponseFlag::UpstreamProtocolError;
  }
  return ResponseFlag::LocalReset;
}

// "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
std::string reset_details(std::string_view stem, ResetReason reason, std::string_view detail) {
  return absl::StrReplaceAll(absl::StrCat(stem, "{", upstream::reset_reason_text(reason), detail.empty() ? "" : "|", detail, "}"), {{" ", "_"}});
}

// A gRPC call has succeeded, or failed by the client's doing.
bool grpc_succeeded(const http::HeaderMap& headers) {
  uint32_t grpc = 0;
  return headers.has(Token::GrpcStatus) && absl::SimpleAtoi(headers.get(Token::GrpcStatus), &grpc) && http::http_status_of_grpc(grpc) < 500;
}

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" || method == "PUT" || method == "DELETE";
}

}  // namespace

void RouterFilter::count_status(uint32_t status) {
  upstream::SharedCluster& c = cluster_->shared();
  stats::Cells& counts = cells();
  const bool internal = stream().internal_request();
  count_status_class(ClusterResponseStat::upstream_rq_completed, status);
  count_status_class(internal ? ClusterResponseStat::internal_upstream_rq_completed : ClusterResponseStat::external_upstream_rq_completed, status);
  if (!config_.dynamic_stats) return;
  counts.add(cluster_->code_cache().find(c.codes, status));
  counts.add(internal ? cluster_->internal_code_cache().find(c.internal_codes, status) : cluster_->external_code_cache().find(c.external_codes, status));
}

// `completed` is the first of a family: completed, then 1xx to 5xx.
void RouterFilter::count_status_class(ClusterResponseStat completed, uint32_t status) {
  upstream::SharedCluster& c = cluster_->shared();
  cells().add(c.response_stats, completed);
  const uint32_t hundreds = status / 100;
  if (hundreds >= 1 && hundreds <= 5) cells().add(c.response_stats, static_cast<ClusterResponseStat>(static_cast<uint32_t>(completed) + hundreds));
}

void RouterFilter::on_max_duration() {
  cells().add(cluster_->shared().stats, ClusterStat::upstream_rq_max_duration_reached);
  stream().set_flag(ResponseFlag::UpstreamMaxStreamDurationReached);
  settle_outcome(false);
  if (response_begun_) return stream().reset("upstream_max_stream_duration_reached");
  if (attempt_.active()) ++attempt_.host()->counters.rq_error;
  attempt_.abandon();
  if (retry_reset(ResetReason::kLocalReset, true)) return;
  fail(504, "upstream max stream duration reached", "upstream_max_stream_duration_reached", ResponseFlag::UpstreamMaxStreamDurationReached);
}

void RouterFilter::disarm_try_timers() {
  if (per_try_timer_) per_try_timer_->disarm();
  if (per_try_idle_timer_) per_try_idle_timer_->disarm();
}

void RouterFilter::on_upstream_informational(http::HeaderMap& headers) {
  count_status(http::parse_status(headers.get(Token::PseudoStatus)));
  // Envoy 1.40 swallows every 1xx, not only 100, unless proxy_100_continue is set.
  if (!stream().manager().config().proxy_100_continue) return;
  stream().encode_informational(headers);
}

// For outlier detection and passive checks. A gRPC answer without messages says in its head what came of it.
void RouterFilter::report_health(const upstream::Host& host, uint32_t status, const http::HeaderMap& headers) {
  uint32_t grpc = 0;
  const bool told = stream().is_grpc() && headers.has(Token::GrpcStatus) && absl::SimpleAtoi(headers.get(Token::GrpcStatus), &grpc);
  host.report_status(told ? http::http_status_of_grpc(grpc) : status);
  if (headers.has(Token::XEnvoyImmediateHealthCheckFail)) host.report_immediate_fail();
}

// For /clusters and load reports. Envoy 1.40: of a gRPC call its status counts, and one that ends without is a failure
void RouterFilter::count_outcome(uint32_t status, const http::HeaderMap& headers, bool end_stream) {
  outcome_open_ = true;
  if (status >= 500) return settle_outcome(false);
  if (!stream().is_grpc()) return settle_outcome(true);
  if (end_stream) settle_outcome(grpc_succeeded(headers));
}

void RouterFilter::settle_outcome(bool good) {
  if (!std::exchange(outcome_open_, false)) return;
  upstream::HostCounters& counts = attempt_.host()->counters;
  ++(good ? counts.rq_success : counts.rq_error);
}

void RouterFilter::note_load(const http::HeaderMap& headers) {
  if (load_noted_) return;
  const auto report = upstream::read_orca(headers);
  if (!report.ok()) return;
  load_noted_ = true;
  upstream::visit_metrics(*report, cluster_->config().load_metrics, [host = attempt_.host()](std::string_view name, double value) { host->add_metric(name, value); });
}

void RouterFilter::on_upstream_headers(http::HeaderMap& headers, bool end_stream) {
  http::join_repeated(headers, http::MessageKind::kResponse);
  const uint32_t status = http::parse_status(headers.get(Token::PseudoStatus));
  stream().mark(TimePoint::UpstreamRxBegin);
  disarm_try_timers();
  upstream::Host& host = *attempt_.host();
  if (cluster_->wants_metrics()) note_load(headers);
  if (host.shared_health() != nullptr) report_health(host, status, headers);
  if (retry_ && retry_response(status, headers)) {
    ++host.counters.rq_error;  // Envoy 1.40: an answer that is tried again is one, whatever it says
    return;
  }
  count_outcome(status, headers, end_stream);
  if (follow_redirect(status, headers)) return;
  release_retry();
  response_begun_ = true;
  count_status(status);
  stream().set_details(lost_connection_retry_ ? "via_upstream_after_lost_connection" : "via_upstream");
  if (!config_.suppress_envoy_headers && request_complete_) {
    const auto took = std::chrono::duration_cast<milliseconds>(stream().worker().loop().now() - complete_at_).count();
    if (took < 10) {
      static constexpr std::string_view kDigits = "0123456789";
      headers.set_ref(Token::XEnvoyUpstreamServiceTime, kDigits.substr(took, 1));
    } else {
      headers.set(Token::XEnvoyUpstreamServiceTime, absl::StrCat(took));
    }
  }
  stream().set_response_code(status);
  for (const std::string_view cookie : set_cookies_) headers.add_ref(Token::SetCookie, cookie);
  if (stream().route_table()->changes_responses(*match_)) stream().route_table()->apply_response_headers(*match_, headers, stream().info());
  if (match_->virtual_host->include_attempt_count_in_response) headers.set(Token::XEnvoyAttemptCount, absl::StrCat(attempts_));
  if (awaiting_upgrade_) {
    awaiting_upgrade_ = false;
    if (stream().grants_tunnel(status)) {
      stream().disarm_timeout();
      keeps_body_ = false;  // nothing is sent twice any more
      kept_body_.reset();
      attempt_.flush_pending();
    } else if (!end_stream && !stream().is_connect()) {
      stream().set_details("websocket_handshake_unsuccessful");
    }
  }
  if (timeouts_.per_try_idle.count() != 0 && !end_stream) per_try_idle_timer_->arm(timeouts_.per_try_idle);
  if (end_stream) response_complete();
  stream().encode_headers(headers, end_stream);
}

void RouterFilter::on_upstream_data(net::Buffer& data, bool end_stream) {
  if (per_try_idle_timer_ && !end_stream) per_try_idle_timer_->arm(timeouts_.per_try_idle);
  if (end_stream) {
    settle_outcome(false);
    response_complete();
  }
  stream().encode_data(data, end_stream);
}

void RouterFilter::on_upstream_trailers(http::HeaderMap& trailers) {
  if (outcome_open_) settle_outcome(grpc_succeeded(trailers));
  if (cluster_->wants_metrics()) note_load(trailers);
  response_complete();
  stream().encode_trailers(trailers);
}

// Before the end goes downstream: the connection is free for others as soon as the request is complete too.
void RouterFilter::response_complete() {
  stream().mark(TimePoint::UpstreamRxEnd);
  stream().disarm_timeout();
  if (duration_timer_) duration_timer_->disarm();
  disarm_try_timers();
  const auto took = std::chrono::duration_cast<milliseconds>(request_complete_ ? stream().worker().loop().now() - complete_at_ : net::Duration(0)).count();
  upstream::SharedCluster& c = cluster_->shared();
  cells().record(c.response_stats, ClusterResponseStat::upstream_rq_time, took);
  cells().record(c.response_stats, stream().internal_request() ? ClusterResponseStat::internal_upstream_rq_time : ClusterResponseStat::external_upstream_rq_time, took);
  attempt_.abandon();
}

// Sends the request where a response points to. False: the response goes to the client.
bool RouterFilter::follow_redirect(uint32_t status, http::HeaderMap& response) {
  const fairlead::router::InternalRedirectPolicy* policy = match_->route->forward.internal_redirects.get();
  if (policy == nullptr || stream().is_upgrade() || !fairlead::router::follows(*policy, status)) return false;
  fairlead::router::RedirectHistory& history = redirect_history();
  const bool possible = request_complete_ && !body_lost_ && response.has(Token::Location);  // Envoy 1.40: not while the request is still coming
  const bool turned = possible && turn_request(*policy, status, response, history);
  cells().add(cluster_->shared().stats, turned ? ClusterStat::upstream_internal_redirect_succeeded_total : ClusterStat::upstream_internal_redirect_failed_total);
  if (!turned) return false;
  stream().start_over(response, "internal_redirect", kept_body_ ? std::move(*kept_body_) : net::Buffer());
  stream().slot(&kHistoryKey) = &history;
  return true;
}

// The request as it goes to the target; as it was when it may not go there.
bool RouterFilter::turn_request(const fairlead::router::InternalRedirectPolicy& policy, uint32_t status, const http::HeaderMap& response, fairlead::router::RedirectHistory& history) {
  using fairlead::router::RedirectObstacle;
  const auto refuse = [&](HttpStat why) {
    cells().add(stream().manager().stats, why);
    return false;
  };
  const bool from_https = stream().connection().tls() != nullptr;  // Envoy 1.40: what counts is the connection, whatever :scheme says
  fairlead::router::RedirectTarget target;
  switch (fairlead::router::find_obstacle(policy, response.get(Token::Location), from_https, history, target)) {
    case RedirectObstacle::None: break;
    case RedirectObstacle::BadLocation: return refuse(HttpStat::passthrough_internal_redirect_bad_location);
    case RedirectObstacle::UnsafeScheme: return refuse(HttpStat::passthrough_internal_redirect_unsafe_scheme);
    case RedirectObstacle::TooMany: return refuse(HttpStat::passthrough_internal_redirect_too_many_redirects);
  }
  http::HeaderMap& request = stream().request_headers();
  http::HeaderMap before = request.copy_to(stream().arena());
  fairlead::router::point_to(target, policy, response, request);
  match_ = stream().arena().make<fairlead::router::Match>(*match_);  // what is answered here is still answered by the first route
  stream().clear_route_cache();
  const fairlead::router::Match& next = stream().route();
  const bool routed = next.route != nullptr || next.outcome == fairlead::router::Match::Outcome::RedirectToTls;
  const std::string_view next_name = next.route != nullptr ? std::string_view(next.route->name) : std::string_view();
  if (!routed || !fairlead::router::may_lead_to(policy, match_->route->name, next_name, from_https, target.https(), history, stream().arena())) {
    request = std::move(before);
    return refuse(routed ? HttpStat::passthrough_internal_redirect_predicate : HttpStat::passthrough_internal_redirect_no_route);
  }
  const std::string_view method = request.get(Token::PseudoMethod);
  if (status == 303 && method != "GET" && method != "HEAD") {  // RFC 9110 section 15.4.4
    request.set_ref(Token::PseudoMethod, "GET");
    request.remove(Token::ContentLength);
    kept_body_.reset();
  }
  ++history.followed;
  request.set("x-envoy-original-url", absl::StrCat("http://", before.get(Token::PseudoAuthority), before.get(Token::PseudoPath)));
  return true;
}

fairlead::router::RedirectHistory& RouterFilter::redirect_history() {
  void*& slot = stream().slot(&kHistoryKey);
  if (slot == nullptr) slot = stream().arena().make<fairlead::router::RedirectHistory>();
  return *static_cast<fairlead::router::RedirectHistory*>(slot);
}

void RouterFilter::release_retry() {
  if (!holds_retry_) return;
  holds_retry_ = false;
  cluster_->shared().breakers[match_->route->forward.high_priority ? 1 : 0].retries.give_back();
}

// Turns a verdict into a retry to come. False: the outcome stands.
bool RouterFilter::schedule_retry(RetryVerdict verdict) {
  upstream::SharedCluster& c = cluster_->shared();
  if (verdict == RetryVerdict::kExhausted) {
    stream().set_flag(ResponseFlag::UpstreamRetryLimitExceeded);
    cells().add(c.stats, ClusterStat::upstream_rq_retry_limit_exceeded);
  }
  if (verdict == RetryVerdict::kNo && attempts_ > 1) cells().add(c.stats, ClusterStat::upstream_rq_retry_success);
  if (verdict != RetryVerdict::kYes) return false;
  upstream::Breakers& breakers = c.breakers[match_->route->forward.high_priority ? 1 : 0];
  release_retry();
  if (!breakers.can_retry()) {
    stream().set_flag(ResponseFlag::UpstreamOverflow);
    cells().add(c.stats, ClusterStat::upstream_rq_retry_overflow);
    return false;
  }
  breakers.retries.take();
  holds_retry_ = true;
  cells().add(c.stats, ClusterStat::upstream_rq_retry);
  cells().add(c.stats, retry_->rate_limited() ? ClusterStat::upstream_rq_retry_backoff_ratelimited : ClusterStat::upstream_rq_retry_backoff_exponential);
  attempt_.abandon();
  waiting_to_retry_ = true;
  if (!back_off_timer_) back_off_timer_.emplace(stream().worker().loop().timers(), [this] { replay(); });
  back_off_timer_->arm(retry_->back_off(stream().worker().random()));
  return true;
}

bool RouterFilter::retry_response(uint32_t status, const http::HeaderMap& headers) {
  const RetryVerdict verdict = retry_->on_response_headers(status, headers);
  if (!schedule_retry(verdict)) return false;
  count_status_class(ClusterResponseStat::retry_upstream_rq_completed, status);
  if (config_.dynamic_stats) cells().add(cluster_->retry_code_cache().find(cluster_->shared().retry_codes, status));
  return true;
}

bool RouterFilter::retry_reset(ResetReason reason, bool request_left) { return retry_ && schedule_retry(retry_->on_reset(reason, request_left)); }

// An idle connection that the upstream closed just as we chose it is no fault of the request. It is sent again once, whatever the retry
// policy, if that is certain to be safe: it never left, or repeating it changes nothing.
bool RouterFilter::retry_lost_connection(ResetReason reason) {
  if (reason != ResetReason::kConnectionTermination || lost_connection_retry_ || !attempt_.lost_reused_connection()) return false;
  if (!headers_only_ && !keeps_body_) return false;
  if (attempt_.request_left() && !is_idempotent(stream().request_headers().get(Token::PseudoMethod))) return false;
  lost_connection_retry_ = true;
  cells().add(cluster_->shared().stats, ClusterStat::upstream_rq_retry);
  if (!back_off_timer_) back_off_timer_.emplace(stream().worker().loop().timers(), [this] { replay(); });
  waiting_to_retry_ = true;
  back_off_timer_->arm(milliseconds(0));
  return true;
}

void RouterFilter::replay() {
  waiting_to_retry_ = false;
  if (match_->virtual_host->include_request_attempt_count) stream().request_headers().set("x-envoy-attempt-count", absl::StrCat(attempts_ + 1));
  if (match_->virtual_host->include_is_timeout_retry_header) stream().request_headers().set("x-envoy-is-timeout-retry", timeout_retry_ ? "true" : "false");
  timeout_retry_ = false;
  announce_timeout(stream().request_headers());
  begin_attempt();
  if (!stream().active() || !attempt_.active()) return;
  if (!headers_only_ && (request_complete_ || (kept_body_ && !kept_body_->empty()))) {
    net::Buffer body = kept_body();
    attempt_.send_data(body, request_complete_ && request_trailers_ == nullptr);
    if (request_trailers_ != nullptr && attempt_.active()) attempt_.send_trailers(*request_trailers_);
  }
}

void RouterFilter::on_attempt_reset(ResetReason reason, std::string_view detail) {
  disarm_try_timers();
  if (reason == ResetReason::kProtocolError && !attempt_.http2()) cells().add(cluster_->shared().stats, ClusterStat::upstream_cx_protocol_error);
  if (!stream().active()) return;
  if (response_begun_) {
    settle_outcome(false);
    attempt_.host()->report_local(upstream::LocalResult::ConnectFailed);
    stream().set_flag(flag_of(reason));
    return stream().reset(in_arena(reset_details("upstream_reset_after_response_started", reason, detail)));
  }
  if (reason == ResetReason::kNoPool) {
    no_pool_ = true;
    return fail(503, "no healthy upstream", "no_healthy_upstream", ResponseFlag::NoHealthyUpstream);
  }
  upstream::Host& host = *attempt_.host();
  if (reason == ResetReason::kRemoteReset && !attempt_.http2()) cells().add(cluster_->shared().stats, ClusterStat::upstream_rq_rx_reset);
  if (retry_lost_connection(reason)) return;
  if (reason != ResetReason::kOverflow) ++host.counters.rq_error;  // Envoy 1.40: that a breaker is open is no host's failure
  if (reason != ResetReason::kOverflow && reason != ResetReason::kLocalConnectFailure) host.report_local(upstream::LocalResult::ConnectFailed);  // Envoy 1.40: whatever ended it
  if (retry_reset(reason, attempt_.request_left())) return;
  if (upstream::never_connected(reason)) stream().mutable_info().upstream_transport_failure_reason = in_arena(absl::StrReplaceAll(detail, {{" ", "_"}}));
  const std::string body = absl::StrCat("upstream connect error or disconnect/reset before headers. ", attempts_ > 1 ? "retried and the latest " : "", "reset reason: ", upstream::reset_reason_text(reason));
  fail(reason == ResetReason::kProtocolError ? 502 : 503, body, in_arena(reset_details("upstream_reset_before_response_started", reason, detail)), flag_of(reason), reason == ResetReason::kOverflow);
}

void RouterFilter::fail(uint32_t status, std::string_view body, std::string_view details, ResponseFlag flag, bool overloaded) {
  release_retry();
  response_begun_ = true;
  stream().set_flag(flag);
  if (overloaded) cluster_->count_drop(false);
  count_status(status);
  stream().send_local_reply({.status = status, .body = body, .details = details, .modify_headers = [&](http::HeaderMap& reply) {
                               if (overloaded && !config_.suppress_envoy_headers) reply.add_ref(Token::XEnvoyOverloaded, "true");
                               if (match_->virtual_host->include_attempt_count_in_response) reply.set(Token::XEnvoyAttemptCount, absl::StrCat(attempts_));
                             }});
}

void RouterFilter::fail_timeout(std::string_view details) {
  fail(empty_timeout_answer_ ? 204 : 504, empty_timeout_answer_ ? "" : "upstream request timeout", details, ResponseFlag::UpstreamRequestTimeout);
}

void RouterFilter::on_timeout() {
  cells().add(cluster_->shared().stats, ClusterStat::upstream_rq_timeout);
  if (attempt_.host() != nullptr) ++attempt_.host()->counters.rq_timeout;
  if (!response_begun_ && attempt_.active()) {
    ++attempt_.host()->counters.rq_error;
    attempt_.host()->report_local(upstream::LocalResult::TimedOut);
  }
  if (response_begun_) {
    settle_outcome(false);
    stream().set_flag(ResponseFlag::UpstreamRequestTimeout);
    return stream().reset("response_timeout");
  }
  fail_timeout("response_timeout");
}

void RouterFilter::on_per_try_timeout() {
  cells().add(cluster_->shared().stats, ClusterStat::upstream_rq_per_try_timeout);
  if (attempt_.host() != nullptr) {
    ++attempt_.host()->counters.rq_timeout;
    ++attempt_.host()->counters.rq_error;
    attempt_.host()->report_local(upstream::LocalResult::TimedOut);
  }
  timeout_retry_ = true;
  if (retry_reset(ResetReason::kLocalReset, true)) return;
  fail_timeout("upstream_per_try_timeout");
}

void RouterFilter::on_per_try_idle() {
  cells().add(cluster_->shared().stats, ClusterStat::upstream_rq_per_try_idle_timeout);
  if (attempt_.host() != nullptr) attempt_.host()->report_local(upstream::LocalResult::TimedOut);
  if (!response_begun_ && attempt_.host() != nullptr) ++attempt_.host()->counters.rq_error;
  if (response_begun_) {
    settle_outcome(false);
    stream().set_flag(ResponseFlag::UpstreamRequestTimeout);
    return stream().reset("upstream_per_try_idle_timeout");
  }
  timeout_retry_ = true;
  if (retry_reset(ResetReason::kLocalReset, true)) return;
  fail_timeout("upstream_per_try_idle_timeout");
}

}  // namespace fairlead::filters::router
