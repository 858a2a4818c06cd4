// What matching one request costs in tables of 10 to 10,000 virtual hosts or routes, compiled and by a plain scan. Prints nanoseconds per match.
//   build/release/bin/bench_route_match [shape [routes [requests]]]
// With all three only the compiled table is asked, which is what to count by:
//   valgrind --tool=callgrind --cache-sim=yes --LL=524288,8,64 --toggle-collect='*RouteTable::match(*' build/release/bin/bench_route_match prefix 10000 20000
#include <absl/strings/str_cat.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "dataplane/http/header_map.h"
#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"

namespace {

using namespace fairlead;
namespace v3 = envoy::config::route::v3;
using Clock = std::chrono::steady_clock;

struct Shape {
  std::string name;
  std::function<void(v3::Route&, int)> fill;
  std::function<std::string(int)> path;
  bool hosts = false;  // a virtual host for each route
};

std::string digits(int i) { return absl::StrCat(absl::Dec(i, absl::kZeroPad5)); }
std::string host_of(const Shape& shape, int i) { return shape.hosts ? absl::StrCat("host-", digits(i), ".example.com") : "example.com"; }

std::shared_ptr<const router::RouteTable> table_of(const Shape& shape, int routes) {
  v3::RouteConfiguration config;
  for (int i = 0; i < routes; ++i) {
    auto* host = shape.hosts || i == 0 ? config.add_virtual_hosts() : config.mutable_virtual_hosts(0);
    if (host->domains().empty()) {
      host->set_name(absl::StrCat("v", i));
      host->add_domains(shape.hosts ? host_of(shape, i) : "*");
    }
    auto* route = host->add_routes();
    shape.fill(*route, i);
    route->mutable_route()->set_cluster("c");
  }
  auto table = router::RouteTable::compile(config);
  if (!table.ok()) std::abort();
  return *table;
}

template <typename F>
double nanoseconds(size_t rounds, const std::vector<http::HeaderMap>& requests, F&& match) {
  size_t found = 0;
  const auto begin = Clock::now();
  for (size_t i = 0; i < rounds; ++i) found += match(requests[i % requests.size()]).route != nullptr ? 1 : 0;
  const double spent = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
  if (found != rounds) std::abort();
  return spent / static_cast<double>(rounds);
}

// Requests spread over all routes, in no order.
std::vector<http::HeaderMap> requests_of(const Shape& shape, int routes, http::Arena& arena) {
  std::vector<http::HeaderMap> requests;
  std::mt19937 random(7);
  for (int i = 0; i < 4096; ++i) {
    const int wanted = static_cast<int>(random() % static_cast<uint32_t>(routes));
    http::HeaderMap headers(arena);
    headers.add(":method", "GET");
    headers.add(":path", shape.path(wanted));
    headers.add(":authority", host_of(shape, wanted));
    requests.push_back(std::move(headers));
  }
  return requests;
}

void run(const Shape& shape, int routes, size_t only_compiled) {
  const auto table = table_of(shape, routes);
  http::Arena arena;
  const std::vector<http::HeaderMap> requests = requests_of(shape, routes, arena);
  const double index = nanoseconds(only_compiled != 0 ? only_compiled : 200'000, requests, [&](const http::HeaderMap& h) { return table->match(h, {}); });
  std::printf("%-12s %6d routes   compiled %8.0f ns", shape.name.c_str(), routes, index);
  if (only_compiled == 0) {
    std::printf("   scan %10.0f ns", nanoseconds(2'000'000 / static_cast<size_t>(routes) + 64, requests, [&](const http::HeaderMap& h) { return table->match_by_scan(h, {}); }));
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const auto path = [](int i) { return absl::StrCat("/service/", digits(i), "/resource?id=1"); };
  const Shape shapes[] = {
      {"hosts", [](v3::Route& r, int) { r.mutable_match()->set_prefix("/"); }, [](int) { return std::string("/?id=1"); }, true},
      {"exact", [](v3::Route& r, int i) { r.mutable_match()->set_path(absl::StrCat("/service/", digits(i), "/resource")); }, path},
      {"prefix", [](v3::Route& r, int i) { r.mutable_match()->set_prefix(absl::StrCat("/service/", digits(i), "/")); }, path},
      {"regex", [](v3::Route& r, int i) { r.mutable_match()->mutable_safe_regex()->set_regex(absl::StrCat("/service/", digits(i), "/[a-z]+")); }, path},
  };
  for (const Shape& shape : shapes) {
    if (argc > 1 && shape.name != argv[1]) continue;
    if (argc > 2) {
      run(shape, std::atoi(argv[2]), argc > 3 ? static_cast<size_t>(std::atoi(argv[3])) : 0);
      continue;
    }
    for (int routes : {10, 100, 1'000, 10'000}) run(shape, routes, 0);
  }
  return 0;
}
