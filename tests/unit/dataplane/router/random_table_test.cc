// The compiled table agrees with a plain scan on thousands of random tables and requests.
#include <random>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <catch2/catch.hpp>

#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;
namespace v3 = envoy::config::route::v3;

namespace {

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  size_t upto(size_t n) { return random_() % n; }
  template <typename T, size_t N>
  const T& one_of(const T (&choices)[N]) {
    return choices[upto(N)];
  }

  // Few letters and short words, so that prefixes, cases and shadowing collide all the time.
  std::string path() {
    static const std::string words[] = {"a", "ab", "A", "abc", "b", "B", "x1", "", "aB"};
    std::string out;
    for (size_t i = upto(4); i > 0; --i) absl::StrAppend(&out, "/", one_of(words));
    return out.empty() ? "/" : out;
  }
  std::string host() {
    static const std::string words[] = {"a", "b", "a.b", "x.a.b", "X.A.b", "a:80", "xa.b", ".a.b", "c-a.b", "b.a", ""};
    return one_of(words);
  }

  v3::RouteConfiguration table() {
    v3::RouteConfiguration config;
    config.set_name("t");
    config.set_ignore_port_in_host_matching(upto(3) == 0);
    static const std::string domains[] = {"*", "a", "b", "a.b", "*.b", "*.a.b", "*-a.b", "a.*", "b.*", "a:80", "X.a.b"};
    std::vector<std::string> pool(std::begin(domains), std::end(domains));
    std::shuffle(pool.begin(), pool.end(), random_);
    const size_t hosts = 1 + upto(4);
    for (size_t i = 0; i < hosts; ++i) {
      auto* host = config.add_virtual_hosts();
      host->set_name(absl::StrCat("v", i));
      for (size_t k = 1 + upto(2); k > 0 && !pool.empty(); --k) {
        host->add_domains(pool.back());
        pool.pop_back();
      }
      for (size_t k = upto(14); k > 0; --k) route(*host->add_routes());
    }
    return config;
  }

 private:
  void route(v3::Route& route) {
    route.mutable_route()->set_cluster(absl::StrCat("c", upto(3)));
    auto& match = *route.mutable_match();
    switch (upto(5)) {
      case 0: match.set_path(path()); break;
      case 1: match.set_path_separated_prefix(path()); break;
      case 2: {
        static const std::string patterns[] = {"/a.*", "/[ab]+", ".*/b", "/(a|ab)/.*", "/A", "/x\\d", "", "/.?b?c?", "(?i)/ab"};
        match.mutable_safe_regex()->set_regex(one_of(patterns));
        break;
      }
      default: match.set_prefix(path());
    }
    if (upto(3) == 0) match.mutable_case_sensitive()->set_value(upto(2) == 0);
    if (upto(4) == 0) {
      auto* header = match.add_headers();
      header->set_name("x-h");
      header->mutable_string_match()->set_exact(upto(2) == 0 ? "1" : "2");
      header->set_invert_match(upto(3) == 0);
    }
    if (upto(6) == 0) match.add_query_parameters()->set_name("q");
    if (upto(8) == 0) match.mutable_runtime_fraction()->mutable_default_value()->set_numerator(static_cast<uint32_t>(upto(101)));
  }

  std::mt19937 random_;
};

}  // namespace

TEST_CASE("compiled matching equals the plain scan on random tables") {
  size_t matched = 0, compared = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Generator generate(seed);
    const auto config = generate.table();
    auto table = RouteTable::compile(config);
    INFO("seed " << seed << "\n" << config.DebugString());
    REQUIRE(table.ok());
    for (int i = 0; i < 40; ++i) {
      std::string path = generate.path();
      if (generate.upto(4) == 0) path += "?q=1";
      test::Headers headers = test::request(path, generate.host());
      if (generate.upto(2) == 0) headers->add("x-h", generate.upto(2) == 0 ? "1" : "2");
      RequestFacts facts;
      facts.random = generate.upto(1000);
      const Match fast = (*table)->match(*headers, facts), slow = (*table)->match_by_scan(*headers, facts);
      if (fast.route != slow.route || fast.virtual_host != slow.virtual_host || fast.outcome != slow.outcome || fast.cluster != slow.cluster) {
        FAIL("path " << path << " host " << headers->get(":authority") << ": index chose "
                     << (fast.route ? fast.route->describe() : "none") << ", scan " << (slow.route ? slow.route->describe() : "none"));
      }
      ++compared;
      if (fast.route != nullptr) ++matched;
    }
  }
  CHECK(compared == 16'000);
  CHECK(matched > 4'000);
}

TEST_CASE("compiled matching equals the plain scan where one virtual host has many prefixes and paths") {
  Generator generate(1);
  v3::RouteConfiguration config;
  auto* host = config.add_virtual_hosts();
  host->set_name("v");
  host->add_domains("*");
  const auto path = [&](int depth) {
    std::string out;
    for (int i = 0; i < depth; ++i) absl::StrAppend(&out, "/", generate.upto(12) * generate.upto(12));
    return out;
  };
  for (int i = 0; i < 3'000; ++i) {
    auto* route = host->add_routes();
    route->mutable_route()->set_cluster(absl::StrCat("c", i));
    auto& match = *route->mutable_match();
    const std::string text = path(2 + static_cast<int>(generate.upto(3)));
    if (i % 3 == 0) match.set_path(text);
    if (i % 3 == 1) match.set_prefix(text);
    if (i % 3 == 2) match.set_path_separated_prefix(text);
    match.mutable_case_sensitive()->set_value(i % 5 != 0);
  }
  const auto table = RouteTable::compile(config);
  REQUIRE(table.ok());
  size_t matched = 0;
  for (int i = 0; i < 3'000; ++i) {
    test::Headers headers = test::request(path(2 + static_cast<int>(generate.upto(4))), "a");
    const Match fast = (*table)->match(*headers, {}), slow = (*table)->match_by_scan(*headers, {});
    REQUIRE(fast.route == slow.route);
    REQUIRE(fast.cluster == slow.cluster);
    if (fast.route != nullptr) ++matched;
  }
  CHECK(matched > 500);
}
