// Answers health checks of the proxy itself, or passes them to the upstream and remembers the answer; marks them, so that they count in no
// statistics of requests. One per stream, in its arena; one worker. The remembered answer is shared by all workers (relaxed atomics).
#pragma once

#include <atomic>
#include <memory>

#include "dataplane/filters/http/health_check/config.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::health_check {

void register_filter(stream::FilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  std::string service_cluster;
  stats::ScopePtr scope;
  stats::Counter request_total, ok, failed, cached_response, failed_cluster_not_found, failed_cluster_empty, failed_cluster_unhealthy, degraded, traced;
  // The upstream's last answer: until when (steady clock) it counts, and what it was. The answer is written first.
  std::atomic<int64_t> cached_until{0};
  std::atomic<uint32_t> cached_status{0};
  std::atomic<bool> cached_degraded{false};
};

class HealthCheckFilter final : public stream::Filter {
 public:
  explicit HealthCheckFilter(Shared& shared) : shared_(shared) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus decode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus decode_trailers(http::HeaderMap& trailers) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  void on_stream_end() override;

 private:
  struct Verdict {
    uint32_t status = 200;
    std::string_view details;
    bool degraded = false;
  };
  void answer();
  Verdict judge();
  Verdict judge_clusters();
  int64_t now() const;

  Shared& shared_;
  bool is_check_ = false;
  bool answers_ = false;  // here, rather than the upstream
};

}  // namespace fairlead::filters::health_check
