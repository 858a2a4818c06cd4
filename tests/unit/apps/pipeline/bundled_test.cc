// What fairlead-proxy would say to a resource, asked without it: by its own tables and its own extensions.
#include "apps/pipeline/bundled.h"

#include <catch2/catch.hpp>
#include <google/protobuf/struct.pb.h>

#include "dataplane/config/registry.h"
#include "dataplane/config/support.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/extensions/filters/http/buffer/v3/buffer.pb.h"

namespace bundled_test {

using namespace fairlead;

TEST_CASE("every field of every extension of the proxy has a row in the support table") {
  (void)pipeline::bundled_verdict({});  // the first verdict registers the extensions
  CHECK_FALSE(config::Registry::global().type_urls().empty());
  const std::vector<std::string> missing = config::fields_without_row();
  for (const std::string& line : missing) UNSCOPED_INFO(line);
  CHECK(missing.empty());
}

TEST_CASE("the control plane knows every HTTP filter of the proxy") {
  (void)pipeline::bundled_verdict({});
  for (const char* name : {"buffer.v3.Buffer", "compressor.v3.Compressor", "cors.v3.Cors", "decompressor.v3.Decompressor", "fault.v3.HTTPFault", "grpc_stats.v3.FilterConfig", "grpc_web.v3.GrpcWeb",
                           "header_mutation.v3.HeaderMutation", "health_check.v3.HealthCheck", "local_ratelimit.v3.LocalRateLimit", "router.v3.Router"}) {
    INFO(name);
    CHECK(config::Registry::global().http_filter(std::string("type.googleapis.com/envoy.extensions.filters.http.") + name) != nullptr);
  }
}

TEST_CASE("a discovered filter is looked at as the proxy would, wherever it goes") {
  const auto verdict = [](const google::protobuf::Message& config) {
    envoy::config::core::v3::TypedExtensionConfig m;
    m.set_name("x");
    m.mutable_typed_config()->PackFrom(config);
    return pipeline::bundled_verdict(*resources::make_resource(resources::Type::kExtensionConfig, "x", m, {}));
  };
  envoy::extensions::filters::http::buffer::v3::Buffer buffer;
  buffer.mutable_max_request_bytes()->set_value(1);
  CHECK(verdict(buffer).ok());
  CHECK_THAT(std::string(verdict(google::protobuf::Struct()).message()), Catch::Matchers::Contains("Didn't find a registered implementation for 'x'"));
}

}  // namespace bundled_test
