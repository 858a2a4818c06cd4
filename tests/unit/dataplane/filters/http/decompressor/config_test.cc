// The decompressor filter's configuration.
#include "dataplane/filters/http/decompressor/config.h"

#include <catch2/catch.hpp>

#include "envoy/extensions/filters/http/decompressor/v3/decompressor.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::decompressor;
using Catch::Matchers::Contains;

namespace {

absl::StatusOr<std::shared_ptr<const Config>> parse(std::string_view yaml) {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<envoy::extensions::filters::http::decompressor::v3::Decompressor>(yaml));
  auto parsed = registry.http_filter(any.type_url())->parse(any);
  if (!parsed.ok()) return parsed.status();
  return std::static_pointer_cast<const Config>(*parsed);
}

}  // namespace

TEST_CASE("both directions are on unless said otherwise") {
  const auto config = parse(R"(
decompressor_library: {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip, max_inflate_ratio: 7}}
response_direction_config: {common_config: {enabled: {default_value: false, runtime_key: k}}})");
  REQUIRE(config.ok());
  CHECK((*config)->request.enabled.on(nullptr));
  CHECK_FALSE((*config)->response.enabled.on(nullptr));
  matching::Runtime runtime;
  runtime.set("k", {"true", 1.0, {}});
  CHECK((*config)->response.enabled.on(&runtime));
  CHECK((*config)->advertise);
  CHECK((*config)->library.make()->guard.max_ratio == 7);
}

TEST_CASE("an unknown library is refused by name") {
  CHECK_THAT(std::string(parse("{decompressor_library: {name: lz4, typed_config: {'@type': type.googleapis.com/envoy.config.core.v3.Locality}}}").status().message()),
             Contains("decompressor_library") && Contains("'lz4'") && Contains("Locality"));
}
