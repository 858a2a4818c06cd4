// Statistics of subscriptions: which exist, and what each answer counts, as Envoy 1.40 does.
#include <catch2/catch.hpp>

#include "dataplane/server/subscription_stats.h"
#include "dataplane/stats/render.h"

namespace fairlead::server::subscription_stats_test {
namespace {

using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using xds::Type;

struct World {
  void follow(const std::vector<SubscriptionStats::Followed>& all) { stats.follow(all, now); }
  uint64_t at(const std::string& name) const { return registry.find(name); }
  stats::Registry registry{1};
  SubscriptionStats stats{registry};
  SubscriptionStats::Time now{1h};
};

const std::string kRoute = "http.p.rds.r_1.", kFilter = "extension_config_discovery.http_filter.x.";

TEST_CASE("a subscription shows all its numbers from the beginning, and none after its end") {
  World w;
  w.follow({{Type::cluster, "", ""}, {Type::route, "r:1", "p", 15000ms}, {Type::extension, "x", "", 15000ms}});
  const std::string text = *stats::render_text(w.registry, {});
  for (const std::string leaf : {"init_fetch_timeout: 0", "update_attempt: 1", "update_failure: 0", "update_rejected: 0", "update_success: 0", "update_time: 0", "version: 0", "version_text: \"\"",
                                 "update_duration: No recorded values", "config_reload: 0"}) {
    CHECK_THAT(text, Contains(kRoute + leaf));
    CHECK_THAT(text, Contains(kFilter + leaf));
  }
  CHECK_THAT(text, Contains(kRoute + "config_reload_time_ms: 0") && Contains(kRoute + "update_empty: 0"));
  CHECK_THAT(text, Contains(kFilter + "config_fail: 0") && Contains(kFilter + "config_conflict: 0"));
  CHECK_THAT(text, Contains("cluster_manager.cds.update_attempt: 0") && Contains("cluster_manager.cds.config_reload: 0") && !Contains("listener_manager.lds"));
  CHECK_THAT(*stats::render_prometheus(w.registry, {}), Contains("envoy_http_rds_config_reload{envoy_http_conn_manager_prefix=\"p\",envoy_rds_route_config=\"r_1\"} 0"));
  w.follow({});
  CHECK(stats::render_text(w.registry, {})->empty());
}

TEST_CASE("an accepted answer is an attempt and a success for whom it names, with its version") {
  World w;
  w.follow({{Type::route, "r:1", "p"}, {Type::route, "other", "p"}});
  xds::Outcome outcome;
  outcome.applied["r:1"] = "v";
  outcome.reloads["r:1"] = 1;
  w.stats.updated({Type::route, false, "1", {}, {}}, outcome, 3ms);
  CHECK(w.at(kRoute + "update_attempt") == 2);
  CHECK(w.at(kRoute + "update_success") == 1);
  CHECK(w.at(kRoute + "config_reload") == 1);
  CHECK(w.at(kRoute + "config_reload_time_ms") > 0);
  CHECK(w.at(kRoute + "update_time") > 0);
  CHECK(w.at(kRoute + "version") == 13237225503670494420ull);  // Envoy 1.40's for "1"
  CHECK_THAT(*stats::render_text(w.registry, {}), Contains(kRoute + "version_text: \"1\""));
  CHECK(w.at("http.p.rds.other.update_attempt") == 1);
}

TEST_CASE("a refused answer counts for every subscription of the type; incremental answers count an attempt more for the culprit") {
  World w;
  w.follow({{Type::extension, "x", ""}, {Type::extension, "y", ""}, {Type::route, "r", "p"}});
  xds::Outcome outcome;
  outcome.status = absl::InvalidArgumentError("no");
  outcome.refused = {"x"};
  w.stats.updated({Type::extension, true, "1", {}, {}}, outcome, 0ms);
  CHECK(w.at(kFilter + "update_attempt") == 3);
  CHECK(w.at("extension_config_discovery.http_filter.y.update_attempt") == 2);
  for (const std::string filter : {"x", "y"}) {
    CHECK(w.at("extension_config_discovery.http_filter." + filter + ".update_rejected") == 1);
    CHECK(w.at("extension_config_discovery.http_filter." + filter + ".config_fail") == 1);
  }
  CHECK(w.at("http.p.rds.r.update_rejected") == 0);
}

TEST_CASE("the initial fetch timeout counts once, unless an answer came first") {
  World w;
  w.follow({{Type::extension, "x", "", 100ms}, {Type::extension, "y", "", 100ms}, {Type::extension, "z", "", 0ms}});
  CHECK(w.stats.next_deadline() == w.now + 100ms);
  xds::Outcome outcome;
  outcome.applied["y"] = "1";
  w.stats.updated({Type::extension, false, "1", {}, {}}, outcome, 0ms);
  w.stats.expire(w.now + 100ms);
  w.stats.expire(w.now + 200ms);
  CHECK(w.at(kFilter + "init_fetch_timeout") == 1);
  CHECK(w.at(kFilter + "config_fail") == 1);
  CHECK(w.at(kFilter + "update_attempt") == 2);
  CHECK(w.at("extension_config_discovery.http_filter.y.init_fetch_timeout") == 0);
  CHECK(w.at("extension_config_discovery.http_filter.z.init_fetch_timeout") == 0);
  CHECK(w.stats.next_deadline() == SubscriptionStats::Time::max());
}

TEST_CASE("a secret counts below sds. and its name, by the answers of its own source") {
  World w;
  w.follow({{Type::secret, "s", "", 15000ms, "ads"}, {Type::secret, "t", "", 15000ms, "ads"}, {Type::secret, "u", "", 15000ms, "path:/a"}});
  CHECK_THAT(*stats::render_text(w.registry, {}), Contains("sds.s.key_rotation_failed: 0") && Contains("sds.s.update_success: 0") && Contains("sds.s.version_text: \"\"") && !Contains("sds.s.config_reload"));
  xds::Outcome good;
  good.applied["s"] = "1";
  w.stats.updated({Type::secret, false, "1", {}, {}, "ads"}, good, 1ms);
  CHECK(w.at("sds.s.update_success") == 1);
  xds::Outcome bad;
  bad.status = absl::InvalidArgumentError("x");
  bad.refused = {"s"};
  w.stats.updated({Type::secret, false, "2", {}, {}, "ads"}, bad, 1ms);
  CHECK(w.at("sds.s.update_rejected") == 1);
  CHECK(w.at("sds.t.update_rejected") == 1);  // Envoy 1.40: every subscription's of the stream
  CHECK(w.at("sds.u.update_rejected") == 0);
  w.stats.rotation_failed("u");
  CHECK(w.at("sds.u.key_rotation_failed") == 1);
  w.stats.unanswered(Type::secret, "u");
  CHECK(w.at("sds.u.update_rejected") == 1);
  w.now += 15000ms;
  w.stats.expire(w.now);
  CHECK(w.at("sds.t.init_fetch_timeout") == 0);  // it has had an answer
}

}  // namespace
}  // namespace fairlead::server::subscription_stats_test
