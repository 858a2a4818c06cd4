// KubernetesSource against an API server that pages, forgets, refuses, forbids, cuts and goes away. The tests wait for updates and requests,
// never for time to pass.
#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/kubernetes/kubernetes_source.h"
#include "tests/unit/adapters/kubernetes/fake_api_server.h"

namespace fairlead::adapters::kubernetes::kubernetes_source_test {
namespace {

using std::chrono::milliseconds;

const std::string kServices = "/api/v1/services", kConfigMaps = "/api/v1/configmaps", kRoutes = "/apis/example.io/v1/routes";

const WatchedKind kService{"", "services", "Service", {"v1"}};
const WatchedKind kConfigMap{"", "configmaps", "ConfigMap", {"v1"}};
const WatchedKind kRoute{"example.io", "routes", "Route", {"v1", "v1beta1"}, true};

KubernetesSourceOptions options(const FakeApiServer& server, std::vector<WatchedKind> kinds) {
  KubernetesSourceOptions o;
  o.credentials = server.credentials();
  o.kinds = std::move(kinds);
  o.watch.page = 2;
  o.watch.retry_first = milliseconds(1);
  o.watch.retry_at_most = milliseconds(20);
  o.watch.look_for_kind = milliseconds(10);
  o.watch.retry_forbidden = milliseconds(10);
  o.watch.come_back = milliseconds(50);
  return o;
}

// A source under test, and the store it feeds.
class Watched {
 public:
  explicit Watched(KubernetesSourceOptions o, std::string name = "kubernetes") : source_(std::move(name), std::move(o), [this](SourceUpdate u) { take(std::move(u)); }) {
    for (const char* group : {"", "example.io"}) store_.register_group(group, [](const Object&, std::vector<Diagnostic>&) { return true; });
    store_.register_source(source_.name());
    REQUIRE(source_.start().ok());
  }
  ~Watched() { source_.stop(); }

  // Waits until the store is as wanted; fails after ten seconds.
  bool until(const std::function<bool(const ObjectSnapshot&)>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return wanted(*store_.snapshot()); });
  }
  bool until_names(const std::string& names) {
    return until([&](const ObjectSnapshot& s) { return s.synced() && list(s) == names; });
  }
  bool until_lost(bool is) {
    return until([&](const ObjectSnapshot& s) { return s.sources()[0].lost.empty() != is; });
  }
  bool until_told(const std::string& part) {
    return until([&](const ObjectSnapshot& s) { return told(s, part); });
  }
  static bool told(const ObjectSnapshot& s, const std::string& part) {
    return std::any_of(s.diagnostics().begin(), s.diagnostics().end(), [&](const Diagnostic& d) { return d.str().find(part) != std::string::npos; });
  }
  ObjectSnapshotPtr snapshot() {
    std::lock_guard lock(mutex_);
    return store_.snapshot();
  }
  // Every key that was ever removed, in order.
  std::vector<std::string> removed() {
    std::lock_guard lock(mutex_);
    return removed_;
  }
  size_t upserts() {
    std::lock_guard lock(mutex_);
    return upserts_;
  }
  static std::string list(const ObjectSnapshot& s) {
    std::string names;
    s.for_each([&](const ObjectPtr& o) { names += (names.empty() ? "" : " ") + o->key.name; });
    return names;
  }

 private:
  void take(SourceUpdate u) {
    std::lock_guard lock(mutex_);
    for (const ObjectKey& key : u.removed) removed_.push_back(key.name);
    upserts_ += u.upserted.size();
    store_.apply(u);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Store store_;
  std::vector<std::string> removed_;
  size_t upserts_ = 0;
  KubernetesSource source_;
};

TEST_CASE("kinds are listed in pages, and the source is synced when each has been listed") {
  FakeApiServer server;
  for (const char* name : {"d/a", "d/b", "d/c", "d/d", "d/e"}) server.put(kServices, name);
  server.forbid(kConfigMaps, true);
  Watched w(options(server, {kService, kConfigMap}));
  REQUIRE(w.until([](const ObjectSnapshot& s) { return Watched::list(s) == "a b c d e"; }));
  CHECK_FALSE(w.snapshot()->synced());
  CHECK(server.count("/api/v1/services?limit=2") == 3);
  CHECK(server.count("continue=4") == 1);
  server.forbid(kConfigMaps, false);
  CHECK(w.until_names("a b c d e"));
}

TEST_CASE("an object carries what a document has, without what is of no use") {
  FakeApiServer server;
  server.put(kServices, "d/a", R"("spec":{"type":"ClusterIP"})",
             R"("generation":3,"creationTimestamp":"2026-01-31T00:00:00Z","labels":{"l":"1"},"managedFields":[{"manager":"x"}],"annotations":{"a":"2","kubectl.kubernetes.io/last-applied-configuration":"{}"})");
  Watched w(options(server, {kService}), "kubernetes:/config#prod");
  REQUIRE(w.until_names("a"));
  const ObjectPtr o = w.snapshot()->find({"", "Service", "d", "a"});
  REQUIRE(o);
  CHECK(o->api_version == "v1");
  CHECK(o->source == "kubernetes:/config#prod");
  CHECK(o->place() == "Service d/a@3");
  CHECK(o->labels.at("l") == "1");
  CHECK(o->annotations == std::map<std::string, std::string>{{"a", "2"}});
  CHECK(o->created.time_since_epoch().count() == 1769817600);
  CHECK(o->body.find_path("metadata.managedFields") == nullptr);
  CHECK(o->body.find_path("metadata.resourceVersion")->as_string() == server.revision());
  CHECK(o->body.find_path("spec.type")->as_string() == "ClusterIP");
}

TEST_CASE("events follow the list, and those that come together are one update") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  KubernetesSourceOptions o = options(server, {kService});
  o.batch = o.busy_batch = milliseconds(300);
  Watched w(o);
  REQUIRE(w.until_names("a"));
  REQUIRE(server.until_asked("watch=true&allowWatchBookmarks=true", 2));  // the first is the streamed list that this server refuses
  const uint64_t before = w.snapshot()->revision();
  for (int i = 0; i < 20; ++i) server.put(kServices, "d/b" + std::to_string(10 + i));
  server.remove(kServices, "d/a");
  CHECK(w.until([](const ObjectSnapshot& s) { return s.size() == 20; }));
  CHECK(w.snapshot()->revision() - before <= 2);
  CHECK(w.removed() == std::vector<std::string>{"a"});
}

TEST_CASE("a watch that is cut goes on where it was, and bookmarks move that place") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  Watched w(options(server, {kService}));
  REQUIRE(w.until_names("a"));
  server.put(kServices, "d/b");
  REQUIRE(w.until_names("a b"));
  const std::string at_b = server.revision();
  server.cut_streams();
  REQUIRE(server.until_asked("resourceVersion=" + at_b));
  server.bookmark(kServices);
  const std::string at_bookmark = server.revision();
  server.put(kConfigMaps, "d/other");  // moves the server's revision, and nothing of this kind
  server.put(kServices, "d/c");        // the bookmark has been read once this is
  REQUIRE(w.until_names("a b c"));
  server.bookmark(kServices);
  const std::string last = server.revision();
  for (int i = 0; server.count("resourceVersion=" + last) == 0 && i < 1000; ++i) {
    const size_t asked = server.count("watch=true");
    server.cut_streams();
    REQUIRE(server.until_asked("watch=true", asked + 1));
  }
  CHECK(server.count("resourceVersion=" + last) > 0);
  CHECK(at_bookmark != last);
  CHECK(server.count("?limit=2") == 1);
  CHECK(w.removed().empty());
}

void expire(bool as_event) {
  FakeApiServer server;
  for (const char* name : {"d/a", "d/b", "d/c"}) server.put(kServices, name);
  server.expired_as_event(as_event);
  Watched w(options(server, {kService}));
  REQUIRE(w.until_names("a b c"));
  const size_t upserts = w.upserts();
  server.down();
  REQUIRE(w.until_lost(true));
  server.remove(kServices, "d/b");
  server.put(kServices, "d/c", R"("spec":{"type":"NodePort"})");
  server.put(kServices, "d/e");
  server.compact();
  server.up();
  REQUIRE(w.until_names("a c e"));
  CHECK(w.until_lost(false));
  CHECK(w.removed() == std::vector<std::string>{"b"});
  CHECK(w.upserts() == upserts + 2);  // a is as it was
}

TEST_CASE("410 Gone as an answer: listed again, and what is gone meanwhile is removed") { expire(false); }
TEST_CASE("410 Gone as an event: the same") { expire(true); }

TEST_CASE("a list that expires between two pages is started over") {
  FakeApiServer server;
  for (const char* name : {"d/a", "d/b", "d/c"}) server.put(kServices, name);
  server.expire_pages_once();
  Watched w(options(server, {kService}));
  CHECK(w.until_names("a b c"));
  CHECK(server.count("?limit=2") == 4);
  CHECK(w.removed().empty());
}

TEST_CASE("a server that is lost is told with since when and why, and nothing is dropped") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  Watched w(options(server, {kService, kConfigMap}));
  REQUIRE(w.until_names("a"));
  const std::string url = server.credentials().server;
  server.down();
  REQUIRE(w.until_lost(true));
  const std::string lost = w.snapshot()->sources()[0].lost;
  CHECK(lost.starts_with(url + ": "));
  CHECK(lost.find(" (since 20") != std::string::npos);
  CHECK(w.snapshot()->synced());
  CHECK(Watched::list(*w.snapshot()) == "a");
  const auto last_good = w.snapshot()->sources()[0].last_good;
  server.put(kServices, "d/b");
  server.up();
  CHECK(w.until_names("a b"));
  CHECK(w.until_lost(false));
  CHECK(w.removed().empty());
  CHECK(w.snapshot()->sources()[0].last_good > last_good);
}

TEST_CASE("a server that is not there at the start is waited for") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  server.down();
  Watched w(options(server, {kService}));
  REQUIRE(w.until_lost(true));
  CHECK_FALSE(w.snapshot()->synced());
  server.up();
  CHECK(w.until_names("a"));
  CHECK(w.until_lost(false));
}

TEST_CASE("a server that answers with errors is as good as lost") {
  FakeApiServer server;
  server.fail_with(503);
  Watched w(options(server, {kService}));
  REQUIRE(w.until_lost(true));
  CHECK(w.snapshot()->sources()[0].lost.find("Service: list and watch: 503: out of order") != std::string::npos);
  server.fail_with(0);
  CHECK(w.until_names(""));
  CHECK(w.until_lost(false));
}

TEST_CASE("a kind that is answered with errors from the start is named, holds the source back, and no longer once it can be read") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  server.break_kind(kConfigMaps, true);
  Watched w(options(server, {kService, kConfigMap}));
  REQUIRE(w.until([](const ObjectSnapshot& s) { return Watched::list(s) == "a"; }));
  REQUIRE(w.until_lost(true));
  CHECK(w.snapshot()->sources()[0].lost.find("ConfigMap: list and watch: 500: out of order") != std::string::npos);
  REQUIRE(server.until_asked("/api/v1/configmaps", 3));
  CHECK_FALSE(w.snapshot()->synced());
  server.break_kind(kConfigMaps, false);
  CHECK(w.until([](const ObjectSnapshot& s) { return s.synced(); }));
  CHECK(w.until_lost(false));
}

TEST_CASE("the age of what is known stays small as long as the server is there, although nothing changes") {
  FakeApiServer server;
  KubernetesSourceOptions o = options(server, {kService});
  o.heartbeat = milliseconds(5);
  Watched w(o);
  REQUIRE(w.until_names(""));
  const auto then = w.snapshot()->sources()[0].last_good;
  CHECK(w.until([&](const ObjectSnapshot& s) { return s.sources()[0].last_good > then; }));
}

TEST_CASE("a streamed list is a list: what it lacks is removed, and it ends at its bookmark") {
  FakeApiServer server;
  server.streamed_lists(FakeApiServer::StreamedLists::kServed);
  for (const char* name : {"d/a", "d/b", "d/c"}) server.put(kServices, name);
  Watched w(options(server, {kService}));
  REQUIRE(w.until_names("a b c"));
  server.put(kServices, "d/e");
  REQUIRE(w.until_names("a b c e"));
  server.down();
  REQUIRE(w.until_lost(true));
  server.remove(kServices, "d/a");
  server.compact();
  server.up();
  CHECK(w.until_names("b c e"));
  CHECK(server.count("limit=") == 0);
  CHECK(w.removed() == std::vector<std::string>{"a"});
}

TEST_CASE("a streamed list that is refused by an event is asked for in pages, once and for all") {
  FakeApiServer server;
  server.streamed_lists(FakeApiServer::StreamedLists::kErrorEvent);
  server.put(kServices, "d/a");
  Watched w(options(server, {kService}));
  REQUIRE(w.until_names("a"));
  server.compact();
  server.put(kServices, "d/b");
  REQUIRE(w.until_names("a b"));
  CHECK(server.count("sendInitialEvents") == 1);
  CHECK(server.count("?limit=2") == 1);
  CHECK(w.snapshot()->sources()[0].lost.empty());
}

TEST_CASE("a kind that may be missing is nothing to wait for, and is found when it comes") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  Watched w(options(server, {kService, kRoute}));
  REQUIRE(w.until_names("a"));
  CHECK(w.snapshot()->diagnostics().empty());
  server.put("/apis/example.io/v1beta1/routes", "d/r");
  server.serve("/apis/example.io/v1beta1/routes", true);
  REQUIRE(w.until_names("a r"));
  CHECK(w.snapshot()->find({"example.io", "Route", "d", "r"})->api_version == "example.io/v1beta1");
  CHECK(server.count("/apis/example.io/v1/routes") == 0);
}

TEST_CASE("a kind that is deleted takes nothing with it: its objects stay, and have time to come back with it") {
  FakeApiServer server;
  server.serve(kRoutes, true);
  for (const char* name : {"d/r1", "d/r2", "d/r3"}) server.put(kRoutes, name);
  Watched w(options(server, {kRoute}));
  REQUIRE(w.until_names("r1 r2 r3"));
  // as the API server does it: nothing new, then no objects, then no kind
  server.terminating(kRoutes, true);
  REQUIRE(server.until_asked("/apis/example.io/v1/routes?watch=true&allowWatchBookmarks=true", 2));
  for (const char* name : {"d/r1", "d/r2", "d/r3"}) server.remove(kRoutes, name);
  REQUIRE(w.until_told("Route: " + server.credentials().server + " no longer has routes.example.io; its last 3 objects stay in use until it is back (since 20"));
  server.serve(kRoutes, false);
  server.cut_streams();
  const size_t asked = server.count("/apis/example.io/v1");
  REQUIRE(server.until_asked("/apis/example.io/v1", asked + 3));
  CHECK(Watched::list(*w.snapshot()) == "r1 r2 r3");
  server.put(kRoutes, "d/r2");
  server.terminating(kRoutes, false);
  server.serve(kRoutes, true);
  CHECK(w.until_names("r2"));
  CHECK(w.snapshot()->diagnostics().empty());
  CHECK(w.removed() == std::vector<std::string>{"r1", "r3"});
}

TEST_CASE("a deletion in a kind that stays is a deletion") {
  FakeApiServer server;
  server.serve(kRoutes, true);
  server.put(kRoutes, "d/r1");
  Watched w(options(server, {kRoute}));
  REQUIRE(w.until_names("r1"));
  server.remove(kRoutes, "d/r1");
  CHECK(w.until_names(""));
}

TEST_CASE("a kind that must not be read is told with verb and user, other kinds go on, and it is tried again") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  server.put(kConfigMaps, "d/c");
  Watched w(options(server, {kService, kConfigMap}));
  REQUIRE(w.until_names("c a"));
  server.forbid(kConfigMaps, true);
  server.cut_streams();
  REQUIRE(w.until_told("ConfigMap: watch: 403: is forbidden: User \"me\" cannot watch resource; what was read last stays in use, 1 objects (since 20"));
  CHECK(w.snapshot()->sources()[0].lost.empty());
  server.put(kServices, "d/b");
  REQUIRE(w.until_names("c a b"));
  server.put(kConfigMaps, "d/d");
  server.forbid(kConfigMaps, false);
  CHECK(w.until_names("c d a b"));
  CHECK(w.until([](const ObjectSnapshot& s) { return s.diagnostics().empty(); }));
}

TEST_CASE("an object that cannot be read costs itself alone, and its last good version stays") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  server.put(kServices, "d/b");
  Watched w(options(server, {kService}));
  REQUIRE(w.until_names("a b"));
  server.put(kServices, "d/b", "", R"("labels":7)");
  REQUIRE(w.until_told("Service d/b: metadata.labels: "));
  server.put(kServices, "d/c");
  REQUIRE(w.until_names("a b c"));
  server.put(kServices, "d/b", R"("spec":{"type":"NodePort"})");
  REQUIRE(w.until([](const ObjectSnapshot& s) {
    const ObjectPtr b = s.find({"", "Service", "d", "b"});
    return b && b->body.find_path("spec.type") != nullptr;
  }));
  CHECK(w.snapshot()->diagnostics().empty());
}

TEST_CASE("a list with an item beyond reading removes nothing") {
  FakeApiServer server;
  server.put(kServices, "d/a");
  server.put(kServices, "d/b");
  Watched w(options(server, {kService}));
  REQUIRE(w.until_names("a b"));
  server.down();
  REQUIRE(w.until_lost(true));
  server.put_text(kServices, "d/b", R"({"metadata":{"name":"b","name":"b"}})");
  server.put(kServices, "d/c");
  server.compact();
  server.up();
  REQUIRE(w.until_names("a b c"));
  CHECK(w.until_told("Service: one of its objects cannot be read: "));
}

TEST_CASE("selectors are asked for, and what is not kept goes no further") {
  FakeApiServer server;
  server.put(kConfigMaps, "d/a", R"("data":{"ca.crt":"PEM"})");
  server.put(kConfigMaps, "d/b");
  WatchedKind kind = kConfigMap;
  kind.field_selector = "type=kubernetes.io/tls";
  kind.keep = [](const Object& o) { return o.body.find("data") != nullptr; };
  Watched w(options(server, {kind}));
  REQUIRE(w.until_names("a"));
  CHECK(server.count("fieldSelector=type%3Dkubernetes.io%2Ftls") >= 2);
  server.put(kConfigMaps, "d/b", R"("data":{})");
  REQUIRE(w.until_names("a b"));
  server.put(kConfigMaps, "d/a");
  CHECK(w.until_names("b"));
}

TEST_CASE("only the namespaces that are named are asked for") {
  FakeApiServer server;
  server.serve("/api/v1/namespaces/one/services", true);
  server.serve("/api/v1/namespaces/two/services", true);
  server.put("/api/v1/namespaces/one/services", "one/a");
  server.put("/api/v1/namespaces/two/services", "two/b");
  KubernetesSourceOptions o = options(server, {kService});
  o.namespaces = {"one", "two"};
  Watched w(o);
  CHECK(w.until_names("a b"));
  CHECK(server.count("/api/v1/services") == 0);
}

TEST_CASE("stopping does not wait for a server that says nothing") {
  FakeApiServer server;
  Watched w(options(server, {kService, kConfigMap, kRoute}));
  REQUIRE(w.until_names(""));
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::kubernetes_source_test
