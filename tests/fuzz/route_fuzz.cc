// A route configuration in YAML, then after a line "---- requests" lines of "host path". Compiling may fail but not crash;
// what compiles must choose for every request what a plain scan chooses.
#include <absl/strings/str_split.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/http/header_map.h"
#include "dataplane/router/rewrite.h"
#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"

namespace {

using namespace fairlead;
using router::Match;
using router::RouteTable;

void compare(const RouteTable& table, std::string_view host, std::string_view path, uint64_t random) {
  http::Arena arena;
  http::HeaderMap headers(arena);
  headers.add(":method", random % 5 == 0 ? "POST" : "GET");
  headers.add(":path", path);
  headers.add(":authority", host);
  headers.add("x-a", random % 2 == 0 ? "1" : "2");
  router::RequestFacts facts;
  facts.random = random;
  const Match fast = table.match(headers, facts), slow = table.match_by_scan(headers, facts);
  if (fast.route != slow.route || fast.virtual_host != slow.virtual_host || fast.outcome != slow.outcome || fast.cluster != slow.cluster) std::abort();
  if (fast.route == nullptr) return;
  std::string out;
  if (fast.route->action == router::Route::Action::Redirect) router::redirect_location(fast, headers, "http");
  if (fast.route->action == router::Route::Action::Forward) {
    router::rewrite_path(*fast.route, path, out);
    router::rewrite_host(fast, headers, "upstream", out);
  }
  format::FormatContext context;
  context.request_headers = &headers;
  table.apply_request_headers(fast, headers, context);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size), requests;
  constexpr std::string_view separator = "---- requests\n";
  if (const size_t at = input.find(separator); at != std::string_view::npos) {
    requests = input.substr(at + separator.size());
    input = input.substr(0, at);
  }
  const auto document = doc::parse_one(input, "fuzz.yaml");
  if (!document.ok()) return 0;
  envoy::config::route::v3::RouteConfiguration config;
  if (!doc::to_message(*document, &config).ok()) return 0;
  const auto table = RouteTable::compile(config);
  if (!table.ok()) return 0;
  uint64_t random = 0;
  for (std::string_view line : absl::StrSplit(requests, '\n')) {
    const size_t space = line.find(' ');
    if (space != std::string_view::npos) compare(**table, line.substr(0, space), line.substr(space + 1), random++);
  }
  // Every path and domain of the table is a good request too.
  for (const auto& host : (*table)->virtual_hosts()) {
    for (const auto& route : host.routes) compare(**table, host.domains.empty() ? "" : host.domains.front(), route.path.text, random++);
  }
  return 0;
}
