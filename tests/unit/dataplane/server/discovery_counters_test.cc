// Discovery statistics follow snapshots.
#include <catch2/catch.hpp>

#include "dataplane/server/discovery_counters.h"

namespace fairlead::server {
namespace {

TEST_CASE("updates of an EDS cluster are counted; all is gone with the cluster") {
  stats::Registry registry(1);
  upstream::SharedClusters shared(registry);
  DiscoveryCounters gauges(registry, shared);
  auto config = std::make_shared<config::ClusterConfig>();
  config->name = "a";
  config->discovery = config::ClusterConfig::Discovery::Eds;
  config->eds_service_name = "svc";
  config::Snapshot snapshot;
  snapshot.clusters["a"] = {config, std::make_shared<config::EndpointSet>(), true};
  gauges.apply(snapshot);
  gauges.apply(snapshot);
  CHECK(registry.find("cluster.a.membership_change") == 0);
  gauges.endpoints_updated("svc", true);
  gauges.endpoints_updated("svc", false);
  gauges.endpoints_updated("other", true);
  CHECK(registry.find("cluster.a.update_success") == 1);
  CHECK(registry.find("cluster.a.update_failure") == 1);
  snapshot.clusters.clear();
  gauges.apply(snapshot);
  CHECK(registry.cells_in_use() == 0);
  gauges.endpoints_updated("svc", true);  // nobody is left to count it for
}

}  // namespace
}  // namespace fairlead::server
