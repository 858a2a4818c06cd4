// Load reports of the proxy as a process, over real gRPC, with traffic through it.
#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>

#include "absl/strings/str_cat.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::load_reports_test {
namespace {

using Catch::Matchers::Contains;
namespace lrs = envoy::service::load_stats::v3;

// A server of load reports: answers the first request of each stream, and keeps what comes. Every wait is bounded (10 s) and then throws.
class FakeLrs final : private lrs::LoadReportingService::Service {
 public:
  explicit FakeLrs(lrs::LoadStatsResponse response) : response_(std::move(response)) { start(); }
  ~FakeLrs() override { stop(); }
  int port() const { return port_; }

  void start() {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) throw std::runtime_error("cannot listen");
  }
  void stop() {
    if (server_ == nullptr) return;
    {
      std::lock_guard lock(mutex_);
      for (grpc::ServerContext* context : contexts_) context->TryCancel();
    }
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }

  lrs::LoadStatsRequest next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(10), [this] { return !requests_.empty(); })) throw std::runtime_error("waited 10 s for a load report");
    lrs::LoadStatsRequest out = std::move(requests_.front());
    requests_.pop_front();
    return out;
  }
  std::string metadata(const std::string& name) const {
    std::lock_guard lock(mutex_);
    const auto it = metadata_.find(name);
    return it == metadata_.end() ? "" : it->second;
  }

 private:
  grpc::Status StreamLoadStats(grpc::ServerContext* context, grpc::ServerReaderWriter<lrs::LoadStatsResponse, lrs::LoadStatsRequest>* stream) override {
    {
      std::lock_guard lock(mutex_);
      contexts_.insert(context);
      for (const auto& [name, value] : context->client_metadata()) metadata_[std::string(name.data(), name.size())] = std::string(value.data(), value.size());
    }
    bool told = false;
    lrs::LoadStatsRequest request;
    while (stream->Read(&request)) {
      {
        std::lock_guard lock(mutex_);
        requests_.push_back(request);
        changed_.notify_all();
      }
      if (!std::exchange(told, true)) stream->Write(response_);
    }
    std::lock_guard lock(mutex_);
    contexts_.erase(context);
    return grpc::Status::OK;
  }

  const lrs::LoadStatsResponse response_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<lrs::LoadStatsRequest> requests_;
  std::set<grpc::ServerContext*> contexts_;
  std::map<std::string, std::string> metadata_;
  std::unique_ptr<grpc::Server> server_;
};

lrs::LoadStatsResponse asks_for(const std::vector<std::string>& clusters, bool endpoints = false) {
  lrs::LoadStatsResponse out;
  out.set_send_all_clusters(clusters.empty());
  for (const std::string& name : clusters) out.add_clusters(name);
  out.set_report_endpoint_granularity(endpoints);
  out.mutable_load_reporting_interval()->set_nanos(200'000'000);
  return out;
}

std::string stream_cluster(const std::string& name, int port) { return static_cluster(name, static_cast<uint16_t>(port), "http2_protocol_options: {}\n"); }

std::string reporting(const std::string& cluster, const std::string& more = "") {
  return absl::StrCat("cluster_manager: {load_stats_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: ", cluster, "}", more, "}]}}\n");
}

// The sum of what reports say of a cluster, until `enough`.
struct Seen {
  uint64_t succeeded = 0, failed = 0, issued = 0, dropped = 0;
  std::map<std::string, uint64_t> by_address, by_category;
  std::map<std::string, std::pair<uint64_t, double>> metrics;
};
Seen read_until(FakeLrs& server, const std::string& cluster, const std::function<bool(const Seen&)>& enough) {
  Seen seen;
  while (!enough(seen)) {
    const lrs::LoadStatsRequest report = server.next();
    for (const auto& stats : report.cluster_stats()) {
      if (stats.cluster_name() != cluster) continue;
      seen.dropped += stats.total_dropped_requests();
      for (const auto& dropped : stats.dropped_requests()) seen.by_category[dropped.category()] += dropped.dropped_count();
      for (const auto& place : stats.upstream_locality_stats()) {
        seen.succeeded += place.total_successful_requests();
        seen.failed += place.total_error_requests();
        seen.issued += place.total_issued_requests();
        for (const auto& metric : place.load_metric_stats()) {
          seen.metrics[metric.metric_name()].first += metric.num_requests_finished_with_metric();
          seen.metrics[metric.metric_name()].second += metric.total_metric_value();
        }
        for (const auto& endpoint : place.upstream_endpoint_stats())
          seen.by_address[absl::StrCat(endpoint.address().socket_address().address(), ":", endpoint.address().socket_address().port_value())] += endpoint.total_issued_requests();
      }
    }
  }
  return seen;
}

const std::string kToA = "route_config: {name: rc, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}";

TEST_CASE("the proxy reports its load: what was sent where, what came of it, and what endpoints say of themselves") {
  FakeUpstream up([](const UpstreamRequest& request) {
    UpstreamReply reply;
    reply.status = request.path == "/bad" ? 500 : request.path == "/absent" ? 404 : 200;
    if (request.path == "/busy") reply.headers.emplace_back("endpoint-load-metrics", "TEXT cpu_utilization=0.5,named_metrics.x=2");
    return reply;
  });
  FakeLrs server(asks_for({}, true));
  ProxyProcess proxy("node: {id: n, cluster: c, locality: {zone: here}}\n" + reporting("lrs", ", initial_metadata: [{key: Authorization, value: Bearer x}]") +
                         static_bootstrap({static_cluster("a", up.port(), "lrs_report_endpoint_metrics: [cpu_utilization, 'named_metrics.*']\nlrs_server: {self: {}}\n"), stream_cluster("lrs", server.port())}, {listener("l", kToA)}));
  const auto first = server.next();
  CHECK(first.node().id() == "n");
  CHECK(first.node().locality().zone() == "here");
  CHECK(first.node().user_agent_name() == "fairlead-proxy");
  CHECK(first.cluster_stats().empty());
  CHECK(server.metadata("authorization") == "Bearer x");
  proxy.wait_for_state("LIVE");
  const auto idle = server.next();  // asked by now
  REQUIRE(idle.cluster_stats_size() == 1);  // the server's own cluster is no target of traffic
  CHECK(idle.cluster_stats(0).cluster_name() == "a");
  CHECK(idle.cluster_stats(0).upstream_locality_stats().empty());
  const auto& interval = idle.cluster_stats(0).load_report_interval();
  CHECK(interval.seconds() * 1'000'000'000 + interval.nanos() >= 199'000'000);

  for (const char* path : {"/", "/", "/bad", "/absent", "/busy", "/busy"}) proxy.get("l", path);
  const Seen seen = read_until(server, "a", [](const Seen& s) { return s.succeeded + s.failed == 6; });
  CHECK(seen.succeeded == 5);
  CHECK(seen.failed == 1);
  CHECK(seen.issued == 6);
  CHECK(seen.by_address == std::map<std::string, uint64_t>{{absl::StrCat("127.0.0.1:", up.port()), 6}});
  CHECK(seen.metrics == std::map<std::string, std::pair<uint64_t, double>>{{"cpu_utilization", {2, 1.0}}, {"named_metrics.x", {2, 4.0}}});
  CHECK(proxy.stat("load_reporter.requests") == "1");
  CHECK(proxy.stat("load_reporter.errors") == "0");
}

TEST_CASE("load reports: drops by category, and only of the clusters that were asked for, known or not") {
  FakeLrs server(asks_for({"a", "nobody"}));
  FakeUpstream up;
  std::string dropping = static_cluster("a", up.port());
  dropping.replace(dropping.find("cluster_name: a, "), 17, "cluster_name: a, policy: {drop_overloads: [{category: full, drop_percentage: {numerator: 100}}]}, ");
  ProxyProcess proxy(reporting("lrs") + static_bootstrap({dropping, static_cluster("b", up.port()), stream_cluster("lrs", server.port())}, {listener("l", kToA)}));
  proxy.wait_for_state("LIVE");
  server.next();
  server.next();
  CHECK(proxy.get("l", "/").status == 503);
  CHECK(proxy.get("l", "/").status == 503);
  const Seen seen = read_until(server, "a", [](const Seen& s) { return s.dropped == 2; });
  CHECK(seen.by_category == std::map<std::string, uint64_t>{{"full", 2}});
  CHECK(seen.issued == 0);
  const auto report = server.next();
  REQUIRE(report.cluster_stats_size() == 1);
  CHECK(report.cluster_stats(0).cluster_name() == "a");
}

TEST_CASE("load reports: a gRPC call counts by its status, wherever that comes; what times out has failed; where a breaker is open no host has") {
  FakeUpstream calls(
      [](const UpstreamRequest& request) {
        UpstreamReply reply;
        if (request.path == "/grpc/head") {
          reply.body.clear();
          reply.headers.emplace_back("grpc-status", "13");
        } else if (request.path != "/grpc/none") {
          reply.trailers.emplace_back("grpc-status", request.path.substr(6));
        }
        return reply;
      },
      true);
  FakeUpstream silent([](const UpstreamRequest&) {
    UpstreamReply reply;
    reply.never = true;
    return reply;
  });
  FakeLrs server(asks_for({}));
  const std::string table =
      "route_config: {name: rc, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /grpc}, route: {cluster: grpc}}, {match: {prefix: /slow}, route: {cluster: slow, timeout: 0.1s}}, "
      "{match: {prefix: /full}, route: {cluster: full}}]}]}";
  ProxyProcess proxy(reporting("lrs") + static_bootstrap({stream_cluster("grpc", calls.port()), static_cluster("slow", silent.port()),
                                                          static_cluster("full", silent.port(), "circuit_breakers: {thresholds: [{max_pending_requests: 0}]}\n"), stream_cluster("lrs", server.port())},
                                                         {listener("l", table)}));
  proxy.wait_for_state("LIVE");
  server.next();
  server.next();
  const auto call = [&](const std::string& path) {
    RawSocket client = RawSocket::connect(proxy.port("l"));
    client.send("POST " + path + " HTTP/1.1\r\nhost: test\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    client.read_response();
  };
  for (const char* path : {"/grpc/0", "/grpc/5", "/grpc/14", "/grpc/head", "/grpc/none"}) call(path);
  Seen seen = read_until(server, "grpc", [](const Seen& s) { return s.succeeded + s.failed == 5; });
  CHECK(seen.succeeded == 2);
  CHECK(seen.failed == 3);
  CHECK(proxy.get("l", "/slow").status == 504);
  seen = read_until(server, "slow", [](const Seen& s) { return s.failed == 1; });
  CHECK(seen.issued == 1);
  CHECK(proxy.get("l", "/full").status == 503);
  seen = read_until(server, "full", [](const Seen& s) { return s.dropped == 1; });
  CHECK(seen.failed == 0);
  CHECK(seen.issued == 0);
}

TEST_CASE("load that was counted while the server was away is reported when it is back") {
  FakeUpstream up;
  FakeLrs server(asks_for({}));
  ProxyProcess proxy(reporting("lrs") + static_bootstrap({static_cluster("a", up.port()), stream_cluster("lrs", server.port())}, {listener("l", kToA)}));
  proxy.wait_for_state("LIVE");
  server.next();
  server.next();
  server.stop();
  proxy.wait_for_stat("load_reporter.errors", "1");
  for (int i = 0; i < 5; ++i) CHECK(proxy.get("l", "/").status == 200);
  server.start();
  CHECK(read_until(server, "a", [](const Seen& s) { return s.issued > 0; }).issued == 5);
  CHECK(std::stoi(proxy.stat("load_reporter.retries")) >= 1);
}

TEST_CASE("load is reported of clusters and endpoints that come and go by xDS") {
  FakeUpstream first, second;
  FakeAds ads;
  FakeLrs server(asks_for({}));
  const std::string lrs_cluster = absl::StrCat("  - name: lrs\n    type: STATIC\n    http2_protocol_options: {}\n    load_assignment: {cluster_name: lrs, endpoints: [{lb_endpoints: "
                                               "[{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", server.port(), "}}}}]}]}\n");
  ProxyProcess proxy(reporting("lrs") + ads_bootstrap(ads.port(), false, "15s", lrs_cluster));
  ads.next("cds");
  ads.send("cds", "1", "c", {"name: a\ntype: EDS\neds_cluster_config: {service_name: svc, eds_config: {ads: {}, resource_api_version: V3}}\n"});
  ads.next("eds");
  ads.send("eds", "1", "e", {endpoints("svc", first.port())});
  ads.next("lds");
  ads.send("lds", "1", "l", {rds_listener("l", "r")});
  ads.next("rds");
  ads.send("rds", "1", "r", {routes("r", "a")});
  proxy.wait_for_state("LIVE");
  server.next();
  server.next();
  for (int i = 0; i < 3; ++i) proxy.get("l", "/");
  ads.send("eds", "2", "e2", {endpoints("svc", second.port())});
  REQUIRE_NOTHROW([&] { while (second.count() == 0) proxy.get("l", "/"); }());
  const uint64_t sent = first.count() + second.count();
  CHECK(read_until(server, "a", [&](const Seen& s) { return s.issued >= sent; }).issued == sent);
  const auto report = server.next();
  REQUIRE(report.cluster_stats_size() == 1);
  CHECK(report.cluster_stats(0).cluster_service_name() == "svc");
}

TEST_CASE("load_stats_config that names no cluster, or one that cannot carry a stream, is refused with its place") {
  TemporaryDirectory dir;
  Ran ran = run_proxy({"--mode", "validate", "-c", dir.write("a.yaml", reporting("absent") + static_bootstrap({static_cluster("a", 1)}, {}))});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("a.yaml:1") && Contains("cluster_manager.load_stats_config") && Contains("Unknown gRPC client cluster 'absent'"));
  ran = run_proxy({"--mode", "validate", "-c", dir.write("b.yaml", reporting("a") + static_bootstrap({static_cluster("a", 1, "outlier_detection: {}\n")}, {}))});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("outlier_detection"));
  ran = run_proxy({"--mode", "validate", "-c", dir.write("c.yaml", "cluster_manager: {load_stats_config: {api_type: REST, transport_api_version: V3, cluster_names: [a]}}\n" + static_bootstrap({static_cluster("a", 1)}, {}))});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("load_stats_config"));
}

}  // namespace
}  // namespace fairlead::testing::load_reports_test
