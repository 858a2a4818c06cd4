// Filters in the chain: order, stopping and continuing in both directions, holding bodies, answering, switched off per route.
#include <catch2/catch.hpp>

#include <google/protobuf/any.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include "dataplane/config/registry.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/stream.h"
#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace filter_test {

using namespace fairlead;
using namespace fairlead::testing;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

constexpr char kTypeUrl[] = "type.googleapis.com/google.protobuf.StringValue";
const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

struct ModeConfig final : config::FilterConfig {
  std::string mode;
};

// Does what its configured mode says.
class ModeFilter final : public stream::Filter {
 public:
  explicit ModeFilter(const std::string& mode) : mode_(mode) {}

  HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override {
    headers.append("x-seen", mode_);
    if (mode_ == "wait") return later([this] { continue_decoding(); });
    if (mode_ == "deny") {
      stream().send_local_reply({.status = 403, .body = "denied", .details = "test_denied"});
      return HeadersStatus::kStop;
    }
    if (mode_ == "deny-later") {
      return later([this] { stream().send_local_reply({.status = 403, .body = "denied later", .details = "test_denied"}); });
    }
    return mode_ == "measure" && !end_stream ? HeadersStatus::kStopAndRead : HeadersStatus::kContinue;
  }
  DataStatus decode_data(net::Buffer& data, bool end_stream) override {
    if (mode_ != "measure") return DataStatus::kContinue;
    size_ += data.size();
    if (!end_stream) return DataStatus::kHold;
    stream().request_headers().set("x-length", std::to_string(size_));
    return DataStatus::kContinue;
  }
  TrailersStatus decode_trailers(http::HeaderMap&) override {
    if (mode_ == "measure") stream().request_headers().set("x-length", std::to_string(size_));
    return TrailersStatus::kContinue;
  }

  HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override {
    headers.append("x-back", mode_);
    if (mode_ == "wait") return later([this] { continue_encoding(); });
    if (mode_ == "shout" && !end_stream) {
      headers.remove(http::Token::ContentLength);
      return HeadersStatus::kStopAndRead;
    }
    return HeadersStatus::kContinue;
  }
  DataStatus encode_data(net::Buffer& data, bool end_stream) override {
    if (mode_ != "shout") return DataStatus::kContinue;
    std::string text = data.to_string();
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    data.clear();
    data.append(text);
    return end_stream ? DataStatus::kContinue : DataStatus::kHold;
  }
  void on_stream_end() override { timer_.reset(); }

 private:
  HeadersStatus later(std::function<void()> job) {
    timer_ = std::make_unique<net::Timer>(stream().worker().loop().timers(), std::move(job));
    timer_->arm(std::chrono::milliseconds(5));
    return HeadersStatus::kStop;
  }

  const std::string& mode_;
  size_t size_ = 0;
  std::unique_ptr<net::Timer> timer_;
};

class ModeFactory final : public stream::FilterFactory {
 public:
  explicit ModeFactory(std::shared_ptr<const config::FilterConfig> config) : config_(std::static_pointer_cast<const ModeConfig>(std::move(config))) {}
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<ModeFilter>(arena, config_->mode); }

 private:
  std::shared_ptr<const ModeConfig> config_;
};

void register_mode() {
  static const bool once = [] {
    config::Registry::global().add({.type_url = kTypeUrl, .canonical = "test.mode", .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                                      google::protobuf::StringValue value;
                                      any.UnpackTo(&value);
                                      auto config = std::make_shared<ModeConfig>();
                                      config->mode = value.value();
                                      return config;
                                    }});
    stream::FilterRegistry::global().add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config) { return std::make_shared<ModeFactory>(std::move(config)); });
    return true;
  }();
  (void)once;
}

// A listener with these filters before the router.
std::string with_filters(const std::vector<std::string>& modes, const std::string& routes = kToUp, const std::string& more = "") {
  register_mode();
  std::string listener = listener_yaml(routes, more);
  std::string filters;
  for (const std::string& mode : modes) filters += "      - {name: " + mode + ", typed_config: {\"@type\": " + kTypeUrl + ", value: " + mode + "}}\n";
  listener.insert(listener.find("      - name: envoy.filters.http.router"), filters);
  return listener;
}

}  // namespace

TEST_CASE("requests pass filters in order, responses in reverse") {
  FakeUpstream up;
  TestProxy proxy(with_filters({"a", "b", "c"}), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/");
  CHECK(up.last().header("x-seen") == "a,b,c");
  CHECK(r.header("x-back") == "c,b,a");
}

TEST_CASE("a filter may stop both directions and go on later") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.body}; });
  TestProxy proxy(with_filters({"a", "wait", "b"}), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/", "", "POST", "held meanwhile");
  CHECK(r.status == 200);
  CHECK(r.body == "held meanwhile");
  CHECK(up.last().header("x-seen") == "a,wait,b");
  CHECK(r.header("x-back") == "b,wait,a");
}

TEST_CASE("a filter that waits holds the client back when the buffer is full") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = std::to_string(r.body.size())}; });
  std::string listener = with_filters({"wait"});
  listener.insert(listener.find("filter_chains:"), "per_connection_buffer_limit_bytes: 10000\n");
  TestProxy proxy(listener, {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/", "", "POST", std::string(3'000'000, 'x')).body == "3000000");
}

TEST_CASE("a filter may read the whole body before the headers go on") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.body}; });
  TestProxy proxy(with_filters({"measure", "b"}), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  client.send("4\r\ndefg\r\n0\r\n\r\n");
  CHECK(client.read_response().body == "abcdefg");
  CHECK(up.last().header("x-length") == "7");
  CHECK(up.last().header("x-seen") == "measure,b");
}

TEST_CASE("a body too large to be held whole is 413") {
  FakeUpstream up;
  std::string listener = with_filters({"measure"});
  listener.insert(listener.find("filter_chains:"), "per_connection_buffer_limit_bytes: 1000\n");
  TestProxy proxy(listener, {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ncontent-length: 100000\r\n\r\n" + std::string(5000, 'x'));
  CHECK(client.read_response().status == 413);
  CHECK(proxy.access_log(1) == std::vector<std::string>{"413 - request_payload_too_large"});
  CHECK(up.count() == 0);
}

TEST_CASE("a filter may change the whole response body") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = std::string(50'000, 'a') + "end"}; });
  TestProxy proxy(with_filters({"a", "shout"}), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/");
  CHECK(r.body == std::string(50'000, 'A') + "END");
}

TEST_CASE("a response too large to be held whole is 500") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = std::string(200'000, 'a')}; });
  std::string listener = with_filters({"shout"});
  listener.insert(listener.find("filter_chains:"), "per_connection_buffer_limit_bytes: 1000\n");
  TestProxy proxy(listener, {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/");
  CHECK(r.status == 500);
  CHECK(proxy.access_log(1) == std::vector<std::string>{"500 - response_payload_too_large"});
  CHECK(proxy.stat("http.test.rs_too_large") == 1);
}

TEST_CASE("a filter may answer itself, at once or later") {
  FakeUpstream up;
  for (const std::string mode : {"deny", "deny-later"}) {
    TestProxy proxy(with_filters({"a", mode, "b"}), {cluster_yaml("up", {up.port()})});
    const RawResponse r = proxy.get("/", "", "POST", "ignored");
    CHECK(r.status == 403);
    CHECK(r.header("x-back") == "b," + mode + ",a");
    CHECK(proxy.access_log(1) == std::vector<std::string>{"403 - test_denied"});
  }
  CHECK(up.count() == 0);
}

TEST_CASE("a timeout's answer that a filter holds is not mixed with the upstream's") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = "late", .delay = std::chrono::milliseconds(22)}; });
  TestProxy proxy(with_filters({"wait"}, kToUp, "stream_idle_timeout: 0.02s\n"), {cluster_yaml("up", {up.port()})});
  for (int i = 0; i < 10; ++i) {
    const RawResponse r = proxy.get("/");
    CHECK((r.status == 200 ? r.body == "late" : r.status == 504 && r.body == "stream timeout"));
  }
  CHECK(proxy.wait_for_stat("http.test.downstream_rq_active", 0));
}

TEST_CASE("a client that leaves while a filter waits") {
  FakeUpstream up;
  TestProxy proxy(with_filters({"wait"}), {cluster_yaml("up", {up.port()})});
  for (int i = 0; i < 20; ++i) {
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client.reset();
  }
  CHECK(proxy.wait_for_stat("http.test.downstream_rq_active", 0));
  CHECK(proxy.get("/").status == 200);
}

TEST_CASE("a route switches a filter off") {
  FakeUpstream up;
  TestProxy proxy(with_filters({"a", "deny"}, R"(
- match: {prefix: /open}
  route: {cluster: up}
  typed_per_filter_config:
    deny: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
- match: {prefix: /}
  route: {cluster: up}
)"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/open").status == 200);
  CHECK(up.last().header("x-seen") == "a");
  CHECK(proxy.get("/closed").status == 403);
}

}  // namespace filter_test
