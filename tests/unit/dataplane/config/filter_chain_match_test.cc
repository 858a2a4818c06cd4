// Which filter chain a connection gets, level by level, and what cannot be compiled.
#include "dataplane/config/filter_chain_match.h"

#include <catch2/catch.hpp>

#include "envoy/config/listener/v3/listener.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace filter_chain_match_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;

namespace {

struct Compiled {
  explicit Compiled(std::string_view chains) : proto(test::from_yaml<envoy::config::listener::v3::Listener>("{filter_chains: [" + std::string(chains) + "]}")) {
    for (const auto& chain : proto.filter_chains()) matcher.add(chain, errors);
  }
  // The name of the chain, "-" for none.
  struct Client {
    std::string local = "10.0.0.1:80", remote = "20.0.0.1:5000", direct = {};
    std::string server_name = {}, transport = "raw_buffer";
    std::vector<std::string> protocols = {};
  };
  std::string find(const Client& client) const {
    const net::Address local = *net::Address::parse(client.local), remote = *net::Address::parse(client.remote),
                       direct = client.direct.empty() ? remote : *net::Address::parse(client.direct);
    const auto found = matcher.find({.local = local, .remote = remote, .direct_remote = direct, .server_name = client.server_name,
                                     .transport_protocol = client.transport, .application_protocols = client.protocols});
    return found.has_value() ? proto.filter_chains(static_cast<int>(*found)).name() : "-";
  }
  std::string by_name(const std::string& name) const { return find({.server_name = name, .transport = "tls"}); }
  std::string error() const { return errors.empty() ? "" : std::string(errors.status().message()); }

  envoy::config::listener::v3::Listener proto;
  FilterChainMatcher matcher;
  ErrorList errors;
};

std::string chain(const std::string& name, const std::string& match) { return "{name: " + name + ", filter_chain_match: {" + match + "}}, "; }

}  // namespace

TEST_CASE("a chain without criteria takes every connection, and whoever has no other need not ask") {
  const Compiled one(chain("a", ""));
  CHECK(one.matcher.trivial());
  CHECK(one.find({}) == "a");
  CHECK(one.find({.local = "/run/x", .remote = "/run/y"}) == "a");
  CHECK_FALSE(Compiled(chain("a", "destination_port: 80")).matcher.trivial());
  CHECK_FALSE(Compiled(chain("a", "") + chain("b", "destination_port: 80")).matcher.trivial());
}

TEST_CASE("the port decides before everything else, and a miss below it does not go back") {
  const Compiled c(chain("port", "destination_port: 443, server_names: [a.com]") + chain("rest", ""));
  CHECK(c.find({.local = "10.0.0.1:443", .server_name = "a.com"}) == "port");
  CHECK(c.find({.local = "10.0.0.1:443", .server_name = "b.com"}) == "-");
  CHECK(c.find({.local = "10.0.0.1:80", .server_name = "b.com"}) == "rest");
}

TEST_CASE("the most specific network wins, at every level that has networks") {
  for (const auto& [field, local, remote, direct] : {std::tuple("prefix_ranges", true, false, false), std::tuple("source_prefix_ranges", false, true, false), std::tuple("direct_source_prefix_ranges", false, false, true)}) {
    INFO(field);
    const std::string f = field;
    const Compiled c(chain("eight", f + ": [{address_prefix: 10.9.9.9, prefix_len: 8}]") + chain("sixteen", f + ": [{address_prefix: 10.1.0.0, prefix_len: 16}, {address_prefix: '2001:db8::', prefix_len: 32}]") +
                     chain("host", f + ": [{address_prefix: 10.1.2.3, prefix_len: 32}]") + chain("rest", ""));
    const auto find = [&, local = local, remote = remote, direct = direct](const std::string& ip) {
      Compiled::Client client;
      if (local) client.local = ip;
      if (remote) client.remote = ip, client.direct = "9.9.9.9:1";
      if (direct) client.direct = ip;
      return c.find(client);
    };
    CHECK(find("10.200.0.1:1") == "eight");
    CHECK(find("10.1.0.1:1") == "sixteen");
    CHECK(find("10.1.2.3:1") == "host");
    CHECK(find("11.1.2.3:1") == "rest");
    CHECK(find("[2001:db8::5]:1") == "sixteen");
    CHECK(find("[2001:db9::5]:1") == "rest");
  }
}

TEST_CASE("server names: exact, then wildcards by label from the longest, then none") {
  const Compiled c(chain("exact", "server_names: [www.example.com]") + chain("example", "server_names: ['*.example.com']") + chain("com", "server_names: ['*.com', '*.Net']") + chain("rest", ""));
  CHECK(c.by_name("www.example.com") == "exact");
  CHECK(c.by_name("a.b.example.com") == "example");
  CHECK(c.by_name("example.com") == "com");
  CHECK(c.by_name("x.net") == "com");
  CHECK(c.by_name("com") == "rest");
  CHECK(c.by_name("example.org") == "rest");
  CHECK(c.by_name("") == "rest");
  CHECK(Compiled(chain("exact", "server_names: [a.com]")).by_name("b.com") == "-");
}

TEST_CASE("transport and application protocols: the client's first that any chain lists") {
  const Compiled c(chain("h2", "transport_protocol: tls, application_protocols: [h2]") + chain("h1", "transport_protocol: tls, application_protocols: [http/1.1, http/1.0]") + chain("tls", "transport_protocol: tls") + chain("raw", "transport_protocol: raw_buffer"));
  const auto find = [&](std::vector<std::string> protocols) { return c.find({.transport = "tls", .protocols = std::move(protocols)}); };
  CHECK(find({"h2", "http/1.1"}) == "h2");
  CHECK(find({"http/1.1", "h2"}) == "h1");
  CHECK(find({"spdy", "http/1.0"}) == "h1");
  CHECK(find({"spdy"}) == "tls");
  CHECK(find({}) == "tls");
  CHECK(c.find({}) == "raw");
  CHECK(c.find({.transport = "quic"}) == "-");
}

TEST_CASE("source types: same IP or 127.0.0.1, external, any; who has a type of his own does not fall back to any") {
  const Compiled c(chain("local", "source_type: SAME_IP_OR_LOOPBACK, source_ports: [1]") + chain("external", "source_type: EXTERNAL, source_prefix_ranges: [{address_prefix: 30.0.0.0, prefix_len: 8}]") + chain("any", ""));
  CHECK(c.find({.remote = "127.0.0.1:1"}) == "local");
  CHECK(c.find({.remote = "[::1]:1"}) == "local");
  CHECK(c.find({.local = "10.0.0.1:80", .remote = "10.0.0.1:1"}) == "local");
  CHECK(c.find({.remote = "127.0.0.1:2"}) == "-");
  CHECK(c.find({.remote = "30.0.0.1:1"}) == "external");
  CHECK(c.find({.remote = "31.0.0.1:1"}) == "-");
  CHECK(c.find({.remote = "127.0.0.2:1"}) == "-");  // Envoy 1.40: not loopback
  const Compiled only_local(chain("local", "source_type: SAME_IP_OR_LOOPBACK") + chain("any", ""));
  CHECK(only_local.find({.remote = "30.0.0.1:1"}) == "any");
  CHECK(only_local.find({.local = "/run/x", .remote = "/run/y"}) == "local");
}

TEST_CASE("source ports: the port, then any, within the network that was chosen") {
  const Compiled c(chain("port", "source_ports: [7, 8], source_prefix_ranges: [{address_prefix: 30.0.0.0, prefix_len: 8}]") + chain("rest", ""));
  CHECK(c.find({.remote = "30.0.0.1:7"}) == "port");
  CHECK(c.find({.remote = "30.0.0.1:8"}) == "port");
  CHECK(c.find({.remote = "30.0.0.1:9"}) == "-");
  CHECK(c.find({.remote = "31.0.0.1:7"}) == "rest");
}

TEST_CASE("criteria that no two chains may share, and such that mean nothing") {
  CHECK_THAT(Compiled(chain("a", "server_names: [x]") + chain("b", "server_names: [x]")).error(), Contains("filter_chains[1]: filter chain 'b' has the same matching rules defined as 'a'"));
  CHECK_THAT(Compiled(chain("a", "") + chain("b", "source_type: ANY")).error(), Contains("filter chain 'b' has the same matching rules defined as 'a'"));
  const std::string overlap = "multiple filter chains with overlapping matching rules are defined";
  CHECK_THAT(Compiled(chain("a", "server_names: [x, y]") + chain("b", "server_names: [y, z]")).error(), Contains("filter_chains[1].filter_chain_match: " + overlap));
  CHECK_THAT(Compiled(chain("a", "server_names: [x, X]")).error(), Contains(overlap));
  CHECK_THAT(Compiled(chain("a", "server_names: ['']") + chain("b", "")).error(), Contains(overlap));
  CHECK_THAT(Compiled(chain("a", "source_ports: [1, 1]")).error(), Contains(overlap));
  CHECK_THAT(Compiled(chain("a", "prefix_ranges: [{address_prefix: 10.1.1.1, prefix_len: 8}]") + chain("b", "prefix_ranges: [{address_prefix: 10.2.2.2, prefix_len: 8}]")).error(), Contains(overlap));
  CHECK_THAT(Compiled(chain("a", "prefix_ranges: [{address_prefix: 300.1.1.1, prefix_len: 8}]")).error(), Contains("filter_chains[0].filter_chain_match.prefix_ranges[0].address_prefix: malformed IP address: 300.1.1.1"));
  CHECK(Compiled(chain("a", "prefix_ranges: [{address_prefix: 10.1.1.1, prefix_len: 40}]")).error().empty());
  for (const char* name : {"'*'", "'*w.x'", "'a.*.x'"}) CHECK_THAT(Compiled(chain("a", std::string("server_names: [") + name + "]")).error(), Contains("partial wildcards are not supported in \"server_names\""));
  CHECK(Compiled(chain("a", "server_names: ['*.*.x']")).error().empty());
  CHECK_THAT(Compiled(chain("a", "suffix_len: 0")).error(), Contains("filter chain 'a' contains unimplemented fields"));
  CHECK_THAT(Compiled(chain("a", "address_suffix: 1.2.3.4")).error(), Contains("filter chain 'a' contains unimplemented fields"));
}

}  // namespace filter_chain_match_test
