// See filter.h.
#include "dataplane/filters/network/sni_cluster/filter.h"

namespace fairlead::filters::network::sni_cluster {
namespace {

struct Factory final : stream::NetworkFilterFactory {
  std::unique_ptr<stream::NetworkFilter> create() const override { return std::make_unique<SniCluster>(); }
};

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig>, const stream::NetworkFactoryContext&) -> stream::NetworkFilterRegistry::Made { return std::make_shared<Factory>(); });
}

stream::NetworkFilter::Status SniCluster::on_new_connection() {
  stream::ConnectionInfo& info = connection().info();
  if (!info.server_name.empty()) info.filter_state["envoy.tcp_proxy.cluster"] = info.server_name;
  return Status::kContinue;
}

}  // namespace fairlead::filters::network::sni_cluster
