// The thread that runs data planes, over HTTP: it makes what is to be there while it leads, with a certificate for each Gateway; it asks nothing while it
// does not; in steady state nothing is asked at all.
#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <httplib.h>

#include "adapters/gatewayapi/translate.h"
#include "adapters/kubernetes/provisioner.h"
#include "base/certificate.h"
#include "base/file.h"
#include "base/strings.h"
#include "tests/unit/adapters/kubernetes/fake_objects.h"

namespace fairlead::adapters::kubernetes::provisioner_test {
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
metadata: {name: edge, namespace: shop, uid: g1}
spec:
  gatewayClassName: fairlead
  listeners:
  - {name: http, port: 80, protocol: HTTP}
)";
const ObjectKey kEdge{"gateway.networking.k8s.io", "Gateway", "shop", "edge"};
const std::string kSecret = "/api/v1/namespaces/shop/secrets/edge-fairlead-xds";
const std::string kDeployment = "/apis/apps/v1/namespaces/shop/deployments/edge-fairlead";

// FakeObjects behind lists, watches without an event and discovery.
class Server {
 public:
  Server() {
    http_.new_task_queue = [] { return new httplib::ThreadPool(32); };
    http_.Get(".*", [this](const httplib::Request& in, httplib::Response& out) { get(in, out); });
    const auto write = [this](const httplib::Request& in, httplib::Response& out) { put(api.answer(in.method, in.target, in.body), out); };
    const auto guarded = [this, write](const httplib::Request& in, httplib::Response& out) {
      std::lock_guard lock(mutex_);
      write(in, out);
      changed_.notify_all();
    };
    http_.Patch(".*", guarded);
    http_.Delete(".*", guarded);
    http_.set_socket_options([](socket_t s) {
      int yes = 1;
      setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    port_ = http_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { http_.listen_after_bind(); });
    while (!http_.is_running()) std::this_thread::yield();
  }
  ~Server() {
    stopping_ = true;
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
  bool wait(const std::function<bool()>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, holds);
  }
  template <typename F>
  auto with(F&& f) {
    std::lock_guard lock(mutex_);
    return f(api);
  }
  FakeObjects api;
  std::atomic<int> lists{0}, node_lists{0}, slice_lists{0};
  std::string nodes;  // items of a list; before anybody asks

 private:
  static void put(const Response& r, httplib::Response& out) {
    out.status = r.status;
    out.set_content(r.body, "application/json");
  }
  void get(const httplib::Request& in, httplib::Response& out) {
    if (in.has_param("sendInitialEvents")) return put({422, "{}", {}}, out);
    if (in.has_param("watch")) {
      out.set_chunked_content_provider("application/json", [this](size_t, httplib::DataSink& sink) {
        std::this_thread::sleep_for(20ms);  // of silence
        return !stopping_ && sink.is_writable();
      });
      return;
    }
    std::lock_guard lock(mutex_);
    if (in.has_param("limit")) {
      ++lists;
      changed_.notify_all();
      if (in.path == "/api/v1/nodes") {
        ++node_lists;
        return put({200, absl::StrCat(R"({"metadata":{"resourceVersion":"100"},"items":[)", nodes, "]}"), {}}, out);
      }
      if (in.path == "/apis/discovery.k8s.io/v1/endpointslices") ++slice_lists;
      CHECK(in.get_param_value("labelSelector") == "app.kubernetes.io/managed-by=fairlead-control");
      return put({200, R"({"metadata":{"resourceVersion":"100"},"items":[]})", {}}, out);
    }
    std::string resources;
    if (in.path == "/api/v1") resources = R"({"name":"nodes","verbs":["list"]})";
    if (in.path == "/apis/discovery.k8s.io/v1") resources = R"({"name":"endpointslices","verbs":["list"]})";
    for (const provision::ManagedKind& kind : provision::managed_kinds()) {
      const std::string group = kind.group.empty() ? absl::StrCat("/api/", kind.version) : absl::StrCat("/apis/", kind.group, "/", kind.version);
      if (group == in.path) absl::StrAppend(&resources, resources.empty() ? "" : ",", "{\"name\":\"", kind.plural, "\",\"verbs\":[\"get\",\"create\"]}");
    }
    if (!resources.empty()) return put({200, absl::StrCat("{\"resources\":[", resources, "]}"), {}}, out);
    put(api.answer("GET", in.target, ""), out);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopping_{false};
  httplib::Server http_;
  int port_ = 0;
  std::thread thread_;
};

// An authority in files.
struct Authority {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / absl::StrCat("fairlead-provisioner-", ::getpid());
  CredentialsIssuer::Files files{(folder / "tls.crt").string(), (folder / "tls.key").string(), ""};
  Authority() {
    std::filesystem::create_directories(folder);
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* x = X509_new();
    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 10L * 365 * 86'400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("authority"), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509V3_CTX context;
    X509V3_set_ctx(&context, x, x, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(x, key, EVP_sha256());
    FILE* out = fopen(files.certificate.c_str(), "w");
    PEM_write_X509(out, x);
    fclose(out);
    out = fopen(files.key.c_str(), "w");
    PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    fclose(out);
    X509_free(x);
    EVP_PKEY_free(key);
  }
  ~Authority() { std::filesystem::remove_all(folder); }
};

provision::Options planes() {
  provision::Options o;
  o.controller = "fairlead.io/gateway-controller";
  o.image = "fairlead/proxy:1";
  o.xds_address = "fairlead.fairlead-system.svc:18000";
  o.tls = provision::Options::Tls::kIssued;
  return o;
}

ObjectSnapshotPtr world(const std::string& yaml = kObjects) {
  Store store;
  gatewayapi::register_groups(store);
  store.register_group(std::string(provision::kGroup), provision::check_parameters);
  SourceUpdate update;
  update.source = "kubernetes";
  update.synced = true;
  const auto documents = doc::parse_yaml(yaml, "");
  for (const doc::Value& d : *documents) update.upserted.push_back(read_object(d, "kubernetes", "", update.diagnostics));
  store.apply(update);
  return store.snapshot();
}

std::shared_ptr<const StatusSink> said_of(const ObjectSnapshotPtr& objects) { return std::make_shared<StatusSink>(gatewayapi::translate(*objects).status); }

TEST_CASE("the leader makes what a Gateway is to have, with a certificate for its proxies, and asks nothing more then; who does not lead asks nothing") {
  Server server;
  Authority authority;
  std::atomic<bool> leads{false};
  std::atomic<int> told{0};
  Provisioner::Options options;
  options.source = "kubernetes";
  options.planes = planes();
  options.issuer = authority.files;
  options.api = server.client();
  options.changed = [&] { ++told; };
  Provisioner provisioner(options, RealClock::instance(), [&] { return leads.load(); });
  provisioner.start();
  const ObjectSnapshotPtr objects = world();
  provisioner.update(said_of(objects), objects);
  CHECK(server.with([](FakeObjects& api) { return api.requests.size(); }) == 0);
  CHECK(server.lists == 0);
  leads = true;
  provisioner.wake();
  REQUIRE(server.wait([&] { return server.api.writes == 5; }));  // ServiceAccount, Secret, Service, Deployment, PodDisruptionBudget
  CHECK(server.lists == 7);
  CHECK(told == 0);

  const auto pem = [&](const char* key) { return *decode_base64(server.with([&](FakeObjects& api) { return api.at(kSecret).find("data")->find(key)->as_string(); })); };
  CHECK(pem("ca.crt") == *read_file(authority.files.certificate));
  CHECK(validity_of(pem("tls.crt"), pem("tls.key"), pem("ca.crt"), "spiffe://fairlead.io/ns/shop/gateway/edge").ok());

  // the same again: nothing; another port: the Service and the Deployment, with the same certificate
  provisioner.update(said_of(objects), objects);
  const ObjectSnapshotPtr more = world(absl::StrCat(kObjects, "  - {name: https, port: 81, protocol: HTTP}\n"));
  provisioner.update(said_of(more), more);
  REQUIRE(server.wait([&] { return server.api.writes == 7; }));
  CHECK(absl::StrContains(doc::to_json(server.with([](FakeObjects& api) { return api.at(kDeployment); })), "tcp-81"));

  leads = false;
  provisioner.wake();
  provisioner.stop();
  CHECK(absl::StrContains(provisioner.prometheus(), "fairlead_control_data_plane_requests_total{result=\"applied\"} "));
  CHECK(server.with([](FakeObjects& api) { return api.writes; }) == 7);
}

TEST_CASE("what is in the way of a data plane is told by Gateway; an authority that cannot be read makes nothing") {
  Server server;
  std::atomic<int> told{0};
  std::mutex mutex;
  std::condition_variable changed;
  Provisioner::Options options;
  options.source = "kubernetes";
  options.planes = planes();
  options.issuer = {"/nowhere/tls.crt", "/nowhere/tls.key", ""};
  options.api = server.client();
  options.changed = [&] {
    std::lock_guard lock(mutex);
    ++told;
    changed.notify_all();
  };
  Provisioner provisioner(options, RealClock::instance(), [] { return true; });
  const ObjectSnapshotPtr objects = world();
  provisioner.update(said_of(objects), objects);
  provisioner.start();
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, 20s, [&] { return told > 0; }));
  }
  CHECK(absl::StrContains(provisioner.trouble(kEdge), "/nowhere/tls.crt"));
  CHECK(server.with([](FakeObjects& api) { return api.writes; }) == 0);
}

TEST_CASE("nodes are watched where that is asked for, while a Gateway is reached by them") {
  Server server;
  server.nodes =
      R"({"metadata":{"name":"a","resourceVersion":"7"},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}})";
  std::mutex mutex;
  std::condition_variable changed;
  Provisioner::Options options;
  options.source = "kubernetes";
  options.planes = planes();
  options.planes.tls = provision::Options::Tls::kNone;
  options.planes.node_addresses = true;
  options.api = server.client();
  options.changed = [&] {
    std::lock_guard lock(mutex);
    changed.notify_all();
  };
  const std::string parameters =
      "\n---\napiVersion: fairlead.io/v1alpha1\nkind: GatewayParameters\nmetadata: {name: p, namespace: shop}\nspec: {service: {type: NodePort}}\n";
  std::string by_node = kObjects;
  by_node.replace(by_node.find("  listeners:"), 0, "  infrastructure: {parametersRef: {group: fairlead.io, kind: GatewayParameters, name: p}}\n");
  const ObjectSnapshotPtr plain = world(), at_nodes = world(by_node + parameters);
  Provisioner provisioner(options, RealClock::instance(), [] { return true; });
  provisioner.update(said_of(plain), plain);
  provisioner.start();
  REQUIRE(server.wait([&] { return server.api.writes == 4; }));  // ServiceAccount, Service, Deployment, PodDisruptionBudget
  CHECK(server.node_lists == 0);
  CHECK_FALSE(provisioner.nodes());

  provisioner.update(said_of(at_nodes), at_nodes);
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, 20s, [&] {
      const std::shared_ptr<const provision::Nodes> nodes = provisioner.nodes();
      return nodes && nodes->known();
    }));
  }
  CHECK(server.node_lists == 1);
  CHECK(server.slice_lists == 1);
  std::string why;
  std::vector<Diagnostic> unread;
  const ObjectPtr service =
      read_object(*doc::parse_one("{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {type: NodePort}}", ""), "", "", unread);
  CHECK(provisioner.nodes()->addresses(*service, why) == std::vector<std::string>{"10.0.0.1"});

  provisioner.update(said_of(plain), plain);
  REQUIRE(server.wait([&] { return server.api.writes == 6; }));  // the Service's type, there and back
  CHECK_FALSE(provisioner.nodes());
  provisioner.stop();
}

TEST_CASE("a certificate is kept for two thirds of its time, and made anew for another authority") {
  Authority authority;
  CredentialsIssuer issuer(authority.files);
  SimulatedClock clock(std::chrono::system_clock::now());
  REQUIRE(issuer.refresh(clock.monotonic()).ok());
  provision::Plan plan;
  plan.gateway = world()->find(kEdge);
  const auto first = issuer.of(plan, {}, clock.system());
  REQUIRE(first.ok());
  CHECK(issuer.of(plan, {}, clock.system())->certificate == first->certificate);  // as long as it is in no Secret
  const auto secret = [](const provision::Credentials& c) {
    return doc::map({{"data", doc::map({{"tls.crt", doc::string(absl::Base64Escape(c.certificate)), {}}, {"tls.key", doc::string(absl::Base64Escape(c.key)), {}}}), {}}});
  };
  clock.advance(24h * 240);
  CHECK(issuer.of(plan, secret(*first), clock.system())->certificate == first->certificate);
  clock.advance(24h * 10);
  CHECK(issuer.of(plan, secret(*first), clock.system())->certificate != first->certificate);
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::provisioner_test
