// The cache filter in a proxy: large bodies, validation, and what hostile upstreams say. Each case has paths of its own: the store is the process's.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace cache_test {

using namespace fairlead::testing;

namespace {

std::string listener(const std::string& fields = "") {
  std::string text = listener_yaml("- match: {prefix: /}\n  route: {cluster: up}\n");
  text.insert(text.find("      - name: envoy.filters.http.router"),
              "      - {name: cache, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig, typed_config: {\"@type\": "
              "type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig}" + fields + "}}\n");
  return text;
}

}  // namespace

TEST_CASE("a large body is served from memory, whole and in part") {
  const std::string body(3 << 20, 'b');
  FakeUpstream upstream([&](const UpstreamRequest&) { return UpstreamReply{.body = body, .headers = {{"cache-control", "max-age=100"}}}; });
  TestProxy proxy(listener(), {cluster_yaml("up", {upstream.port()})});
  CHECK(proxy.get("/large").body == body);
  const RawResponse kept = proxy.get("/large");
  CHECK(kept.body == body);
  CHECK(kept.has("age"));
  CHECK(proxy.get("/large", "range: bytes=1-2000000\r\n").body.size() == 2000000);
  CHECK(upstream.count() == 1);
}

TEST_CASE("what has been validated is served whole, though it is larger than the buffers") {
  const std::string body(3 << 20, 'v');
  FakeUpstream upstream([&](const UpstreamRequest& request) {
    if (request.header("if-none-match") == "\"1\"") return UpstreamReply{.status = 304, .body = "", .headers = {{"etag", "\"1\""}, {"cache-control", "no-cache"}, {"x-new", "1"}}};
    return UpstreamReply{.body = body, .headers = {{"cache-control", "no-cache"}, {"etag", "\"1\""}}};
  });
  TestProxy proxy(listener(), {cluster_yaml("up", {upstream.port()})});
  CHECK(proxy.get("/validated").body == body);
  for (int again = 0; again < 2; ++again) {
    const RawResponse response = proxy.get("/validated");
    CHECK(response.status == 200);
    CHECK(response.body == body);
    CHECK(response.header("x-new") == "1");
  }
  CHECK(proxy.get("/validated", "if-none-match: \"1\"\r\n").status == 304);
  CHECK(upstream.count() == 4);
}

TEST_CASE("a body that breaks off is not kept") {
  FakeUpstream upstream([](const UpstreamRequest&) { return UpstreamReply{.body = std::string(1000, 'x'), .headers = {{"cache-control", "max-age=100"}}, .close_after = 500}; });
  TestProxy proxy(listener(), {cluster_yaml("up", {upstream.port()})});
  CHECK_THROWS(proxy.get("/broken"));
  CHECK_THROWS(proxy.get("/broken"));
  CHECK(upstream.count() == 2);
}

TEST_CASE("a body larger than max_body_bytes is not kept") {
  FakeUpstream upstream([](const UpstreamRequest& request) { return UpstreamReply{.body = std::string(1000, 'x'), .headers = {{"cache-control", "max-age=100"}}, .chunked = request.path == "/chunked"}; });
  TestProxy proxy(listener(", max_body_bytes: 999"), {cluster_yaml("up", {upstream.port()})});
  for (const char* path : {"/chunked", "/chunked", "/lengthy", "/lengthy"}) CHECK(proxy.get(path).body.size() == 1000);
  CHECK(upstream.count() == 4);
}

TEST_CASE("clusters do not share what they answered for the same host and path") {
  FakeUpstream one([](const UpstreamRequest&) { return UpstreamReply{.body = "one", .headers = {{"cache-control", "max-age=100"}}}; });
  FakeUpstream two([](const UpstreamRequest&) { return UpstreamReply{.body = "two", .headers = {{"cache-control", "max-age=100"}}}; });
  std::string other = listener();
  other.replace(other.find("cluster: up"), 11, "cluster: other");
  TestProxy first(listener(), {cluster_yaml("up", {one.port()})}), second(other, {cluster_yaml("other", {two.port()})});
  CHECK(first.get("/same").body == "one");
  CHECK(second.get("/same").body == "two");
}

}  // namespace cache_test
