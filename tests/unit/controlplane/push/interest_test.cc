// Streams by the names they want.
#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "controlplane/push/interest.h"

using namespace fairlead;
using push::Interest;
using push::StreamId;

namespace {

std::multiset<StreamId> named(const Interest& interest, std::string_view name) {
  std::multiset<StreamId> out;
  interest.each_named(name, [&](StreamId id) { out.insert(id); });
  return out;
}

}  // namespace

TEST_CASE("streams are found by each of their names, and by none that they have given up") {
  cpstream::NameTable table;
  Interest interest;
  interest.set(1, table.intern({"a", "b"}), false);
  interest.set(2, table.intern({"a", "b"}), false);
  interest.set(3, table.intern({"b", "c"}), false);
  interest.set(4, nullptr, true);
  CHECK(interest.sets() == 2);
  CHECK(named(interest, "a") == std::multiset<StreamId>{1, 2});
  CHECK(named(interest, "b") == std::multiset<StreamId>{1, 2, 3});
  CHECK(named(interest, "c") == std::multiset<StreamId>{3});
  CHECK(named(interest, "x").empty());
  CHECK(interest.wildcard() == std::vector<StreamId>{4});
  interest.set(1, table.intern({"c"}), false);
  interest.remove(2);
  CHECK(named(interest, "a").empty());
  CHECK(named(interest, "b") == std::multiset<StreamId>{3});
  CHECK(named(interest, "c") == std::multiset<StreamId>{1, 3});
  interest.set(4, table.intern({"c"}), false);
  CHECK(interest.wildcard().empty());
  for (StreamId id : {1, 3, 4, 5}) interest.remove(id);
  CHECK(interest.empty());
  CHECK(interest.sets() == 0);
}

TEST_CASE("whatever was set and removed, the answer is that of a plain list") {
  std::mt19937 random(7);
  cpstream::NameTable table;
  Interest interest;
  std::map<StreamId, std::pair<std::set<std::string>, bool>> plain;
  const std::vector<std::string> all{"a", "b", "c", "d", "e", "f"};
  for (int step = 0; step < 20'000; ++step) {
    const StreamId id = random() % 12;
    if (random() % 5 == 0) {
      interest.remove(id);
      plain.erase(id);
    } else {
      std::vector<std::string> names;
      for (const std::string& n : all)
        if (random() % 3 == 0) names.push_back(n);
      const bool everything = random() % 4 == 0;
      interest.set(id, names.empty() ? nullptr : table.intern(names), everything);
      plain[id] = {std::set<std::string>(names.begin(), names.end()), everything};
    }
    if (step % 20 != 0) continue;
    for (const std::string& n : all) {
      std::multiset<StreamId> expected;
      for (const auto& [stream, want] : plain)
        if (want.first.contains(n)) expected.insert(stream);
      REQUIRE(named(interest, n) == expected);
    }
    std::set<StreamId> wild;
    for (const auto& [stream, want] : plain)
      if (want.second) wild.insert(stream);
    REQUIRE(std::set<StreamId>(interest.wildcard().begin(), interest.wildcard().end()) == wild);
  }
}
