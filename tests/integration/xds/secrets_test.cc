// Secrets by discovery: over ADS, a stream of their own and files, for listeners and clusters; rotated while clients come and go.
#include <signal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "tests/integration/support/tls_client.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace fairlead::testing::secrets_test {
namespace {

using Catch::Matchers::Contains;
using test::Authority;
using test::MadeCertificate;
using namespace std::chrono_literals;

const Authority& ca() {
  static const Authority authority;
  return authority;
}
std::string in_line(const std::string& text) { return absl::StrCat("{inline_string: \"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\"}"); }
std::string pair_of(const std::string& name, const std::string& chain, const std::string& key) {
  return absl::StrCat("name: ", name, "\ntls_certificate: {certificate_chain: ", in_line(chain), ", private_key: ", in_line(key), "}\n");
}
std::string pair_of(const std::string& name, const MadeCertificate& made) { return pair_of(name, made.chain, made.key); }
std::string trust(const std::string& name, const Authority& authority) { return absl::StrCat("name: ", name, "\nvalidation_context: {trusted_ca: ", in_line(authority.pem()), "}\n"); }

const std::string kAds = "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 10s}";
std::string named(const std::string& name, const std::string& source = kAds) { return absl::StrCat("{name: ", name, ", sds_config: ", source, "}"); }
const std::string kDirect = "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: direct}}}]}]}";

std::string tls_socket(const std::string& kind, const std::string& common, const std::string& more = "") {
  return absl::StrCat("transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.", kind, "TlsContext, common_tls_context: {", common, "}", more, "}}\n");
}
// A listener with that certificate.
std::string tls_listener(const std::string& name, const std::string& certificate, const std::string& common = "", const std::string& routes = kDirect) {
  return absl::StrCat(listener(name, routes), "  ", tls_socket("Downstream", absl::StrCat("tls_certificate_sds_secret_configs: [", certificate, "]", common)));
}
std::string stat_of(const ProxyProcess& proxy, const std::string& listener, const std::string& leaf) { return absl::StrCat("listener.127.0.0.1_", proxy.port(listener), ".server_ssl_socket_factory.", leaf); }

// Up to the answer for listeners, incremental.
void begin(FakeAds& ads, const std::string& listener) {
  ads.next_delta("cds");
  ads.send_delta("cds", "c1", {});
  ads.next_delta("cds");
  ads.next_delta("lds");
  ads.send_delta("lds", "l1", {{"1", listener}});
  CHECK(ads.next_delta("lds").error_detail().message().empty());
}

// No cluster, and the listener `back`, a server that asks for a certificate; both its secrets are there at once.
void begin_with_server(FakeAds& ads, const MadeCertificate& host) {
  begin(ads, tls_listener("back", named("host"), ", validation_context_sds_secret_config: " + named("clients")));
  ads.next_delta("sds");
  ads.send_delta("sds", "s1", {{"1", pair_of("host", host)}, {"1", trust("clients", ca())}});
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
}

TEST_CASE("a listener is not there before its certificate is; a new one serves the next handshake, and connections go on with theirs") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin(ads, tls_listener("l", named("s")));
  const auto request = ads.next_delta("sds");
  REQUIRE(request.resource_names_subscribe_size() == 1);
  CHECK(request.resource_names_subscribe(0) == "s");
  CHECK(proxy.admin("/listeners").body.empty());
  CHECK_THAT(proxy.admin("/init_dump").body, Contains("secret 's'"));
  CHECK_THAT(proxy.admin("/config_dump?resource=dynamic_warming_secrets").body, Contains("\"name\": \"s\"") && Contains("uninitialized"));
  const auto one = ca().issue("one"), two = ca().issue("two");
  ads.send_delta("sds", "1", {{"v1", pair_of("s", one)}});
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
  proxy.wait_for_state("LIVE");
  TlsClient first(proxy.port("l"));
  CHECK(first.peer_name() == "one");
  CHECK(first.get("/") == 200);
  CHECK(proxy.stat("sds.s.update_success") == "1");
  ads.send_delta("sds", "2", {{"v2", pair_of("s", two)}});
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
  for (int i = 0; i < 8; ++i) CHECK(TlsClient(proxy.port("l")).peer_name() == "two");  // both workers
  CHECK(first.get("/") == 200);
  CHECK(proxy.stat(stat_of(proxy, "l", "ssl_context_update_by_sds")) == "2");
  CHECK(proxy.stat(stat_of(proxy, "l", "downstream_context_secrets_not_ready")) == "0");
  CHECK_THAT(proxy.admin("/certs").body, Contains("\"cert_chain\""));
  const std::string dump = proxy.admin("/config_dump").body;
  CHECK_THAT(dump, Contains("dynamic_active_secrets") && Contains("\"v2\"") && Contains("[redacted]") && !Contains("PRIVATE KEY"));
  // what belongs together does not fit: refused, with the secret's name and nothing of its content
  ads.send_delta("sds", "3", {{"v3", pair_of("s", two.chain, one.key)}});
  const auto refused = ads.next_delta("sds");
  CHECK_THAT(refused.error_detail().message(), Contains("secret 's'") && Contains("Failed to load private key") && !Contains("PRIVATE KEY"));
  CHECK(TlsClient(proxy.port("l")).peer_name() == "two");
  CHECK(proxy.stat("sds.s.update_rejected") == "1");
  CHECK(first.get("/") == 200);
  ads.send_delta("sds", "4", {}, {"s"});  // taken back: it stays
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
  CHECK(TlsClient(proxy.port("l")).peer_name() == "two");
  // the same listener again, and one more with the same secret, wait for nothing
  ads.send_delta("lds", "l2", {{"2", tls_listener("l", named("s"), ", alpn_protocols: [http/1.1]")}, {"1", tls_listener("m", named("s"))}});
  CHECK_FALSE(ads.next_delta("lds").has_error_detail());
  CHECK(TlsClient(proxy.port("m")).peer_name() == "two");
  CHECK(ads.none("sds"));
  CHECK_THAT(proxy.log(), !Contains("PRIVATE KEY") && !Contains(one.key.substr(60, 40)));
}

TEST_CASE("a secret that never comes: the listener closes its connections after the initial fetch timeout, and serves when it comes") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  ads.send("cds", "1", "c1", {});
  ads.next("lds");
  ads.send("lds", "1", "l1", {tls_listener("l", named("s", "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 0.2s}"))});
  CHECK(ads.next("sds").resource_names(0) == "s");
  proxy.wait_for_state("LIVE");
  CHECK_FALSE(TlsClient(proxy.port("l")).connected());
  RawSocket plain = RawSocket::connect(proxy.port("l"));
  plain.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  CHECK_FALSE(plain.quiet_for(2s));  // closed, and not a byte of plain text
  proxy.wait_for_stat(stat_of(proxy, "l", "downstream_context_secrets_not_ready"), "2");
  proxy.wait_for_stat("sds.s.init_fetch_timeout", "1");
  ads.send("sds", "1", "s1", {pair_of("s", ca().issue("late"))});
  CHECK(ads.next("sds").version_info() == "1");
  TlsClient client(proxy.port("l"));
  CHECK(client.peer_name() == "late");
  CHECK(client.get("/") == 200);
}

TEST_CASE("a cluster waits for the secrets of its TLS, fails requests without them, and follows their changes") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  const std::string soon = "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 0.2s}";
  const MadeCertificate host = ca().issue("host", "DNS:example.test"), client = ca().issue("client");
  const Authority stranger("Stranger");
  begin_with_server(ads, host);
  const uint16_t port = proxy.port("back");
  ads.send_delta("cds", "c2", {{"1", static_cluster("up", port, tls_socket("Upstream", "tls_certificate_sds_secret_configs: [" + named("client", soon) + "], combined_validation_context: {default_validation_context: "
                                                                                        "{match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: example.test}}]}, validation_context_sds_secret_config: " + named("ca", soon) + "}",
                                                                                        ", sni: example.test"))}});
  CHECK_FALSE(ads.next_delta("cds").has_error_detail());
  ads.send_delta("lds", "l2", {{"1", listener("front", "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}")}});
  CHECK_FALSE(ads.next_delta("lds").has_error_detail());
  RawSocket connection = RawSocket::connect(proxy.port("front"));  // all on one worker
  const auto ask = [&] {
    connection.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    return connection.read_response();
  };
  const auto missing = ask();
  CHECK(missing.status == 503);
  CHECK_THAT(missing.body, Contains("remote connection failure"));
  CHECK(proxy.stat("cluster.up.client_ssl_socket_factory.upstream_context_secrets_not_ready") == "1");
  ads.send_delta("sds", "s2", {{"1", pair_of("client", client)}, {"1", trust("ca", ca())}});
  ads.next_delta("sds");  // the subscription
  while (ads.next_delta("sds").response_nonce() != "s2") {}
  CHECK(ask().body == "direct");
  CHECK(proxy.stat("cluster.up.client_ssl_socket_factory.ssl_context_update_by_sds") == "2");  // each secret is one
  // another authority: connections that are open go on, new ones fail
  ads.send_delta("sds", "s3", {{"2", trust("ca", stranger)}});
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
  CHECK(ask().body == "direct");
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == "2");
  ads.send_delta("sds", "s4", {{"2", absl::StrCat("name: ca\nvalidation_context: {trusted_ca: ", in_line("nonsense"), "}\n")}});
  CHECK_THAT(ads.next_delta("sds").error_detail().message(), Contains("secret 'ca'") && Contains("Failed to load trusted CA certificates from <inline>"));
}

// Asks again and again from a thread of its own.
class Asking {
 public:
  explicit Asking(std::function<bool()> ask) : thread_([this, ask = std::move(ask)] {
    while (!stop_) {
      bool good = false;
      try {
        good = ask();
      } catch (const std::exception&) {
      }
      good ? ++good_ : ++bad_;
    }
  }) {}
  ~Asking() { end(); }
  void end() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int good() const { return good_; }
  int bad() const { return bad_; }
  void more() const {  // some that began after this call
    const int before = good_ + bad_;
    while (good_ + bad_ < before + 5) std::this_thread::yield();
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> good_{0}, bad_{0};
  std::thread thread_;
};

const std::string kSoon = "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 0.2s}";

TEST_CASE("a listener whose new certificate has not come serves the old one, however long that takes, and one that is taken back while it is in use") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin(ads, tls_listener("l", named("s")));
  ads.next_delta("sds");
  ads.send_delta("sds", "1", {{"1", pair_of("s", ca().issue("one"))}});
  ads.next_delta("sds");
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  TlsClient first(port);
  std::atomic<int> others{0};
  Asking asking([&] {
    TlsClient client(port);
    if (client.peer_name() != "one") ++others;
    return client.get("/") == 200;
  });
  ads.send_delta("lds", "l2", {{"2", tls_listener("l", named("t", kSoon))}});
  CHECK_FALSE(ads.next_delta("lds").has_error_detail());
  CHECK(ads.next_delta("sds").resource_names_subscribe(0) == "t");
  proxy.wait_for_stat("listener_manager.total_listeners_warming", "1");
  proxy.wait_for_stat("sds.t.init_fetch_timeout", "1");
  ads.send_delta("sds", "2", {}, {"s", "t"});  // the one in use, and the one that is waited for
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
  asking.more();
  CHECK(proxy.stat("listener_manager.total_listeners_warming") == "1");
  CHECK_THAT(proxy.admin("/init_dump").body, Contains("secret 't'"));
  CHECK(others == 0);
  CHECK(first.get("/") == 200);
  ads.send_delta("sds", "3", {{"1", pair_of("t", ca().issue("two"))}});
  while (ads.next_delta("sds").response_nonce() != "3") {
  }
  proxy.wait_for_stat("listener_manager.total_listeners_warming", "0");
  while (others == 0) std::this_thread::yield();
  for (int i = 0; i < 8; ++i) CHECK(TlsClient(port).peer_name() == "two");  // both workers
  asking.end();
  CHECK(asking.bad() == 0);
  CHECK(first.get("/") == 200);
  CHECK(proxy.stat(stat_of(proxy, "l", "downstream_context_secrets_not_ready")) == "0");
}

TEST_CASE("a cluster whose new secrets have not come serves with the old ones, however long that takes") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin_with_server(ads, ca().issue("host", "DNS:example.test"));
  const auto cluster = [&](const std::string& client) {
    return static_cluster("up", proxy.port("back"), tls_socket("Upstream", "tls_certificate_sds_secret_configs: [" + named(client, kSoon) + "], validation_context_sds_secret_config: " + named("clients"), ", sni: example.test"));
  };
  ads.send_delta("cds", "c2", {{"1", cluster("one")}});
  CHECK_FALSE(ads.next_delta("cds").has_error_detail());
  ads.next_delta("sds");
  ads.send_delta("sds", "s2", {{"1", pair_of("one", ca().issue("one"))}});
  ads.next_delta("sds");
  proxy.wait_for_stat("cluster_manager.warming_clusters", "0");
  ads.send_delta("lds", "l2", {{"1", listener("front", "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}")}});
  CHECK_FALSE(ads.next_delta("lds").has_error_detail());
  const uint16_t front = proxy.port("front");
  Asking asking([&] {
    RawSocket socket = RawSocket::connect(front);
    socket.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    return socket.read_response().body == "direct";
  });
  ads.send_delta("cds", "c3", {{"2", cluster("two")}});
  CHECK_FALSE(ads.next_delta("cds").has_error_detail());
  proxy.wait_for_stat("sds.two.init_fetch_timeout", "1");
  asking.more();
  CHECK(proxy.stat("cluster_manager.warming_clusters") == "1");
  const std::string connections = proxy.stat("cluster.up.upstream_cx_total");
  ads.send_delta("sds", "s3", {{"1", pair_of("two", ca().issue("two"))}});
  while (ads.next_delta("sds").response_nonce() != "s3") {
  }
  proxy.wait_for_stat("cluster_manager.warming_clusters", "0");
  asking.more();
  asking.end();
  CHECK(asking.bad() == 0);
  CHECK(asking.good() > 10);
  CHECK(proxy.stat("cluster.up.upstream_cx_total") != connections);  // new ones, with the new certificate
  CHECK(proxy.stat("cluster.up.client_ssl_socket_factory.upstream_context_secrets_not_ready") == "0");
}

TEST_CASE("secrets over a stream of their own") {
  for (const bool delta : {false, true}) {
    FakeAds ads;
    const std::string source = absl::StrCat("{api_config_source: {api_type: ", delta ? "DELTA_GRPC" : "GRPC", ", transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}, resource_api_version: V3}");
    const std::string bootstrap = ads_bootstrap(ads.port(), delta);
    const size_t from = bootstrap.find("dynamic_resources:"), to = bootstrap.find("static_resources:");
    ProxyProcess proxy(absl::StrCat(bootstrap.substr(0, from), bootstrap.substr(to), "  listeners:\n", item(tls_listener("l", named("s", source)), 2)));
    if (delta) {
      CHECK(ads.next_delta("sds").resource_names_subscribe(0) == "s");
      ads.send_delta("sds", "1", {{"1", pair_of("s", ca().issue("one"))}});
      CHECK_FALSE(ads.next_delta("sds").has_error_detail());
    } else {
      CHECK(ads.next("sds").resource_names(0) == "s");
      ads.send("sds", "1", "n1", {pair_of("s", ca().issue("one"))});
      CHECK(ads.next("sds").version_info() == "1");
    }
    proxy.wait_for_state("LIVE");
    CHECK(TlsClient(proxy.port("l")).peer_name() == "one");
    CHECK(ads.methods() == std::vector<std::string>{delta ? "delta-sds" : "sds"});
  }
}

TEST_CASE("a secret from a file names files; each is read again when something is moved into its place") {
  TemporaryDirectory directory;
  const auto place = [&](const std::string& name, const std::string& text) { REQUIRE(replace_file(directory.path(name), text).ok()); };
  const auto one = ca().issue("one"), two = ca().issue("two"), three = ca().issue("three");
  place("chain.pem", one.chain);
  place("key.pem", one.key);
  const auto response = [&](const std::string& version, const std::string& secret) {
    return absl::StrCat("version_info: '", version, "'\nresources:\n", item(absl::StrCat("'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n", secret), 0));
  };
  const std::string files = absl::StrCat("{certificate_chain: {filename: ", directory.path("chain.pem"), "}, private_key: {filename: ", directory.path("key.pem"), "}");
  make_directories(directory.path("sds")).IgnoreError();
  place("sds/s.yaml", response("1", absl::StrCat("name: s\ntls_certificate: ", files, "}\n")));
  const std::string source = absl::StrCat("{path_config_source: {path: ", directory.path("sds/s.yaml"), ", watched_directory: {path: ", directory.path("sds"), "}}, resource_api_version: V3}");
  // beside it a certificate that is no secret and has a directory to watch
  std::string fixed = absl::StrCat(listener("fixed", kDirect), "  ", tls_socket("Downstream", absl::StrCat("tls_certificates: [", files, ", watched_directory: {path: ", directory.path(), "}}]")));
  ProxyProcess proxy(absl::StrCat("node: {id: node-1, cluster: edge}\n", static_bootstrap({}, {tls_listener("l", named("s", source)), fixed})));
  proxy.wait_for_state("LIVE");
  TlsClient first(proxy.port("l")), other(proxy.port("fixed"));
  CHECK(first.peer_name() == "one");
  CHECK(other.peer_name() == "one");
  place("chain.pem", two.chain);  // does not fit the key yet
  proxy.wait_for_stat("sds.s.key_rotation_failed", "1");
  CHECK(TlsClient(proxy.port("l")).peer_name() == "one");
  CHECK(TlsClient(proxy.port("fixed")).peer_name() == "one");
  place("key.pem", two.key);
  proxy.wait_for_stat(stat_of(proxy, "l", "ssl_context_update_by_sds"), "2");
  CHECK(TlsClient(proxy.port("l")).peer_name() == "two");
  CHECK(TlsClient(proxy.port("fixed")).peer_name() == "two");
  CHECK(first.get("/") == 200);
  CHECK(other.get("/") == 200);
  place("sds/s.yaml", response("2", pair_of("s", three)));
  proxy.wait_for_stat("sds.s.version_text", "\"2\"");
  CHECK(TlsClient(proxy.port("l")).peer_name() == "three");
  place("sds/s.yaml", response("3", pair_of("s", three.chain, two.key)));
  proxy.wait_for_stat("sds.s.update_rejected", "1");
  CHECK(TlsClient(proxy.port("l")).peer_name() == "three");
  place("sds/s.yaml", response("4", pair_of("another", two)));
  proxy.wait_for_stat("sds.s.update_rejected", "2");
  CHECK(TlsClient(proxy.port("l")).peer_name() == "three");
  CHECK_THAT(proxy.log(), !Contains("PRIVATE KEY"));
}

TEST_CASE("a certificate that changes a hundred times a second fails no handshake and no connection") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin(ads, tls_listener("l", named("s")));
  ads.next_delta("sds");
  std::vector<std::string> texts;
  for (int i = 0; i < 4; ++i) texts.push_back(pair_of("s", ca().issue(absl::StrCat("c", i))));
  ads.send_delta("sds", "0", {{"0", texts[0]}});
  CHECK_FALSE(ads.next_delta("sds").has_error_detail());
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  std::atomic<bool> stop{false};
  std::atomic<int> handshakes{0}, requests{0}, failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      TlsClient kept(port);  // one that lives through all of it
      while (!stop) {
        TlsClient client(port);
        if (client.get("/") != 200) ++failed;
        ++handshakes;
        if (kept.get("/") != 200) ++failed;
        ++requests;
      }
    });
  const auto start = std::chrono::steady_clock::now();
  constexpr int kChanges = 300;
  for (int i = 1; i <= kChanges; ++i) {
    ads.send_delta("sds", absl::StrCat(i), {{absl::StrCat(i), texts[i % 4]}});
    if (ads.next_delta("sds").has_error_detail()) ++failed;
    std::this_thread::sleep_until(start + i * 10ms);  // the rate is the test
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  INFO(handshakes << " handshakes, " << requests << " requests on old connections");
  CHECK(failed == 0);
  CHECK(handshakes > 100);
  CHECK(TlsClient(port).peer_name() == absl::StrCat("c", kChanges % 4));
  CHECK(proxy.stat("sds.s.update_success") == absl::StrCat(kChanges + 1));
  CHECK(proxy.stat(stat_of(proxy, "l", "ssl_context_update_by_sds")) == absl::StrCat(kChanges + 1));
  CHECK(proxy.stat("http.l.downstream_cx_destroy_remote_active_rq") == "0");
}

}  // namespace
}  // namespace fairlead::testing::secrets_test
