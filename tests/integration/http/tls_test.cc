// TLS on both sides of a proxy: two proxies in a row, of which the first speaks TLS to the second's listener.
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace tls_test {

using namespace fairlead::testing;
using fairlead::test::Authority;
using fairlead::test::MadeCertificate;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

const Authority& ca() {
  static const Authority authority;
  return authority;
}
std::string quoted(const std::string& text) { return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\""); }
std::string pair_yaml(const MadeCertificate& made) {
  return absl::StrCat("{certificate_chain: {inline_string: ", quoted(made.chain), "}, private_key: {inline_string: ", quoted(made.key), "}}");
}
std::string trust_yaml(const Authority& authority = ca(), const std::string& more = "") {
  return absl::StrCat("validation_context: {trusted_ca: {inline_string: ", quoted(authority.pem()), "}", more, "}");
}

// A listener with TLS: `common` of common_tls_context beside the certificate, `context` of the context itself.
// `pairs`: a list of certificates in YAML; the first goes to clients whose name none of them has.
std::string tls_listener(const std::string& pairs, const std::string& routes, const std::string& common = "", const std::string& context = "", const std::string& hcm = "", const std::string& chain = "") {
  return absl::StrCat(listener_yaml(routes, hcm), "  transport_socket: {name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                      context, ", common_tls_context: {tls_certificates: [", pairs, "]", common, "}}}\n", chain);
}
std::string tls_listener(const MadeCertificate& made, const std::string& routes, const std::string& common = "", const std::string& context = "", const std::string& hcm = "", const std::string& chain = "") {
  return tls_listener(pair_yaml(made), routes, common, context, hcm, chain);
}
std::string tls_cluster(uint16_t port, const std::string& context, const std::string& more = "") {
  return cluster_yaml("up", {port}, absl::StrCat("connect_timeout: 2s\n", more, "transport_socket: {name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, ",
                                                 context, "}}\n"));
}
const MadeCertificate& host() {
  static const MadeCertificate made = ca().issue("server", "DNS:example.test,DNS:other.test");
  return made;
}
const MadeCertificate& person() {
  static const MadeCertificate made = ca().issue("client", "URI:spiffe://test/a,DNS:client.test,DNS:c2.test");
  return made;
}
const std::string kAutomatic = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, auto_config: {}}}\n";
const std::string kHttp2 = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
                           "explicit_http_config: {http2_protocol_options: {}}}}\n";

}  // namespace

TEST_CASE("requests pass through TLS on both sides") {
  FakeUpstream up;
  TestProxy back(tls_listener(host(), kToUp), {cluster_yaml("up", {up.port()})});
  TestProxy front(listener_yaml(kToUp), {tls_cluster(back.port(), "sni: example.test, common_tls_context: {" + trust_yaml() + "}")});
  const std::string body(200'000, 'b');
  const RawResponse answer = front.get("/a", "", "POST", body);
  CHECK(answer.status == 200);
  CHECK(up.last().body == body);
  CHECK(up.last().header("x-forwarded-proto") == "http");  // the first proxy's word
  CHECK(front.get("/b").status == 200);
  CHECK(front.stat("cluster.up.ssl.handshake") == 1);
  CHECK(front.stat("cluster.up.ssl.versions.TLSv1.2") == 1);
  CHECK(front.stat("cluster.up.ssl.ciphers.ECDHE-ECDSA-AES128-GCM-SHA256") == 1);
  CHECK(front.stat("cluster.up.ssl.curves.X25519") == 1);
  CHECK(front.stat("cluster.up.ssl.sigalgs.ecdsa_secp256r1_sha256") == 1);
  CHECK(front.stat("cluster.up.upstream_cx_total") == 1);
  const std::string listener = absl::StrCat("listener.127.0.0.1_", back.port(), ".ssl.");
  CHECK(back.stat(listener + "handshake") == 1);
  CHECK(back.stat(listener + "no_certificate") == 1);
  CHECK(back.stat(listener + "versions.TLSv1.2") == 1);
  CHECK(back.stat(listener + "certificate.unnamed_cert_e3b0c442.expiration_unix_time_seconds") > 1'700'000'000);
  CHECK(back.stat("http.test.downstream_cx_ssl_total") == 1);
  CHECK(back.stat("http.test.downstream_cx_ssl_active") == 1);
  CHECK(back.stat("http.test.downstream_cx_http1_total") == 1);
}

TEST_CASE("the request's host gives the upstream's TLS its names, and names that differ have connections of their own") {
  FakeUpstream up;
  const std::string routes = "- match: {prefix: /rewritten}\n  route: {cluster: up, host_rewrite_literal: example.test}\n- match: {prefix: /}\n  route: {cluster: up}\n";
  // each name has a certificate of its own, which tells what the SNI was
  const std::string shown = "- match: {prefix: /}\n  route: {cluster: up}\n  request_headers_to_add: [{header: {key: x-shown, value: '%DOWNSTREAM_LOCAL_SUBJECT%'}}]\n";
  const std::string pairs = absl::StrCat(pair_yaml(ca().issue("none", "DNS:none.test")), ", ", pair_yaml(ca().issue("example", "DNS:example.test")), ", ", pair_yaml(ca().issue("other", "DNS:other.test")));
  TestProxy back(tls_listener(pairs, shown), {cluster_yaml("up", {up.port()})});
  TestProxy nameless(tls_listener(host(), shown), {cluster_yaml("up", {up.port()})});
  const auto front_with = [&](const std::string& names, const TestProxy& to) {
    return std::make_unique<TestProxy>(listener_yaml(routes), std::vector{tls_cluster(to.port(), "common_tls_context: {" + trust_yaml() + "}",
                                                                                     "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
                                                                                     "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}, "
                                                                                     "upstream_http_protocol_options: {" + names + "}}}\n")});
  };
  const auto ask = [](const TestProxy& front, const std::string& authority, const std::string& headers = "", const std::string& path = "/") {
    RawSocket client = front.connect();
    client.send(absl::StrCat("GET ", path, " HTTP/1.1\r\nhost: ", authority, "\r\n", headers, "\r\n"));
    return client.read_response().status;
  };
  SECTION("both") {
    const auto front = front_with("auto_sni: true, auto_san_validation: true", back);
    CHECK(ask(*front, "Example.test:8080") == 200);
    CHECK(up.last().header("x-shown") == "CN=example,O=Test");
    CHECK(ask(*front, "other.test") == 200);
    CHECK(up.last().header("x-shown") == "CN=other,O=Test");
    CHECK(front->stat("cluster.up.upstream_cx_total") == 2);
    CHECK(ask(*front, "other.test") == 200);
    CHECK(ask(*front, "example.test") == 200);
    CHECK(front->stat("cluster.up.upstream_cx_total") == 2);
    CHECK(ask(*front, "third.test") == 503);
    CHECK(ask(*front, "127.0.0.1") == 503);
    CHECK(ask(*front, "[::1]:80") == 503);
    CHECK(front->stat("cluster.up.ssl.fail_verify_san") == 3);
    CHECK(ask(*front, "third.test", "", "/rewritten") == 200);
    CHECK(up.last().header("x-shown") == "CN=example,O=Test");
  }
  SECTION("a header's word instead") {
    const auto front = front_with("auto_sni: true, auto_san_validation: true, override_auto_sni_header: X-Name", back);
    CHECK(ask(*front, "third.test", "x-name: other.test\r\n") == 200);
    CHECK(up.last().header("x-shown") == "CN=other,O=Test");
    CHECK(ask(*front, "example.test", "x-name: third.test\r\n") == 503);
    CHECK(ask(*front, "example.test") == 200);
    CHECK(up.last().header("x-shown") == "CN=example,O=Test");
  }
  SECTION("a session that one name was good for is not resumed for another") {
    const auto front = front_with("auto_san_validation: true", nameless);
    CHECK(ask(*front, "example.test") == 200);
    CHECK(up.last().header("x-shown") == "CN=server,O=Test");
    CHECK(ask(*front, "third.test") == 503);
    CHECK(front->stat("cluster.up.ssl.fail_verify_san") == 1);
  }
}

TEST_CASE("a client of TLS that says nothing else gets https") {
  FakeUpstream up;
  TestProxy back(tls_listener(host(), kToUp, "", "", "use_remote_address: true\n"), {cluster_yaml("up", {up.port()})});
  TestProxy front(listener_yaml(kToUp), {tls_cluster(back.port(), "sni: example.test")});
  CHECK(front.get("/").status == 200);
  CHECK(up.last().header("x-forwarded-proto") == "https");
}

TEST_CASE("ALPN chooses the protocol of both sides") {
  FakeUpstream up;
  const auto run = [&](const std::string& protocols, const std::string& options, const std::string& expected) {
    TestProxy back(tls_listener(host(), kToUp, protocols), {cluster_yaml("up", {up.port()})});
    TestProxy front(listener_yaml(kToUp), {tls_cluster(back.port(), "sni: example.test", options)});
    CHECK(front.get("/").status == 200);
    CHECK(front.get("/").status == 200);
    CHECK(back.stat("http.test.downstream_cx_" + expected + "_total") == 1);
    CHECK(front.stat("cluster.up.upstream_cx_" + expected + "_total") == 1);
    CHECK(front.stat("cluster.up.upstream_cx_total") == 1);
  };
  run(", alpn_protocols: [h2, http/1.1]", kAutomatic, "http2");
  run(", alpn_protocols: [http/1.1]", kAutomatic, "http1");
  run("", kAutomatic, "http1");
  run(", alpn_protocols: [h2, http/1.1]", kHttp2, "http2");
  run("", kHttp2, "http2");  // the preface says it
  run(", alpn_protocols: [h2, http/1.1]", "", "http1");
}

TEST_CASE("requests that wait while ALPN turns out to be HTTP/1.1 get connections of their own") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.delay = std::chrono::milliseconds(50)}; });
  TestProxy back(tls_listener(host(), kToUp), {cluster_yaml("up", {up.port()})});
  TestProxy front(listener_yaml(kToUp), {tls_cluster(back.port(), "sni: example.test", kAutomatic)});
  std::vector<RawSocket> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(front.connect());
    clients.back().send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  }
  for (RawSocket& client : clients) CHECK(client.read_response().status == 200);
  CHECK(front.stat("cluster.up.upstream_cx_http1_total") == 4);
}

TEST_CASE("a client certificate is shown, judged, told to the upstream and matched by routes") {
  FakeUpstream up;
  const std::string routes = "- match: {prefix: /, tls_context: {presented: true, validated: true}}\n  route: {cluster: up}\n- match: {prefix: /}\n  direct_response: {status: 403}\n";
  const auto run = [&](const std::string& hcm, const std::string& client, const std::string& headers = "") {
    TestProxy back(tls_listener(host(), routes, ", " + trust_yaml(), "", hcm), {cluster_yaml("up", {up.port()})});
    // a proxy in front would remove the header
    TestProxy front(listener_yaml(kToUp, "forward_client_cert_details: ALWAYS_FORWARD_ONLY\n"), {tls_cluster(back.port(), "sni: example.test, common_tls_context: {" + client + "}")});
    return front.get("/", headers).status;
  };
  const std::string own = "tls_certificates: [" + pair_yaml(person()) + "]";
  const std::string old = "x-forwarded-client-cert: Hash=old\r\n";
  CHECK(run("", "") == 403);
  CHECK(run("", own, old) == 200);
  CHECK_FALSE(up.last().has("x-forwarded-client-cert"));
  CHECK(run("forward_client_cert_details: FORWARD_ONLY\n", own, old) == 200);
  CHECK(up.last().header("x-forwarded-client-cert") == "Hash=old");
  CHECK(run("forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {subject: true, uri: true, dns: true}\n", own, old) == 200);
  const std::string set = up.last().header("x-forwarded-client-cert");
  CHECK_THAT(set, Catch::StartsWith("Hash="));
  CHECK(set.substr(5 + 64) == ";Subject=\"CN=client,O=Test\";URI=spiffe://test/a;DNS=client.test;DNS=c2.test");
  CHECK(run("forward_client_cert_details: APPEND_FORWARD\n", own, old) == 200);
  CHECK(up.last().header("x-forwarded-client-cert") == "Hash=old," + set.substr(0, 5 + 64));
  CHECK(run("forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {cert: true, chain: true}\n", own) == 200);
  CHECK_THAT(up.last().header("x-forwarded-client-cert"), Catch::Contains(";Cert=\"-----BEGIN%20CERTIFICATE-----%0A") && Catch::Contains("%0A-----END%20CERTIFICATE-----%0A\";Chain=\"-----BEGIN"));
}

TEST_CASE("headers and logs can tell a connection's TLS") {
  FakeUpstream up;
  TestProxy back(tls_listener(host(), "- match: {prefix: /}\n  route: {cluster: up}\n  response_headers_to_add:\n  - header: {key: x-tls, value: '%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_TLS_GROUP% "
                                      "%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% %DOWNSTREAM_LOCAL_DNS_SAN% "
                                      "[%DOWNSTREAM_LOCAL_URI_SAN%][%DOWNSTREAM_TLS_SESSION_ID%]'}\n",
                              ", " + trust_yaml()),
                 {cluster_yaml("up", {up.port()})});
  TestProxy front(listener_yaml("- match: {prefix: /}\n  route: {cluster: up}\n  response_headers_to_add:\n  - header: {key: x-up, value: '%UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_SUBJECT% %UPSTREAM_LOCAL_SUBJECT% [%DOWNSTREAM_TLS_VERSION%]'}\n"),
                  {tls_cluster(back.port(), "sni: example.test, common_tls_context: {tls_params: {tls_maximum_protocol_version: TLSv1_3}, tls_certificates: [" + pair_yaml(person()) + "]}")});
  const RawResponse answer = front.get("/");
  CHECK(answer.header("x-tls") == "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519 CN=client,O=Test CN=Test CA,O=Test spiffe://test/a client.test,c2.test example.test,other.test [][]");
  CHECK(answer.header("x-up") == "TLSv1.3 CN=server,O=Test CN=client,O=Test []");
}

TEST_CASE("an upstream that cannot be trusted gets nothing, and the log says why") {
  FakeUpstream up;
  TestProxy back(tls_listener(host(), kToUp), {cluster_yaml("up", {up.port()})});
  const auto refused = [&](const std::string& context, const std::string& details, const std::string& stat) {
    TestProxy front(listener_yaml(kToUp), {tls_cluster(back.port(), context)});
    const RawResponse answer = front.get("/");
    CHECK(answer.status == 503);
    CHECK(answer.body == "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure");
    CHECK(front.access_log(1).at(0) == "503 UF upstream_reset_before_response_started{remote_connection_failure|TLS_error:|" + details + ":TLS_error_end}");
    CHECK(front.stat("cluster.up.ssl." + stat) == 1);
    CHECK(front.stat("cluster.up.upstream_cx_connect_fail") == 1);
  };
  const std::string verify = "268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_";
  const std::string names = "SAN_matcher,_certificate_SANs_are_[example.test,_other.test]";
  refused("sni: example.test, common_tls_context: {" + trust_yaml(ca(), ", match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: no.test}}]") + "}", verify + names, "fail_verify_san");
  refused("sni: no.test, auto_sni_san_validation: true, common_tls_context: {" + trust_yaml() + "}", verify + names, "fail_verify_san");
  refused("common_tls_context: {validation_context: {verify_certificate_hash: ['" + std::string(64, 'a') + "']}}", verify + "cert_hash_and_spki", "fail_verify_cert_hash");
  CHECK(up.count() == 0);
  // and a plain server
  TestProxy front(listener_yaml(kToUp), {tls_cluster(up.port(), "sni: a.test")});
  CHECK(front.get("/").status == 503);
  CHECK_THAT(front.access_log(1).at(0), Catch::Contains("WRONG_VERSION_NUMBER"));
  CHECK(front.stat("cluster.up.ssl.connection_error") == 1);
}

TEST_CASE("the SNI is the configured name or the endpoint's") {
  FakeUpstream up;
  const auto yaml = [&](const TestProxy& back, const std::string& context, const std::string& hostname) {
    return absl::StrReplaceAll(tls_cluster(back.port(), context), {{"endpoint: {address", "endpoint: {" + hostname + "address"}});
  };
  // Which certificate the server shows tells which name it was asked for.
  const MadeCertificate one = ca().issue("one", "DNS:one.test"), two = ca().issue("two", "DNS:two.test");
  const std::string two_pairs = absl::StrCat(pair_yaml(one), ", ", pair_yaml(two));
  TestProxy back(absl::StrReplaceAll(tls_listener(one, kToUp), {{pair_yaml(one), two_pairs}}), {cluster_yaml("up", {up.port()})});
  const auto shown = [&](const std::string& context, const std::string& hostname = "") {
    TestProxy front(listener_yaml("- match: {prefix: /}\n  route: {cluster: up}\n  response_headers_to_add:\n  - header: {key: x-up, value: '%UPSTREAM_PEER_SUBJECT%'}\n"), {yaml(back, context, hostname)});
    return front.get("/").header("x-up");
  };
  CHECK(shown("sni: two.test") == "CN=two,O=Test");
  CHECK(shown("sni: one.test") == "CN=one,O=Test");
  CHECK(shown("sni: one.test, auto_host_sni: true", "hostname: two.test, ") == "CN=two,O=Test");
  CHECK(shown("sni: two.test, auto_host_sni: true") == "CN=two,O=Test");
  CHECK(shown("sni: one.test", "hostname: two.test, ") == "CN=one,O=Test");
}

TEST_CASE("clients that talk no TLS, or too slowly, are counted") {
  FakeUpstream up;
  TestProxy back(tls_listener(host(), kToUp, "", "", "", "  transport_socket_connect_timeout: 0.1s\n"), {cluster_yaml("up", {up.port()})});
  const std::string listener = absl::StrCat("listener.127.0.0.1_", back.port(), ".");
  RawSocket plain = back.connect();
  plain.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(back.wait_for_stat(listener + "ssl.connection_error", 1));
  RawSocket silent = back.connect();
  CHECK(silent.closed_by_peer());
  CHECK(back.wait_for_stat(listener + "downstream_cx_transport_socket_connect_timeout", 1));
  CHECK(back.stat(listener + "ssl.connection_error") == 1);
  CHECK(back.stat("http.test.downstream_cx_total") == 2);
  CHECK(back.wait_for_stat("http.test.downstream_cx_active", 0));
  CHECK(back.wait_for_stat("http.test.downstream_cx_ssl_active", 0));
  CHECK(up.count() == 0);
}

TEST_CASE("an endpoint's metadata says whether it is spoken to in TLS") {
  FakeUpstream up;
  TestProxy back(tls_listener(host(), kToUp), {cluster_yaml("up", {up.port()})});
  const std::string socket = "{name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: example.test, common_tls_context: {" + trust_yaml() + "}}}";
  const auto endpoint = [](uint16_t port, const std::string& mode) {
    return absl::StrCat("{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", port, "}}}, metadata: {filter_metadata: {envoy.transport_socket_match: {mode: ", mode, "}}}}");
  };
  TestProxy front(listener_yaml(kToUp), {absl::StrCat("name: up\nload_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [", endpoint(back.port(), "mutual"), ", ", endpoint(up.port(), "off"),
                                                      "]}]}\ntransport_socket_matches: [{name: tls, match: {mode: mutual}, transport_socket: ", socket, "}]\n")});
  for (int i = 0; i < 4; ++i) CHECK(front.get("/").status == 200);
  CHECK(front.stat("cluster.up.ssl.handshake") == 1);
  CHECK(front.stat("cluster.up.upstream_cx_total") == 2);
}

}  // namespace tls_test
