// Why routes do not take a request, and which nearly did: the same answer as match() on thousands of random tables.
#include "dataplane/router/explain.h"

#include <chrono>
#include <random>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <catch2/catch.hpp>

#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;
using test::request;
namespace v3 = envoy::config::route::v3;

namespace {

std::shared_ptr<const RouteTable> table_of(std::string_view routes) {
  return RouteTable::compile(test::from_yaml<v3::RouteConfiguration>("{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [" + std::string(routes) + "]}]}")).value();
}

// "api: path …; header …", nearest first
std::string nearly(const RouteTable& table, const http::HeaderMap& headers, size_t most = 5, const RequestFacts& facts = {}) {
  std::vector<std::string> lines;
  for (const NearMiss& miss : near_misses(table.match(headers, facts), headers, facts, most)) lines.push_back(absl::StrCat(miss.route->name, ": ", absl::StrJoin(miss.unmet, "; ")));
  return absl::StrJoin(lines, "\n");
}

v3::RouteConfiguration random_table(std::mt19937& random) {
  const auto upto = [&](size_t n) { return random() % n; };
  static const std::string paths[] = {"/", "/a", "/A", "/a/b", "/ab", "/b", "/b/", "/a/b/c", "/x"};
  v3::RouteConfiguration config;
  for (int h = 0; h < 2; ++h) {
    auto* host = config.add_virtual_hosts();
    host->set_name(absl::StrCat("v", h));
    host->add_domains(h == 0 ? "*" : "a.b");
    for (size_t k = upto(12); k > 0; --k) {
      auto* route = host->add_routes();
      route->mutable_route()->set_cluster("c");
      auto& match = *route->mutable_match();
      const std::string& path = paths[upto(std::size(paths))];
      switch (upto(5)) {
        case 0: match.set_path(path); break;
        case 1: match.set_path_separated_prefix(path == "/" || path.back() == '/' ? "/a" : path); break;
        case 2: match.mutable_safe_regex()->set_regex(upto(2) == 0 ? "/[ab].*" : "(?i)/ab?"); break;
        case 3: match.mutable_connect_matcher(); break;
        default: match.set_prefix(path);
      }
      if (upto(3) == 0) match.mutable_case_sensitive()->set_value(false);
      if (upto(3) == 0) {
        auto* header = match.add_headers();
        header->set_name("x-h");
        header->mutable_string_match()->set_exact(upto(2) == 0 ? "1" : "2");
        header->set_invert_match(upto(3) == 0);
      }
      if (upto(5) == 0) match.add_query_parameters()->set_name("q");
      if (upto(6) == 0) match.mutable_runtime_fraction()->mutable_default_value()->set_numerator(static_cast<uint32_t>(upto(101)));
      if (upto(8) == 0) match.mutable_grpc();
      if (upto(8) == 0) match.mutable_tls_context()->mutable_presented()->set_value(upto(2) == 0);
    }
  }
  return config;
}

}  // namespace

TEST_CASE("explain: the first route that lacks nothing is the matched one, on random tables") {
  size_t matched = 0, shadowed = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto config = random_table(random);
    const auto table = RouteTable::compile(config).value();
    static const std::string paths[] = {"/", "/a", "/A/b", "/a/b?q=1", "/ab", "/b/", "/a/b/c", "/xy", "/a?q=", "/AB"};
    for (int i = 0; i < 40; ++i) {
      test::Headers headers = request(paths[random() % std::size(paths)], random() % 2 == 0 ? "a.b" : "c");
      if (random() % 2 == 0) headers->add("x-h", random() % 2 == 0 ? "1" : "2");
      if (random() % 5 == 0) headers->set(":method", "CONNECT");
      if (random() % 5 == 0) headers->add("content-type", "application/grpc");
      const RequestFacts facts{.random = random() % 200, .certificate_presented = random() % 2 == 0};
      const Match match = table->match(*headers, facts);
      REQUIRE(match.virtual_host != nullptr);
      const Route* first = nullptr;
      for (const Route& route : match.virtual_host->routes) {
        if (first == nullptr && unmet(route, *headers, facts).empty()) first = &route;
      }
      INFO("seed " << seed << " " << headers->get(":method") << " " << headers->get(":path") << "\n" << config.DebugString());
      REQUIRE(first == match.route);
      for (const NearMiss& miss : near_misses(match, *headers, facts, 100)) {
        CHECK(miss.route != match.route);
        CHECK(miss.unmet == unmet(*miss.route, *headers, facts));
        if (!miss.unmet.empty()) continue;
        ++shadowed;
        REQUIRE(match.route != nullptr);
        CHECK(miss.route->index > match.route->index);
      }
      if (first != nullptr) ++matched;
    }
  }
  CHECK(matched > 3'000);
  CHECK(shadowed > 1'000);
}

TEST_CASE("explain: near misses say what each asks and what the request has, nearest first") {
  const auto table = table_of(R"(
    {name: canary, match: {prefix: /shop, headers: [{name: x-canary, string_match: {exact: "1"}}]}, route: {cluster: c}},
    {name: both, match: {prefix: /shop, headers: [{name: x-canary, string_match: {exact: "1"}}], query_parameters: [{name: v, string_match: {exact: "2"}}]}, route: {cluster: c}},
    {name: far, match: {prefix: /somewhere/else}, route: {cluster: c}},
    {name: upper, match: {path: /SHOP}, route: {cluster: c}},
    {name: shop, match: {prefix: /shop}, route: {cluster: c}},
    {name: rest, match: {prefix: /}, route: {cluster: c}})");
  CHECK(nearly(*table, *request("/shop", "a")) ==
        "upper: path \"/SHOP\" (it is \"/shop\")\n"
        "canary: header x-canary exact \"1\" (there is none)\n"
        "both: header x-canary exact \"1\" (there is none); query v exact \"2\" (there is none)\n"
        "rest: ");
  CHECK(nearly(*table, *request("/shop?v=1", "a", {{"x-canary", "0"}}), 1) == "upper: path \"/SHOP\" (it is \"/shop\")");
  CHECK(nearly(*table, *request("/shop?v=1", "a", {{"x-canary", "0"}}), 3).find("both: header x-canary exact \"1\" (it is \"0\"); query v exact \"2\" (it is \"1\")") != std::string::npos);
}

TEST_CASE("explain: a missing slash, a longer path and a typing error are near; with nothing near, any route is shown") {
  const auto table = table_of(R"(
    {name: slash, match: {path: /items/}, route: {cluster: c}},
    {name: exact, match: {path: /old}, route: {cluster: c}},
    {name: segments, match: {path_separated_prefix: /api}, route: {cluster: c}},
    {name: regex, match: {safe_regex: {regex: "/r/[0-9]+"}}, route: {cluster: c}})");
  CHECK(nearly(*table, *request("/items", "a")) == "slash: path \"/items/\" (it is \"/items\")");
  CHECK(nearly(*table, *request("/old/x", "a"), 1) == "exact: path \"/old\" (it is \"/old/x\")");
  CHECK(nearly(*table, *request("/apis", "a"), 1) == "segments: path prefix \"/api\", whole segments (it is \"/apis\")");
  CHECK(nearly(*table, *request("/itmes/", "a"), 1) == "slash: path \"/items/\" (it is \"/itmes/\")");
  CHECK(nearly(*table, *request("/nothing", "a"), 2) == "slash: path \"/items/\" (it is \"/nothing\")\nexact: path \"/old\" (it is \"/nothing\")");
}

TEST_CASE("explain: domains are offered by nearness, one that only its port keeps apart first") {
  const auto table = RouteTable::compile(test::from_yaml<v3::RouteConfiguration>(
      "{name: t, virtual_hosts: [{name: a, domains: [shop.example.com]}, {name: b, domains: ['api.example.com:8080']}, {name: c, domains: ['*.other.org']}]}")).value();
  CHECK(near_domains(*table, "shup.example.com", 2) == std::vector<std::string_view>{"shop.example.com", "api.example.com:8080"});
  CHECK(near_domains(*table, "api.example.com", 1) == std::vector<std::string_view>{"api.example.com:8080"});
}

TEST_CASE("explain: ten thousand routes are looked through in well under a tenth of a second") {
  v3::RouteConfiguration config;
  auto* host = config.add_virtual_hosts();
  host->add_domains("*");
  for (int i = 0; i < 10'000; ++i) {
    auto* route = host->add_routes();
    route->mutable_match()->set_path_separated_prefix(absl::StrCat("/service-", i, "/v1/items"));
    route->mutable_route()->set_cluster("c");
  }
  const auto table = RouteTable::compile(config).value();
  const test::Headers headers = request("/service-77/v2/items", "a");
  const auto begin = std::chrono::steady_clock::now();
  const auto near = near_misses(table->match(*headers.get(), {}), *headers.get(), {}, 5);
  const auto took = std::chrono::steady_clock::now() - begin;
  REQUIRE(near.size() == 5);
  CHECK(near[0].route->path.text == "/service-77/v1/items");
  CHECK(took < std::chrono::milliseconds(500));  // 10 ms in a release build
}
