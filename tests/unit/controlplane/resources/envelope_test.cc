// What a resource is sent with besides its bytes.
#include <catch2/catch.hpp>

#include "base/hash.h"
#include "controlplane/resources/resource.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

using namespace fairlead;
using namespace std::chrono_literals;
namespace discovery = envoy::service::discovery::v3;

namespace {

resources::ResourcePtr cluster(resources::Envelope envelope) {
  envoy::config::cluster::v3::Cluster m;
  m.set_name("a");
  return resources::make_resource(resources::Type::kCluster, "a", m, {}, "", std::move(envelope));
}

discovery::Resource in_delta(const std::string& frame) {
  discovery::DeltaDiscoveryResponse m;
  REQUIRE(m.ParseFromString(frame));
  REQUIRE(m.resources_size() == 1);
  return m.resources(0);
}

}  // namespace

TEST_CASE("frames carry aliases always, a time to live only in the frames of their own") {
  const auto r = cluster({{"x", "y"}, 1500ms});
  const discovery::Resource plain = in_delta(r->delta_frame);
  CHECK(plain.name() == "a");
  CHECK(plain.version() == r->version);
  CHECK(plain.aliases_size() == 2);
  CHECK_FALSE(plain.has_ttl());
  CHECK(plain.resource().value() == r->body());
  REQUIRE(r->timed);
  const discovery::Resource timed = in_delta(r->timed->delta);
  CHECK(timed.ttl().seconds() == 1);
  CHECK(timed.ttl().nanos() == 500'000'000);
  CHECK(timed.resource().value() == r->body());
  const discovery::Resource beat = in_delta(r->timed->delta_beat);
  CHECK(beat.version() == r->version);
  CHECK(beat.has_ttl());
  CHECK_FALSE(beat.has_resource());
  for (const std::string* frame : {&r->timed->sotw, &r->timed->sotw_beat}) {
    discovery::DiscoveryResponse m;
    REQUIRE(m.ParseFromString(*frame));
    discovery::Resource inner;
    REQUIRE(m.resources(0).UnpackTo(&inner));
    CHECK(inner.name() == "a");
    CHECK(inner.has_ttl());
    CHECK(inner.has_resource() == (frame == &r->timed->sotw));
  }
}

TEST_CASE("both frames carry the same Any, and that of state of the world is there whenever it is asked for") {
  for (const std::string& name : {std::string("a"), std::string(100, 'x'), std::string(20'000, 'y')}) {
    envoy::config::cluster::v3::Cluster m;
    m.set_name(name);
    const auto r = resources::make_resource(resources::Type::kCluster, name, m, {});
    CHECK(r->version == hex64(r->hash.low));
    CHECK(r->hash == content_hash(m.SerializeAsString()));
    const auto before = resources::with_origins(*r, {});  // of one that nobody has asked yet
    discovery::DiscoveryResponse sotw;
    REQUIRE(sotw.ParseFromString(r->sotw_frame()));
    REQUIRE(sotw.resources_size() == 1);
    const discovery::Resource delta = in_delta(r->delta_frame);
    CHECK(delta.version() == r->version);
    CHECK(delta.name() == name);
    CHECK(sotw.resources(0).SerializeAsString() == delta.resource().SerializeAsString());
    CHECK(delta.resource().value() == r->body());
    CHECK(r->sotw_frame().data() == r->sotw_frame().data());
    CHECK(before->sotw_frame() == r->sotw_frame());
    CHECK(resources::with_origins(*r, {})->sotw_frame() == r->sotw_frame());
    const auto verbatim = resources::with_version(*r, "v1");
    CHECK(in_delta(verbatim->delta_frame).version() == "v1");
    CHECK(verbatim->sotw_frame() == r->sotw_frame());
    CHECK(verbatim->hash == r->hash);
  }
  CHECK(resources::unresolved(resources::Type::kVirtualHost, "a")->sotw_frame().empty());
}

TEST_CASE("without an envelope a resource is what it always was; with one it is another, and keeps it under another version or name") {
  CHECK_FALSE(cluster({})->timed);
  CHECK(cluster({})->hash != cluster({{"x"}, 0ms})->hash);
  CHECK(cluster({{"x"}, 0ms})->hash == cluster({{"x"}, 0ms})->hash);
  const auto named = resources::with_name(*cluster({{"x"}, 2s}), "b");
  CHECK(in_delta(named->timed->delta).name() == "b");
  CHECK(in_delta(named->timed->delta).aliases(0) == "x");
  CHECK(in_delta(resources::with_version(*named, "7")->timed->delta).version() == "7");
}
