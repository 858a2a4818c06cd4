// Who is there, by number and in the order of the numbers.
#include <catch2/catch.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "controlplane/serve/id_table.h"

namespace id_table_test {

using fairlead::serve::IdTable;

TEST_CASE("a table by ids finds, erases and goes over what a map does", "[serve]") {
  const unsigned seed = GENERATE(1u, 2u, 3u, 4u);
  std::mt19937 random(seed);
  IdTable<std::unique_ptr<uint64_t>> table;
  std::map<uint64_t, uint64_t> model;
  uint64_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t some = random() % (next + 70);  // beyond the last page, too
    const bool grows = step / 4000 % 2 == 0;       // and shrinks to nothing in between
    if (random() % 10 < (grows ? 7u : 2u)) {
      table.add(next, std::make_unique<uint64_t>(next));
      model.emplace(next, next);
      next += random() % 8 == 0 ? 100 : 1;
    } else {
      const auto at = model.lower_bound(some);
      const uint64_t gone = at != model.end() && random() % 4 != 0 ? at->first : some;  // at times one that is not there
      table.erase(gone);
      model.erase(gone);
    }
    const uint64_t* found = table.find(some);
    REQUIRE((found != nullptr) == model.contains(some));
    if (found) REQUIRE(*found == some);
    REQUIRE(table.size() == model.size());
    if (step % 500 == 0) {
      std::vector<uint64_t> seen, expected;
      for (uint64_t id : table) seen.push_back(id);
      for (const auto& [id, value] : model) expected.push_back(value);
      REQUIRE(seen == expected);
    }
  }
  for (const auto& [id, value] : std::exchange(model, {})) table.erase(id);
  CHECK(table.size() == 0);
  for (uint64_t id : table) FAIL(id << " is still there");
}

TEST_CASE("a table by ids of plain pointers does not own them", "[serve]") {
  int a = 1, b = 2;
  IdTable<int*> table;
  table.add(64, &b);
  table.add(63, &a);
  CHECK(table.find(62) == nullptr);
  CHECK(&table.at(63) == &a);
  std::vector<int> seen;
  for (int i : table) seen.push_back(i);
  CHECK(seen == std::vector{1, 2});
  table.erase(63);
  table.erase(63);
  CHECK(table.size() == 1);
  CHECK(table.find(63) == nullptr);
  CHECK(table.find(64) == &b);
}

}  // namespace id_table_test
