// See filter.h.
#include "dataplane/filters/listener/local_ratelimit/filter.h"

#include <absl/strings/str_cat.h>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::filters::listener::local_ratelimit {
namespace {

struct Factory final : stream::ListenerFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<LocalRateLimit>(shared); }
};

}  // namespace

void register_filter(stream::ListenerFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::ListenerFactoryContext& context) {
    auto shared = std::make_shared<Shared>(std::static_pointer_cast<const Config>(std::move(config)));
    const std::string& prefix = shared->config->stat_prefix;
    shared->scope = context.stats.scope({absl::StrCat("listener_local_ratelimit.", prefix, "."), "listener_local_ratelimit.", {{"envoy.local_listener_ratelimit_prefix", prefix}}});
    shared->stats = shared->scope->block<Stat>(kStats);
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::ListenerFilter::Status LocalRateLimit::on_accept(stream::AcceptedSocket& socket) {
  stream::WorkerContext& worker = socket.worker();
  if (!shared_->config->enabled.on(worker.runtime())) return Status::kContinue;
  if (shared_->bucket.consume(worker.loop().now().time_since_epoch())) return Status::kContinue;
  worker.cells().add(shared_->stats, Stat::rate_limited);
  return Status::kClose;
}

}  // namespace fairlead::filters::listener::local_ratelimit
