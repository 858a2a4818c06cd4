// See filter.h.
#include "dataplane/filters/network/connection_limit/filter.h"

#include <absl/strings/str_cat.h>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::filters::network::connection_limit {
namespace {

struct Factory final : stream::NetworkFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::NetworkFilter> create() const override { return std::make_unique<ConnectionLimit>(shared); }
};

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::NetworkFactoryContext& context) -> stream::NetworkFilterRegistry::Made {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    const std::string& prefix = shared->config->stat_prefix;
    shared->scope = context.stats.scope({absl::StrCat("connection_limit.", prefix, "."), "connection_limit.", {{"envoy.connection_limit_prefix", prefix}}});
    shared->stats = shared->scope->block<Stat>(kStats);
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::NetworkFilter::Status ConnectionLimit::on_new_connection() {
  stream::WorkerContext& worker = connection().worker();
  if (!shared_->config->enabled.on(worker.runtime())) return Status::kContinue;
  cells_ = &worker.cells();
  cells_->add(shared_->stats, Stat::active_connections);
  // Envoy 1.40: one that waits to be closed counts too
  if (shared_->connections.fetch_add(1, std::memory_order_relaxed) < shared_->config->max_connections) return Status::kContinue;
  cells_->add(shared_->stats, Stat::limited_connections);
  if (shared_->config->delay.count() == 0) {
    refuse();
  } else {
    delay_ = std::make_unique<net::Timer>(worker.loop().timers(), [this] { refuse(); });
    delay_->arm(shared_->config->delay);
  }
  return Status::kWait;
}

void ConnectionLimit::refuse() {
  connection().info().local_close_reason = "over_connection_limit";
  connection().connection().close(net::CloseType::NoFlush);
}

void ConnectionLimit::on_closed(net::CloseReason) {
  delay_.reset();
  if (cells_ == nullptr) return;
  std::exchange(cells_, nullptr)->sub(shared_->stats, Stat::active_connections);
  shared_->connections.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace fairlead::filters::network::connection_limit
