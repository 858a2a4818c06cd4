// The map from strings to numbers under virtual hosts and exact paths.
#include "dataplane/router/string_index.h"

#include <absl/strings/str_cat.h>
#include <catch2/catch.hpp>

#include <string>
#include <vector>

using fairlead::router::StringIndex;

namespace {

std::vector<uint32_t> values(const StringIndex& index, std::string_view key) {
  const auto found = index.find(key);
  return {found.begin(), found.end()};
}

}  // namespace

TEST_CASE("an index without keys finds nothing") {
  StringIndex index;
  CHECK(index.empty());
  index.finish();
  CHECK(index.empty());
  CHECK(index.find("").empty());
  CHECK(index.find("a").empty());
}

TEST_CASE("a key that was added several times has its values in order") {
  StringIndex index;
  index.add("a", 3);
  index.add("", 4);
  index.add("a", 1);
  index.add("ab", 5);
  index.add("a", 2);
  CHECK_FALSE(index.empty());
  index.finish();
  CHECK_FALSE(index.empty());
  CHECK(values(index, "a") == std::vector<uint32_t>{3, 1, 2});
  CHECK(values(index, "") == std::vector<uint32_t>{4});
  CHECK(values(index, "ab") == std::vector<uint32_t>{5});
  CHECK(values(index, "abc").empty());
  CHECK(values(index, "b").empty());
}

TEST_CASE("every key of many is found, with the index's own copy of it, and no other") {
  StringIndex index;
  {
    std::vector<std::string> keys;
    for (uint32_t i = 0; i < 10'000; ++i) keys.push_back(absl::StrCat("host-", i, std::string(i % 9, 'x')));
    for (uint32_t i = 0; i < keys.size(); ++i) index.add(keys[i], i);
    index.finish();
  }  // the keys are gone
  for (uint32_t i = 0; i < 10'000; ++i) {
    const std::string key = absl::StrCat("host-", i, std::string(i % 9, 'x'));
    std::string_view stored;
    const auto found = index.find(key, &stored);
    REQUIRE(found.size() == 1);
    REQUIRE(found.front() == i);
    REQUIRE(stored == key);
    REQUIRE(index.find(key + "y").empty());
  }
}
