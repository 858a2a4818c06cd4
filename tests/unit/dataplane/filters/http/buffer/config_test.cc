// The buffer filter's configuration.
#include "dataplane/filters/http/buffer/config.h"

#include <catch2/catch.hpp>

#include <google/protobuf/any.pb.h>

#include "envoy/extensions/filters/http/buffer/v3/buffer.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::buffer;
namespace v3 = envoy::extensions::filters::http::buffer::v3;

TEST_CASE("a route sets its own limit or none") {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<v3::Buffer>("{max_request_bytes: 7}"));
  const auto config = registry.http_filter(any.type_url())->parse(any);
  REQUIRE(config.ok());
  CHECK(static_cast<const Config&>(**config).max_request_bytes == 7);
  const auto route = [&](std::string_view yaml) {
    any.PackFrom(test::from_yaml<v3::BufferPerRoute>(yaml));
    return std::static_pointer_cast<const RouteConfig>(*registry.http_filter_by_per_route(any.type_url())->parse_per_route(any));
  };
  CHECK(route("{buffer: {max_request_bytes: 9}}")->max_request_bytes == 9);
  CHECK_FALSE(route("{buffer: {max_request_bytes: 9}}")->disabled);
  CHECK(route("{disabled: true}")->disabled);
}
