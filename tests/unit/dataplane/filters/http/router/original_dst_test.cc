// Which host a request names, and where it may name it.
#include <catch2/catch.hpp>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/filters/http/router/original_dst.h"
#include "dataplane/http/header_map.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/net/simulated.h"
#include "dataplane/upstream/worker_clusters.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/base.pb.h"

using namespace fairlead;

namespace {

template <class T>
T message(const std::string& yaml) {
  T out;
  REQUIRE(doc::to_message(doc::parse_one(yaml, "test.yaml").value(), &out).ok());
  return out;
}

struct World {
  explicit World(const std::string& lb) : cluster(env, shared.get(*config::parse_cluster(message<envoy::config::cluster::v3::Cluster>("{name: o, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: " + lb + "}"))), zone, nullptr) {}
  // "-": no host
  std::string pick(const std::string& header, const std::string& metadata = "{}", const net::Connection* client = nullptr) {
    http::Arena arena;
    http::HeaderMap headers(arena);
    if (!header.empty()) headers.add("x-envoy-original-dst-host", header);
    const auto dynamic = message<envoy::config::core::v3::Metadata>(metadata);
    const upstream::Host* host = filters::router::pick_original(cluster, headers, &dynamic, client);
    return host == nullptr ? "-" : host->address_text();
  }
  uint64_t invalid() const { return registry.find("cluster.o.original_dst_host_invalid"); }

  net::EventLoop loop;
  stats::Registry registry{1};
  upstream::Random random{1};
  upstream::SharedClusters shared{registry};
  upstream::WorkerEnv env{loop, registry.cells(0), random};
  const upstream::LocalZone zone;
  upstream::Cluster cluster;
};

}  // namespace

TEST_CASE("dynamic metadata comes before the header, and the header before the connection's own destination") {
  World w("{use_http_header: true, metadata_key: {key: f, path: [{key: a}, {key: b}]}}");
  net::SimulatedPair pair(w.loop);
  const net::ConnectionPtr client = pair.take_a();
  CHECK(w.pick("", "{}", client.get()) == "-");  // nothing has redirected it
  client->restore_local_address(*net::Address::parse("10.0.0.3:3"));
  CHECK(w.pick("", "{}", client.get()) == "10.0.0.3:3");
  CHECK(w.pick("10.0.0.2:2", "{}", client.get()) == "10.0.0.2:2");
  CHECK(w.pick("10.0.0.2:2", "{filter_metadata: {f: {a: {b: '10.0.0.1:1'}}}}", client.get()) == "10.0.0.1:1");
  CHECK(w.pick("10.0.0.2:2", "{filter_metadata: {f: {a: {b: ['[::1]:1', x]}}}}") == "[::1]:1");
  CHECK(w.invalid() == 0);
  CHECK(w.pick("10.0.0.2:2", "{filter_metadata: {f: {a: {b: nowhere}}}}") == "10.0.0.2:2");
  CHECK(w.invalid() == 1);
  for (const char* other : {"{filter_metadata: {f: {a: {b: 7}}}}", "{filter_metadata: {f: {a: x}}}", "{filter_metadata: {f: {}}}", "{filter_metadata: {g: {a: {b: '10.0.0.1:1'}}}}"}) {
    CHECK(w.pick("", other) == "-");
  }
  CHECK(w.invalid() == 1);
}

TEST_CASE("what the configuration does not look at names no host") {
  World w("{upstream_port_override: 80}");
  net::SimulatedPair pair(w.loop);
  const net::ConnectionPtr client = pair.take_a();
  CHECK(w.pick("10.0.0.2:2", "{filter_metadata: {f: {a: {b: '10.0.0.1:1'}}}}") == "-");
  client->restore_local_address(*net::Address::parse("10.0.0.3:3"));
  CHECK(w.pick("10.0.0.2:2", "{}", client.get()) == "10.0.0.3:80");
  CHECK(w.cluster.hosts().size() == 1);
}
