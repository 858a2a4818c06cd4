// Descriptors out of requests.
#include "dataplane/router/rate_limit.h"

#include <catch2/catch.hpp>

#include <absl/strings/str_cat.h>

#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;

namespace {

std::string descriptor(const std::string& actions, test::Headers headers = test::request("/p?q=v", "example.com", {{"x-a", "1"}})) {
  const auto host = test::from_yaml<envoy::config::route::v3::VirtualHost>("{name: a, rate_limits: [{actions: [" + actions + "]}]}");
  const auto policies = RateLimitPolicy::compile(host.rate_limits(), "rate_limits");
  if (!policies.ok()) return std::string(policies.status().message());
  http::Arena arena;
  Descriptor out;
  if (!policies->at(0).describe(*headers, {.remote_ip = "10.1.2.3", .source_cluster = "us", .destination_cluster = "up"}, arena, out)) return "none";
  std::string text;
  for (const DescriptorEntry& e : out) absl::StrAppend(&text, e.key, "=", e.value, " ");
  return text;
}

}  // namespace

TEST_CASE("each action adds its entry, in order") {
  CHECK(descriptor("{generic_key: {descriptor_value: a}}, {generic_key: {descriptor_key: k, descriptor_value: b}}") == "generic_key=a k=b ");
  CHECK(descriptor("{source_cluster: {}}, {destination_cluster: {}}, {remote_address: {}}") == "source_cluster=us destination_cluster=up remote_address=10.1.2.3 ");
  CHECK(descriptor("{request_headers: {header_name: X-A, descriptor_key: a}}, {query_parameters: {query_parameter_name: q, descriptor_key: q}}") == "a=1 q=v ");
  CHECK(descriptor("{masked_remote_address: {v4_prefix_mask_len: 12}}") == "masked_remote_address=10.0.0.0/12 ");
  CHECK(descriptor("{masked_remote_address: {}}") == "masked_remote_address=10.1.2.3/32 ");
  CHECK(descriptor("{header_value_match: {descriptor_value: yes!, headers: [{name: x-a, present_match: true}]}}") == "header_match=yes! ");
  CHECK(descriptor("{query_parameter_value_match: {descriptor_value: b, expect_match: false, query_parameters: [{name: z, present_match: true}]}}") == "query_match=b ");
}

TEST_CASE("an action with nothing to say takes the whole descriptor with it, unless it is skipped") {
  CHECK(descriptor("{generic_key: {descriptor_value: a}}, {request_headers: {header_name: x-none, descriptor_key: a}}") == "none");
  CHECK(descriptor("{generic_key: {descriptor_value: a}}, {request_headers: {header_name: x-none, descriptor_key: a, skip_if_absent: true}}") == "generic_key=a ");
  CHECK(descriptor("{query_parameters: {query_parameter_name: z, descriptor_key: q}}") == "none");
  CHECK(descriptor("{header_value_match: {descriptor_value: a, expect_match: false, headers: [{name: x-a, present_match: true}]}}") == "none");
  CHECK(descriptor("{request_headers: {header_name: x-none, descriptor_key: a, skip_if_absent: true}}") == "none");
}

TEST_CASE("what is not understood is refused with its place") {
  CHECK(descriptor("{generic_key: {descriptor_value: a}}, {generic_key: {descriptor_value: '%REQ(x)%'}}") ==
        "rate_limits[0].actions[1]: descriptor_value: formatters are not supported (\"%REQ(x)%\")");
}
