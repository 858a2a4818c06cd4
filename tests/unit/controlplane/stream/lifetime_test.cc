// Times to live: who is told of them, and how they are renewed.
#include "tests/unit/controlplane/stream/driver.h"

#include "controlplane/stream/encode.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

using namespace fairlead;
using namespace fairlead::test;
using namespace std::chrono_literals;
namespace discovery = envoy::service::discovery::v3;

namespace {

ResourcePtr timed(Type type, const std::string& name, std::chrono::milliseconds ttl, int variant = 1) {
  envoy::config::cluster::v3::Cluster c;
  envoy::config::endpoint::v3::ClusterLoadAssignment a;
  c.set_name(name);
  c.mutable_connect_timeout()->set_seconds(variant);
  a.set_cluster_name(name);
  a.mutable_policy()->mutable_overprovisioning_factor()->set_value(static_cast<uint32_t>(variant));
  const google::protobuf::Message& m = type == Type::kCluster ? static_cast<const google::protobuf::Message&>(c) : a;
  return resources::make_resource(type, name, m, {}, "", {{}, ttl});
}

cpstream::SessionOptions knows(bool ttl) {
  cpstream::SessionOptions o;
  o.ttl = ttl;
  return o;
}

template <typename C>
Output at_deadline(C& c) {
  REQUIRE(c.session.deadline());
  c.now = *c.session.deadline();
  Output o = c.session.on_time(c.now);
  for (const Response& r : o.responses) c.last[r.type] = r;
  return o;
}

}  // namespace

TEST_CASE("rule 53: in delta what has a time to live is renewed at half of it, without a body, under its version") {
  World w;
  w.put({timed(Type::kEndpoint, "a", 10s), assignment("b")});
  Delta c(w.now(), knows(true));
  Output first = c.ask(Type::kEndpoint, {"a", "b"});
  REQUIRE(first.responses.size() == 1);
  const std::string version = first.responses[0].version;
  discovery::DeltaDiscoveryResponse wire;
  REQUIRE(wire.ParseFromString(cpstream::Encoder().delta(first.responses[0]).flatten()));
  REQUIRE(wire.resources_size() == 2);
  CHECK(wire.resources(0).ttl().seconds() == 10);
  CHECK(wire.resources(0).has_resource());
  CHECK_FALSE(wire.resources(1).has_ttl());
  c.ack(Type::kEndpoint);
  const MonotonicTime began = c.now;
  const Output beat = at_deadline(c);
  CHECK(c.now - began == 5s);
  REQUIRE(shape(beat) == Names{"eds[a]"});
  CHECK(beat.responses[0].version == version);
  REQUIRE(wire.ParseFromString(cpstream::Encoder().delta(beat.responses[0]).flatten()));
  REQUIRE(wire.resources_size() == 1);
  CHECK(wire.resources(0).name() == "a");
  CHECK(wire.resources(0).version() == w.now()->find(Type::kEndpoint, "a")->version);
  CHECK(wire.resources(0).ttl().seconds() == 10);
  CHECK_FALSE(wire.resources(0).has_resource());
  CHECK(c.ack(Type::kEndpoint).responses.empty());
  CHECK(c.session.status(Type::kEndpoint).state == cpstream::TypeStatus::State::kSynced);
  CHECK(shape(at_deadline(c)) == Names{"eds[a]"});  // and again
  c.ack(Type::kEndpoint);
  // an update is renewal enough, and has its body
  w.put({timed(Type::kEndpoint, "a", 10s, 2)});
  const Output changed = c.see(w);
  REQUIRE(shape(changed) == Names{"eds[a]"});
  CHECK_FALSE(changed.responses[0].beat);
  c.ack(Type::kEndpoint);
  // what has gone is not renewed
  w.drop(Type::kEndpoint, "a");
  c.ack_all(c.see(w));
  CHECK(at_deadline(c).responses.empty());
  CHECK_FALSE(c.session.deadline());
}

TEST_CASE("rule 53: in state of the world a resource with a time to live stands in a Resource, and so does its renewal") {
  World w;
  w.put({timed(Type::kEndpoint, "a", 1500ms), assignment("b")});
  Sotw c(w.now(), knows(true));
  const Output first = c.ask(Type::kEndpoint, {"a", "b"});
  discovery::DiscoveryResponse wire;
  REQUIRE(wire.ParseFromString(cpstream::Encoder().sotw(first.responses.at(0)).flatten()));
  REQUIRE(wire.resources_size() == 2);
  discovery::Resource inner;
  REQUIRE(wire.resources(0).UnpackTo(&inner));
  CHECK(inner.name() == "a");
  CHECK(inner.ttl().seconds() == 1);
  CHECK(inner.ttl().nanos() == 500'000'000);
  envoy::config::endpoint::v3::ClusterLoadAssignment body;
  CHECK(inner.resource().UnpackTo(&body));
  CHECK(wire.resources(1).UnpackTo(&body));
  c.ack(Type::kEndpoint);
  const Output beat = at_deadline(c);
  REQUIRE(shape(beat) == Names{"eds[a]"});
  REQUIRE(wire.ParseFromString(cpstream::Encoder().sotw(beat.responses[0]).flatten()));
  REQUIRE(wire.resources(0).UnpackTo(&inner));
  CHECK(inner.name() == "a");
  CHECK_FALSE(inner.has_resource());
  CHECK(wire.version_info() == first.responses[0].version);
}

TEST_CASE("rule 53: LDS and CDS in state of the world are renewed complete, since what is absent is deleted") {
  World w;
  w.put({timed(Type::kCluster, "a", 10s), cluster("b")});
  Sotw c(w.now(), knows(true));
  c.ack_all(c.ask(Type::kCluster));
  const Output beat = at_deadline(c);
  REQUIRE(shape(beat) == Names{"cds[a b]"});
  CHECK_FALSE(beat.responses[0].beat);
  c.ack(Type::kCluster);
  CHECK(c.session.status(Type::kCluster).state == cpstream::TypeStatus::State::kSynced);
}

TEMPLATE_TEST_CASE("rule 53: who does not say that it knows times to live hears of none", "", Sotw, Delta) {
  World w;
  w.put({timed(Type::kEndpoint, "a", 10s)});
  TestType c(w.now(), knows(false));
  const Output first = c.ask(Type::kEndpoint, {"a"});
  REQUIRE(first.responses.size() == 1);
  CHECK_FALSE(first.responses[0].timed);
  CHECK(cpstream::Encoder().delta(first.responses[0]).flatten().find(w.now()->find(Type::kEndpoint, "a")->delta_frame) != std::string::npos);
  c.ack(Type::kEndpoint);
  CHECK_FALSE(c.session.deadline());
}

TEST_CASE("rule 53: a client that answers nothing is not sent ever more renewals") {
  World w;
  w.put({timed(Type::kEndpoint, "a", 2s)});
  cpstream::SessionOptions o = knows(true);
  Delta c(w.now(), o);
  c.ask(Type::kEndpoint, {"a"});
  size_t sent = 0;
  for (int i = 0; i < 100; ++i) sent += at_deadline(c).responses.size();
  CHECK(sent == o.max_unacked - 1);
}

TEST_CASE("another time to live is another resource") {
  CHECK(timed(Type::kCluster, "a", 10s)->version == timed(Type::kCluster, "a", 10s)->version);
  CHECK(timed(Type::kCluster, "a", 10s)->version != timed(Type::kCluster, "a", 20s)->version);
  CHECK(timed(Type::kCluster, "a", 10s)->body() == timed(Type::kCluster, "a", 20s)->body());
  CHECK(resources::with_version(*timed(Type::kCluster, "a", 10s), "7")->timed);
}
