// What a retry policy says about the hosts and priorities of later attempts.
#include <catch2/catch.hpp>

#include "dataplane/router/route_table.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;

namespace {

absl::StatusOr<RetryPolicy> policy_of(std::string_view policy) {
  const auto table = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c, retry_policy: {" + std::string(policy) + "}}}]}]}"));
  if (!table.ok()) return table.status();
  return (*table)->virtual_hosts()[0].routes[0].forward.retry_policy.value();
}

std::string extension(std::string_view type, std::string_view more = "") {
  return "{name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry." + std::string(type) + std::string(more) + "}}";
}

}  // namespace

TEST_CASE("a retry policy can avoid hosts and priorities") {
  const RetryPolicy plain = policy_of("retry_on: 5xx").value();
  CHECK_FALSE(plain.previous_hosts_predicate);
  CHECK_FALSE(plain.omit_canary_hosts);
  CHECK(plain.omit_host_metadata.empty());
  CHECK(plain.previous_priorities_frequency == 0);
  CHECK(plain.host_selection_max_attempts == 1);

  const auto policy = policy_of("retry_host_predicate: [" + extension("host.previous_hosts.v3.PreviousHostsPredicate") + ", " + extension("host.omit_canary_hosts.v3.OmitCanaryHostsPredicate") + ", " +
                                extension("host.omit_host_metadata.v3.OmitHostMetadataConfig", ", metadata_match: {filter_metadata: {envoy.lb: {stage: old}}}") + "], host_selection_retry_max_attempts: 4, retry_priority: " +
                                extension("priority.previous_priorities.v3.PreviousPrioritiesConfig", ", update_frequency: 2"));
  INFO(policy.status().ToString());
  REQUIRE(policy.ok());
  CHECK(policy->previous_hosts_predicate);
  CHECK(policy->omit_canary_hosts);
  REQUIRE(policy->omit_host_metadata.size() == 1);
  CHECK(policy->omit_host_metadata[0]->filter_metadata().at("envoy.lb").fields().at("stage").string_value() == "old");
  CHECK(policy->host_selection_max_attempts == 4);
  CHECK(policy->previous_priorities_frequency == 2);
}

TEST_CASE("unknown and wrong retry extensions are refused with their path") {
  const auto error = [](std::string_view policy) { return std::string(policy_of(policy).status().message()); };
  CHECK_THAT(error("retry_host_predicate: [{name: nobody}]"), Catch::Contains("retry_policy.retry_host_predicate[0]: Didn't find a registered implementation for 'nobody' with type URL: ''"));
  CHECK_THAT(error("retry_priority: {name: nobody}"), Catch::Contains("retry_policy.retry_priority: Didn't find a registered implementation for 'nobody' with type URL: ''"));
  CHECK_THAT(error("retry_priority: " + extension("priority.previous_priorities.v3.PreviousPrioritiesConfig")), Catch::Contains("retry_priority.typed_config.update_frequency"));
}
