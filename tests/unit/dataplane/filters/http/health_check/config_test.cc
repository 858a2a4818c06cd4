// The health check filter's configuration.
#include "dataplane/filters/http/health_check/config.h"

#include <catch2/catch.hpp>

#include "envoy/extensions/filters/http/health_check/v3/health_check.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::health_check;
using Catch::Matchers::Contains;

namespace {

absl::StatusOr<std::shared_ptr<const Config>> parse(std::string_view yaml) {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<envoy::extensions::filters::http::health_check::v3::HealthCheck>(yaml));
  auto parsed = registry.http_filter(any.type_url())->parse(any);
  if (!parsed.ok()) return parsed.status();
  return std::static_pointer_cast<const Config>(*parsed);
}

}  // namespace

TEST_CASE("percentages lose their fraction") {
  const auto config = parse("{pass_through_mode: false, cluster_min_healthy_percentages: {b: {value: 50.9}, a: {value: 1}}}");
  REQUIRE(config.ok());
  CHECK((*config)->cluster_min_healthy == std::vector<std::pair<std::string, uint32_t>>{{"a", 1}, {"b", 50}});
}

TEST_CASE("options belong to one mode") {
  CHECK_THAT(std::string(parse("{pass_through_mode: false, cache_time: 1s}").status().message()), Contains("cache_time_ms must not be set"));
  CHECK_THAT(std::string(parse("{pass_through_mode: true, cluster_min_healthy_percentages: {a: {value: 1}}}").status().message()), Contains("cluster_min_healthy_percentages must not be set"));
  CHECK_THAT(std::string(parse("{pass_through_mode: true, headers: [{name: a, string_match: {safe_regex: {regex: '('}}}]}").status().message()), Contains("headers[0]"));
}
