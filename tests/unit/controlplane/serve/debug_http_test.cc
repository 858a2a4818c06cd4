// The control plane's own HTTP address, asked over a socket.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <httplib.h>

#include "base/log.h"
#include "controlplane/serve/debug_http.h"
#include "tests/unit/controlplane/make.h"

namespace debug_http_test {

using namespace fairlead;
using namespace fairlead::test;
using serve::Core;
using serve::DebugHttp;
using serve::XdsServer;

namespace {

struct Running {
  Running() {
    log::set_level(log::Level::off);
    XdsServer::Options xds;
    xds.address = "127.0.0.1:0";
    xds.core.events = &events;
    auto started = XdsServer::start(xds, RealClock::instance());
    REQUIRE(started.ok());
    server = *std::move(started);
    DebugHttp::Options o = options();
    o.events = &events;
    auto listening = DebugHttp::start(o, *server, RealClock::instance());
    REQUIRE(listening.ok());
    http = *std::move(listening);
  }
  static DebugHttp::Options options() {
    DebugHttp::Options o;
    o.address = "127.0.0.1:0";
    o.version = "1.2.3";
    o.sources = [] { return doc::map({{"sources", doc::list({}), {}}}); };
    o.why = echo;
    return o;
  }
  void apply() {
    server->ask<bool>([](Core& core) {
      snapshot::Update u;
      u.gateways.push_back({{"default", "edge"}, {cluster("a", 1, {}, {origin("HTTPRoute", "app", 7)}), listener("l", "r")}});
      u.findings.push_back({"plan", {{intent::Severity::kWarning, origin("HTTPRoute", "app"), "", "Odd", "it is odd"}}});
      u.ready = true;
      core.apply(std::move(u));
      return true;
    });
  }
  // Answers where nothing is connected: with what it was asked, and the scope.
  static absl::StatusOr<doc::Value> echo(const snapshot::SnapshotPtr& snapshot, const std::string& method, const std::string& url, const std::vector<std::string>& headers) {
    if (url == "none") return absl::InvalidArgumentError("that is no URL");
    std::string all;
    for (const std::string& h : headers) all += h + ";";
    return doc::map({{"scope", doc::string(snapshot->scope), {}}, {"asked", doc::string(method + " " + url + " " + all), {}}});
  }
  std::pair<int, std::string> get(const std::string& path) {
    httplib::Client client("http://" + http->address());
    auto r = client.Get(path.c_str());
    return r ? std::pair(r->status, r->body) : std::pair(0, std::string("no answer"));
  }
  doc::Value json(const std::string& path) {
    const auto [status, body] = get(path);
    INFO(path << ": " << body);
    CHECK(status == 200);
    auto parsed = doc::parse_json(body, path);
    REQUIRE(parsed.ok());
    return *parsed;
  }
  inspect::Events events{RealClock::instance()};
  std::unique_ptr<XdsServer> server;
  std::unique_ptr<DebugHttp> http;
};

}  // namespace

TEST_CASE("health and readiness tell the truth") {
  Running run;
  CHECK(run.get("/healthz") == std::pair(200, std::string("ok\n")));
  CHECK(run.get("/readyz") == std::pair(503, std::string("the sources have not been read completely yet\n")));
  run.apply();
  CHECK(run.get("/readyz") == std::pair(200, std::string("ok\n")));
  run.server->shutdown();
  CHECK(run.get("/readyz").first == 503);
  CHECK(run.get("/healthz").first == 503);
}

TEST_CASE("metrics are in Prometheus' form") {
  Running run;
  run.apply();
  const auto [status, body] = run.get("/metrics");
  CHECK(status == 200);
  CHECK(body.find("# TYPE fairlead_control_streams gauge\nfairlead_control_streams 0\n") != std::string::npos);
  CHECK(body.find("fairlead_control_responses_total{type=\"cds\"} 0\n") != std::string::npos);
  CHECK(body.find("fairlead_control_push_delay_seconds_bucket{le=\"+Inf\"} 0\n") != std::string::npos);
  CHECK(body.find("fairlead_control_updates_total 1\n") != std::string::npos);
}

TEST_CASE("sixty connections that say nothing do not keep a health check waiting") {
  Running run;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(run.http->address().substr(run.http->address().rfind(':') + 1))));
  std::vector<int> idle;
  for (int i = 0; i < 60; ++i) {
    idle.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(idle.back(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  httplib::Client client("http://" + run.http->address());
  client.set_read_timeout(10);
  const auto reply = client.Get("/healthz");
  REQUIRE(reply);
  CHECK(reply->status == 200);
  for (int fd : idle) close(fd);
}

TEST_CASE("every debug endpoint answers with JSON") {
  Running run;
  run.apply();
  CHECK(run.json("/version").find("version")->as_string() == "1.2.3");
  CHECK(run.json("/debug/status").find("proxies")->size() == 0);
  const doc::Value config = run.json("/debug/config");
  REQUIRE(config.find("scopes")->size() == 1);
  const doc::Value& scope = config.find("scopes")->items()[0];
  CHECK(scope.find("scope")->as_string() == "gateway:default/edge");
  REQUIRE(scope.find("resources")->size() == 2);
  CHECK(scope.find("resources")->items()[0].find("origins")->items()[0].find("place")->as_string() == "test.yaml:7");
  CHECK(run.json("/debug/config?type=listeners").find("scopes")->items()[0].find("resources")->size() == 1);
  CHECK(run.json("/debug/snapshots?type=cds&name=none").find("scopes")->items()[0].find("resources")->size() == 0);
  CHECK(run.json("/debug/nacks").find("nacks")->size() == 0);
  std::set<std::string> found;
  const doc::Value findings = run.json("/debug/findings");
  for (const doc::Value& f : findings.find("findings")->items()) found.insert(f.find("message")->as_string());
  CHECK(found.contains("it is odd"));
  CHECK(found.contains("cds \"a\" refers to eds \"a\", which this scope does not have"));
  CHECK(run.json("/debug/conditions").find("conditions")->size() >= 1);
  CHECK(run.json("/debug/sources").find("sources")->size() == 0);
  CHECK(run.json("/debug/load").find("clusters")->size() == 0);
  CHECK(run.json("/debug/objects").is_map());
}

TEST_CASE("wrong questions get an answer that says what is wrong") {
  Running run;
  run.apply();
  CHECK(run.get("/nothing").first == 404);
  CHECK(run.get("/nothing").second.find("nothing at /nothing") != std::string::npos);
  CHECK(run.get("/debug/config?type=clustres").first == 400);
  CHECK(run.get("/debug/config?type=clustres").second.find("unknown type \\\"clustres\\\"; known are cds, eds") != std::string::npos);
  CHECK(run.get("/debug/config?proxy=x").first == 404);
  CHECK(run.get("/debug/config?proxy=x").second.find("no proxy \\\"x\\\" is connected; there are: none") != std::string::npos);
  CHECK(run.get("/debug/diff").first == 400);
  CHECK(run.get("/debug/diff?proxy=x").first == 404);
}

TEST_CASE("a request is explained for the proxy or Gateway that is named, or the only scope there is") {
  Running run;
  run.apply();
  CHECK(run.json("/why?url=/x").find("scope")->as_string() == "gateway:default/edge");
  CHECK(run.json("/why?gateway=default/edge&method=POST&url=http%3A%2F%2Fa%2Fb%3Fc&header=x-a:%201&header=x-b:%202%0Ax-c:%203").find("asked")->as_string() == "POST http://a/b?c x-a: 1;x-b: 2;x-c: 3;");
  CHECK(run.get("/why").first == 400);
  CHECK(run.get("/why?url=none").first == 400);
  CHECK(run.get("/why?url=none").second.find("that is no URL") != std::string::npos);
  CHECK(run.get("/why?url=/&proxy=x").first == 404);
  CHECK(run.get("/why?url=/&gateway=default/egde").first == 404);
  CHECK(run.get("/why?url=/&gateway=default/egde").second.find("no Gateway \\\"default/egde\\\"; did you mean \\\"gateway:default/edge\\\"?; there are: gateway:default/edge") != std::string::npos);
}

TEST_CASE("what happens is followed line by line, until the server ends") {
  auto run = std::make_unique<Running>();
  std::mutex mutex;
  std::condition_variable changed;
  std::string told;
  std::thread reader([&, address = run->http->address()] {
    httplib::Client client("http://" + address);
    client.set_read_timeout(20);
    client.Get("/debug/watch?kind=change", [&](const char* data, size_t size) {
      std::lock_guard lock(mutex);
      told.append(data, size);
      changed.notify_all();
      return true;
    });
  });
  const auto until = [&](const std::string& part) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return told.find(part) != std::string::npos; });
  };
  REQUIRE(until("\n"));  // it watches
  run->apply();
  CHECK(until("\"kind\":\"change\",\"scope\":\"gateway:default/edge\",\"type\":\"cds\",\"resources\":1,\"set\":[\"a\"]"));
  run.reset();
  reader.join();
  CHECK(told.find("\"kind\":\"finding\"") == std::string::npos);
  CHECK(told.find("\"kind\":\"ended\"") != std::string::npos);
}

TEST_CASE("only so many may watch, and only what happens") {
  Running run;
  CHECK(run.get("/debug/watch?kind=pusch").first == 400);
  CHECK(run.get("/debug/watch?kind=pusch").second.find("nothing of kind \\\"pusch\\\" ever happens; there are: change, connected") != std::string::npos);
  std::vector<std::shared_ptr<inspect::Events::Reader>> readers;
  for (size_t i = 0; i < inspect::Events::kMostReaders; ++i) readers.push_back(run.events.open());
  CHECK(run.get("/debug/watch").first == 503);
}

TEST_CASE("an admin address that is in use, or is none, is an error that names it") {
  Running run;
  auto o = Running::options();
  o.address = run.http->address();
  auto second = DebugHttp::start(o, *run.server, RealClock::instance());
  REQUIRE_FALSE(second.ok());
  CHECK(second.status().message() == "cannot listen for admin requests on " + o.address + ": the address is in use or not one of this machine");
  for (const char* wrong : {"18001", "host:", "host:x", "host:70000"}) {
    o.address = wrong;
    CHECK(DebugHttp::start(o, *run.server, RealClock::instance()).status().message() == "admin address \"" + std::string(wrong) + "\" is not HOST:PORT");
  }
}

}  // namespace debug_http_test
