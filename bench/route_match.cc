// What matching one request costs in tables of 10 to 10,000 routes, compiled and by a plain scan. Prints nanoseconds per match.
//   build/release/bin/bench_route_match
#include <absl/strings/str_cat.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "dataplane/http/header_map.h"
#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"

namespace {

using namespace fairlead;
namespace v3 = envoy::config::route::v3;
using Clock = std::chrono::steady_clock;

struct Shape {
  const char* name;
  std::function<void(v3::Route&, int)> fill;
  std::function<std::string(int)> path;
};

std::shared_ptr<const router::RouteTable> table_of(const Shape& shape, int routes) {
  v3::RouteConfiguration config;
  auto* host = config.add_virtual_hosts();
  host->set_name("v");
  host->add_domains(std::string("*"));
  for (int i = 0; i < routes; ++i) {
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

void run(const Shape& shape, int routes) {
  const auto table = table_of(shape, routes);
  http::Arena arena;
  std::vector<http::HeaderMap> requests;
  for (int i = 0; i < 64; ++i) {
    http::HeaderMap headers(arena);
    headers.add(":method", "GET");
    headers.add(":path", shape.path(i * (routes - 1) / 63));
    headers.add(":authority", "example.com");
    requests.push_back(std::move(headers));
  }
  const double index = nanoseconds(200'000, requests, [&](const http::HeaderMap& h) { return table->match(h, {}); });
  const double scan = nanoseconds(2'000'000 / static_cast<size_t>(routes) + 64, requests, [&](const http::HeaderMap& h) { return table->match_by_scan(h, {}); });
  std::printf("%-12s %6d routes   compiled %8.0f ns   scan %10.0f ns\n", shape.name, routes, index, scan);
}

}  // namespace

int main() {
  const Shape shapes[] = {
      {"exact", [](v3::Route& r, int i) { r.mutable_match()->set_path(absl::StrCat("/service/", i, "/resource")); },
       [](int i) { return absl::StrCat("/service/", i, "/resource?id=1"); }},
      {"prefix", [](v3::Route& r, int i) { r.mutable_match()->set_prefix(absl::StrCat("/service/", i, "/")); },
       [](int i) { return absl::StrCat("/service/", i, "/resource?id=1"); }},
      {"regex", [](v3::Route& r, int i) { r.mutable_match()->mutable_safe_regex()->set_regex(absl::StrCat("/service/", i, "/[a-z]+")); },
       [](int i) { return absl::StrCat("/service/", i, "/resource?id=1"); }},
  };
  for (const Shape& shape : shapes) {
    for (int routes : {10, 100, 1'000, 10'000}) run(shape, routes);
  }
  return 0;
}
