// The services beside xDS itself, over real gRPC: CSDS, LRS, and each type's own service.
#include <catch2/catch.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "controlplane/serve/xds_server.h"
#include "envoy/service/cluster/v3/cds.grpc.pb.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "envoy/service/endpoint/v3/eds.grpc.pb.h"
#include "envoy/service/extension/v3/config_discovery.grpc.pb.h"
#include "envoy/service/listener/v3/lds.grpc.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "envoy/service/route/v3/rds.grpc.pb.h"
#include "envoy/service/route/v3/srds.grpc.pb.h"
#include "envoy/service/runtime/v3/rtds.grpc.pb.h"
#include "envoy/service/secret/v3/sds.grpc.pb.h"
#include "envoy/service/status/v3/csds.grpc.pb.h"
#include "envoy/config/route/v3/scoped_route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "tests/unit/controlplane/make.h"

namespace services_test {

using namespace fairlead;
using namespace fairlead::test;
using envoy::service::discovery::v3::AggregatedDiscoveryService;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using envoy::service::load_stats::v3::LoadReportingService;
using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;
using envoy::service::status::v3::ClientStatusDiscoveryService;
using envoy::service::status::v3::ClientStatusRequest;
using envoy::service::status::v3::ClientStatusResponse;
using serve::Core;
using serve::XdsServer;

namespace {

template <typename M>
ResourcePtr named(Type type, const std::string& name, resources::Envelope envelope = {}) {
  M m;
  m.set_name(name);
  return resources::make_resource(type, name, m, {}, "", std::move(envelope));
}

// A server with one resource of each type.
struct Running {
  explicit Running(XdsServer::Options options = {}) {
    log::set_level(log::Level::off);
    options.address = "127.0.0.1:0";
    auto started = XdsServer::start(options, RealClock::instance());
    REQUIRE(started.ok());
    server = *std::move(started);
    channel = grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials());
  }
  void serve(int variant = 1) {
    snapshot::Update u;
    u.gateways.push_back({{"default", "edge"},
                          {cluster("a", variant), assignment("a"), listener("l", "r"), routes("r", {"a"}), named<envoy::config::route::v3::ScopedRouteConfiguration>(Type::kScopedRoute, "s"),
                           named<envoy::config::route::v3::VirtualHost>(Type::kVirtualHost, "r/v", {{"r/v.test"}, {}}),
                           named<envoy::extensions::transport_sockets::tls::v3::Secret>(Type::kSecret, "k"), named<envoy::service::runtime::v3::Runtime>(Type::kRuntime, "t"), filter_config("f")}});
    u.ready = true;
    auto shared = std::make_shared<snapshot::Update>(std::move(u));
    server->ask<bool>([shared](Core& core) { return core.apply(std::move(*shared)), true; });
  }
  std::unique_ptr<XdsServer> server;
  std::shared_ptr<grpc::Channel> channel;
};

std::unique_ptr<grpc::ClientContext> context() {
  auto c = std::make_unique<grpc::ClientContext>();
  c->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return c;
}

template <typename R>
R request(std::string name) {
  R r;
  r.mutable_node()->set_id("n1");
  r.mutable_node()->set_cluster("edge");
  if constexpr (std::is_same_v<R, DiscoveryRequest>) {
    r.add_resource_names(std::move(name));
  } else {
    r.add_resource_names_subscribe(std::move(name));
  }
  return r;
}

// "URL: 1 resource", asked of a type's own service without saying the type.
template <typename R, typename Answer, typename Open>
std::string asked(Open open, const std::string& name) {
  auto c = context();
  auto stream = open(c.get());
  if (!stream->Write(request<R>(name))) return "not written";
  Answer answer;
  if (!stream->Read(&answer)) return stream->Finish().error_message();
  const std::string out = answer.type_url() + ": " + std::to_string(answer.resources_size());
  c->TryCancel();
  return out;
}

std::string one_of(Type type) { return std::string(resources::type_url(type)) + ": 1"; }

}  // namespace

TEST_CASE("rule 6: each type has its own service, in both protocols; virtual hosts in delta alone") {
  Running run;
  run.serve();
#define SOTW(service, method, name) asked<DiscoveryRequest, DiscoveryResponse>([stub = std::shared_ptr(service::NewStub(run.channel))](auto* c) { return stub->method(c); }, name)
#define DELTA(service, method, name) asked<DeltaDiscoveryRequest, DeltaDiscoveryResponse>([stub = std::shared_ptr(service::NewStub(run.channel))](auto* c) { return stub->method(c); }, name)
  using namespace envoy::service;
  CHECK(SOTW(cluster::v3::ClusterDiscoveryService, StreamClusters, "a") == one_of(Type::kCluster));
  CHECK(DELTA(cluster::v3::ClusterDiscoveryService, DeltaClusters, "a") == one_of(Type::kCluster));
  CHECK(SOTW(endpoint::v3::EndpointDiscoveryService, StreamEndpoints, "a") == one_of(Type::kEndpoint));
  CHECK(DELTA(endpoint::v3::EndpointDiscoveryService, DeltaEndpoints, "a") == one_of(Type::kEndpoint));
  CHECK(SOTW(listener::v3::ListenerDiscoveryService, StreamListeners, "l") == one_of(Type::kListener));
  CHECK(DELTA(listener::v3::ListenerDiscoveryService, DeltaListeners, "l") == one_of(Type::kListener));
  CHECK(SOTW(route::v3::RouteDiscoveryService, StreamRoutes, "r") == one_of(Type::kRoute));
  CHECK(DELTA(route::v3::RouteDiscoveryService, DeltaRoutes, "r") == one_of(Type::kRoute));
  CHECK(SOTW(route::v3::ScopedRoutesDiscoveryService, StreamScopedRoutes, "s") == one_of(Type::kScopedRoute));
  CHECK(DELTA(route::v3::ScopedRoutesDiscoveryService, DeltaScopedRoutes, "s") == one_of(Type::kScopedRoute));
  CHECK(DELTA(route::v3::VirtualHostDiscoveryService, DeltaVirtualHosts, "r/v.test") == one_of(Type::kVirtualHost));  // by an alias, as Envoy asks
  CHECK(SOTW(secret::v3::SecretDiscoveryService, StreamSecrets, "k") == one_of(Type::kSecret));
  CHECK(DELTA(secret::v3::SecretDiscoveryService, DeltaSecrets, "k") == one_of(Type::kSecret));
  CHECK(SOTW(runtime::v3::RuntimeDiscoveryService, StreamRuntime, "t") == one_of(Type::kRuntime));
  CHECK(DELTA(runtime::v3::RuntimeDiscoveryService, DeltaRuntime, "t") == one_of(Type::kRuntime));
  CHECK(SOTW(extension::v3::ExtensionConfigDiscoveryService, StreamExtensionConfigs, "f") == one_of(Type::kExtensionConfig));
  CHECK(DELTA(extension::v3::ExtensionConfigDiscoveryService, DeltaExtensionConfigs, "f") == one_of(Type::kExtensionConfig));
#undef SOTW
#undef DELTA
}

TEST_CASE("rule 61: CSDS over gRPC: one question, and a stream of them") {
  Running run;
  run.serve();
  auto ads = AggregatedDiscoveryService::NewStub(run.channel);
  auto c = context();
  auto stream = ads->DeltaAggregatedResources(c.get());
  DeltaDiscoveryRequest first = request<DeltaDiscoveryRequest>("a");
  first.set_type_url(std::string(resources::type_url(Type::kCluster)));
  REQUIRE(stream->Write(first));
  DeltaDiscoveryResponse answer;
  REQUIRE(stream->Read(&answer));

  auto stub = ClientStatusDiscoveryService::NewStub(run.channel);
  auto asking = context();
  auto questions = stub->StreamClientStatus(asking.get());
  ClientStatusRequest question;
  ClientStatusResponse status;
  REQUIRE(questions->Write(question));
  REQUIRE(questions->Read(&status));
  REQUIRE(status.config_size() == 1);
  CHECK(status.config(0).generic_xds_configs(0).config_status() == envoy::service::status::v3::STALE);
  DeltaDiscoveryRequest ack;
  ack.set_type_url(answer.type_url());
  ack.set_response_nonce(answer.nonce());
  REQUIRE(stream->Write(ack));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  do {
    REQUIRE(questions->Write(question));
    REQUIRE(questions->Read(&status));
  } while (status.config(0).generic_xds_configs(0).config_status() != envoy::service::status::v3::SYNCED && std::chrono::steady_clock::now() < until);
  CHECK(status.config(0).generic_xds_configs(0).config_status() == envoy::service::status::v3::SYNCED);
  questions->WritesDone();
  CHECK(questions->Finish().ok());

  question.add_node_matchers()->mutable_node_id()->set_exact("somebody else");
  CHECK(stub->FetchClientStatus(context().get(), question, &status).ok());
  CHECK(status.config_size() == 0);
  question.clear_node_matchers();
  question.add_node_matchers()->mutable_node_id()->mutable_safe_regex()->set_regex("(");
  CHECK(stub->FetchClientStatus(context().get(), question, &status).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("rule 61: LRS: a client is told what to report and how often, and what it reports is kept until it goes, the sums beyond") {
  XdsServer::Options o;
  o.load.interval = std::chrono::seconds(7);
  Running run(o);
  auto stub = LoadReportingService::NewStub(run.channel);
  LoadStatsResponse told;
  const auto begin = [&](grpc::ClientContext& c, const std::vector<std::string>& features) {
    auto stream = stub->StreamLoadStats(&c);
    LoadStatsRequest first;
    first.mutable_node()->set_id("n1");
    first.mutable_node()->set_cluster("edge");
    for (const std::string& f : features) first.mutable_node()->add_client_features(f);
    stream->Write(first);
    return stream;
  };
  {
    auto c = context();
    auto stream = begin(*c, {});
    CHECK_FALSE(stream->Read(&told));
    CHECK(stream->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);  // no sources yet: not known what to ask for
  }
  run.serve();
  const auto loads = [&] { return run.server->ask<doc::Value>([](Core& core) { return core.loads().to_doc(MonotonicTime{}); }); };
  auto c = context();
  auto stream = begin(*c, {"envoy.lrs.supports_send_all_clusters"});
  REQUIRE(stream->Read(&told));
  CHECK(told.send_all_clusters());
  CHECK(told.clusters_size() == 0);
  CHECK(told.load_reporting_interval().seconds() == 7);
  auto other_context = context();
  auto other = begin(*other_context, {});  // cannot be asked for all
  REQUIRE(other->Read(&told));
  CHECK_FALSE(told.send_all_clusters());
  REQUIRE(told.clusters_size() == 1);
  CHECK(told.clusters(0) == "a");
  LoadStatsRequest report;  // without a node: that was said
  auto& stats = *report.add_cluster_stats();
  stats.set_cluster_name("a");
  stats.mutable_load_report_interval()->set_seconds(2);
  stats.add_upstream_locality_stats()->set_total_issued_requests(10);
  REQUIRE(stream->Write(report));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (loads().find("clusters")->items().empty() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  REQUIRE(loads().find("clusters")->items().size() == 1);
  const doc::Value place = loads().find("clusters")->items()[0].find("localities")->items()[0];
  CHECK(place.find("requests_per_s")->as_number() == 5);
  CHECK(loads().find("reporters")->items().size() == 2);
  stream->WritesDone();
  CHECK(stream->Finish().ok());
  other_context->TryCancel();
  other->Finish();
  while (!loads().find("reporters")->items().empty() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(loads().find("reporters")->items().empty());
  CHECK(loads().find("clusters")->items()[0].find("localities")->items()[0].find("issued")->as_number() == 10);

  // Envoy's stream after a broken one begins with what was done meanwhile
  auto back_context = context();
  auto back = stub->StreamLoadStats(back_context.get());
  LoadStatsRequest resumed = report;
  resumed.mutable_node()->set_id("n1");
  resumed.mutable_node()->set_cluster("edge");
  resumed.mutable_cluster_stats(0)->mutable_upstream_locality_stats(0)->set_total_issued_requests(4);
  resumed.add_cluster_stats()->set_cluster_name("timeless");
  resumed.mutable_cluster_stats(1)->add_upstream_locality_stats()->set_total_issued_requests(1);
  back->Write(resumed);
  REQUIRE(back->Read(&told));
  REQUIRE(loads().find("clusters")->items().size() == 1);
  CHECK(loads().find("clusters")->items()[0].find("localities")->items()[0].find("issued")->as_number() == 14);
  CHECK(loads().find("clusters")->items()[0].find("localities")->items()[0].find("requests_per_s")->as_number() == 2);
  back_context->TryCancel();
  back->Finish();

  auto nameless = context();
  auto bad = stub->StreamLoadStats(nameless.get());
  bad->Write(report);
  CHECK_FALSE(bad->Read(&told));
  CHECK(bad->Finish().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace services_test
