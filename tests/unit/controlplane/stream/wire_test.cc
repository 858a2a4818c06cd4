// What goes over the wire: frames against protobuf's own reading, and requests against the generated classes.
#include "controlplane/stream/decode.h"
#include "controlplane/stream/encode.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "tests/unit/controlplane/stream/driver.h"

using namespace fairlead;
using namespace fairlead::test;
namespace v3 = envoy::service::discovery::v3;

TEST_CASE("a SotW response parses as a DiscoveryResponse with every field") {
  const Response r{Type::kCluster, "v1", "17", {cluster("a"), cluster("b")}, {}};
  v3::DiscoveryResponse m;
  REQUIRE(m.ParseFromString(cpstream::Encoder("fairlead").sotw(r).flatten()));
  CHECK(m.version_info() == "v1");
  CHECK(m.nonce() == "17");
  CHECK(m.type_url() == resources::type_url(Type::kCluster));
  CHECK(m.control_plane().identifier() == "fairlead");
  REQUIRE(m.resources_size() == 2);
  envoy::config::cluster::v3::Cluster c;
  REQUIRE(m.resources(1).UnpackTo(&c));
  CHECK(c.name() == "b");
  CHECK(m.GetReflection()->GetUnknownFields(m).empty());
}

TEST_CASE("a delta response parses as a DeltaDiscoveryResponse with names, versions and removals") {
  const Response r{Type::kEndpoint, "v2", "18", {assignment("a")}, {"gone", "", std::string(200, 'x')}};
  v3::DeltaDiscoveryResponse m;
  REQUIRE(m.ParseFromString(cpstream::Encoder("fairlead").delta(r).flatten()));
  CHECK(m.system_version_info() == "v2");
  CHECK(m.nonce() == "18");
  CHECK(m.type_url() == resources::type_url(Type::kEndpoint));
  REQUIRE(m.resources_size() == 1);
  CHECK(m.resources(0).name() == "a");
  CHECK(m.resources(0).version() == assignment("a")->version);
  CHECK(m.resources(0).resource().value() == std::string(assignment("a")->body()));
  REQUIRE(m.removed_resources_size() == 3);
  CHECK(m.removed_resources(1).empty());
  CHECK(m.removed_resources(2).size() == 200);
  CHECK(m.control_plane().identifier() == "fairlead");
}

TEST_CASE("the size of a message is that of its bytes, and frames are shared, not copied") {
  const ResourcePtr a = cluster("a");
  const cpstream::WireMessage m = cpstream::Encoder().delta({Type::kCluster, "v", "1", {a}, {}});
  CHECK(m.size() == m.flatten().size());
  CHECK(m.frame(0).data() == a->delta_frame.data());
}

TEST_CASE("a SotW request is read as the generated class reads it") {
  v3::DiscoveryRequest m;
  m.set_version_info("v");
  m.set_type_url("t");
  m.set_response_nonce("3");
  m.add_resource_names("a");
  m.add_resource_names("");
  auto ack = cpstream::decode_sotw(m.SerializeAsString());
  REQUIRE(ack.ok());
  CHECK(ack->version_info == "v");
  CHECK(ack->type_url == "t");
  CHECK(ack->nonce == "3");
  CHECK(ack->names == Names{"a", ""});
  CHECK_FALSE(ack->node);
  CHECK_FALSE(ack->error);

  m.mutable_error_detail()->set_message("no");
  m.mutable_node()->set_id("n");
  m.mutable_node()->set_cluster("c");
  m.mutable_node()->set_user_agent_name("envoy");
  m.mutable_node()->mutable_user_agent_build_version()->mutable_version()->set_major_number(1);
  m.mutable_node()->mutable_user_agent_build_version()->mutable_version()->set_minor_number(40);
  m.mutable_node()->add_client_features("z");
  m.mutable_node()->add_client_features("a");
  (*m.mutable_node()->mutable_metadata()->mutable_fields())["fairlead.io/gateway"].set_string_value("default/edge");
  (*m.mutable_node()->mutable_metadata()->mutable_fields())["fairlead.io/mesh"].set_string_value("shop");
  auto full = cpstream::decode_sotw(m.SerializeAsString());
  REQUIRE(full.ok());
  CHECK(full->error == "no");
  REQUIRE(full->node);
  CHECK(full->node->id == "n");
  CHECK(full->node->cluster == "c");
  CHECK(full->node->gateway == "default/edge");
  CHECK(full->node->mesh == "shop");
  CHECK(full->node->user_agent == "envoy");
  CHECK(full->node->user_agent_version == "1.40.0");
  CHECK(full->node->client_features == Names{"a", "z"});
  CHECK(full->names == Names{"a", ""});
}

TEST_CASE("a delta request is read as the generated class reads it") {
  v3::DeltaDiscoveryRequest m;
  m.set_type_url("t");
  m.set_response_nonce("9");
  m.add_resource_names_subscribe("*");
  m.add_resource_names_unsubscribe("b");
  const std::string plain_bytes = m.SerializeAsString();
  auto plain = cpstream::decode_delta(plain_bytes);
  REQUIRE(plain.ok());
  CHECK(plain->nonce == "9");
  CHECK(plain->names == Names{"*"});
  CHECK(plain->unsubscribe == Names{"b"});
  (*m.mutable_initial_resource_versions())["a"] = "1";
  const std::string full_bytes = m.SerializeAsString();
  auto full = cpstream::decode_delta(full_bytes);
  REQUIRE(full.ok());
  REQUIRE(full->initial_versions.size() == 1);
  CHECK(full->initial_versions[0] == cpstream::ReportedVersions::Entry("a", "1"));
  CHECK(full->type_url == "t");

  m.mutable_node()->set_id("n\u00e4");  // beyond ASCII, and numbers that are no text
  m.mutable_node()->mutable_user_agent_build_version()->mutable_version()->set_major_number(200);
  const std::string first_bytes = m.SerializeAsString();
  auto first = cpstream::decode_delta(first_bytes);
  REQUIRE(first.ok());
  REQUIRE(first->node);
  CHECK(first->node->id == "n\u00e4");
  CHECK(first->node->user_agent_version == "200.0.0");
  CHECK(first->initial_versions.size() == 1);
  // In pieces, as protobuf puts them together: a node twice is merged.
  v3::DeltaDiscoveryRequest more;
  more.mutable_node()->set_cluster("c");
  const std::string merged_bytes = m.SerializeAsString() + more.SerializeAsString();
  auto merged = cpstream::decode_delta(merged_bytes);
  REQUIRE(merged.ok());
  CHECK(merged->node->id == "n\u00e4");
  CHECK(merged->node->cluster == "c");
  CHECK_FALSE(cpstream::decode_delta(std::string_view("\x2a\x04\x0a\x02\xff\xff")).ok());  // a name that is no UTF-8
}

TEST_CASE("an error without a message is still a NACK") {
  v3::DeltaDiscoveryRequest m;
  m.mutable_error_detail()->set_code(13);
  const std::string r_bytes = m.SerializeAsString();
  auto r = cpstream::decode_delta(r_bytes);
  REQUIRE(r.ok());
  CHECK(r->error == "");
}

TEST_CASE("bytes that are no request are an error; every cut of a request is read or refused like protobuf does") {
  CHECK_FALSE(cpstream::decode_sotw("\xff\xff\xff").ok());
  CHECK_FALSE(cpstream::decode_delta(std::string_view("\x0a\x05")).ok());
  v3::DeltaDiscoveryRequest m;
  m.set_type_url("type.googleapis.com/x");
  m.add_resource_names_subscribe("name-1");
  m.set_response_nonce("12");
  const std::string bytes = m.SerializeAsString();
  for (size_t i = 0; i < bytes.size(); ++i) {
    v3::DeltaDiscoveryRequest whole;
    const std::string part = bytes.substr(0, i);
    CAPTURE(i);
    CHECK(cpstream::decode_delta(part).ok() == whole.ParseFromString(part));
  }
}
