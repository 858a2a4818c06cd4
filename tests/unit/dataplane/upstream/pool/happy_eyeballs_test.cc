// The order in which an endpoint's addresses are tried.
#include <catch2/catch.hpp>

#include <absl/strings/str_split.h>

#include "dataplane/upstream/pool/happy_eyeballs.h"

using namespace fairlead;
using namespace fairlead::upstream;

namespace {

// "4a 6a 4b": families and a name each.
std::string order(const std::string& given, const config::HappyEyeballs& options = {}) {
  std::vector<net::Address> addresses;
  for (const std::string_view one : absl::StrSplit(given, ' ')) {
    const uint16_t port = static_cast<uint16_t>(one[1]);
    addresses.push_back(one[0] == 'u' ? *net::Address::from_unix("/x") : *net::Address::from_ip(one[0] == '4' ? "127.0.0.1" : "::1", port));
  }
  std::string out;
  for (const net::Address& address : interleave(std::move(addresses), options)) {
    if (!out.empty()) out += ' ';
    out += !address.is_ip() ? "ux" : (address.kind() == net::Address::Kind::V4 ? "4" : "6") + std::string(1, static_cast<char>(address.port()));
  }
  return out;
}

}  // namespace

TEST_CASE("families are interleaved, the first address' own first") {
  CHECK(order("4a") == "4a");
  CHECK(order("4a 4b 4c") == "4a 4b 4c");
  CHECK(order("4a 4b 4c 6a 6b") == "4a 6a 4b 6b 4c");
  CHECK(order("6a 4a 4b 4c") == "6a 4a 4b 4c");
  CHECK(order("4a 6a 6b 6c") == "4a 6a 6b 6c");
}

TEST_CASE("which family begins, and with how many, can be said") {
  using Family = config::HappyEyeballs::Family;
  CHECK(order("4a 4b 6a 6b", {.first = Family::V6}) == "6a 4a 6b 4b");
  CHECK(order("4a 4b 6a 6b", {.first = Family::V4}) == "4a 6a 4b 6b");
  CHECK(order("6a 6b 6c 4a", {.first = Family::V4}) == "4a 6a 6b 6c");
  CHECK(order("4a 4b 4c 6a 6b", {.first = Family::OfFirst, .count = 2}) == "4a 4b 6a 4c 6b");
}

TEST_CASE("addresses that are not IP are left in their order") { CHECK(order("6a ux 4a 4b") == "6a ux 4a 4b"); }
