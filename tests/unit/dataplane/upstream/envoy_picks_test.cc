// Ring hash and Maglev pick what Envoy 1.40 picked: from the configuration through flatten() to the tables, for every recorded key.
// Recorded by tests/interop/cases/hash_picks.py.
#include <catch2/catch.hpp>

#include <sstream>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/file.h"
#include "base/hash.h"
#include "dataplane/upstream/balancing.h"
#include "dataplane/upstream/lb/random.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

using namespace fairlead;
using namespace fairlead::upstream;

TEST_CASE("ring hash and Maglev pick what Envoy picked") {
  const auto text = read_file(FAIRLEAD_SOURCE_DIR "/tests/unit/dataplane/upstream/envoy_picks.json");
  REQUIRE(text.ok());
  const auto document = doc::parse_json(*text, "envoy_picks.json");
  REQUIRE(document.ok());
  stats::Registry registry(1);
  SharedClusters shared(registry);
  size_t clusters = 0;
  for (const doc::Value& row : document->items()) {
    envoy::config::cluster::v3::Cluster proto;
    REQUIRE(doc::to_message(*row.find("cluster"), &proto).ok());
    INFO(proto.name());
    auto config = config::parse_cluster(proto);
    INFO(config.status().ToString());
    REQUIRE(config.ok());
    const FlatEndpoints flat = flatten(**config, (*config)->endpoints.get(), {});
    const bool held = row.find("held")->as_boolean();  // requests stay open, over three keys
    const auto total = std::make_shared<uint32_t>(0);
    std::vector<LbHost> hosts(flat.hosts.size());
    std::vector<LbHost*> list;
    for (LbHost& host : hosts) {
      host.active_requests.count_into(total);
      list.push_back(&host);
    }
    HostSelector::Options options = selector_options((*config)->lb, (*config)->endpoints.get(), nullptr);
    options.tables = hash_tables(*shared.get(*config), (*config)->endpoints, {}, nullptr);
    REQUIRE(options.tables != nullptr);
    options.total_active = total;
    Random random(1);
    HostSelector selector(policy_options((*config)->lb, nullptr), random);
    selector.rebuild(list, options);
    std::istringstream picks{std::string(row.find("picks")->as_string())};
    std::string ours, envoys;
    int number = 0;
    for (int key = 0; picks >> number; ++key) {
      PickContext context;
      context.hash = xx_hash64("key-" + std::to_string(held ? key % 3 : key));  // what hash_policy {header: x-key} makes of it
      const size_t at = selector.pick(context).host - hosts.data();
      if (held) ++hosts[at].active_requests;
      const std::string& ip = flat.hosts[at].endpoint->address.host;
      ours += ip.substr(ip.rfind('.') + 1) + ' ';
      envoys += std::to_string(number) + ' ';
    }
    CHECK(ours == envoys);
    ++clusters;
  }
  CHECK(clusters == 24);
}
