// The HTTP filters of this proxy, through a real one: what upstream and client see, statistics and access log.
#include <catch2/catch.hpp>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "dataplane/compression/codec.h"
#include "dataplane/net/buffer.h"
#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace builtin_filters_test {

using namespace fairlead;
using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

// A listener with these filters before the router: name, message of envoy.extensions.filters.http, its fields as YAML.
struct FilterYaml {
  std::string name, message, fields;
};
std::string with(const std::vector<FilterYaml>& filters, const std::string& routes = kToUp, const std::string& more = "") {
  std::string listener = listener_yaml(routes, more);
  std::string text;
  for (const FilterYaml& f : filters) {
    absl::StrAppend(&text, "      - {name: ", f.name, ", typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.", f.message, f.fields.empty() ? "" : ", ", f.fields, "}}\n");
  }
  listener.insert(listener.find("      - name: envoy.filters.http.router"), text);
  return listener;
}

const std::string kGzip = "compressor_library: {name: lib, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip}}";
const std::string kGunzip = "decompressor_library: {name: lib, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip}}";

std::string gunzip(const std::string& bytes) {
  auto codec = compression::make_gzip_decompressor(15, 4096);
  net::Buffer in(bytes), out;
  return codec->decompress(in, out, true) == compression::Decompressor::Result::kOk ? out.to_string() : "corrupt";
}

std::string gzip(const std::string& text) {
  net::Buffer data(text);
  compression::make_gzip_compressor({})->compress(data, true);
  return data.to_string();
}

std::string grpc_frame(const std::string& message) { return std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + message; }

}  // namespace

TEST_CASE("header mutation changes trailers too") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.trailers = {{"x-t", "1"}}, .chunked = true}; });
  TestProxy proxy(with({{"m", "header_mutation.v3.HeaderMutation", "mutations: {request_trailers_mutations: [{append: {header: {key: x-more, value: a}}}], response_trailers_mutations: [{append: {header: {key: x-more, value: b}}}]}"}},
                       kToUp, "http_protocol_options: {enable_trailers: true}\n"),
                  {cluster_yaml("up", {up.port()}, "http_protocol_options: {enable_trailers: true}")});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n");
  const std::string reply = client.read_until("0\r\nx-t: 1\r\nx-more: b\r\n\r\n");
  CHECK(reply.find("200 OK") != std::string::npos);
  REQUIRE(up.last().trailers.size() == 2);
  CHECK(up.last().trailers[1] == std::pair<std::string, std::string>("x-more", "a"));
}

TEST_CASE("a preflight is answered here and counted") {
  FakeUpstream up;
  TestProxy proxy(with({{"envoy.filters.http.cors", "cors.v3.Cors", ""}}, "- match: {prefix: /}\n  route: {cluster: up, cors: {allow_origin_string_match: [{exact: 'https://a'}], allow_methods: 'GET'}}\n"),
                  {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/", "origin: https://a\r\naccess-control-request-method: GET\r\n", "OPTIONS");
  CHECK(r.status == 200);
  CHECK(r.header("access-control-allow-methods") == "GET");
  CHECK(up.count() == 0);
  CHECK(proxy.get("/", "origin: https://a\r\n").header("access-control-allow-origin") == "https://a");
  CHECK_FALSE(proxy.get("/", "origin: https://b\r\n").has("access-control-allow-origin"));
  CHECK(proxy.stat("http.test.cors.origin_valid") == 2);
  CHECK(proxy.stat("http.test.cors.origin_invalid") == 1);
  CHECK(proxy.access_log(3)[0] == "200 - cors_response");
}

TEST_CASE("a request is held until it is whole") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.body}; });
  TestProxy proxy(with({{"b", "buffer.v3.Buffer", "max_request_bytes: 10"}}), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  CHECK(client.quiet_for(20ms));
  CHECK(up.count() == 0);
  client.send("2\r\nde\r\n0\r\n\r\n");
  CHECK(client.read_response().body == "abcde");
  CHECK(up.last().header("content-length") == "5");
  CHECK(proxy.get("/", "", "POST", "0123456789").status == 200);
  CHECK(proxy.get("/", "", "POST", "0123456789a").status == 413);
  CHECK(proxy.access_log(3)[2] == "413 - request_payload_too_large");
}

TEST_CASE("faults delay, abort and count as active while they last") {
  FakeUpstream up;
  TestProxy proxy(with({{"f", "fault.v3.HTTPFault", "delay: {fixed_delay: 0.3s, percentage: {numerator: 100}}, abort: {http_status: 418, percentage: {numerator: 100}}, max_active_faults: 1"}}), {cluster_yaml("up", {up.port()})});
  RawSocket slow = proxy.connect();
  slow.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(proxy.wait_for_stat("http.test.fault.active_faults", 1));
  CHECK(proxy.get("/").status == 200);  // over the limit: no fault
  CHECK(slow.read_response().status == 418);
  CHECK(proxy.wait_for_stat("http.test.fault.active_faults", 0));
  CHECK(proxy.stat("http.test.fault.delays_injected") == 1);
  CHECK(proxy.stat("http.test.fault.aborts_injected") == 1);
  CHECK(proxy.stat("http.test.fault.faults_overflow") == 2);
  CHECK(proxy.access_log(2)[1] == "418 DI,FI fault_filter_abort");
}

TEST_CASE("a client that leaves ends its fault") {
  FakeUpstream up;
  TestProxy proxy(with({{"f", "fault.v3.HTTPFault", "delay: {fixed_delay: 60s, percentage: {numerator: 100}}"}}), {cluster_yaml("up", {up.port()})});
  for (int i = 0; i < 5; ++i) {
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(proxy.wait_for_stat("http.test.fault.active_faults", 1));
    client.reset();
    CHECK(proxy.wait_for_stat("http.test.fault.active_faults", 0));
  }
}

TEST_CASE("a slowed response arrives whole, with its trailers, at its pace") {
  const std::string body(100'000, 'x');
  FakeUpstream up([&](const UpstreamRequest& r) {
    return r.path == "/t" ? UpstreamReply{.body = body, .trailers = {{"x-t", "1"}}, .chunked = true} : UpstreamReply{.body = body};
  });
  std::string listener = with({{"f", "fault.v3.HTTPFault", "response_rate_limit: {fixed_limit: {limit_kbps: 400}, percentage: {numerator: 100}}"}}, kToUp, "http_protocol_options: {enable_trailers: true}\n");
  listener.insert(listener.find("filter_chains:"), "per_connection_buffer_limit_bytes: 10000\n");  // so that the upstream is held back as well
  TestProxy proxy(listener, {cluster_yaml("up", {up.port()}, "http_protocol_options: {enable_trailers: true}\nper_connection_buffer_limit_bytes: 10000")});
  const auto start = std::chrono::steady_clock::now();
  CHECK(proxy.get("/").body == body);
  const auto took = std::chrono::steady_clock::now() - start;
  CHECK(took > 150ms);  // 100 kB at 400 KiB/s is 244 ms; the first tick's share is free
  RawSocket client = proxy.connect();
  client.send("GET /t HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_until("\r\n0\r\nx-t: 1\r\n\r\n").size() > 100'000);
  CHECK(proxy.stat("http.test.fault.response_rl_injected") == 2);
}

TEST_CASE("requests over the rate are 429, and the headers say how many are left") {
  FakeUpstream up;
  TestProxy proxy(with({{"l", "local_ratelimit.v3.LocalRateLimit",
                         "stat_prefix: lim, token_bucket: {max_tokens: 2, fill_interval: 3600s}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, enable_x_ratelimit_headers: DRAFT_VERSION_03, response_headers_to_add: [{header: {key: x-over, value: '1'}}]"}}),
                  {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/").header("x-ratelimit-remaining") == "1");
  CHECK(proxy.get("/").header("x-ratelimit-reset") == "3600");
  const RawResponse r = proxy.get("/");
  CHECK(r.status == 429);
  CHECK(r.body == "local_rate_limited");
  CHECK(r.header("x-over") == "1");
  CHECK(proxy.stat("lim.http_local_rate_limit.ok") == 2);
  CHECK(proxy.stat("lim.http_local_rate_limit.enforced") == 1);
  CHECK(proxy.access_log(3)[2] == "429 RL local_rate_limited");
}

TEST_CASE("a descriptor of the route has a bucket of its own") {
  FakeUpstream up;
  TestProxy proxy(with({{"l", "local_ratelimit.v3.LocalRateLimit",
                         "stat_prefix: lim, token_bucket: {max_tokens: 100, fill_interval: 3600s}, descriptors: [{entries: [{key: who, value: bob}, {key: remote_address, value: 127.0.0.1}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}], "
                         "filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}"}},
                       "- match: {prefix: /}\n  route: {cluster: up, rate_limits: [{actions: [{request_headers: {header_name: x-who, descriptor_key: who}}, {remote_address: {}}]}]}\n"),
                  {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/", "x-who: bob\r\n").status == 200);
  CHECK(proxy.get("/", "x-who: bob\r\n").status == 429);
  CHECK(proxy.get("/", "x-who: eve\r\n").status == 200);
  CHECK(proxy.get("/").status == 200);
}

TEST_CASE("health checks are answered here and count in no status counter") {
  FakeUpstream up;
  TestProxy proxy(with({{"h", "health_check.v3.HealthCheck", "pass_through_mode: false, headers: [{name: ':path', string_match: {exact: /healthz}}], cluster_min_healthy_percentages: {up: {value: 100}}"}}),
                  {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/healthz").status == 200);
  CHECK(proxy.get("/healthz", "", "POST", "body").status == 200);
  CHECK(up.count() == 0);
  CHECK(proxy.get("/").status == 200);
  CHECK(up.count() == 1);
  CHECK(proxy.stat("http.test.downstream_rq_2xx") == 1);
  CHECK(proxy.stat("http.test.health_check.ok") == 2);
  CHECK(proxy.access_log(3)[0] == "200 - health_check_ok_cluster_healthy");
}

TEST_CASE("a cached health check asks the upstream once") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.status = 503}; });
  TestProxy proxy(with({{"h", "health_check.v3.HealthCheck", "pass_through_mode: true, cache_time: 600s"}}), {cluster_yaml("up", {up.port()})});
  for (int i = 0; i < 3; ++i) CHECK(proxy.get("/").status == 503);
  CHECK(up.count() == 1);
  CHECK(proxy.access_log(3)[2] == "503 LH health_check_cached");
}

TEST_CASE("responses are compressed for those who accept it") {
  const std::string body(50'000, 'a');
  FakeUpstream up([&](const UpstreamRequest& r) {
    if (r.path == "/trailers") return UpstreamReply{.body = body, .headers = {{"content-type", "text/plain"}}, .trailers = {{"x-t", "1"}}, .chunked = true};
    return UpstreamReply{.body = body, .headers = {{"content-type", "text/plain"}, {"etag", "\"x\""}}};
  });
  TestProxy proxy(with({{"c", "compressor.v3.Compressor", kGzip}}, kToUp, "http_protocol_options: {enable_trailers: true}\n"), {cluster_yaml("up", {up.port()}, "http_protocol_options: {enable_trailers: true}")});
  const RawResponse r = proxy.get("/", "accept-encoding: gzip\r\n");
  CHECK(r.header("content-encoding") == "gzip");
  CHECK_FALSE(r.has("etag"));
  CHECK(r.header("vary") == "Accept-Encoding");
  CHECK(r.body.size() < 1000);
  CHECK(gunzip(r.body) == body);
  CHECK(proxy.get("/").body == body);
  CHECK(proxy.stat("http.test.compressor.lib.gzip.total_uncompressed_bytes") == 50'000);
  CHECK(proxy.stat("http.test.compressor.lib.gzip.compressed") == 1);
  RawSocket client = proxy.connect();
  client.send("GET /trailers HTTP/1.1\r\nHost: test\r\naccept-encoding: gzip\r\n\r\n");
  CHECK(client.read_until("\r\n0\r\nx-t: 1\r\n\r\n").size() < 2000);
}

TEST_CASE("requests are compressed and decompressed on the way") {
  FakeUpstream up;
  const std::string body(5000, 'b');
  TestProxy packer(with({{"c", "compressor.v3.Compressor", kGzip + ", request_direction_config: {common_config: {enabled: {default_value: true, runtime_key: k}}}"}}), {cluster_yaml("up", {up.port()})});
  CHECK(packer.get("/", "", "POST", body).status == 200);
  CHECK(up.last().header("content-encoding") == "gzip");
  CHECK_FALSE(up.last().has("content-length"));
  CHECK(gunzip(up.last().body) == body);
  TestProxy unpacker(with({{"d", "decompressor.v3.Decompressor", kGunzip}}), {cluster_yaml("up", {up.port()})});
  CHECK(unpacker.get("/", "content-encoding: gzip\r\n", "POST", gzip(body)).status == 200);
  CHECK(up.last().body == body);
  CHECK_FALSE(up.last().has("content-encoding"));
  CHECK(up.last().header("accept-encoding") == "gzip");
  CHECK(unpacker.stat("http.test.decompressor.lib.gzip.request.total_uncompressed_bytes") == 5000);
}

TEST_CASE("responses are decompressed, and broken ones break") {
  const std::string body(5000, 'c'), bomb = gzip(std::string(20'000'000, '\0'));
  FakeUpstream up([&](const UpstreamRequest& r) {
    return UpstreamReply{.body = r.path == "/bomb" ? bomb : r.path == "/cut" ? gzip(body).substr(0, 20) : gzip(body), .headers = {{"content-encoding", "gzip"}}};
  });
  TestProxy proxy(with({{"d", "decompressor.v3.Decompressor", kGunzip}}), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/");
  CHECK(r.body == body);
  CHECK_FALSE(r.has("content-encoding"));
  for (const char* path : {"/cut", "/bomb"}) {
    RawSocket client = proxy.connect();
    client.send(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: test\r\n\r\n"));
    const std::string all = client.read_all();
    CHECK(all.find("\r\n0\r\n\r\n") == std::string::npos);  // no regular end
    CHECK(all.size() < 4'000'000);
  }
  const auto log = proxy.access_log(3);
  CHECK(log[1].find("decompressor_corrupt_body") != std::string::npos);
  CHECK(log[2].find("decompressor_ratio_exceeded") != std::string::npos);
  CHECK(proxy.stat("http.test.decompressor.lib.gzip.response.failed") == 2);
}

TEST_CASE("requests that are bombs or broken never reach the upstream whole") {
  FakeUpstream up;
  TestProxy proxy(with({{"d", "decompressor.v3.Decompressor", kGunzip}, {"b", "buffer.v3.Buffer", "max_request_bytes: 100000000"}}), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/", "content-encoding: gzip\r\n", "POST", gzip(std::string(20'000'000, '\0'))).status == 413);
  CHECK(proxy.get("/", "content-encoding: gzip\r\n", "POST", "no gzip at all").status == 400);
  CHECK(up.count() == 0);
}

TEST_CASE("a filter that holds the body gets it as the filters before it leave it, trailers included") {
  FakeUpstream up;
  TestProxy proxy(with({{"c", "compressor.v3.Compressor", kGzip + ", request_direction_config: {common_config: {enabled: {default_value: true, runtime_key: k}}}"}, {"b", "buffer.v3.Buffer", "max_request_bytes: 1000"}}, kToUp,
                       "http_protocol_options: {enable_trailers: true}\n"),
                  {cluster_yaml("up", {up.port()}, "http_protocol_options: {enable_trailers: true}")});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  client.send("7\r\n second\r\n0\r\nx-t: 1\r\n\r\n");
  CHECK(client.read_response().status == 200);
  CHECK(gunzip(up.last().body) == "first second");
  CHECK(up.last().header("content-length") == std::to_string(up.last().body.size()));
}

TEST_CASE("browsers call gRPC: text in, text out, trailers in the body") {
  FakeUpstream up([](const UpstreamRequest&) {
    return UpstreamReply{.body = grpc_frame("one") + grpc_frame("four"), .headers = {{"content-type", "application/grpc"}}, .trailers = {{"grpc-status", "0"}, {"grpc-message", "fine"}}, .chunked = true};
  });
  TestProxy proxy(with({{"w", "grpc_web.v3.GrpcWeb", ""}, {"s", "grpc_stats.v3.FilterConfig", "stats_for_all_methods: true"}}), {cluster_yaml("up", {up.port()}, "http_protocol_options: {enable_trailers: true}")});
  const std::string trailers = std::string("\x80\0\0\0\x24", 5) + "grpc-status:0\r\ngrpc-message:fine\r\n";
  const RawResponse binary = proxy.get("/pkg.S/M", "content-type: application/grpc-web\r\n", "POST", grpc_frame("hi"));
  CHECK(up.last().header("content-type") == "application/grpc");
  CHECK(up.last().header("te") == "trailers");
  CHECK(up.last().body == grpc_frame("hi"));
  CHECK(binary.header("content-type") == "application/grpc-web+proto");
  CHECK(binary.body.substr(0, 17) == grpc_frame("one") + grpc_frame("four"));
  CHECK(binary.body.substr(17, 1) == "\x80");
  CHECK(binary.body.substr(22) == "grpc-status:0\r\ngrpc-message:fine\r\n");
  const RawResponse text = proxy.get("/pkg.S/M", "content-type: application/grpc-web-text\r\naccept: application/grpc-web-text\r\n", "POST", absl::Base64Escape(grpc_frame("hi")));
  CHECK(up.last().body == grpc_frame("hi"));
  CHECK(text.header("content-type") == "application/grpc-web-text+proto");
  CHECK(text.body == absl::Base64Escape(grpc_frame("one")) + absl::Base64Escape(grpc_frame("four")) + absl::Base64Escape(binary.body.substr(17)));
  CHECK(proxy.stat("cluster.up.grpc-web.pkg.S.M.success") == 2);
  CHECK(proxy.stat("cluster.up.grpc.pkg.S.M.success") == 2);
  CHECK(proxy.stat("cluster.up.grpc.pkg.S.M.request_message_count") == 2);
  CHECK(proxy.stat("cluster.up.grpc.pkg.S.M.response_message_count") == 4);
}

TEST_CASE("what is no gRPC becomes a gRPC error for a browser") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.status = 503, .body = "50% down", .headers = {{"content-type", "text/plain"}}}; });
  TestProxy proxy(with({{"w", "grpc_web.v3.GrpcWeb", ""}}), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/pkg.S/M", "content-type: application/grpc-web\r\n", "POST", grpc_frame("hi"));
  CHECK(r.status == 503);
  CHECK(r.header("grpc-status") == "14");
  CHECK(r.header("grpc-message") == "50%25 down");
  CHECK(r.body.empty());
  CHECK(proxy.get("/pkg.S/M", "content-type: application/grpc-web-text\r\n", "POST", "AAAA!").header("grpc-status") == "13");
  CHECK(up.count() == 1);
}

}  // namespace builtin_filters_test
