// Two replicas over HTTP: who leads writes, the other only looks; when the leader goes, the other goes on; in steady state nothing is written but
// the renewal of the Lease. Short times of the wall clock, since threads wait on it; nothing here depends on how short.
#include <catch2/catch.hpp>

#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <httplib.h>

#include "adapters/gatewayapi/translate.h"
#include "adapters/kubernetes/lease.h"
#include "adapters/kubernetes/status_writer.h"
#include "tests/unit/adapters/kubernetes/fake_api.h"

namespace fairlead::adapters::kubernetes::status_writer_test {
namespace {

using namespace std::chrono_literals;

constexpr char kObjects[] = R"(
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
)";
const std::string kGatewayPath = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/edge";
const ObjectKey kEdge{"gateway.networking.k8s.io", "Gateway", "default", "edge"};

// FakeApi and one Lease on a port of the kernel's choice.
class Server {
 public:
  Server() {
    gatewayapi::register_groups(api.store);
    api.apply(kObjects);
    http_.new_task_queue = [] { return new httplib::ThreadPool(8); };
    const auto handle = [this](const httplib::Request& in, httplib::Response& out) {
      std::lock_guard lock(mutex_);
      const Response r = in.path.find("/leases") != std::string::npos ? lease(in) : api.answer(in.method, in.target, in.body);
      out.status = r.status;
      out.set_content(r.body, "application/json");
      changed_.notify_all();
    };
    http_.Get(".*", handle);
    http_.Post(".*", handle);
    http_.Put(".*", handle);
    http_.Patch(".*", handle);
    http_.set_socket_options([](socket_t s) {
      int yes = 1;
      setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    port_ = http_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { http_.listen_after_bind(); });
    while (!http_.is_running()) std::this_thread::yield();
  }
  ~Server() {
    http_.stop();
    thread_.join();
  }

  ApiClient::Options client() const {
    ApiClient::Options o;
    o.credentials.tls = false;
    o.credentials.host = "127.0.0.1";
    o.credentials.port = port_;
    o.credentials.server = absl::StrCat("http://127.0.0.1:", port_);
    return o;
  }
  template <typename F>
  auto with(F&& f) {
    std::lock_guard lock(mutex_);
    return f(api);
  }
  bool wait(const std::function<bool()>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, holds);
  }
  // Under the lock of wait() and with().
  std::string holder() const { return lease_.is_null() ? "" : lease_.find_path("spec.holderIdentity")->as_string(); }
  bool programmed() const {
    const doc::Value* status = api.at(kGatewayPath).find("status");
    return status && absl::StrContains(doc::to_json(*status), R"("type":"Programmed","status":"True")");
  }
  int renewals = 0;
  FakeApi api;

 private:
  Response lease(const httplib::Request& in) {
    if (in.method == "GET") return lease_.is_null() ? Response{404, "{}", {}} : Response{200, doc::to_json(lease_), {}};
    const doc::Value body = *doc::parse_json(in.body, "lease");
    const doc::Value* seen = body.find_path("metadata.resourceVersion");
    if (in.method == "POST" ? !lease_.is_null() : !seen || !(*seen == *lease_.find_path("metadata.resourceVersion"))) return {409, "{}", {}};
    lease_ = doc::with(body, "metadata", doc::with(*body.find("metadata"), "resourceVersion", doc::string(std::to_string(++lease_version_))));
    ++renewals;
    return {200, doc::to_json(lease_), {}};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  doc::Value lease_;
  int lease_version_ = 0;
  httplib::Server http_;
  int port_ = 0;
  std::thread thread_;
};

struct Replica {
  std::unique_ptr<LeaderElector> elector;
  std::unique_ptr<StatusWriter> writer;

  // `proxies`: of Gateway edge, connected to this one and content.
  Replica(Server& server, const std::string& name, size_t proxies = 1) {
    Election::Options lease{"ns", "fairlead-control", name};
    lease.lease = 1s;
    lease.renew_deadline = 700ms;
    lease.retry = 50ms;
    lease.heartbeat = 1h;  // one report is enough here
    lease.silence = 2h;
    elector = std::make_unique<LeaderElector>(lease, server.client(), RealClock::instance(), [this](bool, const std::string&) { writer->wake(); });
    StatusWriter::Options options;
    options.api = server.client();
    options.identity = name;
    options.lease = {"coordination.k8s.io", "Lease", "ns", "fairlead-control"};
    options.poll = 20ms;
    options.keeper.source = "kubernetes";
    options.keeper.controller = "fairlead.io/gateway-controller";
    options.keeper.settle = 10ms;
    options.tell_leader = [this](std::string report) { elector->set_report(std::move(report)); };
    options.told = [this] { return elector->reports(); };
    writer = std::make_unique<StatusWriter>(options, RealClock::instance(), [this] { return elector->leading(); }, [proxies](bool anew) {
      Verdicts v;
      v.gateways[kEdge] = {proxies, true, "v1"};
      return anew ? std::optional(v) : std::nullopt;
    });
    writer->start();
    elector->start();
  }
  ~Replica() {
    writer->stop();  // it asks the elector
    elector->stop();
  }
  void tell(Server& server) {
    const ObjectSnapshotPtr objects = server.with([](FakeApi& api) { return api.snapshot(); });
    writer->update(std::make_shared<StatusSink>(gatewayapi::translate(*objects).status), objects);
  }
};

TEST_CASE("the leader writes, the other does not; in steady state the Lease is renewed and nothing else happens") {
  Server server;
  auto a = std::make_unique<Replica>(server, "a");
  REQUIRE(server.wait([&] { return server.holder() == "a"; }));
  Replica b(server, "b");
  a->tell(server);
  b.tell(server);
  REQUIRE(server.wait([&] { return server.programmed() && server.api.writes == 2; }));
  a->tell(server);  // as the watch brings its own writes back
  b.tell(server);
  CHECK(a->elector->leading());
  CHECK_FALSE(b.elector->leading());
  CHECK(b.writer->prometheus().find("fairlead_control_leader 0\n") != std::string::npos);
  CHECK(a->writer->prometheus().find("fairlead_control_leader 1\n") != std::string::npos);

  size_t requests = server.with([](FakeApi& api) { return api.requests.size(); });
  const int renewals = server.with([&](FakeApi&) { return server.renewals; });
  REQUIRE(server.wait([&] { return server.renewals >= renewals + 10; }));
  CHECK(server.with([](FakeApi& api) { return api.requests.size(); }) == requests);
  CHECK(server.with([](FakeApi& api) { return api.writes; }) == 2);
  CHECK(server.with([](FakeApi& api) { return api.events.size(); }) == 1);  // a leads

  // a is gone; what has happened meanwhile is b's to write
  server.with([](FakeApi& api) {
    api.apply(kObjects);
    return 0;
  });
  a.reset();
  REQUIRE(server.wait([&] { return server.holder() == "b"; }));
  b.tell(server);
  REQUIRE(server.wait([&] { return server.api.at(kGatewayPath).find_path("status.conditions")->items()[0].find("observedGeneration")->as_integer() == 2; }));
  requests = server.with([](FakeApi& api) { return api.events.size(); });
  CHECK(requests == 2);
  CHECK(b.elector->holder() == "b");
}

TEST_CASE("proxies that are all connected to another replica count for the leader") {
  Server server;
  Replica a(server, "a", 0);
  REQUIRE(server.wait([&] { return server.holder() == "a"; }));
  a.tell(server);
  Replica b(server, "b", 2);
  b.tell(server);
  CHECK(server.wait([&] { return server.programmed(); }));
  CHECK_FALSE(b.elector->leading());
}

TEST_CASE("a leader whose server no longer answers it stops writing before another starts") {
  auto server = std::make_unique<Server>();
  Replica a(*server, "a");
  REQUIRE(server->wait([&] { return server->holder() == "a"; }));
  while (!a.elector->leading()) std::this_thread::yield();
  server.reset();
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (a.elector->leading() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  CHECK_FALSE(a.elector->leading());
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::status_writer_test
