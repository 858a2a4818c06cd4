// What header mutation's configuration means, and how it changes headers and queries.
#include "dataplane/filters/http/header_mutation/config.h"

#include <catch2/catch.hpp>

#include "envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::header_mutation;
namespace v3 = envoy::extensions::filters::http::header_mutation::v3;

namespace {

absl::StatusOr<std::shared_ptr<const Config>> parse(std::string_view yaml) {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<v3::HeaderMutation>(yaml));
  auto parsed = registry.http_filter(any.type_url())->parse(any);
  if (!parsed.ok()) return parsed.status();
  return std::static_pointer_cast<const Config>(*parsed);
}

std::string names(const http::HeaderMap& headers) {
  std::string out;
  for (const auto& h : headers) out.append(h.name()).append("=").append(h.value()).append(" ");
  return out;
}

std::string query(std::string_view path, std::string_view yaml) {
  const auto config = parse(yaml);
  REQUIRE(config.ok());
  return change_query(path, {&(*config)->mutations.query}, {});
}

}  // namespace

TEST_CASE("mutations act in their order, each on what the ones before left") {
  const auto config = parse(R"(
mutations:
  request_mutations:
  - append: {header: {key: X-A, value: "1"}}
  - append: {header: {key: x-a, value: "2"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - append: {header: {key: x-b, value: "3"}, append_action: OVERWRITE_IF_EXISTS}
  - append: {header: {key: x-c, value: "4"}, append_action: ADD_IF_ABSENT}
  - remove: x-gone)");
  REQUIRE(config.ok());
  test::Headers headers{{"x-gone", "1"}, {"x-c", "old"}};
  apply((*config)->mutations.request, *headers, {});
  CHECK(names(*headers) == "x-c=old x-a=2 ");
}

TEST_CASE("what a name matches goes, but never pseudo-headers and the host") {
  const auto config = parse("mutations: {request_mutations: [{remove_on_match: {key_matcher: {safe_regex: {regex: '.*'}}}}]}");
  REQUIRE(config.ok());
  test::Headers headers = test::request("/x", "example.com", {{"x-a", "1"}, {"b", "2"}});
  apply((*config)->mutations.request, *headers, {});
  CHECK(names(*headers) == ":method=GET :path=/x :authority=example.com :scheme=http ");
}

TEST_CASE("query parameters are added, replaced and removed; others stay byte for byte") {
  const char* kReplace = "mutations: {query_parameter_mutations: [{append: {record: {key: b, value: 'x y'}, action: OVERWRITE_IF_EXISTS_OR_ADD}}]}";
  CHECK(query("/p", kReplace) == "/p?b=x%20y");
  CHECK(query("/p?", kReplace) == "/p?b=x%20y");
  CHECK(query("/p?c=%26&a=+&b=1&b=2", kReplace) == "/p?a=+&b=x%20y&c=%26");
  CHECK(query("/p?%62=1", kReplace) == "/p?b=x%20y");
  CHECK(query("/p?d", kReplace) == "/p?b=x%20y&d=");
  CHECK(query("/p?a=1&b=2", "mutations: {query_parameter_mutations: [{remove: a}]}") == "/p?b=2");
  CHECK(query("/p?a=1", "mutations: {query_parameter_mutations: [{remove: a}]}") == "/p");
  CHECK(query("/p?a=1", "mutations: {query_parameter_mutations: [{append: {record: {key: a, value: '2'}, action: ADD_IF_ABSENT}}]}") == "/p?a=1");
  CHECK(query("/p?a=1", "mutations: {query_parameter_mutations: [{append: {record: {key: b, value: '2'}, action: OVERWRITE_IF_EXISTS}}]}") == "/p?a=1");
  CHECK(query("/p?a=1", "mutations: {query_parameter_mutations: [{append: {record: {key: a, value: '&='}}}]}") == "/p?a=1&a=%26%3D");
}

TEST_CASE("what cannot be done is refused with its place") {
  using Catch::Matchers::Contains;
  CHECK_THAT(std::string(parse("mutations: {request_mutations: [{remove: x}, {append: {header: {key: ':path', value: /}}}]}").status().message()),
             Contains("mutations.request_mutations[1]") && Contains(":-prefixed or host headers may not be modified"));
  CHECK_THAT(std::string(parse("mutations: {query_parameter_mutations: [{append: {record: {key: a, value: 1}}}]}").status().message()), Contains("Only string value is allowed for record value."));
  CHECK_THAT(std::string(parse("mutations: {response_mutations: [{append: {header: {key: a, value: '%NOPE%'}}}]}").status().message()), Contains("mutations.response_mutations[0]"));
}
