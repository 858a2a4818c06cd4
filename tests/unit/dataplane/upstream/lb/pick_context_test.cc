// What a request brings to a pick: override hosts, retry predicates, other shares of the priorities.
#include <catch2/catch.hpp>

#include <map>

#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"
#include "tests/unit/dataplane/upstream/lb/hosts.h"

using namespace fairlead::upstream;

TEST_CASE("an override host is taken while its status allows, whatever its priority and the policy's turn") {
  Random random(1);
  Hosts hosts({1, 1, 1});
  hosts.hosts[2].priority = 1;
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {});
  PickContext context;
  context.override_host = "10.0.0.3:80";
  for (auto status : {HostStatusCode::kUnknown, HostStatusCode::kHealthy, HostStatusCode::kDegraded}) {
    hosts.hosts[2].status = status;
    for (int i = 0; i < 3; ++i) CHECK(selector.pick(context).host == &hosts.hosts[2]);
  }
  for (auto status : {HostStatusCode::kUnhealthy, HostStatusCode::kDraining, HostStatusCode::kTimeout}) {
    hosts.hosts[2].status = status;
    CHECK(hosts.index(selector.pick(context).host) < 2);
  }
  selector.rebuild(hosts.list(), {.override_statuses = status_bit(HostStatusCode::kTimeout)});
  CHECK(selector.pick(context).host == &hosts.hosts[2]);
}

TEST_CASE("an override host that is gone falls back to the policy, in strict mode to nothing") {
  Random random(1);
  Hosts hosts({1, 1});
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {});
  PickContext context;
  context.override_host = "10.9.9.9:80";
  CHECK(selector.pick(context).host != nullptr);
  context.strict_override = true;
  CHECK(selector.pick(context).host == nullptr);
  context.override_host = "10.0.0.2:80";
  CHECK(selector.pick(context).host == &hosts.hosts[1]);
}

TEST_CASE("a retry avoids previous hosts within its attempts and takes the last pick then") {
  Random random(1);
  Hosts hosts({1, 1, 1});
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {});
  std::vector<const LbHost*> tried{&hosts.hosts[0], &hosts.hosts[1]};
  const PreviousHosts previous(tried);
  const std::vector<const HostPredicate*> predicates{&previous};
  PickContext context{.predicates = predicates, .selection_retries = 2};
  for (int i = 0; i < 9; ++i) CHECK(selector.pick(context).host == &hosts.hosts[2]);
  tried.push_back(&hosts.hosts[2]);
  const PreviousHosts all(tried);
  const std::vector<const HostPredicate*> rejects_all{&all};
  context.predicates = rejects_all;
  CHECK(selector.pick(context).host != nullptr);
}

TEST_CASE("a retry can leave canaries out") {
  Random random(1);
  Hosts hosts({1, 1});
  hosts.hosts[0].canary = true;
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {});
  const OmitCanaryHosts omit;
  const std::vector<const HostPredicate*> predicates{&omit};
  for (int i = 0; i < 6; ++i) CHECK(selector.pick({.predicates = predicates, .selection_retries = 1}).host == &hosts.hosts[1]);
}

TEST_CASE("a retry can leave priorities out that were tried; when none is left all count again") {
  Random random(1);
  Hosts hosts({1, 1, 1});
  hosts.hosts[1].priority = 1;
  hosts.hosts[2].priority = 2;
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {});
  CHECK(selector.pick({}).host == &hosts.hosts[0]);
  std::vector<bool> tried{true};
  PriorityLoad load = selector.load().without(tried);
  CHECK(selector.pick({.priorities = &load}).host == &hosts.hosts[1]);
  tried[1] = true;
  load = selector.load().without(tried);
  CHECK(selector.pick({.priorities = &load}).host == &hosts.hosts[2]);
  tried[2] = true;
  load = selector.load().without(tried);
  CHECK(selector.pick({.priorities = &load}).host == &hosts.hosts[0]);
  CHECK(tried == std::vector<bool>{false, false, false});
}
