// The verdict by parts is the verdict of the whole, and only what is new is asked.
#include "apps/pipeline/table_verdicts.h"

#include <catch2/catch.hpp>

#include <random>
#include <string>

#include "apps/pipeline/bundled.h"
#include "controlplane/resources/resource.h"
#include "envoy/config/route/v3/route.pb.h"

namespace table_verdicts_test {

using namespace fairlead;
using pipeline::FirstUses;
using pipeline::TableVerdicts;
using Catch::Matchers::Contains;
namespace v3 = envoy::config::route::v3;

namespace {

v3::Route* add_route(v3::VirtualHost& host, const std::string& path) {
  v3::Route* route = host.add_routes();
  route->mutable_match()->set_path(path);
  route->mutable_route()->set_cluster("c" + path.substr(1));
  return route;
}

v3::VirtualHost* add_host(v3::RouteConfiguration& table, const std::string& domain, int routes) {
  v3::VirtualHost* host = table.add_virtual_hosts();
  host->set_name("host " + domain);
  host->add_domains(domain);
  for (int i = 0; i < routes; ++i) add_route(*host, "/" + std::to_string(i));
  return host;
}

TableVerdicts::Verdict judge(TableVerdicts& verdicts, const v3::RouteConfiguration& table) { return verdicts.judge(table.SerializeAsString()); }

// What one says that has nothing to remember.
TableVerdicts::Verdict fresh(const v3::RouteConfiguration& table) {
  TableVerdicts::Verdict out;
  out.status = pipeline::bundled_verdict(*resources::make_resource(resources::Type::kRoute, table.name(), table, {}));
  for (int h = 0; h < table.virtual_hosts_size(); ++h) {
    for (int r = 0; r < table.virtual_hosts(h).routes_size(); ++r) out.uses.note(pipeline::capabilities_used(table.virtual_hosts(h).routes(r)), h, r);
  }
  return out;
}

}  // namespace

TEST_CASE("one changed route of many is all that goes to the parser, in one virtual host or in many") {
  for (const bool one_host : {true, false}) {
    INFO(one_host);
    v3::RouteConfiguration table;
    table.set_name("r");
    for (int h = 0; h < (one_host ? 1 : 500); ++h) add_host(table, "h" + std::to_string(h) + ".test", one_host ? 1000 : 2);
    TableVerdicts verdicts;
    REQUIRE(judge(verdicts, table).status.ok());
    CHECK(verdicts.counts().routes == 1000);
    CHECK(verdicts.counts().tables == 1);
    auto* host = table.mutable_virtual_hosts(table.virtual_hosts_size() / 2);
    host->mutable_routes(1)->mutable_route()->mutable_timeout()->set_seconds(3);
    REQUIRE(judge(verdicts, table).status.ok());
    CHECK(verdicts.counts().routes == 1001);
    CHECK(verdicts.counts().virtual_hosts == (one_host ? 2 : 501));
    CHECK(verdicts.counts().tables == 2);
    host->mutable_routes()->DeleteSubrange(1, 1);  // one fewer is nothing new
    host->mutable_routes()->SwapElements(0, host->routes_size() - 1);
    REQUIRE(judge(verdicts, table).status.ok());
    CHECK(verdicts.counts().tables == 2);
  }
}

TEST_CASE("what is wrong with a part is said with its place in the whole table, each time, and no more once it is mended") {
  v3::RouteConfiguration table;
  table.set_name("r");
  add_host(table, "a.test", 40);
  add_host(table, "b.test", 40);
  TableVerdicts verdicts;
  REQUIRE(judge(verdicts, table).status.ok());
  auto* match = table.mutable_virtual_hosts(1)->mutable_routes(7)->mutable_match();
  match->mutable_safe_regex()->set_regex("(");
  for (int again = 0; again < 2; ++again) {
    const absl::Status status = judge(verdicts, table).status;
    CHECK_THAT(std::string(status.message()), Contains("virtual_hosts[1].routes[7].match.safe_regex"));
    CHECK(status == fresh(table).status);
  }
  match->set_path("/7");
  CHECK(judge(verdicts, table).status.ok());
}

TEST_CASE("what is wrong between parts is found although each of them is known") {
  v3::RouteConfiguration table, other;
  table.set_name("r");
  for (const char* domain : {"a.test", "b.test", "c.test"}) add_host(table, domain, 3);
  TableVerdicts verdicts;
  REQUIRE(judge(verdicts, table).status.ok());
  other = table;
  other.mutable_virtual_hosts(0)->set_domains(0, "d.test");
  REQUIRE(judge(verdicts, other).status.ok());
  *table.add_virtual_hosts() = other.virtual_hosts(0);
  REQUIRE(judge(verdicts, table).status.ok());
  *table.add_virtual_hosts() = table.virtual_hosts(1);
  const absl::Status status = judge(verdicts, table).status;
  CHECK_THAT(std::string(status.message()), Contains("Duplicate entry of domain b.test"));
  CHECK(status == fresh(table).status);
}

TEST_CASE("a part is judged in what it stands in: the table's limit, the virtual host's policies") {
  v3::RouteConfiguration table;
  table.set_name("r");
  auto* host = add_host(table, "a.test", 30);
  auto* answer = host->add_routes();
  answer->mutable_match()->set_prefix("/");
  answer->mutable_direct_response()->set_status(200);
  answer->mutable_direct_response()->mutable_body()->set_inline_string(std::string(100, 'x'));
  TableVerdicts verdicts;
  REQUIRE(judge(verdicts, table).status.ok());
  table.mutable_max_direct_response_body_size_bytes()->set_value(50);
  CHECK_THAT(std::string(judge(verdicts, table).status.message()), Contains("response body size is 100 bytes; maximum is 50"));
  table.mutable_max_direct_response_body_size_bytes()->set_value(100);
  CHECK(judge(verdicts, table).status.ok());
  host->mutable_retry_policy()->mutable_retry_back_off()->mutable_base_interval()->set_seconds(2);
  host->mutable_retry_policy()->mutable_retry_back_off()->mutable_max_interval()->set_seconds(1);
  CHECK(judge(verdicts, table).status == fresh(table).status);
  CHECK_FALSE(judge(verdicts, table).status.ok());
}

TEST_CASE("fields that the parser takes for unknown ones, by their number or by their form, are no parts") {
  v3::RouteConfiguration table;
  table.set_name("r");
  add_host(table, "a.test", 30);
  TableVerdicts verdicts;
  REQUIRE(judge(verdicts, table).status.ok());
  const std::string odd = std::string("\x10\x05", 2) + table.SerializeAsString();  // field 2, the virtual hosts', as a number
  CHECK(verdicts.judge(odd).status.ok());
  CHECK(verdicts.judge(odd).status.ok());
}

TEST_CASE("bytes that are no message of the type are none by parts either") {
  TableVerdicts verdicts;
  CHECK_FALSE(verdicts.judge("\x12\x7f").status.ok());
  CHECK_FALSE(verdicts.judge(std::string("\x12\x02\x1a\x7f", 4)).status.ok());
  CHECK(verdicts.judge("").status == fresh({}).status);
}

TEST_CASE("under random changes the verdict by parts is that of the whole") {
  std::mt19937 random(6);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  TableVerdicts verdicts;
  v3::RouteConfiguration table;
  table.set_name("r");
  for (int h = 0; h < 6; ++h) add_host(table, "h" + std::to_string(h) + ".test", 12);
  int good = 0, bad = 0;
  v3::RouteConfiguration last_good = table;
  for (int step = 0; step < 1500; ++step) {
    for (int n = 1 + below(3); n > 0; --n) {
      v3::VirtualHost& host = *table.mutable_virtual_hosts(below(table.virtual_hosts_size()));
      v3::Route& route = *host.mutable_routes(below(host.routes_size()));
      switch (below(18)) {
        case 0: route.mutable_route()->mutable_timeout()->set_seconds(below(5)); break;
        case 1: add_route(host, "/" + std::to_string(below(50))); break;
        case 2:
          if (host.routes_size() > 4) host.mutable_routes()->DeleteSubrange(below(host.routes_size()), 1);
          break;
        case 3: add_host(table, "n" + std::to_string(below(30)) + ".test", 4); break;  // perhaps there is one
        case 4:
          if (table.virtual_hosts_size() > 3) table.mutable_virtual_hosts()->DeleteSubrange(below(table.virtual_hosts_size()), 1);
          break;
        case 5: host.set_domains(0, below(4) == 0 ? "*" : "d" + std::to_string(below(40)) + ".test"); break;
        case 6: host.set_name(below(20) == 0 ? "" : "v" + std::to_string(below(10))); break;
        case 7: route.mutable_match()->mutable_safe_regex()->set_regex(below(3) == 0 ? "(" : "/a+"); break;
        case 8: route.mutable_match()->set_path_separated_prefix(below(4) == 0 ? "/a/" : "/a"); break;
        case 9: route.mutable_match()->set_path("/p"); break;
        case 10: {
          auto* header = route.mutable_match()->add_headers();
          header->set_name(below(5) == 0 ? "" : "x-a");
          header->mutable_string_match()->set_exact("1");
          break;
        }
        case 11: route.mutable_route()->set_cluster(below(6) == 0 ? "" : "c"); break;
        case 12: {
          auto* share = route.mutable_route()->mutable_weighted_clusters()->add_clusters();
          share->set_name("w");
          share->mutable_weight()->set_value(static_cast<uint32_t>(below(3)));
          break;
        }
        case 13: {
          auto* header = (below(2) == 0 ? table.add_request_headers_to_add() : host.add_request_headers_to_add());
          header->mutable_header()->set_key(below(4) == 0 ? ":path" : "x-b");
          header->mutable_header()->set_value(below(6) == 0 ? "%NONE%" : "v");
          break;
        }
        case 14: table.mutable_max_direct_response_body_size_bytes()->set_value(static_cast<uint32_t>(below(3) * 40)); break;
        case 15:
          route.mutable_direct_response()->set_status(static_cast<uint32_t>(below(8) == 0 ? 10 : 200));
          route.mutable_direct_response()->mutable_body()->set_inline_string(std::string(static_cast<size_t>(below(100)), 'x'));
          break;
        case 16: host.add_request_mirror_policies()->set_cluster(below(4) == 0 ? "" : "m"); break;
        case 17: (*(below(2) == 0 ? host.mutable_typed_per_filter_config() : route.mutable_typed_per_filter_config()))["f"].set_type_url(below(2) == 0 ? "type.googleapis.com/none.There" : ""); break;
      }
    }
    const TableVerdicts::Verdict by_parts = judge(verdicts, table), whole = fresh(table);
    INFO(step << ": " << table.ShortDebugString());
    REQUIRE(by_parts.status == whole.status);
    REQUIRE(by_parts.uses == whole.uses);
    ++(whole.status.ok() ? good : bad);
    if (whole.status.ok()) {
      last_good = table;
    } else if (below(3) != 0) {
      table = last_good;  // authors mend what is wrong, mostly at once
    }
  }
  CHECK(good > 300);
  CHECK(bad > 300);
}

}  // namespace table_verdicts_test
