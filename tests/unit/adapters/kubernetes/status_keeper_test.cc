// When a status is written and when not: differences, others' entries, times, conflicts, failures, refusals by proxies.
#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <absl/strings/match.h>

#include "adapters/gatewayapi/translate.h"
#include "adapters/kubernetes/status_keeper.h"
#include "adapters/provision/data_plane.h"
#include "adapters/provision/nodes.h"
#include "tests/unit/adapters/kubernetes/fake_api.h"

namespace fairlead::adapters::kubernetes::status_keeper_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kClassAndGateway[] = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead}
spec: {controllerName: fairlead.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: fairlead
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
)";
constexpr char kRoute[] = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
)";
const std::string kRoutePath = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/app";
const std::string kGatewayPath = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/edge";
const ObjectKey kEdge{"gateway.networking.k8s.io", "Gateway", "default", "edge"};
const ObjectKey kApp{"gateway.networking.k8s.io", "HTTPRoute", "default", "app"};

struct World {
  FakeApi api;
  SimulatedClock clock;
  StatusKeeper keeper;
  Verdicts verdicts;
  std::vector<Transition> transitions;
  std::vector<std::string> errors;

  explicit World(const std::string& yaml = std::string(kClassAndGateway) + "---" + kRoute, StatusKeeper::Options options = {}) : keeper([&] {
      options.source = "kubernetes";
      options.controller = "fairlead.io/gateway-controller";
      return options;
    }()) {
    gatewayapi::register_groups(api.store);
    api.apply(yaml);
    verdicts.gateways[kEdge] = {1, true};
  }

  // Translates what there is, compares, and sends all that is due.
  int settle() {
    const int before = api.writes;
    take();
    send();
    return api.writes - before;
  }
  void take() {
    const ObjectSnapshotPtr objects = api.snapshot();
    auto said = std::make_shared<StatusSink>(gatewayapi::translate(*objects).status);
    keeper.take(said, objects, verdicts, clock.monotonic());
  }
  void send() {
    while (const auto r = keeper.next(clock.monotonic(), clock.system())) {
      const auto outcome = keeper.answered(api.answer(r->method, r->path, r->body), clock.monotonic());
      if (!outcome.message.empty()) errors.push_back(outcome.message);
      transitions.insert(transitions.end(), outcome.transitions.begin(), outcome.transitions.end());
    }
  }
  // One request, and whether there was any.
  bool send_one() {
    const auto r = keeper.next(clock.monotonic(), clock.system());
    if (!r) return false;
    keeper.answered(api.answer(r->method, r->path, r->body), clock.monotonic());
    return true;
  }
  doc::Value condition(const std::string& path, const std::string& list, const std::string& type) const {
    const doc::Value* at = api.at(path).find_path("status");
    const doc::Value* conditions = list.empty() ? at->find("conditions") : at->find(list)->items()[0].find("conditions");
    for (const doc::Value& c : conditions->items()) {
      if (c.find("type")->as_string() == type) return c;
    }
    return {};
  }
  std::string text(const std::string& path, const std::string& list, const std::string& type, const char* field = "status") const {
    const doc::Value c = condition(path, list, type);
    return c.is_null() ? "-" : c.find(field)->as_string();
  }
};

TEST_CASE("each object is written once, and then nothing differs any more") {
  World w;
  CHECK(w.settle() == 3);
  CHECK(w.text(kGatewayPath, "", "Programmed") == "True");
  CHECK(w.text(kGatewayPath, "listeners", "Programmed") == "True");
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
  CHECK(w.text(kRoutePath, "parents", "Programmed") == "True");
  for (int i = 0; i < 20; ++i) {
    w.clock.advance(seconds(60));
    CHECK(w.settle() == 0);
  }
  CHECK_FALSE(w.keeper.due(w.clock.monotonic()));
}

TEST_CASE("features that come with data planes of our own are said of the class, in their place by name, and written once") {
  StatusKeeper::Options options;
  options.features = {"GatewayInfrastructure"};
  World w(std::string(kClassAndGateway) + "---" + kRoute, options);
  CHECK(w.settle() == 3);
  std::vector<std::string> names;
  for (const doc::Value& f : w.api.at("/apis/gateway.networking.k8s.io/v1/gatewayclasses/fairlead").find_path("status.supportedFeatures")->items()) names.push_back(f.find("name")->as_string());
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(std::count(names.begin(), names.end(), "GatewayInfrastructure") == 1);
  CHECK(w.settle() == 0);
}

TEST_CASE("a new leader compares everything and writes nothing where all is said already") {
  World w;
  w.settle();
  w.keeper.reset();
  const size_t requests = w.api.requests.size();
  CHECK(w.settle() == 0);
  CHECK(w.api.requests.size() == requests);
}

TEST_CASE("what is wiped or changed by others is written again") {
  World w;
  w.settle();
  w.api.set_status(kRoutePath, "parents: []");
  CHECK(w.settle() == 1);
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
}

TEST_CASE("entries of other controllers and conditions of other types stay as they are") {
  World w;
  w.api.set_status(kRoutePath, R"(
parents:
- parentRef: {name: other}
  controllerName: example.com/other
  conditions:
  - {type: Accepted, status: "True", reason: Fine, message: theirs, lastTransitionTime: "2019-01-01T00:00:00Z"}
- parentRef: {group: gateway.networking.k8s.io, kind: Gateway, name: edge}
  controllerName: fairlead.io/gateway-controller
  conditions:
  - {type: example.com/Seen, status: "True", reason: Seen, message: "", lastTransitionTime: "2019-01-01T00:00:00Z"}
)");
  w.api.set_status(kGatewayPath, R"(
conditions:
- {type: example.com/Billed, status: "True", reason: Billed, message: "", lastTransitionTime: "2019-01-01T00:00:00Z"}
)");
  w.settle();
  const auto parents = w.api.at(kRoutePath).find_path("status.parents")->items();
  REQUIRE(parents.size() == 2);
  CHECK(parents[0].find("controllerName")->as_string() == "example.com/other");
  CHECK(parents[0].find("conditions")->items()[0].find("message")->as_string() == "theirs");
  CHECK(absl::StrContains(doc::to_json(parents[1]), "example.com/Seen"));
  CHECK(absl::StrContains(w.api.status(kGatewayPath), "example.com/Billed"));
  CHECK(w.settle() == 0);
}

TEST_CASE("entries at Gateways that a route has left are taken away, those of others not") {
  World w;
  w.settle();
  w.api.apply(R"(
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app}
spec:
  parentRefs: [{name: elsewhere}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
)");
  CHECK(w.settle() == 2);  // the listener has a route less
  CHECK(w.api.at(kRoutePath).find_path("status.parents")->size() == 0);
  CHECK(w.settle() == 0);
}

TEST_CASE("the time of a transition stays while the status does, whatever else changes") {
  World w;
  w.settle();
  CHECK(w.text(kRoutePath, "parents", "Accepted", "lastTransitionTime") == "2020-01-01T00:00:00Z");
  w.clock.advance(std::chrono::hours(1));
  std::string more = kRoute;
  more.replace(more.find("name: web"), 9, "name: gone");
  w.api.apply(more);
  w.settle();
  CHECK(w.condition(kRoutePath, "parents", "Accepted").find("observedGeneration")->as_integer() == 2);
  CHECK(w.text(kRoutePath, "parents", "Accepted", "lastTransitionTime") == "2020-01-01T00:00:00Z");
  CHECK(w.text(kRoutePath, "parents", "ResolvedRefs") == "False");
  CHECK(w.text(kRoutePath, "parents", "ResolvedRefs", "lastTransitionTime") == "2020-01-01T01:00:00Z");
}

TEST_CASE("what proxies refuse is Programmed=False with their words and the field, and True again when it clears") {
  World w;
  w.settle();
  w.transitions.clear();
  w.verdicts.refusals.emplace(kApp, Refusal{kEdge, "spec.rules[0].matches[0]", "RDS \"x\" was refused by 1 proxy: bad regex", false});
  CHECK(w.settle() == 1);
  CHECK(w.text(kRoutePath, "parents", "Programmed") == "False");
  CHECK(w.text(kRoutePath, "parents", "Programmed", "reason") == "Refused");
  CHECK(w.text(kRoutePath, "parents", "Programmed", "message") == "spec.rules[0].matches[0]: RDS \"x\" was refused by 1 proxy: bad regex");
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
  CHECK(w.text(kGatewayPath, "", "Programmed") == "True");
  REQUIRE(w.transitions.size() == 1);
  CHECK(w.transitions[0].to == Truth::kFalse);
  w.verdicts.refusals.clear();
  CHECK(w.settle() == 1);
  CHECK(w.text(kRoutePath, "parents", "Programmed") == "True");
  REQUIRE(w.transitions.size() == 2);
  CHECK(w.transitions[1].from == Truth::kFalse);
}

TEST_CASE("a refusal of one listener's part leaves the others Programmed") {
  World w(absl::StrCat(kClassAndGateway, R"(---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two}
spec:
  gatewayClassName: fairlead
  listeners:
  - {name: b, port: 8081, protocol: HTTP}
  - {name: a, port: 8082, protocol: HTTP}
)"));
  const ObjectKey two{"gateway.networking.k8s.io", "Gateway", "default", "two"};
  w.verdicts.gateways[two] = {1, true};
  w.verdicts.refusals.emplace(two, Refusal{two, "spec.listeners[1]", "LDS refused", false});
  w.settle();
  const auto listeners = w.api.at("/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/two").find_path("status.listeners")->items();
  REQUIRE(listeners.size() == 2);
  CHECK(listeners[0].find("name")->as_string() == "b");
  CHECK(absl::StrContains(doc::to_json(listeners[0]), R"("type":"Programmed","status":"True")"));
  CHECK(absl::StrContains(doc::to_json(listeners[1]), R"("type":"Programmed","status":"False")"));
}

TEST_CASE("what is on its way to the proxies costs one write, not two") {
  World w;
  w.verdicts.gateways[kEdge] = {1, false};
  CHECK(w.settle() == 1);  // the class
  w.clock.advance(milliseconds(100));
  w.verdicts.gateways[kEdge] = {1, true};
  CHECK(w.settle() == 2);
  CHECK(w.text(kRoutePath, "parents", "Programmed") == "True");
}

TEST_CASE("without proxies Programmed is Unknown, and says why") {
  World w;
  w.verdicts = {};
  w.settle();
  w.clock.advance(milliseconds(300));
  CHECK(w.settle() == 2);
  CHECK(w.text(kGatewayPath, "", "Programmed") == "Unknown");
  CHECK(w.text(kGatewayPath, "", "Programmed", "reason") == "Pending");
  CHECK(w.text(kGatewayPath, "", "Programmed", "message") == "no proxy of this Gateway is connected");
}

TEST_CASE("Programmed outlives an edit and a restart of the proxies, until they have been silent for long") {
  World w;
  w.settle();
  w.verdicts.gateways[kEdge] = {0, true};
  CHECK(w.settle() == 0);
  w.clock.advance(seconds(10));
  w.verdicts.gateways[kEdge] = {1, true};
  CHECK(w.settle() == 0);

  w.verdicts.gateways[kEdge] = {0, true};
  CHECK(w.settle() == 0);
  w.clock.advance(seconds(29));
  w.send();
  CHECK(w.text(kGatewayPath, "", "Programmed") == "True");
  w.clock.advance(seconds(1));
  w.send();  // without anything new
  CHECK(w.text(kGatewayPath, "", "Programmed") == "Unknown");
  CHECK(w.text(kRoutePath, "parents", "Programmed") == "Unknown");
  CHECK_FALSE(w.keeper.due(w.clock.monotonic()));
}

TEST_CASE("a conflict is read again and written over what is there now") {
  World w;
  w.take();
  // another controller writes between our look and our write
  w.api.set_status(kRoutePath, R"(
parents:
- {parentRef: {name: other}, controllerName: example.com/other, conditions: [{type: Accepted, status: "True", reason: Fine, message: "", lastTransitionTime: "2019-01-01T00:00:00Z"}]}
)");
  w.send();
  const auto parents = w.api.at(kRoutePath).find_path("status.parents")->items();
  REQUIRE(parents.size() == 2);
  CHECK(parents[0].find("controllerName")->as_string() == "example.com/other");
  CHECK(w.settle() == 0);
}

TEST_CASE("an old version from the watch after our own write is not mistaken for the present one") {
  World w;
  w.take();
  const ObjectSnapshotPtr before = w.api.store.snapshot();
  w.send();
  const int writes = w.api.writes;
  // the watch is behind: it brings the version before ours once more
  auto again = std::make_shared<StatusSink>(gatewayapi::translate(*before).status);
  w.keeper.take(again, before, w.verdicts, w.clock.monotonic());
  w.send();
  CHECK(w.api.writes == writes);
}

TEST_CASE("an object that is gone is let go of, one of its name begins anew") {
  World w;
  w.take();
  w.api.remove(kRoutePath);
  w.send();
  REQUIRE(w.errors.size() == 1);
  CHECK(absl::StrContains(w.errors[0], "404"));
  CHECK_FALSE(w.keeper.due(w.clock.monotonic()));
  w.api.apply(kRoute);
  w.settle();
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
}

TEST_CASE("what the server calls invalid is not sent again until something about it changes") {
  World w;
  w.api.fail_with = 422;
  w.settle();
  const size_t requests = w.api.requests.size();
  CHECK(requests == 3);
  w.clock.advance(std::chrono::hours(1));
  w.settle();
  CHECK(w.api.requests.size() == requests);
  w.api.fail_with = 0;
  w.api.apply(kRoute);
  w.settle();
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
}

TEST_CASE("a server that fails is asked ever more rarely, and in the end has everything") {
  World w;
  w.api.fail_with = 503;
  for (int i = 0; i < 600; ++i) {
    w.take();
    w.send();
    w.clock.advance(seconds(1));
  }
  CHECK(w.api.requests.size() < 70);
  CHECK(w.api.requests.size() > 30);
  w.api.fail_with = 0;
  w.clock.advance(seconds(60));
  w.send();
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
  CHECK(w.text(kGatewayPath, "", "Accepted") == "True");
}

TEST_CASE("a server that is not there costs one attempt at a time") {
  World w;
  w.take();
  int attempts = 0;
  for (int i = 0; i < 100; ++i) {
    if (w.keeper.next(w.clock.monotonic(), w.clock.system())) {
      ++attempts;
      w.keeper.answered(absl::UnavailableError("connection refused"), w.clock.monotonic());
    }
    w.clock.advance(milliseconds(100));
  }
  CHECK(attempts <= 6);
  w.clock.advance(seconds(60));
  w.send();
  CHECK(w.api.writes == 3);
}

TEST_CASE("the last state wins: what changes while it waits is written once") {
  World w;
  w.take();
  for (int i = 0; i < 10; ++i) {
    w.api.apply(kRoute);
    w.take();
  }
  w.send();
  CHECK(w.api.writes == 3);
  CHECK(w.condition(kRoutePath, "parents", "Accepted").find("observedGeneration")->as_integer() == 11);
}

TEST_CASE("writes are spread over time when there are many") {
  std::string yaml = kClassAndGateway;
  for (int i = 0; i < 50; ++i) {
    std::string route = kRoute;
    route.replace(route.find("name: app"), 9, absl::StrCat("name: app-", i));
    absl::StrAppend(&yaml, "---", route);
  }
  StatusKeeper::Options options;
  options.burst = 10;
  options.writes_per_second = 10;
  World w(yaml, options);
  CHECK(w.settle() == 10);
  w.clock.advance(seconds(1));
  w.send();
  CHECK(w.api.writes == 20);
  w.clock.advance(seconds(1));
  w.send();
  w.clock.advance(seconds(1));
  w.send();
  w.clock.advance(seconds(2));
  w.send();
  w.clock.advance(seconds(1));
  w.send();
  CHECK(w.api.writes == 52);
}

TEST_CASE("a server that leaves something else than was applied is not written to round and round") {
  World w;
  w.settle();
  // a listener that somebody else owns, which apply cannot take away
  struct {
    int rounds = 0;
  } seen;
  for (int i = 0; i < 5; ++i) {
    w.api.apply(kClassAndGateway);  // new generations: there is something to write
    w.take();
    while (const auto r = w.keeper.next(w.clock.monotonic(), w.clock.system())) {
      ++seen.rounds;
      REQUIRE(seen.rounds < 100);
      Response answer = w.api.answer(r->method, r->path, r->body);
      if (r->path.starts_with(kGatewayPath) && answer.status == 200) {
        doc::Value object = *doc::parse_json(answer.body, "answer");
        doc::Value status = *object.find("status");
        std::vector<doc::Value> listeners(status.find("listeners")->items().begin(), status.find("listeners")->items().end());
        listeners.push_back(*doc::parse_one("{name: foreign, attachedRoutes: 0, supportedKinds: [], conditions: []}", "test"));
        object = doc::with(object, "status", doc::with(status, "listeners", doc::list(std::move(listeners))));
        answer.body = doc::to_json(object);
      }
      w.keeper.answered(answer, w.clock.monotonic());
    }
  }
  CHECK(seen.rounds == 10);
}

TEST_CASE("a status that speaks of a newer generation than we know is left alone until we know it") {
  World w;
  w.settle();
  w.take();
  w.api.apply(kRoute);  // generation 2, which the watch has not brought
  w.api.set_status(kRoutePath, R"(
parents:
- parentRef: {name: edge}
  controllerName: fairlead.io/gateway-controller
  conditions: [{type: Accepted, status: "False", reason: Later, message: "", observedGeneration: 9, lastTransitionTime: "2019-01-01T00:00:00Z"}]
)");
  CHECK(w.settle() == 0);
}

TEST_CASE("a Gateway has the address it asks for, else those of the operators") {
  StatusKeeper::Options options;
  options.addresses = {address_of("192.0.2.1"), address_of("gw.example.com")};
  World w(absl::StrCat(kClassAndGateway, R"(---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: own}
spec:
  gatewayClassName: fairlead
  addresses: [{value: 192.0.2.7}]
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
)"), options);
  w.settle();
  w.clock.advance(seconds(1));
  w.settle();
  CHECK(doc::to_json(*w.api.at(kGatewayPath).find_path("status.addresses")) == R"([{"type":"IPAddress","value":"192.0.2.1"},{"type":"Hostname","value":"gw.example.com"}])");
  CHECK(doc::to_json(*w.api.at("/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/own").find_path("status.addresses")) == R"([{"type":"IPAddress","value":"192.0.2.7"}])");
}

TEST_CASE("what a Gateway's data plane says of its addresses comes first, and an address that it lacks is not usable") {
  const char kGateway[] = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, annotations: {fairlead.io/addresses: "192.0.2.7, 2001:db8::7"}}
spec:
  gatewayClassName: fairlead
  addresses: [{value: 192.0.2.7}, {value: 192.0.2.8}]
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
)";
  StatusKeeper::Options options;
  options.addresses = {address_of("192.0.2.1")};
  World w(kClassAndGateway, options);
  w.api.apply(kGateway);
  w.settle();
  CHECK(doc::to_json(*w.api.at(kGatewayPath).find_path("status.addresses")) == R"([{"type":"IPAddress","value":"192.0.2.7"},{"type":"IPAddress","value":"2001:db8::7"}])");
  CHECK(w.text(kGatewayPath, "", "Programmed") == "False");
  CHECK(w.text(kGatewayPath, "", "Programmed", "reason") == "AddressNotUsable");
  CHECK(absl::StrContains(w.text(kGatewayPath, "", "Programmed", "message"), "192.0.2.8"));
  CHECK(w.text(kGatewayPath, "listeners", "Programmed") == "True");
  std::string usable = kGateway;
  usable.replace(usable.find(", {value: 192.0.2.8}"), 20, "");
  w.api.apply(usable);
  w.settle();
  CHECK(w.text(kGatewayPath, "", "Programmed") == "True");
}

TEST_CASE("an object that fails its check is Accepted=False in its own generation, also when there never was a good one") {
  World w;
  w.settle();
  std::string bad = kRoute;
  bad.replace(bad.find("rules:"), 6, "hostnames: [1.2.3.4]\n  rules:");
  w.api.apply(bad);
  w.settle();
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "False");
  CHECK(w.text(kRoutePath, "parents", "Accepted", "reason") == "UnsupportedValue");
  CHECK(absl::StrContains(w.text(kRoutePath, "parents", "Accepted", "message"), "spec.hostnames: "));
  CHECK(absl::StrContains(w.text(kRoutePath, "parents", "Accepted", "message"), "its last good version stays in use"));
  CHECK(w.condition(kRoutePath, "parents", "Accepted").find("observedGeneration")->as_integer() == 2);

  bad.replace(bad.find("name: app"), 9, "name: never");
  w.api.apply(bad);
  w.settle();
  const std::string never = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/never";
  CHECK(w.text(never, "parents", "Accepted") == "False");
  CHECK(absl::StrContains(w.text(never, "parents", "Accepted", "message"), "is not a hostname"));
  CHECK_FALSE(absl::StrContains(w.text(never, "parents", "Accepted", "message"), "last good"));

  w.api.apply(kRoute);
  w.settle();
  CHECK(w.text(kRoutePath, "parents", "Accepted") == "True");
}

TEST_CASE("Gateways and classes of others are not touched") {
  World w(R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: other}
spec: {controllerName: example.com/other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: other
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app}
spec:
  parentRefs: [{name: edge}]
)");
  CHECK(w.settle() == 0);
  CHECK(w.api.requests.empty());
}

TEST_CASE("what keeps an object from being served without anybody refusing it is Programmed=False under its own reason") {
  World w;
  w.settle();
  w.verdicts.refusals.emplace(kEdge, Refusal{kEdge, "spec.listeners[0]", "0.0.0.0:8080 overlaps with another", false, "AddressConflict"});
  w.settle();
  for (const char* list : {"", "listeners"}) {
    CHECK(w.text(kGatewayPath, list, "Programmed") == "False");
    CHECK(w.text(kGatewayPath, list, "Programmed", "reason") == "AddressConflict");
    CHECK(w.text(kGatewayPath, list, "Programmed", "message") == "spec.listeners[0]: 0.0.0.0:8080 overlaps with another");
  }
  w.verdicts.refusals.clear();
  w.settle();
  CHECK(w.text(kGatewayPath, "", "Programmed") == "True");
}

TEST_CASE("what costs an object nothing is a remark in its Programmed") {
  World w;
  w.verdicts.refusals.emplace(kApp, Refusal{kEdge, "spec.rules[0]", "cds \"x\" is also made by EnvoyResources default/mine", false, "NameConflict", true});
  w.settle();
  CHECK(w.text(kRoutePath, "parents", "Programmed") == "True");
  CHECK(w.text(kRoutePath, "parents", "Programmed", "message") ==
        "every connected proxy has accepted it; spec.rules[0]: cds \"x\" is also made by EnvoyResources default/mine");
}

// Objects of which it is said here what a vocabulary would say.
struct Told {
  FakeApi api;
  SimulatedClock clock;
  StatusKeeper keeper{[] {
    StatusKeeper::Options o;
    o.source = "kubernetes";
    o.controller = "fairlead.io/gateway-controller";
    o.addresses = {address_of("192.0.2.1")};
    return o;
  }()};
  Verdicts verdicts;
  StatusSink said;
  std::vector<StatusKeeper::Outcome> news;

  Told() {
    for (const char* group : {"fairlead.io", "networking.k8s.io"})
      api.store.register_group(group, [](const Object&, std::vector<Diagnostic>&) { return true; });
  }
  int settle() {
    const int before = api.writes;
    keeper.take(std::make_shared<StatusSink>(said), api.snapshot(), verdicts, clock.monotonic());
    news = keeper.news();
    while (const auto r = keeper.next(clock.monotonic(), clock.system())) keeper.answered(api.answer(r->method, r->path, r->body), clock.monotonic());
    return api.writes - before;
  }
  // "Accepted=False Invalid: words", one a line.
  std::string heard() const {
    std::string out;
    for (const StatusKeeper::Outcome& o : news) {
      CHECK(o.kind == StatusKeeper::Outcome::Kind::kTold);
      for (const Transition& t : o.transitions)
        absl::StrAppend(&out, o.object->key.str(), ": ", t.type, "=", truth_name(t.to), " ", t.reason, ": ", t.message, "\n");
    }
    return out;
  }
};

TEST_CASE("raw resources have the conditions Accepted and Programmed, with the words of proxies and what is in their way") {
  Told t;
  t.api.apply("apiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: mine}\nspec: {resources: []}");
  const std::string path = "/apis/fairlead.io/v1alpha1/namespaces/default/envoyresources/mine";
  const ObjectKey mine{"fairlead.io", "EnvoyResources", "default", "mine"};
  t.said.set(mine, {}, {"Accepted", Truth::kTrue, "Accepted", "", 1});
  t.said.set(mine, {}, {"Programmed", Truth::kUnknown, "Pending", "", 1});
  t.keeper.take(std::make_shared<StatusSink>(t.said), t.api.snapshot(), t.verdicts, t.clock.monotonic());
  t.clock.advance(seconds(1));
  const auto request = t.keeper.next(t.clock.monotonic(), t.clock.system());
  REQUIRE(request);
  CHECK(request->method == "PATCH");
  CHECK(request->path == path + "/status?fieldManager=fairlead-control&force=true");
  CHECK(absl::StrContains(
      request->body, R"("type":"Programmed","status":"Unknown","reason":"Pending","message":"no proxy that it is for is connected","observedGeneration":1)"));
  CHECK(absl::StrContains(request->body, R"("type":"Accepted","status":"True","reason":"Accepted","message":"it is valid and in use","observedGeneration":1)"));
  t.keeper.answered(t.api.answer(request->method, request->path, request->body), t.clock.monotonic());
  CHECK(t.settle() == 0);

  t.verdicts.gateways[mine] = {2, true};
  t.verdicts.refusals.emplace(mine, Refusal{mine, "spec.resources[3]", "lds \"l\" was refused by 1 proxy: bad", false});
  t.verdicts.refusals.emplace(mine, Refusal{mine, "spec.resources[4]", "cds \"c\" is also made by HTTPRoute default/app", false, "NameConflict"});
  t.keeper.take(std::make_shared<StatusSink>(t.said), t.api.snapshot(), t.verdicts, t.clock.monotonic());
  const auto refused = t.keeper.next(t.clock.monotonic(), t.clock.system());
  REQUIRE(refused);
  CHECK(absl::StrContains(
      refused->body,
      R"("status":"False","reason":"Refused","message":"spec.resources[3]: lds \"l\" was refused by 1 proxy: bad; spec.resources[4]: cds \"c\" is also made by HTTPRoute default/app")"));
}

TEST_CASE("what is wrong with an Ingress or its class is told as news, in other words again, and when it is well; its status has addresses and nothing else") {
  Told t;
  t.api.apply(
      "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop}\nspec: {}\n---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: "
      "{name: fairlead}\nspec: {}");
  const ObjectKey shop{"networking.k8s.io", "Ingress", "default", "shop"}, of_class{"networking.k8s.io", "IngressClass", "", "fairlead"};
  const StatusScope at{of_class, "", 0};
  t.said.set(shop, at, {"Accepted", Truth::kTrue, "Accepted", "", 1});
  t.said.set(shop, at, {"Conflicted", Truth::kFalse, "NoConflicts", "", 1});
  t.said.set(shop, at, {"ResolvedRefs", Truth::kTrue, "ResolvedRefs", "", 1});
  t.said.set(of_class, {}, {"Accepted", Truth::kTrue, "Accepted", "", 1});
  t.clock.advance(seconds(1));
  t.settle();
  t.clock.advance(seconds(1));
  t.settle();
  CHECK(t.heard() == "");
  CHECK(t.api.requests.size() == 1);
  CHECK(doc::to_json(*t.api.at("/apis/networking.k8s.io/v1/namespaces/default/ingresses/shop").find("status")) == R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}})");

  t.said.set(shop, at, {"Conflicted", Truth::kTrue, "PathConflict", "spec.rules[0].http.paths[0]: taken", 1});
  t.said.set(of_class, {}, {"Accepted", Truth::kFalse, "InvalidParameters", "no", 1});
  t.verdicts.gateways[of_class] = {1, true};
  t.verdicts.refusals.emplace(shop, Refusal{of_class, "spec.rules[1]", "refused", false});
  t.settle();
  CHECK(t.heard() ==
        "Ingress default/shop: Conflicted=False PathConflict: spec.rules[0].http.paths[0]: taken\n"
        "Ingress default/shop: Programmed=False Refused: spec.rules[1]: refused\n"
        "IngressClass fairlead: Accepted=False InvalidParameters: no\n");
  t.settle();
  CHECK(t.heard() == "");

  t.said.set(shop, at, {"Conflicted", Truth::kTrue, "PathConflict", "spec.rules[0].http.paths[1]: taken", 1});
  t.verdicts.refusals.clear();
  t.settle();
  CHECK(t.heard() ==
        "Ingress default/shop: Conflicted=False PathConflict: spec.rules[0].http.paths[1]: taken\n"
        "Ingress default/shop: Programmed=True Programmed: every connected proxy has accepted it\n");
  t.keeper.reset();  // another leader tells what stands
  t.settle();
  CHECK(absl::StrContains(t.heard(), "Conflicted=False PathConflict"));
  t.said.set(shop, at, {"Conflicted", Truth::kFalse, "NoConflicts", "", 1});
  t.settle();
  CHECK(t.heard() == "Ingress default/shop: Conflicted=True NoConflicts: no listener is in its way\n");
}

TEST_CASE("an Ingress of which nothing is in use is not told where it is reached") {
  Told t;
  t.api.apply("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop}\nspec: {}");
  const ObjectKey shop{"networking.k8s.io", "Ingress", "default", "shop"};
  t.said.set(shop, {{"networking.k8s.io", "IngressClass", "", "fairlead"}, "", 0}, {"Accepted", Truth::kFalse, "Invalid", "spec.rules: bad", 1});
  CHECK(t.settle() == 0);
  CHECK(t.api.requests.empty());
  CHECK(t.heard() == "Ingress default/shop: Accepted=False Invalid: spec.rules: bad\n");
}

// A Gateway whose proxies are run here, with what is made for it.
struct ManagedWorld {
  std::string trouble;
  bool at_nodes = false;
  std::shared_ptr<provision::Nodes> nodes;
  World w;
  ManagedWorld() : w(kClassAndGateway, options()) {}
  StatusKeeper::Options options() {
    StatusKeeper::Options o;
    o.addresses = {address_of("198.51.100.1")};  // of others
    o.plane = [this](const ObjectSnapshot& objects, const ObjectKey& gateway) -> std::optional<Plane> {
      provision::Options planes;
      planes.controller = "fairlead.io/gateway-controller";
      planes.node_addresses = at_nodes;
      const auto reach = provision::reach(objects, gateway, planes, nodes.get());
      if (!reach) return std::nullopt;
      Plane plane{{}, reach->missing, trouble, reach->note, reach->unknown};
      for (const std::string& a : reach->addresses) plane.addresses.push_back(address_of(a));
      return plane;
    };
    return o;
  }
  void service(const std::string& rest) {
    w.api.apply("apiVersion: v1\nkind: Service\nmetadata: {name: edge-fairlead, ownerReferences: [{kind: Gateway, uid: " + w.api.at(kGatewayPath).find_path("metadata.uid")->as_string() +
                ", controller: true}]}\n" + rest);
  }
  std::string addresses() const {
    const doc::Value* list = w.api.at(kGatewayPath).find_path("status.addresses");
    return list ? doc::to_json(*list) : "none";
  }
};

TEST_CASE("a Gateway whose proxies are run here is programmed once its Service has an address and a proxy its configuration") {
  ManagedWorld m;
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed") == "False");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "reason") == "AddressNotAssigned");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") == "Service default/edge-fairlead does not exist yet");
  CHECK(m.addresses() == "none");
  m.service("spec: {type: LoadBalancer, clusterIP: 10.96.0.9, ports: [{port: 8080}]}");
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") == "no load balancer has given Service default/edge-fairlead an address yet");
  m.service("spec: {type: LoadBalancer, clusterIP: 10.96.0.9, ports: [{port: 8080}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.9}, {hostname: lb.example.com}]}}");
  m.w.verdicts.gateways[kEdge] = {0, true};
  m.w.settle();
  m.w.clock.advance(seconds(60));
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed") == "Unknown");
  CHECK(m.addresses() == R"([{"type":"IPAddress","value":"192.0.2.9"},{"type":"Hostname","value":"lb.example.com"}])");
  m.w.verdicts.gateways[kEdge] = {1, true};
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed") == "True");
  CHECK(m.w.settle() == 0);
}

TEST_CASE("a Gateway whose Service is of type NodePort is reached at the nodes, and says at which ports; until they are known, what was said holds") {
  const std::string service = "spec: {type: NodePort, clusterIP: 10.96.0.9, externalTrafficPolicy: Cluster, ports: [{port: 8080, nodePort: 30080}]}";
  ManagedWorld m;
  m.service(service);
  m.w.settle();
  CHECK(m.addresses() == R"([{"type":"IPAddress","value":"10.96.0.9"}])");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") ==
        "every connected proxy has accepted it; its Service's ports are these of the nodes: 8080/TCP is 30080; fairlead-control tells the nodes' addresses "
        "with --managed-node-addresses");
  m.at_nodes = true;
  m.w.take();
  m.w.api.apply(kRoute);  // something else happens
  m.w.settle();
  CHECK(m.addresses() == R"([{"type":"IPAddress","value":"10.96.0.9"}])");
  CHECK(m.w.text(kGatewayPath, "", "Programmed") == "True");

  m.nodes = std::make_shared<provision::Nodes>();
  SourceUpdate update;
  update.synced = true;
  update.upserted = {read_object(*doc::parse_one("{apiVersion: v1, kind: Node, metadata: {name: a}, status: {conditions: [{type: Ready, status: 'True'}], "
                                                 "addresses: [{type: InternalIP, address: 10.0.0.1}]}}",
                                                 ""),
                                 "nodes", "", update.diagnostics)};
  m.nodes->take(update);
  m.service(service);
  m.w.settle();
  CHECK(m.addresses() == R"([{"type":"IPAddress","value":"10.0.0.1"}])");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") ==
        "every connected proxy has accepted it; its Service's ports are these of the nodes: 8080/TCP is 30080");
  CHECK(m.w.settle() == 0);

  m.nodes = std::make_shared<provision::Nodes>();
  update = {};
  update.synced = true;
  m.nodes->take(update);
  m.service(service);
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "reason") == "AddressNotAssigned");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") == "no node is ready");
}

TEST_CASE("what is in the way of a data plane, and an address that it has not got, are in the Gateway's status") {
  ManagedWorld m;
  m.service("spec: {type: ClusterIP, clusterIP: 10.96.0.9, ports: [{port: 8080}]}");
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed") == "True");
  CHECK(m.addresses() == R"([{"type":"IPAddress","value":"10.96.0.9"}])");
  m.trouble = "Deployment default/edge-fairlead is there already and is not this Gateway's: it is left as it is";
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "reason") == "DataPlaneFailed");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") == m.trouble);
  m.trouble.clear();
  m.w.api.apply("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec: {gatewayClassName: fairlead, addresses: [{value: 192.0.2.1}], listeners: [{name: http, port: 8080, protocol: HTTP}]}");
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "reason") == "AddressNotUsable");
  CHECK(m.addresses() == R"([{"type":"IPAddress","value":"10.96.0.9"}])");
}

TEST_CASE("an address that a Gateway asks for and no load balancer has given yet is not usable") {
  ManagedWorld m;
  m.w.api.apply("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec: {gatewayClassName: fairlead, addresses: [{value: 192.0.2.1}], listeners: [{name: http, port: 8080, protocol: HTTP}]}");
  m.service("spec: {type: LoadBalancer, clusterIP: 10.96.0.9, ports: [{port: 8080}]}");
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "reason") == "AddressNotUsable");
  CHECK(m.w.text(kGatewayPath, "", "Programmed", "message") ==
        "spec.addresses: its data plane does not have 192.0.2.1: no load balancer has given Service default/edge-fairlead an address yet");
  m.service("spec: {type: LoadBalancer, clusterIP: 10.96.0.9, ports: [{port: 8080}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}");
  m.w.settle();
  CHECK(m.w.text(kGatewayPath, "", "Programmed") == "True");
}

// Told that the same is said as before, a keeper looks at objects that are others alone. Beside it one that is told so in a copy, and looks at all.
TEST_CASE("a look at what has changed finds what a look at everything does, over random histories") {
  const auto route = [](int i, int version) {
    const std::string backend = version % 7 == 0 ? "nobody" : "web";
    const std::string rules = version % 3 == 0 ? "nonsense" : absl::StrCat("[{backendRefs: [{name: ", backend, ", port: 80}]}]");  // at times it fails its check
    return absl::StrCat("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r", i, "}\nspec: {parentRefs: [{name: edge}], hostnames: [h", version, ".test], rules: ", rules, "}\n");
  };
  for (unsigned seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    std::string trouble;
    StatusKeeper::Options options;
    options.plane = [&trouble](const ObjectSnapshot&, const ObjectKey&) { return Plane{{}, "", trouble, "", false}; };
    World changed(kClassAndGateway, options), all(kClassAndGateway, options);
    std::shared_ptr<const StatusSink> said;
    int version = 0;
    for (int step = 0; step < 100; ++step) {
      INFO("step " << step);
      const int i = below(6), what = below(12);
      const std::string path = absl::StrCat("/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/r", i), text = route(i, ++version);
      const int proxies = below(3), let = below(4);
      SourceUpdate file;  // of a second source, that has objects of the same names
      file.source = "file";
      file.synced = true;
      if (below(2) == 0) {
        file.upserted.push_back(read_object(*doc::parse_one(route(i, version * 21 + 1), ""), "file", "", file.diagnostics));
      } else {
        file.removed.push_back({"gateway.networking.k8s.io", "HTTPRoute", "default", absl::StrCat("r", i)});
      }
      if (what == 10) trouble = trouble.empty() ? "no quota" : "";
      for (World* w : {&changed, &all}) {
        if (what < 4) w->api.apply(text);
        if (what == 4) w->api.remove(path);
        if (what == 5 && w->api.has(path)) w->api.set_status(path, "{parents: []}");
        if (what == 6) w->verdicts = {};
        if (what == 6 && proxies > 0) w->verdicts.gateways[kEdge] = {static_cast<size_t>(proxies), true};
        if (what == 7) w->api.remove(kGatewayPath), w->api.apply(kClassAndGateway);
        if (what == 8 || what == 11) w->api.store.apply(file);
        if (what == 9) w->keeper.reset();
      }
      const ObjectSnapshotPtr now = changed.api.snapshot();
      if (step % 4 == 0) said = std::make_shared<const StatusSink>(gatewayapi::translate(*now).status);
      changed.keeper.take(said, now, changed.verdicts, changed.clock.monotonic());
      all.keeper.take(std::make_shared<const StatusSink>(*said), all.api.snapshot(), all.verdicts, all.clock.monotonic());
      for (World* w : {&changed, &all}) {
        for (int n = 0; n < let && w->send_one(); ++n) {
        }
        w->clock.advance(milliseconds(200));
      }
      REQUIRE(changed.keeper.waiting() == all.keeper.waiting());
      REQUIRE(changed.keeper.due(changed.clock.monotonic()) == all.keeper.due(all.clock.monotonic()));
      REQUIRE(changed.api.requests == all.api.requests);
    }
    CHECK(changed.api.writes > 10);
  }
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::status_keeper_test
