// The filter of docs/tour.md, word for word, and what the tour says it does.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

// tour: begin
#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>

#include "dataplane/config/registry.h"
#include "dataplane/stream/stream.h"

using namespace fairlead;

constexpr char kEchoUrl[] = "type.googleapis.com/google.protobuf.Struct";  // a message of your own in real life

struct EchoConfig final : config::FilterConfig {
  std::string path;
};

// Answers requests for one path itself, with the headers it saw; lets the others pass.
class EchoFilter final : public stream::Filter {
 public:
  explicit EchoFilter(const EchoConfig& config) : config_(config) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool) override {
    if (headers.get(":path") != config_.path) return stream::HeadersStatus::kContinue;
    std::string body;
    for (const auto& header : headers) body.append(header.name()).append(": ").append(header.value()).append("\n");
    stream().send_local_reply({.status = 200, .body = body, .details = "echo"});
    return stream::HeadersStatus::kStop;
  }

 private:
  const EchoConfig& config_;
};

struct EchoFactory final : stream::FilterFactory {
  std::shared_ptr<const EchoConfig> config;
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<EchoFilter>(arena, *config); }
};

void register_echo() {
  config::Registry::global().add({.type_url = kEchoUrl, .canonical = "tour.echo", .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
    google::protobuf::Struct fields;
    if (!any.UnpackTo(&fields) || !fields.fields().contains("path")) return absl::InvalidArgumentError("echo: path is missing");
    auto config = std::make_shared<EchoConfig>();
    config->path = fields.fields().at("path").string_value();
    return config;
  }});
  stream::FilterRegistry::global().add(kEchoUrl, [](std::shared_ptr<const config::FilterConfig> config) {
    auto factory = std::make_shared<EchoFactory>();
    factory->config = std::static_pointer_cast<const EchoConfig>(config);
    return factory;
  });
}
// tour: end

TEST_CASE("the tour's echo filter answers its path and lets the others pass") {
  register_echo();
  testing::FakeUpstream up;
  std::string listener = testing::listener_yaml("- match: {prefix: /}\n  route: {cluster: up}\n");
  listener.insert(listener.find("      - name: envoy.filters.http.router"),
                  std::string("      - {name: echo, typed_config: {\"@type\": ") + kEchoUrl + ", value: {path: /echo}}}\n");
  testing::TestProxy proxy(listener, {testing::cluster_yaml("up", {up.port()})});
  const testing::RawResponse echoed = proxy.get("/echo", "x-mine: 1\r\n");
  CHECK(echoed.status == 200);
  CHECK(echoed.body.find("x-mine: 1\n") != std::string::npos);
  CHECK(up.count() == 0);
  CHECK(proxy.get("/other").status == 200);
  CHECK(up.count() == 1);
}
