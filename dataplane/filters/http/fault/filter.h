// Injects faults: delays and aborts requests, slows responses down, for the share of requests that the configuration names.
// One per stream, in its arena; one worker. The number of active faults is shared by all workers (relaxed atomic).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/filters/http/fault/config.h"
#include "dataplane/filters/http/fault/rate_limiter.h"
#include "dataplane/net/timer.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::fault {

void register_filter(stream::FilterRegistry& registry);

// What all streams of one configured filter share.
struct Shared {
  struct PerCluster {
    stats::Counter aborts, delays;
  };
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  stats::Counter aborts, delays, overflow, limited;
  stats::Gauge active;
  std::atomic<uint32_t> active_count{0};
  // By worker: the counters of downstream clusters it has met. Names come from clients, so only that many are remembered.
  static constexpr size_t kMaxDownstreamClusters = 256;
  std::vector<absl::flat_hash_map<std::string, PerCluster>> clusters;
  const PerCluster* per_cluster(uint32_t worker, std::string_view name);
};

class FaultFilter final : public stream::Filter {
 public:
  explicit FaultFilter(Shared& shared) : shared_(shared) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus encode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;
  void on_stream_end() override;

 private:
  struct AbortCode {
    uint32_t http = 0;
    std::optional<uint32_t> grpc;
  };
  bool applies(const http::HeaderMap& headers);
  std::optional<std::chrono::milliseconds> delay_of(const http::HeaderMap& headers);
  std::optional<AbortCode> abort_of(const http::HeaderMap& headers);
  void set_up_rate_limit(const http::HeaderMap& headers);
  bool begin_fault();
  void abort(const AbortCode& code);
  bool hit(const Percentage& percentage, const http::HeaderMap& headers, std::string_view key_of_cluster);
  uint64_t number(const std::string& key, std::string_view key_of_cluster, uint64_t value) const;
  std::string cluster_key(std::string_view rest) const;
  stats::Cells& cells() const;

  Shared& shared_;
  const Settings* settings_ = nullptr;
  std::string_view downstream_cluster_;
  bool active_ = false;
  bool paused_ = false;                   // the upstream is held back
  http::HeaderMap* trailers_ = nullptr;   // of a slowed response
  std::optional<AbortCode> code_;
  std::optional<net::Timer> delay_timer_;
  std::optional<RateLimiter> limiter_;
};

}  // namespace fairlead::filters::fault
