// What the server tells of its clients: CSDS, and istioctl's question over ADS.
#include "tests/unit/controlplane/serve/harness.h"

#include "base/doc.h"
#include "controlplane/serve/client_status.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/service/status/v3/csds.pb.h"

namespace client_status_test {

using namespace fairlead;
using namespace fairlead::test;
namespace admin = envoy::admin::v3;
namespace discovery = envoy::service::discovery::v3;
namespace status = envoy::service::status::v3;

namespace {

std::vector<ResourcePtr> edge(int variant = 1) { return {cluster("a", variant), assignment("a"), listener("l", "r"), routes("r", {"a"})}; }

absl::StatusOr<status::ClientStatusResponse> ask(Server& s, const status::ClientStatusRequest& request = {}) {
  const auto bytes = serve::client_status(request.SerializeAsString(), [&](const auto& f) { s.core.each_stream(f); }, {s.clock.system(), s.clock.monotonic()});
  if (!bytes.ok()) return bytes.status();
  status::ClientStatusResponse out;
  REQUIRE(out.ParseFromString(*bytes));
  return out;
}

// "cds a SYNCED"
Texts shape(const status::ClientConfig& config) {
  Texts out;
  for (const auto& r : config.generic_xds_configs()) {
    out.push_back(short_type(r.type_url()) + " " + r.name() + (r.name().empty() ? "" : " ") + status::ConfigStatus_Name(r.config_status()));
  }
  return out;
}

Texts nodes(const status::ClientStatusResponse& r) {
  Texts out;
  for (const auto& c : r.config()) out.push_back(c.node().id());
  return out;
}

// Clusters of 12 MB.
std::vector<ResourcePtr> more_than_fits() {
  std::vector<ResourcePtr> many;
  for (int i = 0; i < 30; ++i) {
    envoy::config::cluster::v3::Cluster m;
    m.set_name("c" + std::to_string(i));
    m.set_alt_stat_name(std::string(400 << 10, 'x'));
    many.push_back(resources::make_resource(Type::kCluster, m.name(), m, {}));
  }
  return many;
}

}  // namespace

TEST_CASE("rule 61: per client and resource: sent and accepted, sent alone, not sent, refused") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer peer(s, StreamKind::kDelta, "n1");
  peer.ack_all(peer.ask(Type::kCluster));
  peer.ask(Type::kEndpoint, {"a"});  // not answered
  peer.ack_all(peer.ask(Type::kRoute, {"r", "nobody"}));
  auto r = ask(s);
  REQUIRE(r.ok());
  REQUIRE(r->config_size() == 1);
  const status::ClientConfig& c = r->config(0);
  CHECK(c.node().id() == "n1");
  CHECK(c.node().cluster() == "edge");
  CHECK(c.node().user_agent_name() == "envoy");
  CHECK(shape(c) == Texts{"cds a SYNCED", "eds a STALE", "rds nobody NOT_SENT", "rds r SYNCED"});
  envoy::config::cluster::v3::Cluster body;
  REQUIRE(c.generic_xds_configs(0).xds_config().UnpackTo(&body));
  CHECK(body.name() == "a");
  CHECK(c.generic_xds_configs(0).version_info() == cluster("a")->version);
  // the deprecated form speaks of types
  REQUIRE(c.xds_config_size() == 3);
  CHECK(c.xds_config(0).has_cluster_config());
  CHECK(c.xds_config(0).status() == status::SYNCED);
  CHECK(c.xds_config(1).has_endpoint_config());
  CHECK(c.xds_config(1).status() == status::STALE);

  s.apply(gateway("edge", edge(2)));
  peer.received();
  peer.nack(Type::kCluster, "Error adding/updating cluster(s) a: no such thing");
  r = ask(s);
  const auto& refused = r->config(0).generic_xds_configs(0);
  CHECK(refused.config_status() == status::ERROR);
  CHECK(refused.error_state().details() == "Error adding/updating cluster(s) a: no such thing");
  CHECK(refused.error_state().version_info() == cluster("a", 2)->version);
  CHECK(refused.error_state().has_last_update_attempt());
  REQUIRE(refused.error_state().failed_configuration().UnpackTo(&body));
  CHECK(body.connect_timeout().seconds() == 2);
}

TEST_CASE("rule 61: without contents only names, versions and states are told") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer peer(s, StreamKind::kSotw, "n1");
  peer.ack_all(peer.ask(Type::kCluster));
  status::ClientStatusRequest request;
  request.set_exclude_resource_contents(true);
  const auto r = ask(s, request);
  REQUIRE(r.ok());
  CHECK(shape(r->config(0)) == Texts{"cds a SYNCED"});
  CHECK_FALSE(r->config(0).generic_xds_configs(0).has_xds_config());
  CHECK_FALSE(r->config(0).generic_xds_configs(0).version_info().empty());
}

TEST_CASE("rule 61: nodes are found by id and metadata; any matcher will do, all of one must") {
  Server s;
  s.apply(gateway("edge", edge()));
  const auto connect = [&](const std::string& id, const std::string& team, double tier) {
    auto peer = std::make_unique<Peer>(s, StreamKind::kDelta, id);
    discovery::DeltaDiscoveryRequest r;
    r.mutable_node()->set_id(id);
    r.mutable_node()->set_cluster("edge");
    auto& fields = *r.mutable_node()->mutable_metadata()->mutable_fields();
    (*fields["labels"].mutable_struct_value()->mutable_fields())["team"].set_string_value(team);
    fields["tier"].set_number_value(tier);
    r.set_type_url(std::string(resources::type_url(Type::kCluster)));
    peer->raw(r.SerializeAsString());
    return peer;
  };
  const auto one = connect("edge-1", "red", 1), two = connect("edge-2", "blue", 2), three = connect("side-3", "red", 3);
  const auto found = [&](auto&&... fill) {
    status::ClientStatusRequest request;
    (fill(*request.add_node_matchers()), ...);
    const auto r = ask(s, request);
    REQUIRE(r.ok());
    return nodes(*r);
  };
  const auto prefix = [](const std::string& text) { return [text](auto& m) { m.mutable_node_id()->set_prefix(text); }; };
  const auto team = [](const std::string& text) {
    return [text](auto& m) {
      auto& one = *m.add_node_metadatas();
      one.add_path()->set_key("labels");
      one.add_path()->set_key("team");
      one.mutable_value()->mutable_string_match()->set_exact(text);
    };
  };
  const auto tier = [](double from, double to) {
    return [from, to](auto& m) {
      auto& one = *m.add_node_metadatas();
      one.add_path()->set_key("tier");
      one.mutable_value()->mutable_double_match()->mutable_range()->set_start(from);
      one.mutable_value()->mutable_double_match()->mutable_range()->set_end(to);
    };
  };
  CHECK(found() == Texts{"edge-1", "edge-2", "side-3"});
  CHECK(found(prefix("edge-")) == Texts{"edge-1", "edge-2"});
  CHECK(found(team("red")) == Texts{"edge-1", "side-3"});
  CHECK(found(prefix("side-"), team("blue")) == Texts{"edge-2", "side-3"});
  CHECK(found([&](auto& m) { prefix("edge-")(m), team("red")(m); }) == Texts{"edge-1"});
  CHECK(found(tier(2, 3)) == Texts{"edge-2"});
  CHECK(found(team("green")) == Texts{});
  CHECK(found([](auto& m) { m.mutable_node_id()->mutable_safe_regex()->set_regex(".*-[13]"); }) == Texts{"edge-1", "side-3"});
  CHECK((*ask(s)).config(0).node().metadata().fields().at("tier").number_value() == 1);

  status::ClientStatusRequest bad;
  bad.add_node_matchers()->mutable_node_id()->mutable_safe_regex()->set_regex("(");
  CHECK(std::string(ask(s, bad).status().message()).starts_with("node_matchers[0].node_id: "));
  bad.clear_node_matchers();
  bad.add_node_matchers()->add_node_metadatas();
  CHECK(ask(s, bad).status().message() == "node_matchers[0].node_metadatas[0].path: is empty");
}

TEST_CASE("secrets are never told, nor private keys within other resources") {
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  secret.set_name("s");
  secret.mutable_generic_secret()->mutable_secret()->set_inline_string("hush");
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext tls;
  tls.mutable_common_tls_context()->add_tls_certificates()->mutable_private_key()->set_inline_string("hush");
  envoy::config::cluster::v3::Cluster with_key;
  with_key.set_name("k");
  with_key.mutable_transport_socket()->set_name("tls");
  with_key.mutable_transport_socket()->mutable_typed_config()->PackFrom(tls);
  Server s;
  s.apply(gateway("edge", {resources::make_resource(Type::kSecret, "s", secret, {}), resources::make_resource(Type::kCluster, "k", with_key, {})}));
  Peer peer(s, StreamKind::kDelta, "n1");
  peer.ack_all(peer.ask(Type::kCluster));
  peer.ack_all(peer.ask(Type::kSecret, {"s"}));
  const auto r = ask(s);
  REQUIRE(r.ok());
  CHECK(shape(r->config(0)) == Texts{"cds k SYNCED", "sds s SYNCED"});
  CHECK(r->config(0).generic_xds_configs(0).has_xds_config());
  CHECK_FALSE(r->config(0).generic_xds_configs(1).has_xds_config());
  CHECK(r->SerializeAsString().find("hush") == std::string::npos);
}

TEST_CASE("an answer that would be too large is refused, and had without contents") {
  Server s;
  s.apply(gateway("edge", more_than_fits()));
  Peer peer(s, StreamKind::kDelta, "n1");
  peer.ack_all(peer.ask(Type::kCluster));
  CHECK(ask(s).status().code() == absl::StatusCode::kResourceExhausted);
  status::ClientStatusRequest request;
  request.set_exclude_resource_contents(true);
  REQUIRE(ask(s, request).ok());
  CHECK(ask(s, request)->config(0).generic_xds_configs_size() == 30);
}

TEST_CASE("rule 61: istioctl's question is answered with each client's state, once, in either protocol") {
  serve::Core::Options options;
  options.identifier = "fairlead-control";
  options.version = "1.2.3";
  Server s(options);
  s.apply(gateway("edge", edge()));
  Peer proxy(s, StreamKind::kDelta, "n1");
  proxy.ack_all(proxy.ask(Type::kCluster));
  proxy.ask(Type::kListener);
  Peer istioctl(s, StreamKind::kSotw, "istioctl");
  discovery::DiscoveryRequest r;
  r.mutable_node()->set_id("istioctl");
  r.set_type_url("istio.io/debug/syncz");
  istioctl.raw(r.SerializeAsString());
  Texts sent = std::exchange(s.sent[istioctl.id], {});
  REQUIRE(sent.size() == 1);
  discovery::DiscoveryResponse answer;
  REQUIRE(answer.ParseFromString(sent[0]));
  CHECK(answer.type_url() == "istio.io/debug/syncz");
  CHECK_FALSE(answer.version_info().empty());
  CHECK(answer.control_plane().identifier() == R"({"Component":"fairlead","ID":"fairlead-control","Info":{"version":"1.2.3"}})");
  REQUIRE(answer.resources_size() == 1);  // not the one who asks
  CHECK(answer.resources(0).type_url() == "type.googleapis.com/envoy.service.status.v3.ClientConfig");
  status::ClientConfig config;
  REQUIRE(answer.resources(0).UnpackTo(&config));
  CHECK(config.node().id() == "n1");
  CHECK(config.node().metadata().fields().at("CLUSTER_ID").string_value() == "edge");
  CHECK(shape(config) == Texts{"cds SYNCED", "eds UNKNOWN", "lds STALE", "rds UNKNOWN", "ecds UNKNOWN"});
  CHECK(config.generic_xds_configs(0).has_last_updated());
  CHECK_FALSE(config.generic_xds_configs(1).has_last_updated());
  CHECK(config.xds_config_size() == 4);
  r.set_response_nonce(answer.nonce());
  r.set_version_info(answer.version_info());
  istioctl.raw(r.SerializeAsString());  // an ACK
  CHECK(s.sent[istioctl.id].empty());
  r.clear_response_nonce();
  istioctl.raw(r.SerializeAsString());  // asked anew
  CHECK(std::exchange(s.sent[istioctl.id], {}).size() == 1);
  // what is not known is answered, too: with nothing
  r.set_type_url("istio.io/debug/config_dump");
  istioctl.raw(r.SerializeAsString());
  sent = std::exchange(s.sent[istioctl.id], {});
  REQUIRE(sent.size() == 1);
  REQUIRE(answer.ParseFromString(sent[0]));
  CHECK(answer.resources_size() == 0);

  Peer delta(s, StreamKind::kDelta, "debugger");
  discovery::DeltaDiscoveryRequest d;
  d.mutable_node()->set_id("debugger");
  d.set_type_url("istio.io/debug/syncz");
  delta.raw(d.SerializeAsString());
  discovery::DeltaDiscoveryResponse delta_answer;
  REQUIRE(delta_answer.ParseFromString(s.sent[delta.id].at(0)));
  REQUIRE(delta_answer.resources_size() == 1);
  CHECK(delta_answer.resources(0).name() == "n1");
}

namespace {

struct Istioctl {
  explicit Istioctl(Server& s) : server(s), peer(s, StreamKind::kSotw, "sidecar~10.0.0.1~test-1.default~default.svc.cluster.local") {}
  discovery::DiscoveryResponse ask(const std::string& type, const Texts& names = {}) {
    discovery::DiscoveryRequest r;
    r.mutable_node()->set_id("sidecar~10.0.0.1~test-1.default~default.svc.cluster.local");
    r.set_type_url(type);
    r.set_response_nonce("2026-11-26 20:39:24.000000001 +0000 UTC m=+0.1");  // of its own
    for (const std::string& name : names) r.add_resource_names(name);
    peer.raw(r.SerializeAsString());
    const Texts sent = std::exchange(server.sent[peer.id], {});
    REQUIRE(sent.size() == 1);
    discovery::DiscoveryResponse answer;
    REQUIRE(answer.ParseFromString(sent[0]));
    CHECK(answer.type_url() == type);
    return answer;
  }
  std::string page(const std::string& path) {
    const discovery::DiscoveryResponse answer = ask("istio.io/debug", {path});
    REQUIRE(answer.resources_size() == 1);
    CHECK(answer.resources(0).type_url() == "istio.io/debug");
    return answer.resources(0).value();
  }
  Server& server;
  Peer peer;
};

void introduce(Peer& peer, const std::string& id, std::map<std::string, std::string> metadata, double labels = 0) {
  discovery::DeltaDiscoveryRequest r;
  r.mutable_node()->set_id(id);
  r.mutable_node()->set_cluster("edge");
  r.mutable_node()->set_user_agent_name("envoy");
  auto& fields = *r.mutable_node()->mutable_metadata()->mutable_fields();
  for (const auto& [key, value] : metadata) fields[key].set_string_value(value);
  if (labels != 0) fields["LABELS"].set_number_value(labels);
  r.set_type_url(std::string(resources::type_url(Type::kCluster)));
  peer.raw(r.SerializeAsString());
}

}  // namespace

TEST_CASE("rule 61: of a node's metadata istioctl is told what it prints and nothing that it might not read") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer odd(s, StreamKind::kDelta, "odd"), own(s, StreamKind::kDelta, "own");
  introduce(odd, "odd", {{"fairlead.io/gateway", "default/edge"}}, 5);
  introduce(own, "own", {{"NAMESPACE", "prod"}, {"CLUSTER_ID", "c1"}, {"ISTIO_VERSION", "1.29.0"}});
  const auto answer = Istioctl(s).ask("istio.io/debug/syncz");
  std::map<std::string, Texts> told;
  for (const auto& any : answer.resources()) {
    status::ClientConfig config;
    REQUIRE(any.UnpackTo(&config));
    for (const auto& [key, value] : config.node().metadata().fields()) told[config.node().id()].push_back(key + "=" + value.string_value());
    std::sort(told[config.node().id()].begin(), told[config.node().id()].end());
  }
  CHECK(told["odd"] == Texts{"CLUSTER_ID=edge", "ISTIO_VERSION=envoy/", "NAMESPACE=default"});
  CHECK(told["own"] == Texts{"CLUSTER_ID=c1", "ISTIO_VERSION=1.29.0", "NAMESPACE=prod"});
}

TEST_CASE("rule 61: istioctl is told that a type is in error when its client, or the client's whole class, goes on with the last good one") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer peer(s, StreamKind::kDelta, "n1");
  peer.ack_all(peer.ask(Type::kCluster));
  s.apply(gateway("edge", edge(2)));
  peer.received();
  peer.nack(Type::kCluster, "Error adding/updating cluster(s) a: no such thing");
  Peer later(s, StreamKind::kDelta, "n2");
  later.ack_all(later.ask(Type::kCluster));
  const auto answer = Istioctl(s).ask("istio.io/debug/syncz");
  REQUIRE(answer.resources_size() == 2);
  for (const auto& any : answer.resources()) {
    status::ClientConfig config;
    REQUIRE(any.UnpackTo(&config));
    INFO(config.node().id());
    CHECK(shape(config)[0] == "cds ERROR");
    CHECK(config.generic_xds_configs(0).error_state().details() == "Error adding/updating cluster(s) a: no such thing");
  }
}

TEST_CASE("rule 61: what one proxy shall have is told as Envoy's own dump is laid out, under the names that istioctl has for it") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer plain(s, StreamKind::kDelta, "plain"), placed(s, StreamKind::kDelta, "placed"), istio(s, StreamKind::kDelta, "router~10.0.0.2~pod.prod~prod.svc.cluster.local");
  introduce(plain, "plain", {});
  introduce(placed, "placed", {{"NAMESPACE", "prod"}});
  introduce(istio, "router~10.0.0.2~pod.prod~prod.svc.cluster.local", {});
  plain.received();
  plain.ask(Type::kListener);
  plain.ask(Type::kRoute, {"r", "nobody"});
  Istioctl istioctl(s);
  const auto sections = [&](const Texts& names) { return istioctl.ask("istio.io/debug/config_dump", names).resources_size(); };
  CHECK(sections({"plain"}) == 4);
  CHECK(sections({"plain.default"}) == 4);  // its namespace is not known: any will do
  CHECK(sections({"placed.prod"}) == 4);
  CHECK(sections({"pod.prod"}) == 4);
  CHECK(sections({"placed.test"}) == 0);
  CHECK(sections({"plai"}) == 0);
  CHECK(sections({}) == 0);
  CHECK(sections({"plain", "placed"}) == 0);
  CHECK(sections({"sidecar~10.0.0.1~test-1.default~default.svc.cluster.local"}) == 0);  // who asks has nothing

  s.apply(gateway("edge", edge(2)));  // not taken yet: what it shall have counts
  const auto dump = istioctl.ask("istio.io/debug/config_dump", {"plain"});
  admin::ClustersConfigDump clusters;
  REQUIRE(dump.resources(0).UnpackTo(&clusters));
  REQUIRE(clusters.dynamic_active_clusters_size() == 1);
  envoy::config::cluster::v3::Cluster body;
  REQUIRE(clusters.dynamic_active_clusters(0).cluster().UnpackTo(&body));
  CHECK(body.connect_timeout().seconds() == 2);
  admin::ListenersConfigDump listeners;
  REQUIRE(dump.resources(1).UnpackTo(&listeners));
  REQUIRE(listeners.dynamic_listeners_size() == 1);
  CHECK(listeners.dynamic_listeners(0).active_state().listener().type_url() == "type.googleapis.com/envoy.config.listener.v3.Listener");
  admin::RoutesConfigDump routes;
  REQUIRE(dump.resources(2).UnpackTo(&routes));
  CHECK(routes.dynamic_route_configs_size() == 1);
}

TEST_CASE("rule 61: a dump that is too large ends the stream with the reason") {
  Server s;
  s.apply(gateway("edge", more_than_fits()));
  Peer proxy(s, StreamKind::kDelta, "n1");
  proxy.ask(Type::kCluster);
  Peer asking(s, StreamKind::kSotw, "istioctl");
  discovery::DiscoveryRequest r;
  r.mutable_node()->set_id("istioctl");
  r.set_type_url("istio.io/debug/config_dump");
  r.add_resource_names("n1");
  asking.raw(r.SerializeAsString());
  CHECK(s.ended.at(asking.id).code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE("rule 61: istioctl's internal-debug gets pages, or the texts by which it knows what to ask instead") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer proxy(s, StreamKind::kDelta, "n1");
  proxy.ack_all(proxy.ask(Type::kCluster));
  Istioctl istioctl(s);
  CHECK(istioctl.page("list") == R"(["config_dump?proxyID=NODE","list","syncz"])");
  const auto sync = doc::parse_json(istioctl.page("syncz"), "");
  REQUIRE(sync.ok());
  REQUIRE(sync->size() == 1);
  const doc::Value& one = sync->items()[0];
  CHECK(one.find("proxy")->as_string() == "n1");
  CHECK(one.find("cluster_sent")->as_string() == one.find("cluster_acked")->as_string());
  CHECK_FALSE(one.find("cluster_sent")->as_string().empty());
  CHECK(one.find("listener_sent") == nullptr);
  CHECK(one.find("resources")->size() == 1);
  const auto dump = doc::parse_json(istioctl.page("config_dump?proxyID=n1"), "");
  REQUIRE(dump.ok());
  CHECK(dump->find("configs")->size() == 4);
  CHECK(istioctl.page("config_dump?proxyID=n2").starts_with("Proxy not connected to this Pilot instance."));
  CHECK(istioctl.page("config_dump").starts_with("You must provide a proxyID in the query string"));
  CHECK(istioctl.page("config_dump?what").starts_with("You must provide a proxyID in the query string"));
  CHECK(istioctl.page("config_dumps") == "404 page not found");
  CHECK(istioctl.page("edsz") == "404 page not found");
  CHECK(istioctl.ask("istio.io/debug").resources_size() == 0);
}

TEST_CASE("who comes from elsewhere may ask about others only where that is allowed, with rules of who may be which node and without") {
  for (const bool allowed : {false, true}) {
    serve::Core::Options options;
    options.allow_inspection = allowed;
    Server s(options);
    CHECK(s.core.may_inspect(*peer()).ok());
    CHECK(s.core.may_inspect(*peer("10.0.0.1")).ok() == allowed);
    CHECK(s.core.may_inspect(*peer("10.0.0.1", {"spiffe://example.org/edge"})).ok() == allowed);
  }
  Server s;
  s.apply(gateway("edge", edge()));
  const auto rules = serve::Authorization::parse(std::vector<serve::Authorization::Line>{{"spiffe://example.org/{name} = id:*, cluster:{name}", "test"}});
  REQUIRE(rules.ok());
  s.core.set_authorization(std::make_shared<const serve::Authorization>(*rules));
  CHECK(s.core.may_inspect(*peer()).ok());
  const auto far = peer("10.0.0.1", {"spiffe://example.org/edge"});
  CHECK(s.core.may_inspect(*far).code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(std::string(s.core.may_inspect(*far).message()), Catch::Matchers::Contains("--xds-allow-inspection"));
  Peer asking(s, StreamKind::kSotw, "n1", "edge", "envoy", std::nullopt, far);
  discovery::DiscoveryRequest r;
  r.mutable_node()->set_id("n1");
  r.mutable_node()->set_cluster("edge");
  r.set_type_url("istio.io/debug/syncz");
  asking.raw(r.SerializeAsString());
  CHECK(s.ended.at(asking.id).code() == absl::StatusCode::kPermissionDenied);
}

}  // namespace client_status_test
