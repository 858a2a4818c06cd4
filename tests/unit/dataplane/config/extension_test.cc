// Discovered filters: what a connection manager may say of one, and which configurations it admits; refusals in Envoy's words.
#include "dataplane/config/extension.h"

#include <catch2/catch.hpp>

#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "tests/unit/dataplane/config/filters.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace extension_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;

namespace {

const std::string kRouter = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

absl::StatusOr<std::shared_ptr<const FilterDiscovery>> parse(const std::string& fields, bool last = true, const std::string& name = "x", const std::string& source = "ads: {}") {
  const auto proto = test::from_yaml<envoy::config::core::v3::ExtensionConfigSource>("{config_source: {" + source + ", resource_api_version: V3}, " + fields + "}");
  return parse_filter_discovery(proto, name, last, "http_filters[0]", test::filters());
}
std::string error_of(const std::string& fields, bool last = true) { return std::string(parse(fields, last).status().message()); }

}  // namespace

TEST_CASE("a discovered filter keeps its types without what stands before the slash, and its default parsed") {
  const auto filter = parse("type_urls: ['" + kRouter + "'], default_config: {'@type': " + kRouter + "}, apply_default_config_without_warming: true");
  REQUIRE(filter.ok());
  CHECK((*filter)->types == std::vector<std::string>{"envoy.extensions.filters.http.router.v3.Router"});
  CHECK((*filter)->default_config != nullptr);
  CHECK((*filter)->without_warming);
  CHECK((*filter)->source.kind == ConfigSource::Kind::Ads);
}

TEST_CASE("filters share a subscription when name and source are alike, whatever else they say") {
  const auto one = parse("type_urls: ['" + kRouter + "']"), two = parse("type_urls: ['" + kRouter + "'], default_config: {'@type': " + kRouter + "}");
  const auto other_name = parse("type_urls: ['" + kRouter + "']", true, "y");
  REQUIRE((one.ok() && two.ok() && other_name.ok()));
  CHECK((*one)->key == (*two)->key);
  CHECK((*one)->key != (*other_name)->key);
}

TEST_CASE("what cannot work is refused with its place") {
  CHECK_THAT(error_of("type_urls: ['" + kRouter + "'], apply_default_config_without_warming: true"),
             Contains("http_filters[0].config_discovery") && Contains("Error: filter config x applied without warming but has no default config."));
  CHECK_THAT(error_of("type_urls: [a/b.C]"), Contains("type_urls[0]: Error: no factory found for a required type URL b.C."));
  CHECK_THAT(error_of("type_urls: ['" + kRouter + "'], default_config: {'@type': " + kRouter + "}", false),
             Contains("default_config: Error: terminal filter named x of type envoy.filters.http.router must be the last filter in a http filter chain."));
  CHECK_THAT(error_of("type_urls: ['" + kRouter + "'], default_config: {'@type': type.googleapis.com/envoy.config.core.v3.Node}"), Contains("default_config: Error: cannot find filter factory x"));
  CHECK_THAT(std::string(parse("type_urls: ['" + kRouter + "']", true, "x", "self: {}").status().message()), Contains("http_filters[0].config_discovery.config_source: Missing config source specifier"));
}

TEST_CASE("a configuration is admitted by its type and by the place of the filter") {
  const HttpFilterType* router = test::filters().http_filter(kRouter);
  HttpFilterType other;
  other.type_url = "type.googleapis.com/acme.Filter";
  REQUIRE(router != nullptr);
  CHECK((*parse("type_urls: ['" + kRouter + "']"))->admits(*router).ok());
  CHECK((*parse("type_urls: ['" + kRouter + "']"))->admits(other).message() == "Error: filter config has type URL acme.Filter but expect envoy.extensions.filters.http.router.v3.Router.");
  CHECK_THAT(std::string((*parse("type_urls: ['" + kRouter + "']", false))->admits(*router).message()), Contains("must be the last filter"));
}

TEST_CASE("a discovered configuration is hashed without its name; an unknown type is refused") {
  const auto read = [](const std::string& name, const std::string& type) {
    return parse_extension(test::from_yaml<envoy::config::core::v3::TypedExtensionConfig>("{name: " + name + ", typed_config: {'@type': " + type + "}}"), test::filters());
  };
  const auto a = read("a", kRouter), b = read("b", kRouter);
  REQUIRE((a.ok() && b.ok()));
  CHECK((*a)->content_hash == (*b)->content_hash);
  CHECK_THAT(std::string(read("a", "type.googleapis.com/envoy.config.core.v3.Node").status().message()), Contains("Didn't find a registered implementation for 'a'"));
}

}  // namespace extension_test
