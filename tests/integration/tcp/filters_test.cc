// The network filters that stand before tcp_proxy, and the other terminal ones.
#include <catch2/catch.hpp>

#include "tests/integration/support/test_chain.h"
#include "tests/integration/support/test_proxy.h"

namespace filters_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

std::string rbac(const std::string& fields) { return filter_yaml("rbac.v3.RBAC", "stat_prefix: r\n" + fields); }
const std::string kAnyone = "policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}";

}  // namespace

TEST_CASE("echo sends back bytes and the end") {
  TestChain chain({filter_yaml("echo.v3.Echo")}, {});
  RawSocket client = chain.connect();
  client.send("ping");
  CHECK(client.read_exactly(4) == "ping");
  client.send("last");
  client.shut_write();
  CHECK(client.read_all() == "last");
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("direct_response says its text to whoever connects") {
  TestChain chain({filter_yaml("direct_response.v3.Config", "response: {inline_string: 'no'}")}, {});
  RawSocket silent = chain.connect(), talker = chain.connect();
  talker.send("hello");
  CHECK(silent.read_all() == "no");
  CHECK(talker.read_all() == "no");
  silent.close();
  talker.close();
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("sni_cluster goes where the server name says") {
  RawServer named, plain;
  const std::vector<std::string> filters = {filter_yaml("sni_cluster.v3.SniCluster"), tcp_proxy_yaml()}, clusters = {cluster_yaml("a.test", {named.port()}), cluster_yaml("up", {plain.port()})};
  SECTION("a name") {
    TestChain chain(filters, clusters, {.server_name = "a.test"});
    RawSocket client = chain.connect();
    client.send("x");
    CHECK(named.accept().read_exactly(1) == "x");
  }
  SECTION("no name") {
    TestChain chain(filters, clusters);
    RawSocket client = chain.connect();
    client.send("x");
    CHECK(plain.accept().read_exactly(1) == "x");
  }
  SECTION("a name that no cluster has") {
    TestChain chain(filters, clusters, {.server_name = "b.test"});
    CHECK(chain.connect().closed_by_peer());
    CHECK(chain.stat("tcp.t.downstream_cx_no_route") == 1);
  }
}

TEST_CASE("connection_limit refuses one too many, and counts those that wait for their end") {
  SECTION("at once") {
    TestChain chain({filter_yaml("connection_limit.v3.ConnectionLimit", "stat_prefix: c\nmax_connections: 2"), filter_yaml("echo.v3.Echo")}, {});
    RawSocket a = chain.connect(), b = chain.connect();
    b.send("x");
    CHECK(b.read_exactly(1) == "x");
    CHECK(chain.connect().closed_by_peer());
    CHECK(chain.wait_for_stat("connection_limit.c.limited_connections", 1));
    CHECK(chain.wait_for_stat("connection_limit.c.active_connections", 2));
    a.close();
    CHECK(chain.wait_for_stat("connection_limit.c.active_connections", 1));
    RawSocket c = chain.connect();
    c.send("x");
    CHECK(c.read_exactly(1) == "x");
  }
  SECTION("after a delay") {
    TestChain chain({filter_yaml("connection_limit.v3.ConnectionLimit", "stat_prefix: c\nmax_connections: 1\ndelay: 0.1s"), filter_yaml("echo.v3.Echo")}, {});
    RawSocket a = chain.connect();
    a.send("x");
    CHECK(a.read_exactly(1) == "x");
    RawSocket b = chain.connect();
    b.send("x");
    CHECK(b.quiet_for(50ms));
    CHECK(chain.stat("connection_limit.c.active_connections") == 2);
    CHECK_THROWS(b.read_exactly(1));
    CHECK(chain.wait_for_stat("connection_limit.c.active_connections", 1));
  }
  SECTION("unless it is off") {
    TestChain chain({filter_yaml("connection_limit.v3.ConnectionLimit", "stat_prefix: c\nmax_connections: 1\nruntime_enabled: {default_value: false, runtime_key: k}"), filter_yaml("echo.v3.Echo")}, {});
    RawSocket a = chain.connect(), b = chain.connect();
    b.send("x");
    CHECK(b.read_exactly(1) == "x");
    CHECK(chain.stat("connection_limit.c.active_connections") == 0);
  }
}

TEST_CASE("local_ratelimit refuses connections beyond the rate; what it refuses tcp_proxy logs") {
  RawServer up;
  TestChain chain({filter_yaml("local_ratelimit.v3.LocalRateLimit", "stat_prefix: l\ntoken_bucket: {max_tokens: 1, fill_interval: 60s}"), tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket first = chain.connect();
  first.send("x");
  CHECK(up.accept().read_exactly(1) == "x");
  CHECK(chain.connect().closed_by_peer());
  CHECK(chain.wait_for_stat("local_rate_limit.l.rate_limited", 1));
  CHECK(up.nobody_for(30ms));
  first.close();
  CHECK(chain.access_log(2).size() == 2);
  CHECK(chain.stat("tcp.t.downstream_cx_total") == 2);
}

TEST_CASE("filters with one share_key draw from one bucket") {
  const std::string limit = filter_yaml("local_ratelimit.v3.LocalRateLimit", "stat_prefix: l\nshare_key: together\ntoken_bucket: {max_tokens: 1, fill_interval: 61s}");
  TestChain one({limit, filter_yaml("echo.v3.Echo")}, {}), two({limit, filter_yaml("echo.v3.Echo")}, {});
  RawSocket first = one.connect();
  first.send("x");
  CHECK(first.read_exactly(1) == "x");
  CHECK(two.connect().closed_by_peer());
}

TEST_CASE("rbac judges when the client's first byte comes: a server that speaks first is heard before") {
  RawServer up;
  TestChain chain({rbac("rules: {action: DENY, " + kAnyone + "}"), tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  server.send("banner");
  CHECK(client.read_exactly(6) == "banner");
  client.send("ping");
  CHECK_THROWS([&] { client.read_exactly(1); }());
  CHECK(server.closed_by_peer());
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd - 4 6 up rbac_access_denied_matched_policy[p] rbac_deny_close Normal");
  CHECK(chain.stat("r.rbac.denied") == 1);
}

TEST_CASE("rbac lets pass what a policy allows, once or byte by byte") {
  RawServer up;
  const bool continuous = GENERATE(false, true);
  TestChain chain({rbac("rules: {" + kAnyone + "}" + (continuous ? "\nenforcement_type: CONTINUOUS" : "")), tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  for (int i = 0; i < 3; ++i) {
    client.send("ping");
    CHECK(server.read_exactly(4) == "ping");
    server.send("pong");
    CHECK(client.read_exactly(4) == "pong");
  }
  CHECK(chain.stat("r.rbac.allowed") == (continuous ? 3 : 1));
  client.shut_write();
  CHECK(server.closed_by_peer());
  server.close();
  CHECK(client.closed_by_peer());
  client.close();
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("rbac without policies allows nobody, without rules everybody; shadow rules only count") {
  SECTION("no policies") {
    TestChain chain({rbac("rules: {}"), filter_yaml("echo.v3.Echo")}, {});
    RawSocket client = chain.connect();
    client.send("x");
    CHECK_THROWS([&] { client.read_exactly(1); }());
  }
  SECTION("no rules") {
    TestChain chain({rbac(""), filter_yaml("echo.v3.Echo")}, {});
    RawSocket client = chain.connect();
    client.send("x");
    CHECK(client.read_exactly(1) == "x");
    CHECK(chain.stat("r.rbac.allowed") == 0);
  }
  SECTION("shadow rules") {
    TestChain chain({rbac("shadow_rules: {}\nshadow_rules_stat_prefix: s_"), filter_yaml("echo.v3.Echo")}, {});
    RawSocket client = chain.connect();
    client.send("x");
    CHECK(client.read_exactly(1) == "x");
    CHECK(chain.stat("r.rbac.s_.shadow_denied") == 1);
  }
}

TEST_CASE("a denial may come late") {
  TestChain chain({rbac("rules: {}\ndelay_deny: 0.1s"), filter_yaml("echo.v3.Echo")}, {});
  RawSocket client = chain.connect();
  client.send("x");
  CHECK(client.quiet_for(50ms));
  CHECK_THROWS([&] { client.read_exactly(1); }());
}

TEST_CASE("a chain without a terminal filter closes what connects") {
  TestChain chain({}, {});
  CHECK(chain.connect().closed_by_peer());
  CHECK(chain.wait_for_connections(0));
}

}  // namespace filters_test
