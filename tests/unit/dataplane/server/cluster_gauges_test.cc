// Membership statistics follow snapshots.
#include <catch2/catch.hpp>

#include "dataplane/server/cluster_gauges.h"

namespace fairlead::server {
namespace {

std::shared_ptr<config::EndpointSet> endpoints(std::vector<config::HealthStatus> states) {
  auto set = std::make_shared<config::EndpointSet>();
  set->priorities.resize(1);
  set->priorities[0].resize(1);
  for (const auto s : states) {
    config::Endpoint e;
    e.health = s;
    e.weight = 3;
    set->priorities[0][0].endpoints.push_back(e);
  }
  return set;
}

TEST_CASE("membership gauges and update counters of an EDS cluster; gone with the cluster") {
  using H = config::HealthStatus;
  stats::Registry registry(1);
  ClusterGauges gauges(registry);
  auto config = std::make_shared<config::ClusterConfig>();
  config->name = "a";
  config->discovery = config::ClusterConfig::Discovery::Eds;
  config->eds_service_name = "svc";
  config::Snapshot snapshot;
  snapshot.clusters["a"] = {config, endpoints({H::Unknown, H::Healthy, H::Unhealthy, H::Degraded}), true};
  gauges.apply(snapshot);
  CHECK(registry.find("cluster.a.membership_total") == 4);
  CHECK(registry.find("cluster.a.membership_healthy") == 2);
  CHECK(registry.find("cluster.a.membership_degraded") == 1);
  CHECK(registry.find("cluster.a.max_host_weight") == 3);
  CHECK(registry.find("cluster.a.membership_change") == 1);
  gauges.apply(snapshot);
  CHECK(registry.find("cluster.a.membership_change") == 1);
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
