// The router: the terminal HTTP filter. Answers redirects, direct responses and missing routes itself; otherwise picks cluster and host,
// sends the request through the worker's pools, retries, mirrors, follows redirects where the route says so, and streams the response back
// with flow control in both directions.
// One per stream, in its arena; one worker. At most one attempt is in flight at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <absl/container/inlined_vector.h>

#include "dataplane/filters/http/router/config.h"
#include "dataplane/filters/http/router/host_choice.h"
#include "dataplane/filters/http/router/lazy.h"
#include "dataplane/filters/http/router/retry_state.h"
#include "dataplane/filters/http/router/upstream_request.h"
#include "dataplane/net/timer.h"
#include "dataplane/router/internal_redirect.h"
#include "dataplane/stream/filter.h"
#include "dataplane/stream/stream.h"
#include "dataplane/upstream/pool/proxy_header.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::router {

// Makes the router known to connection managers. At start-up, once.
void register_filter(stream::FilterRegistry& registry);

class RouterFilter final : public stream::Filter {
 public:
  explicit RouterFilter(const RouterConfig& config) : config_(config), attempt_(*this) {}
  ~RouterFilter() override;

  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus decode_trailers(http::HeaderMap& trailers) override;
  void on_downstream_blocked() override;
  void on_downstream_ready() override;
  void on_timeout() override;
  void describe(format::FormatContext& info) override;
  void on_stream_end() override;
  // What is kept for a retry may be the very bytes that are on their way.
  size_t held_bytes() const override { return std::max(attempt_.held_bytes(), kept_body_ ? kept_body_->size() : size_t{0}); }

  // --- from the attempt ---------------------------------------------------------------------------------------------------------
  using Filter::stream;
  bool request_is_headers_only() const { return headers_only_; }
  // An upgrade's bytes wait until the upstream has accepted it.
  bool holds_body() const { return awaiting_upgrade_; }
  void on_attempt_ready();
  void on_attempt_reset(upstream::ResetReason reason, std::string_view detail);
  void on_upstream_headers(http::HeaderMap& headers, bool end_stream);
  void on_upstream_informational(http::HeaderMap& headers);
  void on_upstream_data(net::Buffer& data, bool end_stream);
  void on_upstream_trailers(http::HeaderMap& trailers);
  void on_upstream_blocked();
  void on_upstream_ready();
  void count_reset(stats::ClusterStat stat) { cells().add(cluster_->shared().stats, stat); }

 private:
  struct Timeouts {
    std::chrono::milliseconds global{0}, per_try{0}, per_try_idle{0};
  };

  bool answer_without_upstream(const fairlead::router::Match& match, http::HeaderMap& headers);
  bool find_cluster(const fairlead::router::Match& match);
  bool refuse_connect();
  bool terminates(const fairlead::router::RouteAction& action, const http::HeaderMap& headers) const;
  bool drop_for_overload();
  void read_timeouts(const fairlead::router::RouteAction& action, http::HeaderMap& headers);
  void announce_timeout(http::HeaderMap& headers) const;
  void set_stream_limits(const fairlead::router::RouteAction& action, http::HeaderMap& headers);
  void choose_tls_names(const config::UpstreamHttpOptions& http, const http::HeaderMap& headers);
  void rewrite_request(const fairlead::router::Match& match, http::HeaderMap& headers);
  void set_host(http::HeaderMap& headers, std::string_view host);
  bool headers_valid(const http::HeaderMap& headers);
  void choose_mirrors(http::HeaderMap& headers);
  void send_mirrors();
  void begin_attempt();
  upstream::Host* pick_host();
  const stream::OverrideHost* override_host() const;
  std::string_view new_cookie(const fairlead::router::HashMethod& cookie);
  void request_complete();
  void arm_global();
  void arm_per_try();
  void keep_for_replay(const net::Buffer& data);
  net::Buffer kept_body() const { return kept_body_ ? kept_body_->share() : net::Buffer(); }
  void give_up_replay();

  bool follow_redirect(uint32_t status, http::HeaderMap& response);
  bool turn_request(const fairlead::router::InternalRedirectPolicy& policy, uint32_t status, const http::HeaderMap& response, fairlead::router::RedirectHistory& history);
  fairlead::router::RedirectHistory& redirect_history();

  bool retry_response(uint32_t status, const http::HeaderMap& headers);
  bool retry_reset(upstream::ResetReason reason, bool request_left);
  bool retry_lost_connection(upstream::ResetReason reason);
  bool schedule_retry(RetryVerdict verdict);
  void disarm_try_timers();
  void release_retry();
  void replay();

  void fail_timeout(std::string_view details);
  void on_per_try_timeout();
  void on_per_try_idle();
  void on_max_duration();
  void response_complete();
  void fail(uint32_t status, std::string_view body, std::string_view details, format::ResponseFlag flag, bool overloaded = false);
  void report_health(const upstream::Host& host, uint32_t status, const http::HeaderMap& headers);
  void count_outcome(uint32_t status, const http::HeaderMap& headers, bool end_stream);
  void settle_outcome(bool good);
  void note_load(const http::HeaderMap& headers);
  void count_status(uint32_t status);
  void count_status_class(stats::ClusterResponseStat completed, uint32_t status);
  stats::Cells& cells() const { return stream().worker().cells(); }
  std::string_view in_arena(std::string_view text) const { return stream().arena().copy(text); }

  const RouterConfig& config_;
  upstream::Ref<upstream::Cluster> cluster_;
  const fairlead::router::Match* match_ = nullptr;     // the stream's, or a copy once the stream has looked for another route
  UpstreamRequest attempt_;
  uint32_t attempts_ = 0;
  Timeouts timeouts_;
  Lazy<RetryState> retry_;
  Lazy<net::Timer> per_try_timer_, per_try_idle_timer_, back_off_timer_, duration_timer_;
  HostChoice hosts_;
  absl::InlinedVector<std::string_view, 1> set_cookies_;  // for the response, of the hash policy; in the arena
  absl::InlinedVector<const fairlead::router::MirrorPolicy*, 1> mirrors_;
  Lazy<net::Buffer> kept_body_;                        // for retries and mirrors
  const http::HeaderMap* request_trailers_ = nullptr;
  net::TimePoint complete_at_{};                       // when the request was complete
  uint64_t keep_limit_ = 0;
  bool keeps_body_ = false;
  bool body_lost_ = false;          // more than is kept: nothing can be sent twice
  bool terminates_ = false;         // the bytes of the request go to the upstream as they are
  std::unique_ptr<upstream::MadeFor> tls_names_;  // null: the request gives none
  bool headers_only_ = false;
  bool request_complete_ = false;
  bool awaiting_upgrade_ = false;
  bool host_rewritten_ = false;
  bool response_begun_ = false;
  bool response_paused_ = false;
  bool empty_timeout_answer_ = false;  // asked for: 204 in place of 504
  bool timeout_retry_ = false;      // the retry to come follows a timeout of the attempt
  bool holds_retry_ = false;        // a retry is counted in the cluster's breaker
  bool lost_connection_retry_ = false;
  bool waiting_to_retry_ = false;
  bool no_pool_ = false;            // for the chosen host
  bool outcome_open_ = false;       // a gRPC call's, which its trailers will tell
  bool load_noted_ = false;         // what the endpoint says of it, once an attempt
};

}  // namespace fairlead::filters::router
