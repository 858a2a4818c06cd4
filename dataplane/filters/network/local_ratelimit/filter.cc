// See filter.h.
#include "dataplane/filters/network/local_ratelimit/filter.h"

#include <absl/strings/str_cat.h>

#include <map>
#include <mutex>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::filters::network::local_ratelimit {
namespace {

using filters::local_ratelimit::TokenBucket;

struct Factory final : stream::NetworkFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::NetworkFilter> create() const override { return std::make_unique<LocalRateLimit>(shared); }
};

// The bucket of a share_key lives while any filter has it. Main thread, but for the mutex that tests with several registries want.
std::shared_ptr<TokenBucket> bucket_for(const Config& config) {
  const auto make = [&] { return std::make_shared<TokenBucket>(config.bucket); };
  if (config.share_key.empty()) return make();
  static std::mutex mutex;
  static auto* shared = new std::map<std::string, std::weak_ptr<TokenBucket>>();
  const std::string key = absl::StrCat(config.share_key, "/", config.bucket.max, "/", config.bucket.per_fill, "/", config.bucket.interval.count());
  const std::lock_guard lock(mutex);
  std::erase_if(*shared, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<TokenBucket>& known = (*shared)[key];
  std::shared_ptr<TokenBucket> bucket = known.lock();
  if (bucket == nullptr) known = bucket = make();
  return bucket;
}

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::NetworkFactoryContext& context) -> stream::NetworkFilterRegistry::Made {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    shared->bucket = bucket_for(*shared->config);
    const std::string& prefix = shared->config->stat_prefix;
    shared->scope = context.stats.scope({absl::StrCat("local_rate_limit.", prefix, "."), "local_rate_limit.", {{"envoy.local_network_ratelimit_prefix", prefix}}});
    shared->stats = shared->scope->block<Stat>(kStats);
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::NetworkFilter::Status LocalRateLimit::on_new_connection() {
  stream::WorkerContext& worker = connection().worker();
  if (!shared_->config->enabled.on(worker.runtime())) return Status::kContinue;
  if (shared_->bucket->consume(worker.loop().now().time_since_epoch())) return Status::kContinue;
  worker.cells().add(shared_->stats, Stat::rate_limited);
  connection().info().flags.set(format::ResponseFlag::UpstreamRetryLimitExceeded);  // Envoy 1.40's choice
  connection().info().local_close_reason = "local_ratelimit_close_over_limit";
  connection().connection().close(net::CloseType::NoFlush);
  return Status::kWait;
}

}  // namespace fairlead::filters::network::local_ratelimit
