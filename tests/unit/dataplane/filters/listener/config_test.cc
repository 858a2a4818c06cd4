// What listener filters understand, what they refuse and where they say the fault is.
#include <catch2/catch.hpp>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/filters/listener/builtin.h"
#include "dataplane/filters/listener/local_ratelimit/config.h"
#include "dataplane/filters/listener/proxy_protocol/config.h"
#include "dataplane/filters/listener/tls_inspector/config.h"
#include "envoy/config/listener/v3/listener_components.pb.h"

namespace fairlead::filters::listener {
namespace {

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const std::string& message, const std::string& fields) {
  static config::Registry registry;
  if (registry.listener_filter(tls_inspector::kTypeUrl) == nullptr) register_configs(registry);
  envoy::config::listener::v3::ListenerFilter filter;
  const std::string yaml = "name: f\ntyped_config: {'@type': type.googleapis.com/envoy.extensions.filters.listener." + message + (fields.empty() ? "}" : ", " + fields + "}");
  const auto doc = doc::parse_one(yaml, "test.yaml");
  REQUIRE(doc.ok());
  if (const absl::Status read = doc::to_message(*doc, &filter); !read.ok()) return read;
  return registry.listener_filter(filter.typed_config().type_url())->parse(filter.typed_config(), "typed_config");
}

std::string fault(const std::string& message, const std::string& fields) {
  const auto parsed = parse(message, fields);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

}  // namespace

TEST_CASE("tls_inspector reads its defaults and every field") {
  auto plain = parse("tls_inspector.v3.TlsInspector", "");
  REQUIRE(plain.ok());
  const auto& defaults = static_cast<const tls_inspector::Config&>(**plain);
  CHECK(defaults.wanted.limit == 16384);
  CHECK_FALSE(defaults.wanted.ja3);
  CHECK_FALSE(defaults.close_on_errors);
  auto full = parse("tls_inspector.v3.TlsInspector", "enable_ja3_fingerprinting: true, enable_ja4_fingerprinting: true, initial_read_buffer_size: 512, max_client_hello_size: 2048, close_connection_on_client_hello_parsing_errors: true");
  REQUIRE(full.ok());
  const auto& config = static_cast<const tls_inspector::Config&>(**full);
  CHECK(config.wanted.limit == 2048);
  CHECK(config.wanted.ja3);
  CHECK(config.wanted.ja4);
  CHECK(config.close_on_errors);
  CHECK(fault("tls_inspector.v3.TlsInspector", "max_client_hello_size: 16385") == "typed_config.max_client_hello_size: max_client_hello_size of 16385 is greater than maximum of 16384.");
}

TEST_CASE("proxy_protocol reads its rules and versions") {
  auto full = parse("proxy_protocol.v3.ProxyProtocol", "rules: [{tlv_type: 2, on_tlv_present: {key: authority}}, {tlv_type: 234, on_tlv_present: {metadata_namespace: aws, key: vpce, value_string_encoding: BASE64}}], "
                                                       "allow_requests_without_proxy_protocol: true, disallowed_versions: [V1], stat_prefix: edge");
  INFO(full.status().message());
  REQUIRE(full.ok());
  const auto& config = static_cast<const proxy_protocol::Config&>(**full);
  CHECK(config.rules.at(2).metadata_namespace == "envoy.filters.listener.proxy_protocol");
  CHECK(config.rules.at(234).key == "vpce");
  CHECK(config.rules.at(234).base64);
  CHECK(config.allow_without);
  CHECK_FALSE(config.v1);
  CHECK(config.v2);
  CHECK(config.stat_prefix == "edge");
  CHECK(fault("proxy_protocol.v3.ProxyProtocol", "disallowed_versions: [V1, V2]").find("typed_config.disallowed_versions: ") == 0);
}

TEST_CASE("local_ratelimit refuses a bucket that fills more often than every 50 ms") {
  auto full = parse("local_ratelimit.v3.LocalRateLimit", "stat_prefix: l, token_bucket: {max_tokens: 5, tokens_per_fill: 2, fill_interval: 0.05s}, runtime_enabled: {default_value: false, runtime_key: k}");
  INFO(full.status().message());
  REQUIRE(full.ok());
  const auto& config = static_cast<const local_ratelimit::Config&>(**full);
  CHECK(config.stat_prefix == "l");
  CHECK(config.bucket.max == 5);
  CHECK(config.bucket.per_fill == 2);
  CHECK(config.bucket.interval == std::chrono::milliseconds(50));
  CHECK_FALSE(config.enabled.fallback);
  CHECK(config.enabled.key == "k");
  CHECK(fault("local_ratelimit.v3.LocalRateLimit", "stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 0.049s}") ==
        "typed_config.token_bucket.fill_interval: local rate limit token bucket fill timer must be >= 50ms");
}

TEST_CASE("http_inspector and original_dst have nothing to say") {
  CHECK(parse("http_inspector.v3.HttpInspector", "").ok());
  CHECK(parse("original_dst.v3.OriginalDst", "").ok());
}

}  // namespace fairlead::filters::listener
