// Secrets are not printed.
#include "dataplane/admin/redact.h"

#include <catch2/catch.hpp>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;

TEST_CASE("private keys and passwords are hidden wherever they stand, and what is public stays") {
  auto cluster = test::from_yaml<envoy::config::cluster::v3::Cluster>(R"(
name: c
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: a.test
    common_tls_context:
      tls_certificates:
      - certificate_chain: {inline_string: public}
        private_key: {inline_string: secret key}
        password: {inline_bytes: c2VjcmV0}
)");
  admin::redact(cluster);
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext context;
  REQUIRE(cluster.transport_socket().typed_config().UnpackTo(&context));
  const auto& pair = context.common_tls_context().tls_certificates(0);
  CHECK(context.sni() == "a.test");
  CHECK(pair.certificate_chain().inline_string() == "public");
  CHECK(pair.private_key().inline_string() == "[redacted]");
  CHECK(pair.password().inline_bytes() == "[redacted]");
}
