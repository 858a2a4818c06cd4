// Copies of cluster maps share what has not changed and are nevertheless independent.
#include <catch2/catch.hpp>

#include <set>

#include "dataplane/config/cluster_map.h"

namespace fairlead::config::cluster_map_test {
namespace {

std::shared_ptr<const ClusterConfig> named(const std::string& name) {
  auto out = std::make_shared<ClusterConfig>();
  out->name = name;
  return out;
}

std::set<std::string> names(const ClusterMap& map) {
  std::set<std::string> out;
  for (const auto& [name, entry] : map) {
    CHECK(entry.config->name == name);
    out.insert(name);
  }
  return out;
}

TEST_CASE("a copy of a cluster map keeps what it had while the original goes on, and the other way round") {
  ClusterMap before;
  CHECK(before.empty());
  CHECK(names(before).empty());
  std::set<std::string> all;
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "cluster-" + std::to_string(i);
    before[name].config = named(name);
    all.insert(name);
  }
  CHECK(before.size() == 2000);
  CHECK(names(before) == all);

  ClusterMap after = before;
  after.erase("cluster-7");
  after.erase("absent");
  after["new"].config = named("new");
  const auto other = named("cluster-8");
  after["cluster-8"].config = other;
  CHECK(before.size() == 2000);
  CHECK(names(before) == all);
  CHECK(before.find("cluster-8")->config != other);
  CHECK(after.size() == 2000);
  CHECK_FALSE(after.contains("cluster-7"));
  CHECK(after.find("cluster-8")->config == other);
  all.erase("cluster-7");
  all.insert("new");
  CHECK(names(after) == all);
  size_t shared = 0;  // the very same entry
  for (const std::string& name : all) shared += after.find(name) == before.find(name);
  CHECK(shared > 1900);

  after.clear();
  CHECK(after.empty());
  CHECK(before.size() == 2000);
}

}  // namespace
}  // namespace fairlead::config::cluster_map_test
