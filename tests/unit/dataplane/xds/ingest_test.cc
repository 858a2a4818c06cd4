// Responses applied: the two classes of refusal, what each leaves behind, and what the error says.
#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/xds/ingest.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace fairlead::xds::ingest_test {
namespace {

using Catch::Matchers::Contains;
using namespace std::chrono_literals;

struct NoConfig final : config::FilterConfig {};

template <class M>
std::string bytes(const std::string& yaml) {
  auto value = doc::parse_one(yaml, "test.yaml");
  REQUIRE(value.ok());
  M message;
  const absl::Status status = doc::to_message(*value, &message);
  INFO(status.message());
  REQUIRE(status.ok());
  return message.SerializeAsString();
}

struct World {
  World() : epoch(Epoch::Options{}) {
    config::HttpFilterType router;
    router.type_url = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    router.canonical = "envoy.filters.http.router";
    router.terminal = true;
    router.parse = [](const google::protobuf::Any&) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> { return std::make_shared<NoConfig>(); };
    registry.add(std::move(router));
    Ingest::Options options;
    options.epoch = &epoch;
    options.ledger = &ledger;
    options.hcm.registry = &registry;
    options.listener_removed = [this](std::string_view name) { events.push_back("removed " + std::string(name)); };
    options.prepare_listener = [this](const std::shared_ptr<const config::ListenerConfig>& l) {
      events.push_back("prepared " + l->name);
      return l->addresses.front().port == busy_port ? absl::AlreadyExistsError("listener '" + l->name + "': 127.0.0.1:81: address in use") : absl::OkStatus();
    };
    options.count_unknown_fields = [this](uint64_t n) { unknown += n; };
    options.count_ignored_field = [this](const std::string& row) { ignored.push_back(row); };
    options.now = [] { return std::chrono::steady_clock::time_point(1h); };
    options.wall_now = [] { return std::chrono::system_clock::time_point(1h); };
    ingest = std::make_unique<Ingest>(options);
    this->options = std::move(options);
  }
  void discover(std::shared_ptr<config::DiscoveredSecrets> secrets) {
    options.hcm.discovered = std::move(secrets);
    ingest = std::make_unique<Ingest>(options);
  }
  static IncomingResource cluster(const std::string& name, const std::string& more = "connect_timeout: 1s") {
    return {"", "", std::string(type_url(Type::cluster)), bytes<envoy::config::cluster::v3::Cluster>("name: " + name + "\ntype: STATIC\nload_assignment: {cluster_name: " + name + "}\n" + more)};
  }
  static IncomingResource listener(const std::string& name, int port) {
    return {"", "", std::string(type_url(Type::listener)), bytes<envoy::config::listener::v3::Listener>(absl::StrCat("name: ", name, R"(
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: p
      rds: {route_config_name: r, config_source: {ads: {}, resource_api_version: V3}}
      http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
address: {socket_address: {address: 127.0.0.1, port_value: )", port, "}}"))};
  }
  // A listener whose last filter is discovered under that name; only routers are allowed.
  static IncomingResource discovering(const std::string& name, const std::string& filter) {
    return {"", "", std::string(type_url(Type::listener)), bytes<envoy::config::listener::v3::Listener>(absl::StrCat("name: ", name, R"(
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: p
      route_config: {name: inline}
      http_filters:
      - name: )", filter, R"(
        config_discovery:
          config_source: {ads: {}, resource_api_version: V3}
          type_urls: [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router]
address: {socket_address: {address: 127.0.0.1, port_value: 1}})"))};
  }
  static IncomingResource extension(const std::string& name, const std::string& config = "{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}") {
    return {"", "", std::string(type_url(Type::extension)), bytes<envoy::config::core::v3::TypedExtensionConfig>("name: " + name + "\ntyped_config: " + config)};
  }
  bool live(const std::string& listener) {
    epoch.commit(std::chrono::steady_clock::time_point(1h));
    return epoch.current()->listeners.contains(listener);
  }
  Outcome apply(Type type, const std::string& version, std::vector<IncomingResource> resources) { return ingest->apply({type, false, version, std::move(resources), {}}); }
  bool has(const std::string& cluster) {
    epoch.commit(std::chrono::steady_clock::time_point(1h));
    return epoch.current()->cluster(cluster) != nullptr;
  }

  config::Registry registry;
  Epoch epoch;
  Ledger ledger;
  std::unique_ptr<Ingest> ingest;
  Ingest::Options options;
  std::vector<std::string> events;
  uint64_t unknown = 0;
  std::vector<std::string> ignored;
  int busy_port = 81;
};

TEST_CASE("class (a): one resource breaks a constraint, nothing of the response is applied") {
  World w;
  REQUIRE(w.apply(Type::cluster, "1", {World::cluster("a")}).status.ok());
  const Outcome out = w.apply(Type::cluster, "2", {World::cluster("good"), World::cluster("bad", "connect_timeout: -1s")});
  REQUIRE_FALSE(out.status.ok());
  CHECK_THAT(std::string(out.status.message()), Contains("cluster 'bad'"));
  CHECK_THAT(std::string(out.status.message()), Contains("connect_timeout"));
  CHECK_THAT(std::string(out.status.message()), Contains("greater than 0s"));
  CHECK_THAT(std::string(out.status.message()), Contains("-1s"));
  CHECK(out.applied.empty());
  CHECK(w.has("a"));  // not in the response, and still there
  CHECK_FALSE(w.has("good"));
  CHECK(w.ledger.version(Type::cluster) == "1");
  REQUIRE(w.ledger.find(Type::cluster, "bad") != nullptr);
  CHECK(w.ledger.find(Type::cluster, "bad")->error->version == "2");
  CHECK(w.ledger.find(Type::cluster, "bad")->error->refused != nullptr);
}

TEST_CASE("class (b): a deeper failure refuses the response; good ones are applied, omitted ones removed, the bad one keeps its old form") {
  World w;
  REQUIRE(w.apply(Type::cluster, "3", {World::cluster("a"), World::cluster("b"), World::cluster("gone")}).status.ok());
  const auto old = w.ledger.find(Type::cluster, "b")->accepted;
  const Outcome out = w.apply(Type::cluster, "4", {World::cluster("a"), World::cluster("b", "connect_timeout: 1s\nlb_policy: CLUSTER_PROVIDED"), World::cluster("c")});
  REQUIRE_FALSE(out.status.ok());
  CHECK_THAT(std::string(out.status.message()), Contains("Error adding/updating cluster(s)") && Contains("cluster 'b'") && Contains("lb_policy") && Contains("CLUSTER_PROVIDED"));
  CHECK(w.has("a"));
  CHECK(w.has("b"));
  CHECK(w.has("c"));
  CHECK_FALSE(w.has("gone"));
  CHECK(w.ledger.version(Type::cluster) == "3");
  const LedgerEntry* b = w.ledger.find(Type::cluster, "b");
  CHECK(b->accepted == old);
  CHECK(b->version == "3");
  REQUIRE(b->error != nullptr);
  CHECK(b->error->version == "4");
  CHECK(out.applied == std::map<std::string, std::string>{{"a", "4"}, {"c", "4"}});
  // the next good form clears the error
  REQUIRE(w.apply(Type::cluster, "5", {World::cluster("b", "connect_timeout: 2s")}).status.ok());
  CHECK(w.ledger.find(Type::cluster, "b")->error == nullptr);
}

TEST_CASE("malformed bytes, a foreign type URL and a missing name refuse the response and change nothing") {
  World w;
  REQUIRE(w.apply(Type::cluster, "1", {World::cluster("a")}).status.ok());
  Outcome out = w.apply(Type::cluster, "2", {{"", "", std::string(type_url(Type::cluster)), "\xff\xff\xff"}});
  CHECK_THAT(std::string(out.status.message()), Contains("resources[0]") && Contains("not a valid envoy.config.cluster.v3.Cluster"));
  out = w.apply(Type::cluster, "2", {{"", "", std::string(type_url(Type::route)), ""}});
  CHECK_THAT(std::string(out.status.message()), Contains("type URL"));
  out = w.apply(Type::cluster, "2", {{"", "", std::string(type_url(Type::cluster)), ""}});
  CHECK_THAT(std::string(out.status.message()), Contains("has no name"));
  CHECK(w.has("a"));
  CHECK(w.ledger.version(Type::cluster) == "1");
}

TEST_CASE("a name twice: the first is kept, the response refused") {
  World w;
  const Outcome out = w.apply(Type::cluster, "1", {World::cluster("a", "connect_timeout: 1s"), World::cluster("a", "connect_timeout: 2s")});
  CHECK_THAT(std::string(out.status.message()), Contains("cluster 'a': duplicate"));
  REQUIRE(w.has("a"));
  CHECK(w.epoch.current()->cluster("a")->config->connect_timeout == 1s);
}

TEST_CASE("an empty state-of-the-world response removes everything but what is static") {
  World w;
  auto fixed = std::make_shared<config::ClusterConfig>();
  fixed->name = "static";
  fixed->endpoints = std::make_shared<config::EndpointSet>();
  w.ingest->add_static_cluster(fixed, nullptr);
  REQUIRE(w.apply(Type::cluster, "1", {World::cluster("a")}).status.ok());
  REQUIRE(w.apply(Type::cluster, "2", {World::cluster("static")}).status.ok());  // ignored, as in Envoy
  REQUIRE(w.apply(Type::cluster, "3", {}).status.ok());
  CHECK_FALSE(w.has("a"));
  CHECK(w.has("static"));
  CHECK(w.epoch.current()->cluster("static")->config == fixed);
  CHECK(w.ledger.find(Type::cluster, "a") == nullptr);
}

TEST_CASE("an address in use refuses that listener; the others go on") {
  World w;
  const Outcome out = w.apply(Type::listener, "1", {World::listener("ok", 80), World::listener("busy", 81)});
  CHECK_THAT(std::string(out.status.message()), Contains("Error adding/updating listener(s) listener 'busy': 127.0.0.1:81: address in use"));
  CHECK(out.applied.size() == 1);
  CHECK(w.epoch.listener_warming("ok"));  // waits for its routes
  CHECK_FALSE(w.epoch.listener_warming("busy"));
}

TEST_CASE("delta: removals by name; what EDS and RDS take back stays") {
  World w;
  REQUIRE(w.ingest->apply({Type::cluster, true, "s", {{"a", "7", std::string(type_url(Type::cluster)), World::cluster("a").bytes}}, {}}).status.ok());
  CHECK(w.ledger.find(Type::cluster, "a")->version == "7");
  const Outcome out = w.ingest->apply({Type::cluster, true, "t", {}, {"a", "never-there"}});
  CHECK(out.status.ok());
  CHECK(out.removed.size() == 2);
  CHECK_FALSE(w.has("a"));
  const std::string table = bytes<envoy::config::route::v3::RouteConfiguration>("name: r\nvirtual_hosts: [{name: v, domains: ['*']}]");
  REQUIRE(w.ingest->apply({Type::route, true, "1", {{"r", "1", std::string(type_url(Type::route)), table}}, {}}).status.ok());
  REQUIRE(w.ingest->apply({Type::route, true, "2", {}, {"r"}}).status.ok());
  w.epoch.commit(std::chrono::steady_clock::time_point(1h));
  CHECK(w.epoch.current()->routes.contains("r"));
}

TEST_CASE("delta: a name set twice, or set and removed at once, refuses the response before anything of it is applied") {
  World w;
  const auto resource = [](const std::string& name) { return IncomingResource{name, "7", std::string(type_url(Type::cluster)), World::cluster(name).bytes}; };
  REQUIRE(w.ingest->apply({Type::cluster, true, "1", {resource("a")}, {}}).status.ok());
  const Outcome both = w.ingest->apply({Type::cluster, true, "2", {resource("a"), resource("b")}, {"a"}});
  CHECK_THAT(std::string(both.status.message()), Contains("cluster 'a'") && Contains("both sets and removes"));
  CHECK(both.removed.empty());
  CHECK(w.has("a"));
  CHECK_FALSE(w.has("b"));
  const Outcome twice = w.ingest->apply({Type::cluster, true, "3", {resource("b"), resource("b")}, {}});
  CHECK_THAT(std::string(twice.status.message()), Contains("cluster 'b'") && Contains("twice"));
  CHECK_FALSE(w.has("b"));
}

TEST_CASE("what a response removes goes before what it adds: a listener may take the address of another") {
  for (const bool delta : {false, true}) {
    World w;
    const auto resource = [](const std::string& name) { return IncomingResource{name, "1", std::string(type_url(Type::listener)), World::listener(name, 80).bytes}; };
    REQUIRE(w.ingest->apply({Type::listener, delta, "1", {resource("old")}, {}}).status.ok());
    w.events.clear();
    REQUIRE(w.ingest->apply({Type::listener, delta, "2", {resource("new")}, delta ? std::vector<std::string>{"old"} : std::vector<std::string>{}}).status.ok());
    CHECK(w.events == std::vector<std::string>{"removed old", "prepared new"});
  }
}

TEST_CASE("delta: endpoints that the server does not have end the wait of their cluster") {
  World w;
  const std::string eds = bytes<envoy::config::cluster::v3::Cluster>("{name: a, type: EDS, eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}}");
  REQUIRE(w.ingest->apply({Type::cluster, true, "1", {{"a", "1", std::string(type_url(Type::cluster)), eds}}, {}}).status.ok());
  CHECK_FALSE(w.has("a"));
  REQUIRE(w.ingest->apply({Type::endpoint, true, "1", {}, {"a"}}).status.ok());
  CHECK(w.has("a"));
}

TEST_CASE("a delta resource whose inner name differs from its outer one is refused") {
  World w;
  const Outcome out = w.ingest->apply({Type::cluster, true, "s", {{"b", "7", std::string(type_url(Type::cluster)), World::cluster("a").bytes}}, {}});
  CHECK_THAT(std::string(out.status.message()), Contains("cluster 'b'") && Contains("'a'"));
}

TEST_CASE("a refused route table names virtual host and rule, and keeps the old one") {
  World w;
  auto table = [](const std::string& domains) {
    return IncomingResource{"", "", std::string(type_url(Type::route)), bytes<envoy::config::route::v3::RouteConfiguration>("name: r\nvirtual_hosts: [{name: v, domains: " + domains + "}, {name: w, domains: ['x']}]")};
  };
  REQUIRE(w.apply(Type::route, "1", {table("['*']")}).status.ok());
  const Outcome out = w.apply(Type::route, "2", {table("['x']")});
  CHECK_THAT(std::string(out.status.message()), Contains("route configuration 'r'") && Contains("x"));
  w.epoch.commit(std::chrono::steady_clock::time_point(1h));
  CHECK(w.epoch.current()->routes.at("r")->virtual_hosts().size() == 2);
}

TEST_CASE("ignored fields of every type of resource are counted by their row") {
  World w;
  const auto apply = [&](Type type, std::string message) { return w.apply(type, "1", {{"", "", std::string(type_url(type)), std::move(message)}}).status; };
  CHECK(apply(Type::cluster, bytes<envoy::config::cluster::v3::Cluster>("{name: a, type: STATIC, wait_for_warm_on_init: true}")).ok());
  CHECK(apply(Type::endpoint, bytes<envoy::config::endpoint::v3::ClusterLoadAssignment>("{cluster_name: a, endpoints: [{proximity: 5}]}")).ok());
  CHECK(apply(Type::route, bytes<envoy::config::route::v3::RouteConfiguration>("{name: r, metadata: {}}")).ok());
  CHECK(w.ignored == std::vector<std::string>{"envoy.config.cluster.v3.Cluster.wait_for_warm_on_init", "envoy.config.endpoint.v3.LocalityLbEndpoints.proximity",
                                              "envoy.config.route.v3.RouteConfiguration.metadata"});
}

TEST_CASE("unknown fields inside an extension count like any other") {
  envoy::config::cluster::v3::Cluster cluster;
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
  any.set_value(std::string("\xf8\xff\x03\x01", 4));  // field 8191
  (*cluster.mutable_typed_extension_protocol_options())["x"] = any;
  CHECK(count_unknown_fields(cluster) == 1);
}

TEST_CASE("unknown fields of a dynamic resource are counted, and refuse it only when told to") {
  World w;
  std::string with_unknown = World::cluster("a").bytes + std::string("\xf8\xff\x03\x01", 4);  // field 8191
  REQUIRE(w.apply(Type::cluster, "1", {{"", "", std::string(type_url(Type::cluster)), with_unknown}}).status.ok());
  CHECK(w.unknown == 1);
}

TEST_CASE("a filter configuration of a type that its filter does not allow refuses the response; the last good one stays, good ones are applied") {
  World w;
  config::HttpFilterType buffer;
  buffer.type_url = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer";
  buffer.canonical = "envoy.filters.http.buffer";
  buffer.parse = [](const google::protobuf::Any&) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> { return std::make_shared<NoConfig>(); };
  w.registry.add(std::move(buffer));
  const std::string bad = "{'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 1}";
  REQUIRE(w.apply(Type::listener, "1", {World::discovering("l", "x"), World::discovering("m", "z")}).status.ok());
  CHECK_FALSE(w.live("l"));
  Outcome out = w.apply(Type::extension, "1", {World::extension("x")});
  REQUIRE(out.status.ok());
  CHECK(out.reloads == std::map<std::string, uint64_t>{{"x", 1}});
  CHECK(w.live("l"));
  CHECK_FALSE(w.live("m"));
  out = w.apply(Type::extension, "2", {World::extension("x", bad), World::extension("z")});
  CHECK_THAT(std::string(out.status.message()), Contains("filter config 'x'") && Contains("Error: filter config has type URL envoy.extensions.filters.http.buffer.v3.Buffer but expect "
                                                                                          "envoy.extensions.filters.http.router.v3.Router."));
  CHECK(out.refused == std::vector<std::string>{"x"});
  CHECK(out.applied == std::map<std::string, std::string>{{"z", "2"}});
  CHECK(w.live("m"));
  const LedgerEntry* x = w.ledger.find(Type::extension, "x");
  REQUIRE(x != nullptr);
  CHECK(x->version == "1");
  CHECK(static_cast<bool>(x->error));
}

TEST_CASE("filter configurations that nobody asked for are not looked at; a refused one ends every wait") {
  World w;
  CHECK(w.apply(Type::extension, "1", {World::extension("stray", "{'@type': type.googleapis.com/envoy.config.core.v3.Node}")}).status.ok());
  CHECK(w.ledger.find(Type::extension, "stray") == nullptr);
  REQUIRE(w.apply(Type::listener, "1", {World::discovering("l", "x"), World::discovering("m", "z")}).status.ok());
  CHECK_FALSE(w.live("m"));
  CHECK_FALSE(w.apply(Type::extension, "2", {World::extension("x", "{'@type': type.googleapis.com/envoy.config.core.v3.Node}")}).status.ok());
  CHECK(w.live("m"));
}

TEST_CASE("a secret belongs to the source that it is asked of; one that cannot be used is refused by name, ends the wait and leaves the old one") {
  static const test::Authority ca;
  const auto one = ca.issue("one"), two = ca.issue("two");
  const auto quoted = [](const std::string& text) { return absl::StrCat("{inline_string: \"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\"}"); };
  const auto secret = [&](const std::string& name, const std::string& chain, const std::string& key) -> IncomingResource {
    return {"", "", std::string(type_url(Type::secret)),
            bytes<envoy::extensions::transport_sockets::tls::v3::Secret>(absl::StrCat("name: ", name, "\ntls_certificate: {certificate_chain: ", quoted(chain), ", private_key: ", quoted(key), "}"))};
  };
  World w;
  auto discovered = std::make_shared<config::DiscoveredSecrets>(nullptr);
  w.discover(discovered);
  const auto cluster = [&](const std::string& name, const std::string& secret_of) {
    return World::cluster(name, absl::StrCat("transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: "
                                             "{tls_certificate_sds_secret_configs: [{name: ", secret_of, ", sds_config: {ads: {}, resource_api_version: V3}}]}}}"));
  };
  REQUIRE(w.apply(Type::cluster, "1", {cluster("a", "s"), cluster("b", "t")}).status.ok());
  CHECK_FALSE(w.has("a"));
  const auto send = [&](const std::string& source, const std::string& version, std::vector<IncomingResource> resources) {
    return w.ingest->apply({Type::secret, false, version, std::move(resources), {}, source});
  };
  CHECK(send("path:/a", "1", {secret("s", one.chain, one.key)}).applied.empty());  // another source's
  CHECK_FALSE(w.has("a"));
  Outcome out = send("ads", "1", {secret("s", one.chain, one.key), secret("stray", one.chain, two.key)});
  CHECK(out.status.ok());
  CHECK(out.applied == std::map<std::string, std::string>{{"s", "1"}});
  REQUIRE(w.has("a"));
  CHECK(w.epoch.current()->cluster("a")->config->tls->context()->certificates()[0].facts.common_name == "one");
  out = send("ads", "2", {secret("s", one.chain, two.key), secret("t", "x", two.key)});
  CHECK_THAT(std::string(out.status.message()), Contains("secret 's': ") && Contains("Failed to load private key") && Contains("secret 't': ") && !Contains("PRIVATE KEY"));
  CHECK(out.refused == std::vector<std::string>{"s", "t"});
  CHECK(w.has("b"));  // and fails its requests
  CHECK(w.epoch.current()->cluster("a")->config->tls->context()->certificates()[0].facts.common_name == "one");
  const LedgerEntry* known = w.ledger.find(Type::secret, config::secret_key("s", "ads"));
  REQUIRE(known != nullptr);
  CHECK(known->version == "1");
  REQUIRE(known->error != nullptr);
  CHECK(known->error->version == "2");
  CHECK(send("ads", "3", {secret("s", two.chain, two.key)}).status.ok());
  CHECK(w.epoch.current()->cluster("a")->config->tls->context()->certificates()[0].facts.common_name == "two");
  // what is taken back stays; Envoy 1.40: likewise
  CHECK(w.ingest->apply({Type::secret, true, "4", {}, {"s"}, "ads"}).status.ok());
  CHECK(w.ledger.find(Type::secret, config::secret_key("s", "ads")) != nullptr);
}

}  // namespace
}  // namespace fairlead::xds::ingest_test
