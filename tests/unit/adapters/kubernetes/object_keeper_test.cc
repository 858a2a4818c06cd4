// Objects of data planes against an API server in memory: made once, kept as they shall be, removed when they are no longer wanted; what is not ours is
// left alone; nothing is asked twice for nothing.
#include <catch2/catch.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "adapters/kubernetes/object_keeper.h"
#include "base/clock.h"
#include "tests/unit/adapters/kubernetes/fake_objects.h"

namespace fairlead::adapters::kubernetes::object_keeper_test {
namespace {

using namespace std::chrono_literals;

const ObjectKey kEdge{"gateway.networking.k8s.io", "Gateway", "shop", "edge"};
const std::string kService = "/api/v1/namespaces/shop/services/edge-fairlead";
const std::string kDeployment = "/apis/apps/v1/namespaces/shop/deployments/edge-fairlead";
const std::string kDaemonSet = "/apis/apps/v1/namespaces/shop/daemonsets/edge-fairlead";

doc::Value object(const std::string& api_version, const std::string& kind, const std::string& rest, const std::string& uid = "g1") {
  return *doc::parse_one(absl::StrCat("apiVersion: ", api_version, "\nkind: ", kind, "\nmetadata:\n  name: edge-fairlead\n  namespace: shop\n",
                                      "  labels: {app.kubernetes.io/managed-by: fairlead-control}\n",
                                      "  ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: edge, uid: ", uid, ", controller: true}]\n", rest, "\n"),
                         "test");
}
// As the provisioner hands them over.
std::shared_ptr<const std::vector<doc::Value>> these(std::vector<doc::Value> objects) { return std::make_shared<const std::vector<doc::Value>>(std::move(objects)); }
doc::Value service(int port) { return object("v1", "Service", absl::StrCat("spec: {type: LoadBalancer, ports: [{name: web, port: ", port, "}]}")); }
doc::Value deployment(int replicas) { return object("apps/v1", "Deployment", absl::StrCat("spec: {replicas: ", replicas, "}")); }

struct World {
  ObjectKeeper keeper{{}};
  FakeObjects api;
  SimulatedClock clock;
  std::vector<ObjectKeeper::Outcome> outcomes;

  void want(std::vector<doc::Value> objects, bool held = false) { keeper.want({{kEdge, "g1", held, these(std::move(objects))}}, clock.monotonic()); }
  // Everything that is due now, with what the watch brings of it.
  size_t settle() {
    size_t asked = 0;
    for (int round = 0; round < 5; ++round) {
      keeper.observe(api.update(), clock.monotonic());
      while (const auto request = keeper.next(clock.monotonic())) {
        outcomes.push_back(keeper.answered(api.answer(request->method, request->path, request->body), clock.monotonic()));
        REQUIRE(++asked < 50);
      }
    }
    return asked;
  }
  std::string problem() const {
    const auto all = keeper.problems();
    const auto at = all.find(kEdge);
    return at == all.end() ? "" : at->second;
  }
};

TEST_CASE("what is wanted is made after a look whether it is there, and then there is nothing to ask") {
  World w;
  w.want({service(80), deployment(2)});
  CHECK_FALSE(w.keeper.next(w.clock.monotonic()));  // what there is is not known yet
  CHECK(w.settle() == 4);
  CHECK(w.api.requests == std::vector<std::string>{"GET " + kService, "PATCH " + kService, "GET " + kDeployment, "PATCH " + kDeployment});
  w.want({service(80), deployment(2)});
  w.clock.advance(1h);
  CHECK(w.settle() == 0);
  CHECK(w.api.writes == 2);
}

TEST_CASE("a new leader finds what is there as it shall be, and writes nothing") {
  World w;
  w.want({service(80)});
  w.settle();
  ObjectKeeper second{{}};
  SourceUpdate all;
  all.synced = true;
  all.upserted = {read_object(w.api.at(kService), "data planes", "", all.diagnostics)};
  second.want({{kEdge, "g1", false, these({service(80)})}}, w.clock.monotonic());
  second.observe(all, w.clock.monotonic());
  CHECK_FALSE(second.due());
}

TEST_CASE("what others change of it is put back, what they add stays; what is no longer wanted of an object goes") {
  World w;
  w.want({service(80), deployment(2)});
  w.settle();
  w.api.put(kDeployment, "metadata: {annotations: {deployment.kubernetes.io/revision: '1'}}\nstatus: {replicas: 2}");
  CHECK(w.settle() == 0);
  // an update in place of an apply: the field is another manager's now
  doc::Value scaled = doc::with(w.api.at(kDeployment), "spec", *doc::parse_one("{replicas: 7}", "test"));
  SourceUpdate update;
  update.synced = true;
  update.upserted = {read_object(doc::with(scaled, "metadata", doc::with(*scaled.find("metadata"), "resourceVersion", doc::string("900"))), "data planes", "", update.diagnostics)};
  w.keeper.observe(update, w.clock.monotonic());
  const auto request = w.keeper.next(w.clock.monotonic());
  REQUIRE(request);
  CHECK(request->method == "PATCH");
  CHECK(absl::StrContains(request->body, R"("replicas":2)"));
  CHECK(absl::StrContains(request->body, R"("uid":"uid-)"));  // of this object and no other
  w.keeper.answered(w.api.answer(request->method, request->path, request->body), w.clock.monotonic());

  w.want({object("v1", "Service", "spec: {ports: [{name: web, port: 80}]}"), deployment(2)});
  CHECK(w.settle() == 1);
  CHECK(w.api.at(kService).find_path("spec.type") == nullptr);
  CHECK(w.settle() == 0);
}

TEST_CASE("a number of replicas that is an autoscaler's from now on stays what it is until the autoscaler changes it") {
  World w;
  w.want({deployment(7)});
  w.settle();
  w.want({object("apps/v1", "Deployment", "spec: {paused: true}")});
  CHECK(w.settle() == 2);
  CHECK(w.api.requests[w.api.requests.size() - 2] == "PATCH " + kDeployment + " replicas");
  CHECK(w.api.at(kDeployment).find_path("spec.replicas")->as_integer() == 7);
  CHECK(w.api.at(kDeployment).find_path("spec.paused")->as_boolean());
  w.api.put(kDeployment, "spec: {replicas: 9}");  // it does
  CHECK(w.settle() == 0);
  CHECK(w.api.at(kDeployment).find_path("spec.replicas")->as_integer() == 9);
}

TEST_CASE("what is no longer wanted goes after what is wanted in its place has come, and stays where that cannot come") {
  World w;
  w.want({deployment(2)});
  w.settle();
  w.api.requests.clear();
  w.want({object("apps/v1", "DaemonSet", "spec: {}")});
  w.settle();
  w.clock.advance(1s);
  w.settle();
  CHECK(w.api.requests == std::vector<std::string>{"GET " + kDaemonSet, "PATCH " + kDaemonSet, "DELETE " + kDeployment});
  w.api.refuse[kDeployment] = 403;
  w.want({deployment(2)});
  const auto minutes = [&](int n) {
    for (int i = 0; i < 6 * n; ++i) {
      w.clock.advance(10s);
      w.settle();
    }
  };
  minutes(5);
  CHECK(w.api.has(kDaemonSet));
  w.api.refuse.clear();
  minutes(2);
  CHECK(w.api.has(kDeployment));
  CHECK_FALSE(w.api.has(kDaemonSet));
}

TEST_CASE("what the server makes of a value is not asked of it again and again") {
  World w;
  w.api.defaults = "spec: {clusterIP: 10.96.0.1}";
  w.want({object("v1", "Service", "spec: {quantity: 1000m}")});
  w.settle();
  // "1000m" is "1" once it is stored
  SourceUpdate update;
  update.synced = true;
  auto stored = [&](const char* version) {
    doc::Value o = doc::with(w.api.at(kService), "spec", *doc::parse_one("{quantity: '1', clusterIP: 10.96.0.1}", "test"));
    return doc::with(o, "metadata", doc::with(*o.find("metadata"), "resourceVersion", doc::string(version)));
  };
  update.upserted = {read_object(stored("500"), "data planes", "", update.diagnostics)};
  w.keeper.observe(update, w.clock.monotonic());
  const auto request = w.keeper.next(w.clock.monotonic());
  REQUIRE(request);
  w.keeper.answered(Response{200, doc::to_json(stored("500")), {}}, w.clock.monotonic());
  CHECK_FALSE(w.keeper.due());
  update.upserted = {read_object(stored("501"), "data planes", "", update.diagnostics)};
  w.keeper.observe(update, w.clock.monotonic());
  CHECK_FALSE(w.keeper.due());
}

TEST_CASE("what is no longer wanted is deleted, by its uid; what is another Gateway's, or nobody's, is not") {
  World w;
  w.want({service(80), deployment(2)});
  w.settle();
  w.api.put("/api/v1/namespaces/shop/services/lonely",
            "apiVersion: v1\nkind: Service\nmetadata: {name: lonely, namespace: shop, labels: {app.kubernetes.io/managed-by: fairlead-control}}");
  w.api.put("/api/v1/namespaces/shop/services/theirs",
            "apiVersion: v1\nkind: Service\nmetadata: {name: theirs, namespace: shop, labels: {app.kubernetes.io/managed-by: fairlead-control}, ownerReferences: [{kind: Gateway, uid: g9, controller: true}]}");
  w.settle();
  w.want({service(80), object("apps/v1", "DaemonSet", "spec: {}")});
  w.settle();
  w.clock.advance(1s);
  w.settle();
  CHECK(w.api.has(kDaemonSet));
  CHECK_FALSE(w.api.has(kDeployment));
  w.want({});  // attached from now on
  w.settle();
  CHECK(w.api.paths() == std::vector<std::string>{"/api/v1/namespaces/shop/services/lonely", "/api/v1/namespaces/shop/services/theirs"});
  w.clock.advance(1h);
  CHECK(w.settle() == 0);
}

TEST_CASE("where it is left open what is wanted, what is there stays, for a new leader too") {
  World w;
  w.want({service(80)});
  w.settle();
  w.want({}, true);
  CHECK(w.settle() == 0);
  CHECK(w.api.has(kService));
  ObjectKeeper second{{}};
  SourceUpdate all;
  all.synced = true;
  all.upserted = {read_object(w.api.at(kService), "data planes", "", all.diagnostics)};
  second.observe(all, w.clock.monotonic());
  second.want({{kEdge, "g1", true, {}}}, w.clock.monotonic());
  CHECK_FALSE(second.due());
  // a Gateway that is gone: its objects are the API server's to collect
  second.want({}, w.clock.monotonic());
  CHECK_FALSE(second.due());
}

TEST_CASE("an object in the way is left as it is and told, and its place taken once it has gone") {
  World w;
  w.api.put(kService, "apiVersion: v1\nkind: Service\nmetadata: {name: edge-fairlead, namespace: shop}\nspec: {type: ClusterIP}");
  w.want({service(80)});
  w.settle();
  CHECK(w.api.writes == 0);
  CHECK(w.problem() == "Service shop/edge-fairlead is there already and is not this Gateway's: it is left as it is");
  CHECK(w.settle() == 0);
  w.clock.advance(31s);
  CHECK(w.settle() == 1);  // a look, now and then
  w.api.remove(kService);
  w.clock.advance(31s);
  w.settle();
  CHECK(w.api.writes == 1);
  CHECK(w.problem() == "");
}

TEST_CASE("what the server calls invalid is told and not sent again before it is another") {
  World w;
  w.api.refuse[kDeployment] = 422;
  w.want({deployment(2)});
  w.settle();
  CHECK(absl::StrContains(w.problem(), "Deployment shop/edge-fairlead: the API server answered 422"));
  w.clock.advance(1h);
  CHECK(w.settle() == 0);
  w.api.refuse.clear();
  w.want({deployment(3)});
  w.settle();
  CHECK(w.api.has(kDeployment));
  CHECK(w.problem() == "");
}

TEST_CASE("what is forbidden or fails is told, and repeated ever later") {
  World w;
  w.api.refuse[kService] = 403;
  w.want({service(80)});
  w.settle();
  CHECK(absl::StrContains(w.problem(), "403"));
  size_t asked = 0;
  for (int i = 0; i < 60; ++i) {
    w.clock.advance(1s);
    asked += w.settle();
  }
  CHECK(asked >= 4);
  CHECK(asked <= 8);
  w.api.refuse.clear();
  w.clock.advance(61s);
  w.settle();
  CHECK(w.problem() == "");
  CHECK(w.api.has(kService));
}

TEST_CASE("what somebody deletes is made anew; what is on its way out is waited for") {
  World w;
  w.want({service(80)});
  w.settle();
  w.api.put(kService, "metadata: {deletionTimestamp: '2026-01-31T00:00:00Z'}");
  CHECK(w.settle() == 0);
  w.api.remove(kService);
  CHECK(w.settle() == 2);
  CHECK(w.api.has(kService));
}

TEST_CASE("a server that is away is asked ever later, and then everything that waits") {
  World w;
  w.want({service(80), deployment(2)});
  w.keeper.observe(w.api.update(), w.clock.monotonic());
  REQUIRE(w.keeper.next(w.clock.monotonic()));
  const auto outcome = w.keeper.answered(absl::UnavailableError("no connection"), w.clock.monotonic());
  CHECK(absl::StrContains(outcome.message, "no connection"));
  CHECK_FALSE(w.keeper.next(w.clock.monotonic()));
  w.clock.advance(1s);
  w.settle();
  CHECK(w.api.writes == 2);
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::object_keeper_test
