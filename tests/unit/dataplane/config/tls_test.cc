// TLS contexts of listeners and clusters, from messages to what serves.
#include "dataplane/config/tls.h"

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <catch2/catch.hpp>

#include "dataplane/config/cluster.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "tests/unit/dataplane/from_yaml.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace tls_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Contains;
namespace v3 = envoy::extensions::transport_sockets::tls::v3;

namespace {
const test::Authority& ca() {
  static const test::Authority authority;
  return authority;
}
const test::MadeCertificate& host() {
  static const test::MadeCertificate made = ca().issue("server", "DNS:example.test");
  return made;
}
std::string quoted(const std::string& text) { return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\""); }
// "CHAIN", "KEY" and "CA" in the YAML stand for the material above.
std::string filled(std::string yaml) { return absl::StrReplaceAll(yaml, {{"CHAIN", quoted(host().chain)}, {"KEY", quoted(host().key)}, {"CA!", quoted(ca().pem())}}); }
const std::string kPair = "{certificate_chain: {inline_string: CHAIN}, private_key: {inline_string: KEY}}";

TlsSources reading() {
  TlsSources sources;
  sources.read_file = [](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "/chain.pem") return host().chain;
    if (path == "/key.pem") return host().key;
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  };
  return sources;
}
absl::StatusOr<std::shared_ptr<const DownstreamTls>> down(const std::string& yaml, const TlsSources& sources = reading()) {
  return parse_downstream_tls(test::from_yaml<v3::DownstreamTlsContext>(filled(yaml)), "ts", sources);
}
std::string down_error(const std::string& yaml, const TlsSources& sources = reading()) { return std::string(down(yaml, sources).status().message()); }
absl::StatusOr<std::shared_ptr<const UpstreamTls>> up(const std::string& yaml, const TlsSources& sources = reading()) {
  return parse_upstream_tls(test::from_yaml<v3::UpstreamTlsContext>(filled(yaml)), "ts", sources);
}
std::string up_error(const std::string& yaml) { return std::string(up(yaml).status().message()); }
}  // namespace

TEST_CASE("a listener's certificates come inline and from files") {
  const auto inline_pair = down("common_tls_context: {tls_certificates: [" + kPair + "], alpn_protocols: [h2]}");
  REQUIRE(inline_pair.ok());
  REQUIRE((*inline_pair)->context() != nullptr);
  CHECK((*inline_pair)->context()->certificates()[0].place == "<inline>");
  const auto files = down("common_tls_context: {tls_certificates: [{certificate_chain: {filename: /chain.pem}, private_key: {filename: /key.pem}}]}");
  REQUIRE(files.ok());
  CHECK((*files)->context()->certificates()[0].place == "/chain.pem");
}

TEST_CASE("what names files is judged without opening any") {
  const TlsSources none;
  const auto files = down("common_tls_context: {tls_certificates: [{certificate_chain: {filename: /absent}, private_key: {filename: /absent}}]}", none);
  REQUIRE(files.ok());
  CHECK((*files)->context() == nullptr);
  CHECK(down_error("common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: KEY}, private_key: {inline_string: KEY}}]}", none) != "");
  CHECK_THAT(down_error("common_tls_context: {tls_certificates: [{certificate_chain: {filename: /absent}, private_key: {filename: /key.pem}}]}"), Contains("/absent: no such file"));
  // a lone resource's secrets are its bootstrap's
  CHECK(down("common_tls_context: {tls_certificate_sds_secret_configs: [{name: s}]}", none).ok());
}

TEST_CASE("secrets of the bootstrap are found by name and kind") {
  auto secrets = std::make_shared<StaticSecrets>();
  const auto add = [&](const std::string& yaml) {
    auto secret = std::make_shared<const v3::Secret>(test::from_yaml<v3::Secret>(filled(yaml)));
    secrets->emplace(secret->name(), secret);
  };
  add("{name: pair, tls_certificate: " + kPair + "}");
  add("{name: trust, validation_context: {trusted_ca: {inline_string: CA!}}}");
  add("{name: broken, tls_certificate: {certificate_chain: {inline_string: CHAIN}}}");
  TlsSources sources = reading();
  sources.secrets = secrets;
  const std::string pair = "tls_certificate_sds_secret_configs: [{name: pair}]";
  CHECK(down("common_tls_context: {" + pair + ", validation_context_sds_secret_config: {name: trust}}", sources).ok());
  const auto combined = down("common_tls_context: {" + pair + ", combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}, "
                             "validation_context_sds_secret_config: {name: trust}}}", sources);
  REQUIRE(combined.ok());
  CHECK((*combined)->context()->trusted().size() == 1);
  CHECK_THAT(down_error("common_tls_context: {tls_certificate_sds_secret_configs: [{name: absent}]}", sources), Contains("Unknown static secret: absent"));
  CHECK_THAT(down_error("common_tls_context: {tls_certificate_sds_secret_configs: [{name: trust}]}", sources), Contains("trust is no tls_certificate"));
  CHECK_THAT(down_error("common_tls_context: {tls_certificate_sds_secret_configs: [{name: broken}]}", sources), Contains("private key not set"));
}

TEST_CASE("a server needs a certificate, a client has one at most") {
  CHECK(down_error("common_tls_context: {}") == "ts: No TLS certificates found for server context");
  CHECK(up("{}").ok());
  CHECK_THAT(up_error("common_tls_context: {tls_certificates: [" + kPair + ", " + kPair + "]}"), Contains("Multiple TLS certificates are not supported for client contexts"));
}

TEST_CASE("names without an authority and names to verify without one are refused, as are pins of another length") {
  CHECK_THAT(up_error("common_tls_context: {validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}}"),
             Contains("SAN-based verification of peer certificates without trusted CA is insecure and not allowed"));
  CHECK_THAT(up_error("auto_sni_san_validation: true"), Contains("without configuring a trusted CA"));
  CHECK_THAT(up_error("common_tls_context: {validation_context: {verify_certificate_hash: [\"" + std::string(62, 'a') + "zz\"]}}"), Contains("Invalid hex-encoded SHA-256"));
  CHECK_THAT(up_error("common_tls_context: {validation_context: {verify_certificate_spki: [\"" + std::string(44, 'A') + "\"]}}"), Contains("Invalid base64-encoded SHA-256"));
  CHECK(up("common_tls_context: {validation_context: {trusted_ca: {inline_string: CA!}, verify_certificate_hash: [\"" + std::string(64, 'a') + "\"]}}").ok());
}

TEST_CASE("a cluster says its TLS, and takes its protocol from ALPN only with it") {
  const auto cluster = [](const std::string& more) {
    return parse_cluster(test::from_yaml<envoy::config::cluster::v3::Cluster>(filled("{name: c, load_assignment: {cluster_name: c}, " + more + "}")), nullptr, reading());
  };
  const std::string tls = "transport_socket: {name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: a.test}}";
  const std::string automatic = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3."
                                "HttpProtocolOptions, auto_config: {http2_protocol_options: {max_concurrent_streams: 7}}}}";
  const auto plain = cluster(tls);
  INFO(plain.status().ToString());
  REQUIRE(plain.ok());
  CHECK((*plain)->tls->server_name == "a.test");
  CHECK((*plain)->http.protocol == UpstreamProtocol::Http1);
  const auto both = cluster(tls + ", " + automatic);
  INFO(both.status().ToString());
  REQUIRE(both.ok());
  CHECK((*both)->http.protocol == UpstreamProtocol::Auto);
  CHECK((*both)->http.http2.max_concurrent_streams == 7);
  CHECK_THAT(std::string(cluster(automatic).status().message()), Contains("ALPN configured for cluster c which has a non-ALPN transport socket"));
}

TEST_CASE("an endpoint's metadata chooses its transport socket: the first that matches, else the cluster's own") {
  const auto cluster = [](const std::string& more) {
    return parse_cluster(test::from_yaml<envoy::config::cluster::v3::Cluster>(filled("{name: c, load_assignment: {cluster_name: c}, " + more + "}")), nullptr, reading());
  };
  const std::string tls = "{name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: ";
  const std::string raw = "{name: raw, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}";
  const auto parsed = cluster("transport_socket: " + tls + "own}}, transport_socket_matches: [{name: a, match: {mode: mutual, zone: z}, transport_socket: " + tls + "a}}}, {name: b, match: {mode: mutual}, transport_socket: " +
                              tls + "b}}}, {name: plain, match: {mode: off}, transport_socket: " + raw + "}]");
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  const auto chosen = [&](const std::string& metadata) -> std::string {
    const auto message = test::from_yaml<envoy::config::core::v3::Metadata>("filter_metadata: {envoy.transport_socket_match: " + metadata + "}");
    const auto& found = (*parsed)->tls_for(&message);
    return found == nullptr ? "plain" : found->server_name;
  };
  CHECK(chosen("{mode: mutual, zone: z, more: 1}") == "a");
  CHECK(chosen("{mode: mutual, zone: y}") == "b");
  CHECK(chosen("{mode: off}") == "plain");
  CHECK(chosen("{}") == "own");
  CHECK((*parsed)->tls_for(nullptr)->server_name == "own");
  int contexts = 0;
  (*parsed)->each_tls([&](const UpstreamTls&) { ++contexts; });
  CHECK(contexts == 3);
  const auto all = cluster("transport_socket_matches: [{name: all, match: {}, transport_socket: " + tls + "all}}}]");
  REQUIRE(all.ok());
  CHECK((*all)->tls_for(nullptr)->server_name == "all");  // Envoy 1.40: nothing to match is matched by everything
  CHECK_THAT(std::string(cluster("transport_socket_matches: [{name: x, match: {}, transport_socket: {name: x}}]").status().message()), Contains("transport_socket_matches[0].transport_socket"));
  const std::string automatic = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3."
                                "HttpProtocolOptions, auto_config: {}}}";
  CHECK_THAT(std::string(cluster("transport_socket: " + tls + "own}}, transport_socket_matches: [{name: plain, match: {}, transport_socket: " + raw + "}], " + automatic).status().message()), Contains("non-ALPN transport socket"));
}

}  // namespace tls_test
