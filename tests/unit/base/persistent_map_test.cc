// The persistent map against std::map, and what sharing buys.
#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <string>

#include "base/persistent_map.h"

using fairlead::PersistentMap;
using Map = PersistentMap<std::string, int>;

namespace {

std::map<std::string, int> content(const Map& m) {
  std::map<std::string, int> out;
  std::string last;
  m.for_each([&](const std::string& k, int v) {
    CHECK((out.empty() || last < k));
    last = k;
    out[k] = v;
  });
  return out;
}

}  // namespace

TEST_CASE("persistent map: any sequence of changes gives what std::map gives, and old versions stay") {
  std::mt19937 random(7);
  Map map;
  std::map<std::string, int> model;
  std::vector<std::pair<Map, std::map<std::string, int>>> history;
  for (int i = 0; i < 2000; ++i) {
    const std::string key = std::to_string(random() % 300);
    if (random() % 3 == 0) {
      map = map.erase(key);
      model.erase(key);
    } else {
      map = map.set(key, i);
      model[key] = i;
    }
    REQUIRE(map.size() == model.size());
    if (i % 200 == 0) history.emplace_back(map, model);
  }
  CHECK(content(map) == model);
  for (const auto& [old, expected] : history) CHECK(content(old) == expected);
  for (const auto& [k, v] : model) CHECK(*map.find(k) == v);
  CHECK(map.find("nowhere") == nullptr);
}

TEST_CASE("persistent map: a difference names exactly what changed, in order") {
  Map before;
  for (int i = 0; i < 1000; ++i) before = before.set("k" + std::to_string(i), i);
  const Map after = before.set("k5", -5).erase("k77").set("new", 1);
  std::vector<std::string> seen;
  Map::diff(before, after, [&](const std::string& k, const int* a, const int* b) {
    if (a && b && *a == *b) return;
    seen.push_back((a ? "" : "+") + k + (b ? "" : "-"));
  });
  CHECK(seen == std::vector<std::string>{"k5", "k77-", "+new"});
}

TEST_CASE("persistent map: differences of unrelated histories are right too") {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    Map a, b;
    std::map<std::string, int> ma, mb;
    for (int i = 0; i < 40; ++i) {
      const std::string key = std::to_string(random() % 30);
      const int value = static_cast<int>(random() % 3);
      if (random() % 2) {
        a = a.set(key, value);
        ma[key] = value;
      } else {
        b = b.set(key, value);
        mb[key] = value;
      }
    }
    std::map<std::string, int> patched = ma;
    Map::diff(a, b, [&](const std::string& k, const int*, const int* to) {
      if (to) {
        patched[k] = *to;
      } else {
        patched.erase(k);
      }
    });
    CHECK(patched == mb);
  }
}

TEST_CASE("persistent map: a copy shares everything, and one change shares nearly everything") {
  Map map;
  for (int i = 0; i < 4096; ++i) map = map.set(std::to_string(i), i);
  const Map copy = map;
  CHECK(copy.same_as(map));
  const Map changed = map.set("77", 0);
  int visited = 0;
  Map::diff(map, changed, [&](const std::string&, const int*, const int*) { ++visited; });
  CHECK(visited < 100);  // the path from the root, of some 2 log2(4096) nodes
  CHECK(changed.erase("nowhere").same_as(changed));
}
