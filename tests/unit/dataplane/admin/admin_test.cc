// Admin without a server: dispatch and the method rule, masks, /config_dump, /clusters.
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/doc.h"
#include "dataplane/admin/admin.h"
#include "dataplane/admin/cluster_status.h"
#include "dataplane/admin/config_dump.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace fairlead::admin {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

AdminServer make_server(int* calls) {
  return AdminServer({{"/read", false, "reads", {{"q", "a question"}}, [](const Request& r) { return Response::text(r.param("q")); }},
                      {"/change", true, "changes", {}, [calls](const Request&) {
                         ++*calls;
                         return Response::text("OK\n");
                       }}},
                     [](std::function<void()> job) { job(); });
}

TEST_CASE("dispatch: reading by GET, changing only by POST, help, unknown paths") {
  int calls = 0;
  const AdminServer server = make_server(&calls);
  CHECK(server.dispatch({"GET", "/read", {{"q", "x"}}}).body == "x");
  CHECK(server.dispatch({"GET", "/change", {}}).status == 405);
  CHECK(server.dispatch({"GET", "/change", {}}).body == "Method GET not allowed, POST required.");
  CHECK(calls == 0);
  CHECK(server.dispatch({"POST", "/change", {}}).status == 200);
  CHECK(calls == 1);
  CHECK_THAT(server.dispatch({"GET", "/help", {}}).body, Contains("admin commands are:\n") && Contains("  /change (POST): changes\n") && Contains("      q: a question\n"));
  const Response unknown = server.dispatch({"GET", "/nope", {}});
  CHECK(unknown.status == 404);
  CHECK_THAT(unknown.body, Contains("invalid path. admin commands are:"));
}

int connect_to(const net::Address& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 3, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_storage where;
  const socklen_t size = address.to_sockaddr(where);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&where), size) == 0);
  return fd;
}

// The beginning of what comes back for one request, empty when nothing does within three seconds.
std::string ask(const net::Address& address, const std::string& request) {
  const int fd = connect_to(address);
  REQUIRE(send(fd, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()));
  char answer[64];
  const ssize_t n = recv(fd, answer, sizeof answer, 0);
  close(fd);
  return std::string(answer, n > 0 ? static_cast<size_t>(n) : 0);
}

TEST_CASE("over HTTP: a POST without any length has no body and is answered at once, as one with a length is") {
  int calls = 0;
  AdminServer server = make_server(&calls);
  REQUIRE(server.start(net::Address::v4_loopback(0)).ok());
  CHECK_THAT(ask(server.address(), "POST /change?a=b HTTP/1.1\r\nhost: a\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK(calls == 1);
  CHECK_THAT(ask(server.address(), "POST /change?a=b HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK(calls == 2);
}

TEST_CASE("over HTTP: thirty connections that say nothing do not keep a health check waiting") {
  int calls = 0;
  AdminServer server = make_server(&calls);
  REQUIRE(server.start(net::Address::v4_loopback(0)).ok());
  std::vector<int> idle;
  for (int i = 0; i < 30; ++i) idle.push_back(connect_to(server.address()));
  CHECK_THAT(ask(server.address(), "GET /read?q=x HTTP/1.1\r\nhost: a\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  for (int fd : idle) close(fd);
}

TEST_CASE("a mask keeps the named paths, through lists, with @type") {
  const doc::Value v = *doc::parse_json(R"({"@type":"t","a":{"b":1,"c":2},"list":[{"x":1,"y":2},{"x":3}],"z":0})", "v");
  CHECK(doc::to_json(apply_mask(v, "a.b")) == R"({"@type":"t","a":{"b":1}})");
  CHECK(doc::to_json(apply_mask(v, "a.b,list.x")) == R"({"@type":"t","a":{"b":1},"list":[{"x":1},{"x":3}]})");
  CHECK(apply_mask(v, "nothing.here").is_null());
}

TEST_CASE("config_dump: static, active, warming and refused clusters each in their place") {
  const std::string bootstrap;
  xds::Ledger ledger;
  xds::Epoch epoch(xds::Epoch::Options{});
  auto cluster = [](const std::string& name) {
    auto c = std::make_shared<envoy::config::cluster::v3::Cluster>();
    c->set_name(name);
    return c;
  };
  const std::chrono::system_clock::time_point at{std::chrono::milliseconds(1600000000123)};
  ledger.add_static(xds::Type::cluster, "fixed", cluster("fixed"), at);
  ledger.accept(xds::Type::cluster, "active", cluster("active"), "7", at);
  ledger.accept(xds::Type::cluster, "warming", cluster("warming"), "7", at);
  ledger.refuse(xds::Type::cluster, "active", cluster("active"), "8", "cluster 'active': why", at);
  ledger.set_version(xds::Type::cluster, "7");
  auto warming = std::make_shared<config::ClusterConfig>();
  warming->name = "warming";
  warming->discovery = config::ClusterConfig::Discovery::Eds;
  epoch.set_cluster(warming, std::chrono::steady_clock::time_point{});
  const DumpInput in{&bootstrap, at, &ledger, &epoch};
  const std::string all = *config_dump(in, {});
  CHECK_THAT(all, Contains("\"version_info\": \"7\"") && Contains("\"static_clusters\"") && Contains("\"dynamic_active_clusters\"") && Contains("\"dynamic_warming_clusters\""));
  CHECK_THAT(all, Contains("\"last_updated\": \"2020-09-13T12:26:40.123Z\""));
  CHECK_THAT(all, Contains("\"details\": \"cluster 'active': why\"") && Contains("\"version_info\": \"8\""));
  CHECK_THAT(*config_dump(in, {"dynamic_warming_clusters", "", "", false}), Contains("warming") && !Contains("active"));
  CHECK_THAT(*config_dump(in, {"", "", "^fixed$", false}), Contains("fixed") && !Contains("warming\""));
  CHECK(config_dump(in, {"nope", "", "", false}).status().message() == "nope not found in config dump");
  CHECK(config_dump(in, {"", "no.such", "", false}).status().message() == "FieldMask no.such could not be successfully applied to any configs.");
  CHECK_FALSE(config_dump(in, {"", "", "(", false}).ok());
}

TEST_CASE("clusters: Envoy's lines and JSON") {
  config::ClusterConfig config;
  config.name = "c";
  upstream::HostStatus host;
  host.address = "[::1]:80";
  host.hostname = "h";
  host.health = upstream::Health::kUnhealthy;
  host.counters.rq_success = 5;
  const std::vector<ClusterRow> rows = {{&config, true, {host}}};
  const std::string text = clusters_text(rows);
  CHECK_THAT(text, Contains("c::default_priority::max_requests::1024\n") && Contains("c::added_via_api::true\n") && Contains("c::[::1]:80::rq_success::5\n") &&
                       Contains("c::[::1]:80::hostname::h\n") && Contains("c::[::1]:80::health_flags::/failed_eds_health\n") && Contains("c::[::1]:80::success_rate::-1\n"));
  const doc::Value json = *doc::parse_json(clusters_json(rows), "clusters");
  CHECK(json.find("cluster_statuses")->items()[0].find_path("name")->as_string() == "c");
  const doc::Value& status = json.find("cluster_statuses")->items()[0].find("host_statuses")->items()[0];
  CHECK(status.find_path("address.socket_address.address")->as_string() == "::1");
  CHECK(status.find_path("health_status.eds_health_status")->as_string() == "UNHEALTHY");
}

}  // namespace
}  // namespace fairlead::admin
