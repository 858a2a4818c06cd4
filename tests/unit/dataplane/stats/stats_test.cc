// Statistics: cells under threads, scopes that share and free, Envoy's names in text and Prometheus form.
#include <catch2/catch.hpp>
#include <thread>

#include "dataplane/stats/names.h"
#include "dataplane/stats/render.h"

namespace fairlead::stats {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("a scrape sums what every thread added, also while they add") {
  Registry registry(4);
  ScopePtr scope = registry.scope(cluster_scope("up"));
  const auto block = scope->block<ClusterStat>(kClusterStats);
  const Counter single = scope->counter("own");
  const Histogram time = scope->histogram("time");
  constexpr uint64_t kRounds = 20000;
  std::vector<std::thread> workers;
  for (uint32_t t = 0; t < 4; ++t)
    workers.emplace_back([&, t] {
      Cells& cells = registry.cells(t);
      CodeCache codes;
      for (uint64_t i = 0; i < kRounds; ++i) {
        cells.add(block, ClusterStat::upstream_rq_total);
        cells.add(block, ClusterStat::upstream_cx_active);
        cells.sub(block, ClusterStat::upstream_cx_active);
        cells.record(block, ClusterStat::upstream_cx_connect_ms, i % 300);
        cells.add(single, 2);
        cells.record(time, t);
        cells.add(codes.find(scope->codes("upstream_rq_"), i % 2 ? 200 : 503));
      }
    });
  uint64_t last = 0;
  for (int i = 0; i < 50; ++i) {  // the scraper beside them: never goes back
    const uint64_t now = registry.find("cluster.up.upstream_rq_total");
    CHECK(now >= last);
    last = now;
  }
  for (auto& w : workers) w.join();
  CHECK(registry.find("cluster.up.upstream_rq_total") == 4 * kRounds);
  CHECK(registry.find("cluster.up.upstream_cx_active") == 0);
  CHECK(registry.find("cluster.up.own") == 8 * kRounds);
  CHECK(registry.find("cluster.up.upstream_rq_503") == 2 * kRounds);
  CHECK(registry.find("cluster.up.upstream_cx_connect_ms") == 4 * kRounds);
  CHECK(registry.snapshot(time).sum == (0 + 1 + 2 + 3) * kRounds);
}

TEST_CASE("scopes of one name share cells; cells are freed, cleared and used again with the last reference") {
  Registry registry(2);
  ScopePtr first = registry.scope(cluster_scope("a"));
  const auto block = first->block<ClusterStat>(kClusterStats);
  registry.cells(1).add(block, ClusterStat::upstream_rq_total, 7);
  ScopePtr second = registry.scope(cluster_scope("a"));  // the cluster was updated
  CHECK(second->block<ClusterStat>(kClusterStats).base == block.base);
  first.reset();
  CHECK(registry.find("cluster.a.upstream_rq_total") == 7);
  const uint64_t in_use = registry.cells_in_use();
  second.reset();
  CHECK(registry.cells_in_use() == in_use - kClusterStats.first_histogram);
  CHECK(registry.find("cluster.a.upstream_rq_total") == 0);
  ScopePtr other = registry.scope(cluster_scope("b"));
  CHECK(other->block<ClusterStat>(kClusterStats).base == block.base);
  CHECK(registry.find("cluster.b.upstream_rq_total") == 0);
}

TEST_CASE("cells stay valid while the array grows past many chunks") {
  Registry registry(1);
  std::vector<ScopePtr> scopes;
  ScopePtr first = registry.scope(plain_scope("first."));
  const Counter early = first->counter("c");
  registry.cells(0).add(early, 3);
  for (int i = 0; i < 2000; ++i) {
    scopes.push_back(registry.scope(cluster_scope(absl::StrCat("c", i))));
    registry.cells(0).add(scopes.back()->block<ClusterStat>(kClusterStats), ClusterStat::upstream_cx_total, i);
  }
  registry.cells(0).add(early);
  CHECK(registry.value(early) == 4);
  CHECK(registry.find("cluster.c1999.upstream_cx_total") == 1999);
}

TEST_CASE("Envoy's text names") {
  Registry registry(1);
  ScopePtr up = registry.scope(cluster_scope("a:b"));
  up->block<ClusterStat>(kClusterStats);
  ScopePtr listener = registry.scope(listener_scope("127.0.0.1:8080"));
  registry.cells(0).add(listener->block<ListenerStat>(kListenerStats), ListenerStat::downstream_cx_total);
  ScopePtr http = registry.scope(listener_http_scope("127.0.0.1:8080", "P"));
  http->block<ListenerHttpStat>(kListenerHttpStats);
  const std::string text = *render_text(registry, {});
  CHECK_THAT(text, Contains("cluster.a_b.upstream_rq_total: 0\n"));
  CHECK_THAT(text, Contains("cluster.a_b.circuit_breakers.default.rq_open: 0\n"));
  CHECK_THAT(text, Contains("listener.127.0.0.1_8080.downstream_cx_total: 1\n"));
  CHECK_THAT(text, Contains("listener.127.0.0.1_8080.http.P.downstream_rq_2xx: 0\n"));
  CHECK_THAT(text, Contains("cluster.a_b.upstream_rq_per_cx: No recorded values\n"));
  CHECK(*render_text(registry, {.used_only = true}) == "listener.127.0.0.1_8080.downstream_cx_total: 1\n");
  CHECK(*render_text(registry, {.filter = "http.P.downstream_rq_5"}) == "listener.127.0.0.1_8080.http.P.downstream_rq_5xx: 0\n");
  CHECK(render_text(registry, {.filter = "("}).status().message() == "Invalid re2 regex: missing ): (");
  CHECK(*render_json(registry, {.used_only = true}) == R"({"stats":[{"name":"listener.127.0.0.1_8080.downstream_cx_total","value":1}]})");
}

TEST_CASE("texts come first in the text form, quoted; unused while empty; Prometheus does not see them") {
  Registry registry(1);
  ScopePtr scope = registry.scope(plain_scope("cds."));
  scope->set_text("version_text", "");
  registry.cells(0).add(scope->counter("a"));
  CHECK(*render_text(registry, {}) == "cds.version_text: \"\"\ncds.a: 1\n");
  CHECK(*render_text(registry, {.used_only = true}) == "cds.a: 1\n");
  scope->set_text("version_text", "7\"");
  CHECK(*render_text(registry, {.type = TypeFilter::text_readouts}) == "cds.version_text: \"7\\\"\"\n");
  CHECK(*render_json(registry, {.type = TypeFilter::text_readouts}) == R"({"stats":[{"name":"cds.version_text","value":"7\""}]})");
  CHECK(*render_prometheus(registry, {}) == "# TYPE envoy_cds_a counter\nenvoy_cds_a{} 1\n");
}

TEST_CASE("what Envoy makes on first use is shown only when used") {
  Registry registry(1);
  ScopePtr up = registry.scope(cluster_scope("up"));
  const auto block = up->block<ClusterResponseStat>(kClusterResponseStats);
  CHECK(render_text(registry, {})->empty());
  registry.cells(0).add(block, ClusterResponseStat::external_upstream_rq_5xx);
  registry.cells(0).add(up->codes("external.upstream_rq_").cell(503));
  CHECK(*render_text(registry, {}) == "cluster.up.external.upstream_rq_503: 1\ncluster.up.external.upstream_rq_5xx: 1\n");
}

TEST_CASE("Prometheus names and extracted tags as Envoy 1.40 prints them") {
  CHECK(prometheus_name(cluster_scope("up"), "upstream_rq_5xx").family == "envoy_cluster_upstream_rq_xx");
  CHECK(prometheus_name(cluster_scope("up"), "upstream_rq_5xx").labels == R"(envoy_response_code_class="5",envoy_cluster_name="up")");
  CHECK(prometheus_name(cluster_scope("up"), "external.upstream_rq_503").family == "envoy_cluster_external_upstream_rq");
  CHECK(prometheus_name(cluster_scope("up"), "external.upstream_rq_503").labels == R"(envoy_response_code="503",envoy_cluster_name="up")");
  CHECK(prometheus_name(listener_http_scope("127.0.0.1:28080", "P"), "downstream_rq_2xx").labels ==
        R"(envoy_response_code_class="2",envoy_http_conn_manager_prefix="P",envoy_listener_address="127.0.0.1_28080")");
  CHECK(prometheus_name(listener_scope("0.0.0.0:80"), "worker_0.downstream_cx_total").family == "envoy_listener_worker_downstream_cx_total");
  CHECK(prometheus_name(listener_scope("0.0.0.0:80"), "worker_0.downstream_cx_total").labels == R"(envoy_worker_id="0",envoy_listener_address="0.0.0.0_80")");
  CHECK(prometheus_name(cluster_scope("up"), "circuit_breakers.default.cx_open").family == "envoy_cluster_circuit_breakers_default_cx_open");
  CHECK(prometheus_name(cluster_scope("up"), "upstream_rq_total").family == "envoy_cluster_upstream_rq_total");
  CHECK(prometheus_name(plain_scope("server."), "live").labels.empty());
}

TEST_CASE("histograms: Envoy's 19 buckets, exact sum, quantiles of two digits") {
  Registry registry(2);
  ScopePtr http = registry.scope(http_scope("P"));
  const Histogram h = http->histogram("downstream_rq_time");
  for (uint64_t v : {0, 1, 1, 5, 6, 250, 3600000, 3600001}) registry.cells(v % 2).record(h, v);
  const HistogramSnapshot s = registry.snapshot(h);
  CHECK(s.count == 8);
  CHECK(s.sum == 7200264);
  CHECK(s.cumulative[0] == 1);   // ≤ 0.5
  CHECK(s.cumulative[1] == 3);   // ≤ 1
  CHECK(s.cumulative[2] == 4);   // ≤ 5
  CHECK(s.cumulative[7] == 6);   // ≤ 250
  CHECK(s.cumulative[18] == 7);  // ≤ 3600000
  CHECK(s.quantile(0.75) == Approx(255).epsilon(0.001));
  const std::string text = *render_prometheus(registry, {});
  CHECK_THAT(text, Contains("# TYPE envoy_http_downstream_rq_time histogram\n"));
  CHECK_THAT(text, Contains("envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix=\"P\",le=\"0.5\"} 1\n"));
  CHECK_THAT(text, Contains("envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix=\"P\",le=\"3600000\"} 7\n"));
  CHECK_THAT(text, Contains("envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix=\"P\",le=\"+Inf\"} 8\n"));
  CHECK_THAT(text, Contains("envoy_http_downstream_rq_time_sum{envoy_http_conn_manager_prefix=\"P\"} 7200264\n"));
}

TEST_CASE("reset_counters starts counters anew and leaves gauges alone") {
  Registry registry(1);
  ScopePtr scope = registry.scope(plain_scope("x."));
  const Counter c = scope->counter("c");
  const Gauge g = scope->gauge("g");
  registry.cells(0).add(c, 5);
  registry.cells(0).set(g, 9);
  registry.reset_counters();
  registry.cells(0).add(c);
  CHECK(*render_text(registry, {}) == "x.c: 1\nx.g: 9\n");
}

}  // namespace
}  // namespace fairlead::stats

namespace fairlead::stats {

TEST_CASE("a scope may outlive its registry") {
  static constexpr StatDef defs[] = {{"a", Kind::counter}};
  static constexpr StatSet set{defs, 1};
  enum class One : uint32_t { a, first_histogram };
  LazyBlock<One> lazy;
  auto registry = std::make_unique<Registry>(2);
  ScopePtr scope = registry->scope(plain_scope("x."));
  CHECK(lazy.made() == nullptr);
  registry->cells(1).add(lazy.get(*registry, plain_scope("y."), set), One::a);
  CHECK(registry->find("y.a") == 1);
  registry.reset();  // before both
}

}  // namespace fairlead::stats
