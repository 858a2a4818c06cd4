// What original_ip_detection_extensions become, and what is refused.
#include "dataplane/config/ip_detection.h"

#include <catch2/catch.hpp>

#include "base/status.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace ip_detection_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;
using Hcm = envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

namespace {

struct Read {
  std::vector<IpDetection> ways;
  std::string errors;
};

Read read(const std::string& extensions, const std::string& more = "") {
  Read out;
  ErrorList errors(20);
  read_ip_detections(test::from_yaml<Hcm>("{" + more + "original_ip_detection_extensions: [" + extensions + "]}"), "hcm", out.ways, errors);
  if (!errors.empty()) out.errors = std::string(errors.status().message());
  return out;
}

std::string extension(const std::string& type, const std::string& fields) {
  return "{name: e, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.original_ip_detection." + type + (fields.empty() ? "" : ", ") + fields + "}}";
}
std::string header(const std::string& fields) { return extension("custom_header.v3.CustomHeaderConfig", fields); }
std::string xff(const std::string& fields) { return extension("xff.v3.XffConfig", fields); }

}  // namespace

TEST_CASE("the client's address may come from a header or past trusted proxies") {
  const Read all = read(header("header_name: X-Real, allow_extension_to_set_address_as_trusted: true, reject_with_status: {code: Unauthorized}") + ", " + xff("xff_num_trusted_hops: 2, skip_xff_append: false") + ", " +
                        xff("xff_trusted_cidrs: {cidrs: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"));
  CHECK(all.errors.empty());
  REQUIRE(all.ways.size() == 3);
  CHECK(all.ways[0].header == "x-real");
  CHECK(all.ways[0].may_be_internal);
  CHECK(all.ways[0].reject_status == 401);
  CHECK(all.ways[1].header.empty());
  CHECK(all.ways[1].trusted_hops == 2);
  CHECK_FALSE(all.ways[1].skip_append);
  CHECK(all.ways[2].skip_append);
  REQUIRE(all.ways[2].trusted_proxies.size() == 1);
  CHECK(all.ways[2].trusted_proxies[0].contains_text("10.1.2.3"));
  CHECK(read(header("header_name: a, reject_with_status: {code: OK}")).ways[0].reject_status == 403);  // as Envoy 1.40
  CHECK_FALSE(read(header("header_name: a")).ways[0].reject_status);
}

TEST_CASE("wrong ways to an address are refused with their place") {
  CHECK_THAT(read(xff(""), "use_remote_address: true, ").errors, Contains("hcm.original_ip_detection_extensions: Original IP detection extensions and use_remote_address may not be mixed"));
  CHECK_THAT(read(xff(""), "xff_num_trusted_hops: 1, ").errors, Contains("Original IP detection extensions and xff_num_trusted_hops may not be mixed"));
  CHECK_THAT(read(xff("xff_num_trusted_hops: 1, xff_trusted_cidrs: {}")).errors, Contains("hcm.original_ip_detection_extensions[0].typed_config: Cannot set both xff_num_trusted_hops and xff_trusted_cidrs"));
  CHECK_THAT(read(xff("") + ", " + header("")).errors, Contains("hcm.original_ip_detection_extensions[1].typed_config.header_name"));
  CHECK_THAT(read(header("header_name: a b")).errors, Contains("typed_config.header_name"));
  CHECK_THAT(read(xff("xff_trusted_cidrs: {cidrs: [{address_prefix: junk, prefix_len: 8}]}")).errors, Contains("typed_config.xff_trusted_cidrs.cidrs[0]"));
  CHECK_THAT(read("{name: e, typed_config: {\"@type\": type.googleapis.com/google.protobuf.StringValue, value: x}}").errors, Contains("Didn't find a registered implementation for 'e'"));
}

}  // namespace ip_detection_test
