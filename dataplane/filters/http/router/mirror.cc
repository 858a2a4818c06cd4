// A mirrored request on its own; see mirror.h.
#include "dataplane/filters/http/router/mirror.h"

#include "dataplane/filters/http/router/original_dst.h"

#include <optional>

#include "dataplane/http/codec.h"
#include "dataplane/http/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/net/timer.h"
#include "dataplane/upstream/pool/pooled_session.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::router {
namespace {

class Mirror final : public net::Deferred, public http::MessageReceiver, public upstream::PoolRequest {
 public:
  Mirror(upstream::Cluster& cluster, upstream::Host& host, const http::HeaderMap& headers, net::Buffer body, const http::HeaderMap* trailers)
      : cluster_(&cluster), host_(&host), headers_(headers.copy_to(arena_)), body_(std::move(body)), timer_(cluster.env().loop.timers(), [this] { on_timeout(); }) {
    if (trailers != nullptr) trailers_.emplace(trailers->copy_to(arena_));
  }

  void start(std::chrono::milliseconds timeout, bool high_priority) {
    if (timeout.count() != 0) timer_.arm(timeout);
    host_->acquire(*this, high_priority, http::Protocol::Http11);
  }

  void on_pool_ready(upstream::PooledStream& stream) override {
    stream_ = &stream;
    sender_ = &stream.open(*this);
    const bool headers_only = body_.empty() && !trailers_;
    sender_->send_headers(headers_, headers_only);
    if (!body_.empty()) sender_->send_data(body_, !trailers_);
    if (trailers_) sender_->send_trailers(*trailers_);
  }
  void on_pool_failure(upstream::ResetReason reason, std::string_view) override {
    if (reason != upstream::ResetReason::kOverflow && reason != upstream::ResetReason::kNoPool) ++host_->counters.rq_error;
    done(false);
  }

  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap& headers, bool end_stream) override {
    answered_ = true;
    ++(http::parse_status(headers.get(http::Token::PseudoStatus)) < 500 ? host_->counters.rq_success : host_->counters.rq_error);
    if (end_stream) done();
  }
  void on_data(net::Buffer& data, bool end_stream) override {
    data.clear();
    if (end_stream) done();
  }
  void on_trailers(http::HeaderMap&) override { done(); }
  void on_reset(http::ResetReason, std::string_view) override {
    if (!answered_) ++host_->counters.rq_error;
    done(false);
  }

 private:
  void on_timeout() {
    if (!answered_) ++host_->counters.rq_error;
    cancel();
    if (sender_ != nullptr) std::exchange(sender_, nullptr)->reset(http::ResetReason::LocalReset);
    done(false);
  }

  void done(bool complete = true) {
    sender_ = nullptr;
    timer_.disarm();
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->release(complete);
    cluster_->env().loop.delete_later(this);
  }

  http::Arena arena_;
  upstream::Ref<upstream::Cluster> cluster_;
  upstream::Ref<upstream::Host> host_;
  http::HeaderMap headers_;
  net::Buffer body_;
  std::optional<http::HeaderMap> trailers_;
  upstream::PooledStream* stream_ = nullptr;
  http::MessageSender* sender_ = nullptr;
  bool answered_ = false;
  net::Timer timer_;
};

}  // namespace

void send_mirror(upstream::Cluster& cluster, const http::HeaderMap& headers, net::Buffer body, const http::HeaderMap* trailers, std::chrono::milliseconds timeout, bool high_priority) {
  upstream::Host* host = cluster.config().original_dst ? pick_original(cluster, headers, nullptr, nullptr) : cluster.pick({});
  if (host == nullptr) {
    cluster.env().cells.add(cluster.shared().stats, stats::ClusterStat::upstream_cx_none_healthy);
    return;
  }
  (new Mirror(cluster, *host, headers, std::move(body), trailers))->start(timeout, high_priority);
}

}  // namespace fairlead::filters::router
