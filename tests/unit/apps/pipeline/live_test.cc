// The running pipeline on real folders: when the first update comes, what follows, and what a restart remembers.
#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include "adapters/object/object.h"
#include "apps/pipeline/live.h"
#include "apps/pipeline/state_dir.h"
#include "base/file.h"
#include "base/log.h"
#include "controlplane/snapshot/catalog.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace live_test {

using namespace fairlead;
using namespace fairlead::test;
using pipeline::Live;
using pipeline::StateDir;
using resources::Type;

namespace {

// A pipeline and the catalog its updates make.
class Running {
 public:
  explicit Running(std::vector<std::string> paths, std::string state = "", Live::Options options = {})
      : live_(with(std::move(options), paths, std::move(state)), RealClock::instance(), [this](snapshot::Update u) { take(std::move(u)); }) {
    log::set_level(log::Level::off);
    status = live_.start();
  }
  ~Running() { live_.stop(); }

  bool until(const std::function<bool()>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(15), wanted);
  }
  bool until_ready() {
    return until([this] { return ready; });
  }
  // Of the one scope there is.
  bool until_has(Type type, const std::string& part, bool has = true) {
    return until([&] {
      bool found = false;
      for (const std::string& scope : catalog.scopes()) {
        catalog.find(scope)->of(type).for_each([&](const auto& r) { found |= r->name.find(part) != std::string::npos; });
      }
      return found == has;
    });
  }
  std::string finding(const std::string& part) {
    std::lock_guard lock(mutex_);
    for (const auto& [stage, list] : findings) {
      for (const intent::Finding& f : list) {
        if (f.str().find(part) != std::string::npos) return f.str();
      }
    }
    return "";
  }
  Live& live() { return live_; }

  absl::Status status;
  snapshot::Catalog catalog;
  std::map<std::string, std::vector<intent::Finding>> findings;
  std::vector<snapshot::Update> updates;
  bool ready = false;
  bool incomplete = false;

 private:
  static Live::Options with(Live::Options options, const std::vector<std::string>& paths, std::string state) {
    options.sources = sources(paths);
    options.state_dir = std::move(state);
    return options;
  }
  static std::vector<std::string> sources(const std::vector<std::string>& paths) {
    std::vector<std::string> out;
    for (const std::string& p : paths) out.push_back("file:" + p);
    return out;
  }
  void take(snapshot::Update u) {
    std::lock_guard lock(mutex_);
    updates.push_back(u);
    for (auto& g : u.gateways) catalog.set_gateway(g.key, g.resources);
    for (const auto& key : u.gone) catalog.remove_gateway(key);
    if (u.raw) catalog.set_raw(*u.raw);
    for (const auto& a : u.assignments) catalog.set_assignment(a);
    for (auto& [stage, list] : u.findings) findings[stage] = list;
    if (u.incomplete) incomplete = *u.incomplete;
    ready = ready || u.ready;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  Live live_;
};

}  // namespace

TEST_CASE("whoever asks for sources before the pipeline has started is told of none") {
  Live live(Live::Options{{"file:/nowhere"}}, RealClock::instance(), [](snapshot::Update) {});
  CHECK(live.sources().find("sources")->items().empty());
  CHECK(live.objects().is_map());
}

TEST_CASE("nothing is handed over before every source has been read once") {
  TemporaryDirectory one, two;
  one.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  const std::string missing = two.path("later");
  Running run({one.path(), missing});
  REQUIRE(run.status.ok());
  // The second source says that it is lost; only then is the first known to have been heard.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  for (bool heard = false; !heard && std::chrono::steady_clock::now() < end; std::this_thread::yield()) {
    const doc::Value sources = run.live().sources();
    heard = sources.find("sources")->items()[0].find("synced")->as_boolean() && sources.find("sources")->items()[1].find("lost");
  }
  CHECK(run.updates.empty());
  std::filesystem::create_directory(missing);
  REQUIRE(run.until_ready());
  CHECK(run.updates.size() == 1);
  CHECK(run.until_has(Type::kCluster, "app"));
}

TEST_CASE("a file changed is an update; an endpoint changed is an assignment and nothing else") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  d.write("slice.yaml", slice_yaml("app"));
  Running run({d.path()});
  REQUIRE(run.until_ready());
  d.write("slice.yaml", slice_yaml("app", "127.0.0.2"));
  REQUIRE(run.until([&] { return run.updates.size() == 2; }));
  CHECK(run.updates[1].assignments.size() == 1);
  CHECK(run.updates[1].findings.empty());
  d.write("b.yaml", route_yaml("more", "/more") + service_yaml("more"));
  REQUIRE(run.until_has(Type::kCluster, "more"));
}

TEST_CASE("sources and objects can be asked for, and answer after the end as well") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + "---\napiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: 7}\n");
  Running run({d.path()});
  REQUIRE(run.until_ready());
  const doc::Value sources = run.live().sources();
  const doc::Value& source = sources.find("sources")->items()[0];
  CHECK(source.find("name")->as_string() == "file:" + d.path());
  CHECK(source.find("synced")->as_boolean());
  REQUIRE(sources.find("diagnostics")->size() == 1);
  CHECK(sources.find("diagnostics")->items()[0].as_string().find("error: " + d.path("a.yaml") + ":") == 0);
  CHECK(run.live().objects().find("objects")->size() >= 2);
  run.live().stop();
  CHECK(run.live().objects().is_map());
}

TEST_CASE("a source that is none is an error") {
  Live none({{}, ""}, RealClock::instance(), [](snapshot::Update) {});
  CHECK(none.start().message() == "no source: give at least one --source file:PATH or kubernetes");
  CHECK(none.objects().is_map());  // never started: nobody to ask
  Live wrong({{"http://x"}, ""}, RealClock::instance(), [](snapshot::Update) {});
  CHECK(wrong.start().message() == "source \"http://x\": expected file:PATH or kubernetes[:KUBECONFIG[#CONTEXT]]");
}

TEST_CASE("with a state directory the last good version of a broken object survives a restart") {
  TemporaryDirectory d, state;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  {
    Running run({d.path()}, state.path("s"));
    REQUIRE(run.status.ok());
    REQUIRE(run.until_ready());
  }
  SECTION("broken in one object") {
    std::string bad = route_yaml("app");
    bad.replace(bad.find("PathPrefix"), 10, "PathPrefxi");
    d.write("a.yaml", gateway_yaml() + bad + service_yaml("app"));
    Running run({d.path()}, state.path("s"));
    REQUIRE(run.until_ready());
    CHECK(run.until_has(Type::kCluster, "app"));
    CHECK(run.finding("PathPrefxi").find("a.yaml") != std::string::npos);
    CHECK_FALSE(run.incomplete);
  }
  SECTION("broken as a whole, then mended without it") {
    d.write("a.yaml", "kind: [");
    Running run({d.path()}, state.path("s"));
    REQUIRE(run.until_ready());
    CHECK(run.until_has(Type::kCluster, "app"));
    d.write("a.yaml", gateway_yaml() + service_yaml("app"));
    CHECK(run.until_has(Type::kCluster, "app", false));
    CHECK(run.until_has(Type::kListener, "edge"));
  }
  SECTION("removed while nobody looked") {
    d.write("a.yaml", gateway_yaml());
    Running run({d.path()}, state.path("s"));
    REQUIRE(run.until_ready());
    CHECK(run.until_has(Type::kListener, "edge"));
    CHECK(run.until_has(Type::kCluster, "app", false));
  }
  SECTION("not without it") {
    std::string bad = route_yaml("app");
    bad.replace(bad.find("PathPrefix"), 10, "PathPrefxi");
    d.write("a.yaml", gateway_yaml() + bad + service_yaml("app"));
    Running run({d.path()});
    REQUIRE(run.until_ready());
    CHECK(run.until_has(Type::kCluster, "app", false));
    CHECK(run.incomplete);
  }
}

TEST_CASE("endpoints are in the state directory too") {
  TemporaryDirectory d, state;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  d.write("slice.yaml", slice_yaml("app"));
  {
    Running run({d.path()}, state.path("s"));
    REQUIRE(run.until_ready());
    d.write("slice.yaml", slice_yaml("app", "127.0.0.7"));
    REQUIRE(run.until([&] { return run.updates.size() == 2; }));
  }
  const auto text = read_file(state.path("s/objects.json"));
  REQUIRE(text.ok());
  CHECK(text->find("127.0.0.7") != std::string::npos);
  for (const char* file : {"s/objects.json", "s/raw.json"}) {  // private keys may be among them
    CHECK(std::filesystem::status(state.path(file)).permissions() == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  }
}

TEST_CASE("a state directory that cannot be used is an error with its place") {
  TemporaryDirectory d, state;
  state.write("file", "");
  Live blocked({{"file:" + d.path()}, state.path("file")}, RealClock::instance(), [](snapshot::Update) {});
  CHECK(blocked.start().message().find("state directory: " + state.path("file")) == 0);
  state.write("s/objects.json", "{\"objects\": [{\"file\": 3}]}");
  Live broken({{"file:" + d.path()}, state.path("s")}, RealClock::instance(), [](snapshot::Update) {});
  CHECK(broken.start().message() == state.path("s/objects.json") + ":1: not an object that was saved here");
  state.write("s/objects.json", "{\"objects\": [");
  Live cut({{"file:" + d.path()}, state.path("s")}, RealClock::instance(), [](snapshot::Update) {});
  CHECK(cut.start().message().find(state.path("s/objects.json") + ":1") == 0);
}

TEST_CASE("what is remembered is settled by the source that had it, file by file") {
  auto object = [](const std::string& source, const std::string& file, const std::string& name) {
    auto o = std::make_shared<adapters::Object>();
    o->source = source;
    o->file = file;
    o->key = {"", "Service", "default", name};
    return adapters::ObjectPtr(o);
  };
  std::vector<adapters::ObjectPtr> remembered{object("file:a", "a/x.yaml", "here"), object("file:a", "a/y.yaml", "broken"), object("file:a", "a/d/z.yaml", "below"),
                                              object("file:a", "a/x.yaml", "gone"), object("file:b", "b/x.yaml", "other")};
  adapters::SourceUpdate u;
  u.source = "file:a";
  CHECK(pipeline::forgotten(remembered, u).empty());  // not synced
  CHECK(remembered.size() == 5);
  u.synced = true;
  u.lost = "a: no such directory";
  CHECK(pipeline::forgotten(remembered, u).empty());
  u.lost.clear();
  u.upserted.push_back(remembered[0]);
  u.diagnostics.push_back({adapters::Severity::kError, {}, "a/y.yaml", 3, "", "cannot be read"});
  u.diagnostics.push_back({adapters::Severity::kError, {}, "a/d", 0, "", "permission denied"});
  const auto gone = pipeline::forgotten(remembered, u);
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].name == "gone");
  CHECK(remembered.size() == 3);
  u.upserted.clear();
  u.diagnostics.clear();
  CHECK(pipeline::forgotten(remembered, u).size() == 2);
  REQUIRE(remembered.size() == 1);
  CHECK(remembered[0]->key.name == "other");
}

TEST_CASE("what an API server would not tell stays remembered, kind by kind") {
  auto object = [](const std::string& kind, const std::string& ns, const std::string& name) {
    auto o = std::make_shared<adapters::Object>();
    o->source = "kubernetes";
    o->key = {"", kind, ns, name};
    return adapters::ObjectPtr(o);
  };
  std::vector<adapters::ObjectPtr> remembered{object("Service", "a", "gone"), object("Secret", "a", "forbidden"), object("ConfigMap", "a", "gone"), object("ConfigMap", "b", "forbidden")};
  adapters::SourceUpdate u;
  u.source = "kubernetes";
  u.synced = true;
  u.diagnostics.push_back({adapters::Severity::kError, {"", "Secret", "", ""}, "", 0, "", "403"});
  u.diagnostics.push_back({adapters::Severity::kError, {"", "ConfigMap", "b", ""}, "", 0, "", "403"});
  for (const adapters::ObjectKey& key : pipeline::forgotten(remembered, u)) CHECK(key.name == "gone");
  REQUIRE(remembered.size() == 2);
  for (const adapters::ObjectPtr& o : remembered) CHECK(o->key.name == "forbidden");
}

TEST_CASE("what clients report of a Service weighed by load becomes its zones' weights, and goes back when they report nothing") {
  TemporaryDirectory d;
  d.write("gateway.yaml", gateway_yaml());
  d.write("routes.yaml", route_yaml("app"));
  d.write("app.yaml", zones_yaml("app", true));
  std::atomic<bool> reported = false;
  Live::Options options;
  options.loads_every = std::chrono::milliseconds(5);
  options.weighing.smoothing = options.weighing.hold = std::chrono::milliseconds(50);
  options.loads = [&reported] {
    const auto load = [](const char* zone, double busy) { return topology::LocalityLoad{"default/app/80", {"", zone}, 100, 0, 1000, busy}; };
    return reported ? std::vector<topology::LocalityLoad>{load("a", 0.2), load("b", 0.8)} : std::vector<topology::LocalityLoad>();
  };
  Running run({d.path()}, "", options);
  const auto weight_of_a = [&run] {
    uint32_t out = 0;
    for (const std::string& scope : run.catalog.scopes()) {
      run.catalog.find(scope)->of(Type::kEndpoint).for_each([&](const auto& r) {
        envoy::config::endpoint::v3::ClusterLoadAssignment m;
        if (m.ParseFromString(std::string(r->body())) && m.endpoints_size() == 2) out = m.endpoints(0).load_balancing_weight().value();
      });
    }
    return out;
  };
  CHECK(run.until([&] { return weight_of_a() == 1; }));
  reported = true;
  CHECK(run.until([&] { return weight_of_a() >= 177; }));  // six steps of seven
  reported = false;
  CHECK(run.until([&] { return weight_of_a() == 1; }));
}

}  // namespace live_test
