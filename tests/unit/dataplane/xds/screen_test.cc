// Whatever the screen lets pass must be what the walks have nothing to say about: messages are bent at random, field by field and byte by byte,
// and both are asked. And it must let pass what is plainly fine, or it would be of no use.
#include "base/screen.h"

#include <catch2/catch.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/validate.h"
#include "dataplane/config/support.h"
#include "dataplane/xds/ingest.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace fairlead::screen_test {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using test::from_yaml;

constexpr const char* kRoutes = R"(
name: r
request_headers_to_add: [{header: {key: x-a, value: b}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
virtual_hosts:
- name: v
  domains: ["*", a.example.com]
  require_tls: EXTERNAL_ONLY
  retry_policy: {retry_on: 5xx, num_retries: 2, retriable_status_codes: [503, 504], per_try_timeout: 1s}
  routes:
  - {name: one, match: {prefix: /, headers: [{name: x, string_match: {exact: y}}, {name: n, range_match: {start: 1, end: 5}}]}, route: {cluster: c, timeout: 3s}}
  - {match: {path: /b, case_sensitive: false, runtime_fraction: {default_value: {numerator: 5, denominator: MILLION}}}, redirect: {path_redirect: /c, response_code: FOUND}}
  - match: {safe_regex: {regex: "/c.*"}}
    route: {weighted_clusters: {clusters: [{name: a, weight: 3}, {name: b, weight: 5}]}, hash_policy: [{cookie: {name: k, ttl: 0s}}], max_stream_duration: {max_stream_duration: 5s}}
  - match: {path_separated_prefix: /d}
    direct_response: {status: 404, body: {inline_string: none}}
    metadata: {filter_metadata: {a: {b: [1, {c: d}, true]}}}
    typed_per_filter_config:
      envoy.filters.http.cors: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, max_age: "5", allow_credentials: true}
)";
constexpr const char* kCluster = R"(
name: c
type: STRICT_DNS
connect_timeout: 1s
lb_policy: RING_HASH
ring_hash_lb_config: {minimum_ring_size: 16, maximum_ring_size: 1024}
health_checks: [{timeout: 1s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 1, http_health_check: {path: /h, expected_statuses: [{start: 200, end: 300}]}}]
circuit_breakers: {thresholds: [{max_connections: 5, retry_budget: {budget_percent: {value: 20}}}]}
outlier_detection: {consecutive_5xx: 3, interval: 3s, max_ejection_percent: 20}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 100, connection_keepalive: {interval: 3s, timeout: 1s}}}
load_assignment:
  cluster_name: c
  endpoints:
  - locality: {zone: a}
    load_balancing_weight: 3
    priority: 1
    lb_endpoints: [{load_balancing_weight: 2, health_status: HEALTHY, endpoint: {address: {socket_address: {address: a.example.com, port_value: 80}}}}]
)";
constexpr const char* kListener = R"(
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
per_connection_buffer_limit_bytes: 1000
filter_chains:
- filter_chain_match: {server_names: [a], destination_port: 5, prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}
  filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: p
      codec_type: HTTP1
      rds: {route_config_name: r, config_source: {ads: {}, resource_api_version: V3}}
      stream_idle_timeout: 5s
      common_http_protocol_options: {idle_timeout: 5s, headers_with_underscores_action: REJECT_REQUEST}
      upgrade_configs: [{upgrade_type: websocket}]
      http_filters:
      - {name: buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 5}}
      - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
)";

// Changes one thing at random, somewhere in the message.
class Bender {
 public:
  explicit Bender(uint32_t seed) : random_(seed) {}

  size_t below(size_t n) { return random_() % n; }

  void bend(Message& message, int depth = 0) {
    if (auto* any = dynamic_cast<google::protobuf::Any*>(&message); any != nullptr && below(8) != 0) {
      auto opened = unpack(*any);
      if (!opened.ok()) return;
      bend(**opened, depth + 1);
      any->set_value((*opened)->SerializeAsString());
      return;
    }
    const auto* reflection = message.GetReflection();
    std::vector<const FieldDescriptor*> set;
    reflection->ListFields(message, &set);
    std::erase_if(set, [](const FieldDescriptor* f) { return f->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE; });
    if (!set.empty() && depth < 12 && below(5) != 0) {  // deeper
      const FieldDescriptor* field = set[below(set.size())];
      Message* child = field->is_repeated() ? reflection->MutableRepeatedMessage(&message, field, static_cast<int>(below(static_cast<size_t>(reflection->FieldSize(message, field)))))
                                            : reflection->MutableMessage(&message, field);
      return bend(*child, depth + 1);
    }
    const auto* type = message.GetDescriptor();
    if (below(40) == 0) {
      reflection->MutableUnknownFields(&message)->AddVarint(5000, 1);
    } else if (type->field_count() > 0) {
      const FieldDescriptor* field = type->field(static_cast<int>(below(static_cast<size_t>(type->field_count()))));
      below(4) == 0 ? reflection->ClearField(&message, field) : set_field(message, field);
    }
  }

 private:
  std::string text() {
    constexpr const char* texts[] = {"", "a", "/x", "x-b", "a b", "a\n", ":path", "https://a.example.com", "5", "\xC3\xA9"};
    return texts[below(std::size(texts))];
  }
  int64_t number() {
    constexpr int64_t numbers[] = {0, 1, 2, 5, 100, 503, 70000, -1, 4294967295};
    return numbers[below(std::size(numbers))];
  }

  void set_field(Message& message, const FieldDescriptor* f) {
    const auto* r = message.GetReflection();
    const bool list = f->is_repeated();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: list ? r->AddInt32(&message, f, static_cast<int32_t>(number())) : r->SetInt32(&message, f, static_cast<int32_t>(number())); break;
      case FieldDescriptor::CPPTYPE_INT64: list ? r->AddInt64(&message, f, number()) : r->SetInt64(&message, f, number()); break;
      case FieldDescriptor::CPPTYPE_UINT32: list ? r->AddUInt32(&message, f, static_cast<uint32_t>(number())) : r->SetUInt32(&message, f, static_cast<uint32_t>(number())); break;
      case FieldDescriptor::CPPTYPE_UINT64: list ? r->AddUInt64(&message, f, static_cast<uint64_t>(number())) : r->SetUInt64(&message, f, static_cast<uint64_t>(number())); break;
      case FieldDescriptor::CPPTYPE_DOUBLE: list ? r->AddDouble(&message, f, static_cast<double>(number())) : r->SetDouble(&message, f, static_cast<double>(number())); break;
      case FieldDescriptor::CPPTYPE_FLOAT: list ? r->AddFloat(&message, f, static_cast<float>(number())) : r->SetFloat(&message, f, static_cast<float>(number())); break;
      case FieldDescriptor::CPPTYPE_BOOL: list ? r->AddBool(&message, f, below(2) == 0) : r->SetBool(&message, f, below(2) == 0); break;
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value = below(8) == 0 ? 77 : f->enum_type()->value(static_cast<int>(below(static_cast<size_t>(f->enum_type()->value_count()))))->number();
        list ? r->AddEnumValue(&message, f, value) : r->SetEnumValue(&message, f, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string value = f->type() == FieldDescriptor::TYPE_STRING ? text() : "b";
        list ? r->AddString(&message, f, value) : r->SetString(&message, f, value);
        break;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        Message* child = list ? r->AddMessage(&message, f) : r->MutableMessage(&message, f);
        for (size_t more = below(3); more > 0; --more) {
          const auto* type = child->GetDescriptor();
          if (type->field_count() > 0) set_field(*child, type->field(static_cast<int>(below(static_cast<size_t>(type->field_count())))));
        }
      }
    }
  }

  std::mt19937 random_;
};

struct Asked {
  int fine = 0;    // by the walks
  int passed = 0;  // of these, by the screen
};

bool fine_by_support(const Message& message) {
  config::SupportFindings findings;
  return config::check_support(message, &findings).ok() && findings.ignored.empty();
}

void compare(const Message& message, const std::string& bytes, Asked& rules, Asked& known, Asked& allowed) {
  const Screen::Verdict verdict = config::screen(message.GetDescriptor(), bytes);
  const auto one = [&](bool passed, bool fine, const char* what, Asked& asked) {
    if (passed && !fine) FAIL(what << " were not looked at closely in\n" << message.DebugString() << validate(message, {.open_any = true}) << config::check_support(message));
    asked.fine += fine;
    asked.passed += passed;
  };
  one(verdict.rules, validate(message, {.open_any = true}).ok(), "rules", rules);
  one(verdict.known, xds::count_unknown_fields(message) == 0, "unknown fields", known);
  one(verdict.allowed, fine_by_support(message), "rows of the support table", allowed);
}

TEST_CASE("what plainly obeys passes") {
  const auto routes = from_yaml<envoy::config::route::v3::RouteConfiguration>(kRoutes);
  const auto cluster = from_yaml<envoy::config::cluster::v3::Cluster>(kCluster);
  const auto listener = from_yaml<envoy::config::listener::v3::Listener>(kListener);
  for (const Message* message : std::initializer_list<const Message*>{&routes, &cluster, &listener}) {
    INFO(message->GetDescriptor()->full_name() << " " << validate(*message, {.open_any = true}) << config::check_support(*message));
    const Screen::Verdict verdict = config::screen(message->GetDescriptor(), message->SerializeAsString());
    CHECK(verdict.rules);
    CHECK(verdict.known);
    CHECK(verdict.allowed);
  }
}

TEST_CASE("what passes is nothing that the walks would find fault with") {
  const auto routes = from_yaml<envoy::config::route::v3::RouteConfiguration>(kRoutes);
  const auto cluster = from_yaml<envoy::config::cluster::v3::Cluster>(kCluster);
  const auto listener = from_yaml<envoy::config::listener::v3::Listener>(kListener);
  const auto& endpoints = cluster.load_assignment();
  Asked rules, known, allowed;
  const google::protobuf::LogSilencer quiet;  // of bytes that are no UTF-8
  for (const Message* base : std::initializer_list<const Message*>{&routes, &cluster, &listener, &endpoints}) {
    const std::string bytes = base->SerializeAsString();
    for (uint32_t seed = 0; seed < 1500; ++seed) {
      Bender bender(seed);
      const std::unique_ptr<Message> bent(base->New());
      bent->CopyFrom(*base);
      for (size_t times = 1 + bender.below(2); times > 0; --times) bender.bend(*bent);
      // what is no UTF-8 does not come in
      if (const std::string out = bent->SerializeAsString(); bent->ParseFromString(out)) compare(*bent, out, rules, known, allowed);

      std::string torn = bytes;  // and byte by byte
      for (size_t times = 1 + bender.below(3); times > 0; --times) {
        const size_t at = bender.below(torn.size());
        switch (bender.below(4)) {
          case 0: torn[at] = static_cast<char>(bender.below(256)); break;
          case 1: torn[at] = static_cast<char>(torn[at] ^ (1 << bender.below(8))); break;
          case 2: torn.erase(at, 1 + bender.below(4)); break;
          default: torn.append(torn.substr(at)); break;  // so that fields come twice
        }
      }
      if (bent->ParseFromString(torn)) compare(*bent, torn, rules, known, allowed);
    }
  }
  INFO("rules " << rules.passed << " of " << rules.fine << ", known " << known.passed << " of " << known.fine << ", allowed " << allowed.passed << " of " << allowed.fine);
  CHECK(rules.passed * 10 > rules.fine * 7);
  CHECK(known.passed * 10 > known.fine * 7);
  CHECK(allowed.passed * 10 > allowed.fine * 7);
}

}  // namespace
}  // namespace fairlead::screen_test
