// Secrets are not printed.
#include "base/redact.h"

#include <catch2/catch.hpp>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

using namespace fairlead;

TEST_CASE("private keys and passwords are hidden wherever they stand, and what is public stays") {
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext context;
  context.set_sni("a.test");
  auto* given = context.mutable_common_tls_context()->add_tls_certificates();
  given->mutable_certificate_chain()->set_inline_string("public");
  given->mutable_private_key()->set_inline_string("secret key");
  given->mutable_password()->set_inline_bytes("secret");
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name("c");
  cluster.mutable_transport_socket()->set_name("tls");
  cluster.mutable_transport_socket()->mutable_typed_config()->PackFrom(context);
  redact(cluster);
  REQUIRE(cluster.transport_socket().typed_config().UnpackTo(&context));
  const auto& pair = context.common_tls_context().tls_certificates(0);
  CHECK(cluster.name() == "c");
  CHECK(context.sni() == "a.test");
  CHECK(pair.certificate_chain().inline_string() == "public");
  CHECK(pair.private_key().inline_string() == "[redacted]");
  CHECK(pair.password().inline_bytes() == "[redacted]");
}
