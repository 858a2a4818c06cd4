// Retries, timeouts, broken upstreams and limits, seen from the client.
#include <catch2/catch.hpp>

#include <atomic>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace resilience_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

std::string with_retry(const std::string& policy, const std::string& more = "") { return "- match: {prefix: /}\n  route: {cluster: up, retry_policy: {" + policy + "}" + more + "}\n"; }

// Fails the first `failures` requests with `status`.
FakeUpstream::Handler flaky(int failures, int status = 503) {
  auto left = std::make_shared<std::atomic<int>>(failures);
  return [left, status](const UpstreamRequest& r) { return left->fetch_sub(1) > 0 ? UpstreamReply{.status = status, .body = "no"} : UpstreamReply{.body = "yes " + r.body}; };
}

}  // namespace

TEST_CASE("a 503 is retried until the upstream answers") {
  FakeUpstream up(flaky(2));
  TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx, num_retries: 3"), "", "include_request_attempt_count: true\ninclude_attempt_count_in_response: true\n"), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/");
  CHECK(r.status == 200);
  CHECK(r.header("x-envoy-attempt-count") == "3");
  CHECK(up.count() == 3);
  CHECK(up.last().header("x-envoy-attempt-count") == "3");
  CHECK(proxy.stat("cluster.up.upstream_rq_retry") == 2);
  CHECK(proxy.stat("cluster.up.upstream_rq_retry_success") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_200") == 1);
  CHECK(proxy.stat("cluster.up.retry.upstream_rq_503") == 2);
  CHECK(proxy.stat("cluster.up.retry.upstream_rq_5xx") == 2);
  CHECK(proxy.stat("cluster.up.retry.upstream_rq_completed") == 2);
}

TEST_CASE("a retry says whether a timeout is its reason") {
  const std::string more = "include_is_timeout_retry_header: true\n";
  SECTION("it is not") {
    FakeUpstream up(flaky(1));
    TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx"), "", more), {cluster_yaml("up", {up.port()})});
    CHECK(proxy.get("/").status == 200);
    CHECK_FALSE(up.requests().front().has("x-envoy-is-timeout-retry"));
    CHECK(up.last().header("x-envoy-is-timeout-retry") == "false");
  }
  SECTION("it is") {
    FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.never = true}; });
    TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx, per_try_timeout: 0.03s"), "", more), {cluster_yaml("up", {up.port()})});
    CHECK(proxy.get("/").status == 504);
    CHECK(up.last().header("x-envoy-is-timeout-retry") == "true");
  }
}

TEST_CASE("a retry announces the time that is left") {
  auto first = std::make_shared<std::atomic<bool>>(true);
  FakeUpstream up([first](const UpstreamRequest&) { return first->exchange(false) ? UpstreamReply{.status = 503, .delay = 50ms} : UpstreamReply{}; });
  TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx")), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/").status == 200);
  REQUIRE(up.count() == 2);
  CHECK(up.requests()[0].header("x-envoy-expected-rq-timeout-ms") == "15000");
  const int left = std::stoi(up.requests()[1].header("x-envoy-expected-rq-timeout-ms"));
  CHECK(left <= 14950);
  CHECK(left > 5000);
}

TEST_CASE("bodies are sent again with each retry") {
  FakeUpstream up(flaky(1));
  TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx")), {cluster_yaml("up", {up.port()})});
  const std::string body(100'000, 'b');
  CHECK(proxy.get("/", "", "POST", body).body == "yes " + body);
  CHECK(up.count() == 2);
}

TEST_CASE("when retries are used up the last answer passes with URX") {
  FakeUpstream up(flaky(10));
  TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx, num_retries: 2")), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/").status == 503);
  CHECK(up.count() == 3);
  CHECK(proxy.access_log(1) == std::vector<std::string>{"503 URX via_upstream"});
  CHECK(proxy.stat("cluster.up.upstream_rq_retry_limit_exceeded") == 1);
}

TEST_CASE("a body beyond the limit is not kept for a retry") {
  FakeUpstream up(flaky(1));
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, retry_policy: {retry_on: 5xx}}\n  request_body_buffer_limit: 1000\n"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/", "", "POST", std::string(5000, 'x')).status == 503);
  CHECK(up.count() == 1);
  CHECK(proxy.stat("cluster.up.retry_or_shadow_abandoned") == 1);
}

TEST_CASE("nobody listens") {
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {unused_port()})});
  const RawResponse r = proxy.get("/");
  CHECK(r.status == 503);
  CHECK(r.body == "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure");
  const auto log = proxy.access_log(1);
  CHECK(log[0] == "503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}");
  CHECK(proxy.stat("cluster.up.upstream_cx_connect_fail") == 1);
}

TEST_CASE("a refused connect is retried on another host") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(with_retry("retry_on: connect-failure, num_retries: 3")), {cluster_yaml("up", {unused_port(), up.port()})});
  for (int i = 0; i < 6; ++i) CHECK(proxy.get("/").status == 200);
}

TEST_CASE("the upstream closes before it answers") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.close_first = true}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/");
  CHECK(r.status == 503);
  CHECK(r.body == "upstream connect error or disconnect/reset before headers. reset reason: connection termination");
  CHECK(proxy.access_log(1) == std::vector<std::string>{"503 UC upstream_reset_before_response_started{connection_termination}"});
}

TEST_CASE("the upstream dies within the body") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = std::string(1000, 'x'), .close_after = 500}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  const std::string all = client.read_all();
  CHECK(all.find("content-length: 1000") != std::string::npos);
  CHECK(all.size() - all.find("\r\n\r\n") - 4 <= 500);
  const auto log = proxy.access_log(1);
  CHECK(log[0].find("upstream_reset_after_response_started{") != std::string::npos);
}

TEST_CASE("interim responses are counted") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  upstream.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(client.read_response().status == 200);
  CHECK(proxy.stat("cluster.up.upstream_rq_103") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_1xx") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_completed") == 2);
}

TEST_CASE("what is no HTTP becomes 502") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  upstream.send("SSH-2.0-OpenSSH\r\n\r\n");
  const RawResponse r = client.read_response();
  CHECK(r.status == 502);
  CHECK(r.body == "upstream connect error or disconnect/reset before headers. reset reason: protocol error");
  CHECK(proxy.access_log(1)[0].substr(0, 8) == "502 UPE ");
}

TEST_CASE("an idle connection that the upstream closed is no fault of the next request") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET /1 HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket first = server.accept();
  first.read_until("\r\n\r\n");
  first.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(client.read_response().status == 200);
  // The request goes out on the kept connection and the upstream closes it without a byte: the race of keep-alive.
  client.send("GET /2 HTTP/1.1\r\nHost: test\r\n\r\n");
  first.read_until("\r\n\r\n");
  first.close();
  RawSocket second = server.accept();
  CHECK(second.read_until("\r\n\r\n").substr(0, 7) == "GET /2 ");
  second.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(client.read_response().status == 200);
  CHECK(proxy.access_log(2)[1] == "200 - via_upstream_after_lost_connection");
}

TEST_CASE("a POST that left on a lost connection is not sent twice") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket first = server.accept();
  first.read_until("\r\n\r\n");
  first.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  client.read_response();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ncontent-length: 0\r\n\r\n");
  first.read_until("\r\n\r\n");
  first.close();
  CHECK(client.read_response().status == 503);
  CHECK(server.nobody_for(50ms));
}

TEST_CASE("the timeouts of one request say nothing to the next on its connection, whichever are shorter") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.delay = r.path == "/slow" ? 120ms : 0ms, .never = r.path.starts_with("/never")}; });
  TestProxy proxy(listener_yaml("- match: {prefix: /fast}\n  route: {cluster: up, timeout: 0.06s, idle_timeout: 0.06s}\n"
                                "- match: {prefix: /never-answers}\n  route: {cluster: up, timeout: 0.05s}\n"
                                "- match: {prefix: /never-moves}\n  route: {cluster: up, timeout: 0s, idle_timeout: 0.05s}\n"
                                "- match: {prefix: /}\n  route: {cluster: up, timeout: 9s}\n"),
                  {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  const auto answer = [&](const std::string& path) {
    client.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n");
    const RawResponse r = client.read_response();
    return std::to_string(r.status) + " " + r.body;
  };
  CHECK(answer("/fast") == "200 ok");
  CHECK(answer("/slow") == "200 ok");  // past both deadlines of the one before
  CHECK(answer("/never-answers") == "504 upstream request timeout");  // long before that of the one before
  CHECK(answer("/never-moves") == "504 stream timeout");
  CHECK(answer("/slow") == "200 ok");
}

TEST_CASE("timeouts") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.never = true}; });
  SECTION("of the route") {
    TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, timeout: 0.05s}\n"), {cluster_yaml("up", {up.port()})});
    const RawResponse r = proxy.get("/");
    CHECK(r.status == 504);
    CHECK(r.body == "upstream request timeout");
    CHECK(proxy.access_log(1) == std::vector<std::string>{"504 UT response_timeout"});
    CHECK(proxy.stat("cluster.up.upstream_rq_timeout") == 1);
    CHECK(proxy.wait_for_stat("cluster.up.upstream_cx_active", 0));
  }
  SECTION("of each try") {
    TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx, num_retries: 1, per_try_timeout: 0.03s")), {cluster_yaml("up", {up.port()})});
    const RawResponse r = proxy.get("/");
    CHECK(r.status == 504);
    CHECK(up.count() == 2);
    CHECK(proxy.access_log(1) == std::vector<std::string>{"504 URX,UT upstream_per_try_timeout"});
    CHECK(proxy.stat("cluster.up.upstream_rq_per_try_timeout") == 2);
  }
  SECTION("of an idle stream") {
    TestProxy proxy(listener_yaml(kToUp, "stream_idle_timeout: 0.05s\n"), {cluster_yaml("up", {up.port()})});
    const RawResponse r = proxy.get("/");
    CHECK(r.status == 504);
    CHECK(r.body == "stream timeout");
    CHECK(proxy.access_log(1) == std::vector<std::string>{"504 SI stream_idle_timeout"});
  }
  SECTION("of a request that does not end") {
    TestProxy proxy(listener_yaml(kToUp, "request_timeout: 0.05s\n"), {cluster_yaml("up", {up.port()})});
    RawSocket client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\ncontent-length: 10\r\n\r\nabc");
    const RawResponse r = client.read_response();
    CHECK(r.status == 408);
    CHECK(r.body == "request timeout");
    CHECK(client.closed_by_peer());
  }
  SECTION("of a head that does not end") {
    TestProxy proxy(listener_yaml(kToUp, "request_headers_timeout: 0.05s\n"), {cluster_yaml("up", {up.port()})});
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: te");
    const RawResponse r = client.read_response();
    CHECK(r.status == 408);
    CHECK(r.body == "request header timeout");
    CHECK(r.header("connection") == "close");
    CHECK(client.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{"408 - request_header_timeout"});
    CHECK(proxy.stat("http.test.downstream_rq_header_timeout") == 1);
    CHECK(proxy.stat("http.test.downstream_rq_4xx") == 1);
    CHECK(proxy.stat("http.test.downstream_cx_protocol_error") == 0);
  }
  SECTION("of a request and of an idle stream count from the first byte of the head") {
    const bool idle = GENERATE(false, true);
    TestProxy proxy(listener_yaml(kToUp, idle ? "stream_idle_timeout: 0.05s\n" : "request_timeout: 0.05s\n"), {cluster_yaml("up", {up.port()})});
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: te");
    CHECK(client.read_response().status == 408);
    CHECK(client.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{idle ? "408 SI stream_idle_timeout" : "408 - request_overall_timeout"});
  }
  SECTION("of the stream is DEADLINE_EXCEEDED for gRPC") {
    TestProxy proxy(listener_yaml(kToUp, "common_http_protocol_options: {max_stream_duration: 0.05s}\n"), {cluster_yaml("up", {up.port()})});
    CHECK(proxy.get("/", "content-type: application/grpc\r\n").header("grpc-status") == "4");
  }
  SECTION("of a stream takes the place of the route's, and the upstream is told of a shorter grpc-timeout") {
    TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, timeout: 0.02s, max_stream_duration: {grpc_timeout_header_max: 0.08s}}\n"), {cluster_yaml("up", {up.port()})});
    CHECK(proxy.get("/", "content-type: application/grpc\r\ngrpc-timeout: 9S\r\n").header("grpc-message") == "downstream duration timeout");
    CHECK(up.last().header("grpc-timeout") == "80m");
    CHECK_FALSE(up.last().has("x-envoy-expected-rq-timeout-ms"));
  }
  SECTION("of the route, for an upgrade that nobody grants") {
    TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, timeout: 0.05s}\n", "upgrade_configs: [{upgrade_type: websocket}]\n"), {cluster_yaml("up", {up.port()})});
    CHECK(proxy.get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n").status == 504);
    CHECK(proxy.access_log(1) == std::vector<std::string>{"504 UT response_timeout"});
  }
  SECTION("answered with 204 where an internal request asks for that") {
    TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, timeout: 0.05s}\n", "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}\n"), {cluster_yaml("up", {up.port()})});
    CHECK(proxy.get("/", "x-envoy-upstream-rq-timeout-alt-response: 204\r\n").status == 204);
    CHECK_FALSE(up.last().has("x-envoy-upstream-rq-timeout-alt-response"));
    CHECK(proxy.stat("cluster.up.internal.upstream_rq_204") == 1);
  }
  SECTION("of an idle connection") {
    FakeUpstream answers;
    TestProxy proxy(listener_yaml(kToUp, "common_http_protocol_options: {idle_timeout: 0.05s}\ndrain_timeout: 0.05s\n"), {cluster_yaml("up", {answers.port()})});
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(client.read_response().status == 200);
    CHECK(client.closed_by_peer());
    CHECK(proxy.stat("http.test.downstream_cx_idle_timeout") == 1);
    CHECK(proxy.stat("http.test.downstream_cx_drain_close") == 0);
  }
  SECTION("of an idle connection, which still answers while it drains") {
    FakeUpstream answers;
    const std::string age = GENERATE("idle_timeout", "max_connection_duration");
    TestProxy proxy(listener_yaml(kToUp, "common_http_protocol_options: {" + age + ": 0.05s}\ndrain_timeout: 60s\n"), {cluster_yaml("up", {answers.port()})});
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK_FALSE(client.read_response().has("connection"));
    REQUIRE(proxy.wait_for_stat(age == "idle_timeout" ? "http.test.downstream_cx_idle_timeout" : "http.test.downstream_cx_max_duration_reached", 1));
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    const auto last = client.read_response();
    CHECK(last.status == 200);
    CHECK(last.header("connection") == "close");
    CHECK(client.closed_by_peer());
    CHECK(proxy.stat("http.test.downstream_cx_drain_close") == 1);
  }
  SECTION("of a connection's age that only a response may end") {
    FakeUpstream answers;
    TestProxy proxy(listener_yaml(kToUp, "common_http_protocol_options: {max_connection_duration: 0.05s}\nhttp1_safe_max_connection_duration: true\ndrain_timeout: 0.01s\n"), {cluster_yaml("up", {answers.port()})});
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK_FALSE(client.read_response().has("connection"));
    REQUIRE(proxy.wait_for_stat("http.test.downstream_cx_max_duration_reached", 1));
    CHECK(client.quiet_for(std::chrono::milliseconds(50)));
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(client.read_response().header("connection") == "close");
    CHECK(client.closed_by_peer());
  }
  SECTION("of a connect") {
    // TEST-NET-1 is routed nowhere; whether the kernel refuses at once or the timeout strikes, the client gets a 503.
    std::string cluster = cluster_yaml("up", {1}, "connect_timeout: 0.05s");
    cluster.replace(cluster.find("127.0.0.1"), 9, "192.0.2.1");
    TestProxy proxy(listener_yaml(kToUp), {cluster});
    CHECK(proxy.get("/").status == 503);
    CHECK(proxy.access_log(1)[0].substr(0, 7) == "503 UF ");
  }
}

TEST_CASE("circuit breakers") {
  RawServer server;
  const std::string kBreakers = "circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1, max_requests: 10}]}";
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()}, kBreakers)});
  RawSocket a = proxy.connect(), b = proxy.connect(), c = proxy.connect();
  a.send("GET /a HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  b.send("GET /b HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(proxy.wait_for_stat("cluster.up.upstream_rq_pending_active", 1));
  c.send("GET /c HTTP/1.1\r\nHost: test\r\n\r\n");
  const RawResponse refused = c.read_response();
  CHECK(refused.status == 503);
  CHECK(refused.header("x-envoy-overloaded") == "true");
  CHECK(refused.body == "upstream connect error or disconnect/reset before headers. reset reason: overflow");
  CHECK(proxy.access_log(1)[0] == "503 UO upstream_reset_before_response_started{overflow}");
  CHECK(proxy.stat("cluster.up.upstream_rq_pending_overflow") == 1);
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(a.read_response().status == 200);
  CHECK(upstream.read_until("\r\n\r\n").substr(0, 6) == "GET /b");
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(b.read_response().status == 200);
  CHECK(server.nobody_for(20ms));
}

TEST_CASE("max_retries bounds retries of all requests together") {
  FakeUpstream up(flaky(100));
  TestProxy proxy(listener_yaml(with_retry("retry_on: 5xx, num_retries: 5")), {cluster_yaml("up", {up.port()}, "circuit_breakers: {thresholds: [{max_retries: 0}]}")});
  CHECK(proxy.get("/").status == 503);
  CHECK(up.count() == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_retry_overflow") == 1);
  CHECK(proxy.access_log(1) == std::vector<std::string>{"503 UO via_upstream"});
}

TEST_CASE("an upstream connection ends after its number of requests") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, R"(typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http_protocol_options: {}}
    common_http_protocol_options: {max_requests_per_connection: 2})")});
  RawSocket client = proxy.connect();
  for (int i = 0; i < 6; ++i) {
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(client.read_response().status == 200);
  }
  CHECK(up.connections() == 3);
  CHECK(proxy.stat("cluster.up.upstream_cx_max_requests") == 3);
}

TEST_CASE("a downstream connection ends after its number of requests") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp, "common_http_protocol_options: {max_requests_per_connection: 2}\n"), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK_FALSE(client.read_response().has("connection"));
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().header("connection") == "close");
  CHECK(client.closed_by_peer());
}

TEST_CASE("a drain ends connections with their next response") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK_FALSE(client.read_response().has("connection"));
  proxy.drain();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().header("connection") == "close");
  CHECK(client.closed_by_peer());
  CHECK(proxy.stat("http.test.downstream_cx_drain_close") == 1);
}

}  // namespace resilience_test
