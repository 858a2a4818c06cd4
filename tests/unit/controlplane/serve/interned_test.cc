// Equal values are one object while somebody has it, and none after.
#include "controlplane/serve/interned.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace interned_test {

using fairlead::serve::Interned;

TEST_CASE("equal values are one object, and the last who has it takes it along") {
  Interned<std::string> table;
  auto a = table.of("a long text that is nobody's alone"), b = table.of("a long text that is nobody's alone"), c = table.of("c");
  CHECK(a == b);
  CHECK(a != c);
  CHECK(*a == "a long text that is nobody's alone");
  CHECK(table.size() == 2);
  a.reset();
  CHECK(table.size() == 2);
  b.reset();
  CHECK(table.size() == 1);
  a = table.of("c");
  CHECK(a == c);
}

TEST_CASE("what was given out may outlive the table") {
  Interned<std::string>::Ptr kept;
  {
    Interned<std::string> table;
    kept = table.of("kept");
  }
  CHECK(*kept == "kept");
}

TEST_CASE("what is alike is for the caller to say") {
  struct ByLength {
    bool operator()(const std::string& a, const std::string& b) const { return a.size() < b.size(); }
  };
  Interned<std::string, ByLength> table;
  const auto one = table.of("one"), two = table.of("two");
  CHECK(one == two);
  CHECK(*two == "one");
}

}  // namespace interned_test
