// Documents to messages and back: errors with places, every form of proto3's JSON, agreement with protobuf's own printer.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/endpoint/v3/endpoint_components.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace fairlead::doc {
namespace {

namespace pb = google::protobuf;
using envoy::config::bootstrap::v3::Bootstrap;
using envoy::config::cluster::v3::Cluster;
using pb::util::MessageDifferencer;

Value yaml(std::string_view text) {
  const auto parsed = parse_one(text, "edge.yaml");
  INFO(text);
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  return *parsed;
}

template <typename T>
T message(std::string_view text) {
  T out;
  const absl::Status status = to_message(yaml(text), &out);
  INFO(text);
  INFO(status.ToString());
  REQUIRE(status.ok());
  return out;
}

template <typename T>
std::string error(std::string_view text, ToMessageOptions options = {}) {
  T out;
  const absl::Status status = to_message(yaml(text), &out, options);
  INFO(text);
  REQUIRE_FALSE(status.ok());
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

constexpr std::string_view bootstrap = R"(node: {id: edge-1, cluster: edge, metadata: {fairlead.io/gateway: demo/quickstart, weights: [1, 2.5, null, true]}}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
static_resources:
  listeners:
  - name: http
    address: {socketAddress: {address: 0.0.0.0, portValue: 8080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          stream_idle_timeout: 300s
          use_remote_address: true
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /, headers: [{name: x-a, range_match: {start: "1", end: 20}}]}
                route:
                  weighted_clusters:
                    clusters: [{name: a, weight: 30}, {name: b, weight: 70}]
                  timeout: 1.5s
                typed_per_filter_config:
                  some.filter: {"@type": type.googleapis.com/google.protobuf.Struct, value: {k: [x]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: a
    type: STRICT_DNS
    connect_timeout: 0.25s
    lb_policy: 1
    outlier_detection: {base_ejection_time: 30s, consecutive_5xx: 5}
    common_lb_config: {healthy_panic_threshold: {value: 12.5}}
    load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, port_value: 3000}}}}]}]}
)";

// Whatever protobuf's own reader makes of our text is the message again.
void check_against_protobuf(const pb::Message& original) {
  const Value printed = from_message(original);
  const std::unique_ptr<pb::Message> copy(original.New());
  const auto parsed = pb::util::JsonStringToMessage(to_json(printed), copy.get());
  INFO(to_json(printed, true));
  INFO(parsed.ToString());
  CHECK(parsed.ok());
  CHECK(MessageDifferencer::Equals(original, *copy));

  std::string json;
  pb::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  REQUIRE(pb::util::MessageToJsonString(original, &json, options).ok());
  INFO(json);
  CHECK(printed == *parse_json(json, "protobuf"));

  const std::unique_ptr<pb::Message> again(original.New());
  const absl::Status status = to_message(yaml(to_yaml(printed)), again.get());
  INFO(status.ToString());
  CHECK(status.ok());
  CHECK(MessageDifferencer::Equals(original, *again));
}

TEST_CASE("a bootstrap is read, with both spellings of names and every Any opened") {
  const auto read = message<Bootstrap>(bootstrap);
  REQUIRE(read.static_resources().clusters_size() == 1);
  const Cluster& cluster = read.static_resources().clusters(0);
  CHECK(cluster.connect_timeout().nanos() == 250'000'000);
  CHECK(cluster.lb_policy() == Cluster::LEAST_REQUEST);
  CHECK(cluster.type() == Cluster::STRICT_DNS);
  CHECK(cluster.outlier_detection().consecutive_5xx().value() == 5);
  CHECK(cluster.common_lb_config().healthy_panic_threshold().value() == 12.5);
  CHECK(read.static_resources().listeners(0).address().socket_address().port_value() == 8080);
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
  REQUIRE(read.static_resources().listeners(0).filter_chains(0).filters(0).typed_config().UnpackTo(&manager));
  const auto& route = manager.route_config().virtual_hosts(0).routes(0);
  CHECK(route.match().headers(0).range_match().start() == 1);
  CHECK(route.route().weighted_clusters().clusters(1).weight().value() == 70);
  pb::Struct inside;
  REQUIRE(route.typed_per_filter_config().at("some.filter").UnpackTo(&inside));
  CHECK(inside.fields().at("k").list_value().values(0).string_value() == "x");
  CHECK(read.node().metadata().fields().at("weights").list_value().values(1).number_value() == 2.5);
}

TEST_CASE("errors name file, line, path and value; all are found in one pass") {
  std::string text(bootstrap);
  const auto spoil = [&text](std::string_view from, std::string_view to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
  };
  spoil("0.25s", "5 parsecs");
  spoil("STRICT_DNS", "STRICT_DSN");
  spoil("stat_prefix: ingress", "stat_prefx: ingress");
  spoil("port_value: 3000", "port_value: [1]");
  spoil("weight: 70", "weight: -1");
  const std::string found = error<Bootstrap>(text);
  INFO(found);
  CHECK(found.find("edge.yaml:35: static_resources.clusters[0].connect_timeout: expected a duration like \"0.25s\", got \"5 parsecs\"") != std::string::npos);
  CHECK(found.find("edge.yaml:34: static_resources.clusters[0].type: expected one of STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST, got \"STRICT_DSN\"; did you mean 'STRICT_DNS'?") != std::string::npos);
  CHECK(found.find("edge.yaml:13: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefx: unknown field of envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager; did you mean 'stat_prefix'?") != std::string::npos);
  CHECK(found.find("port_value: expected an integer from 0 to 4294967295, got a list") != std::string::npos);
  CHECK(found.find("weighted_clusters.clusters[1].weight: expected an integer from 0 to 4294967295, got -1") != std::string::npos);
  CHECK(std::count(found.begin(), found.end(), '\n') == 4);

  ToMessageOptions options;
  options.path = "spec.resources[2]";
  options.max_errors = 1;
  CHECK(error<Cluster>("name: [a]\nalt_stat_name: {}\n", options) == "edge.yaml:1: spec.resources[2].name: expected a string, got a list\nand 1 more");
}

TEST_CASE("each kind of wrong value is refused") {
  CHECK(error<Cluster>("name: 5") == "edge.yaml:1: name: expected a string, got 5");
  CHECK(error<Cluster>("[a]") == "edge.yaml:1: expected a map (envoy.config.cluster.v3.Cluster), got a list");
  CHECK(error<Cluster>("transport_socket_matches: {}") == "edge.yaml:1: transport_socket_matches: expected a list, got a map");
  CHECK(error<Cluster>("typed_extension_protocol_options: []") == "edge.yaml:1: typed_extension_protocol_options: expected a map, got a list");
  CHECK(error<Cluster>("respect_dns_ttl: 'yes'") == "edge.yaml:1: respect_dns_ttl: expected true or false, got \"yes\"");
  CHECK(error<Cluster>("lb_policy: []") == "edge.yaml:1: lb_policy: expected a name of the enum envoy.config.cluster.v3.Cluster.LbPolicy, got a list");
  CHECK(error<pb::Int32Value>("2147483648").find("from -2147483648 to 2147483647, got 2147483648") != std::string::npos);
  CHECK(error<pb::Int64Value>("\" 5\"").find("expected an integer") != std::string::npos);
  CHECK(error<pb::UInt64Value>("1.5").find("expected an integer") != std::string::npos);
  CHECK(error<pb::UInt64Value>("18446744073709551616").find("expected an integer") != std::string::npos);
  CHECK(error<pb::FloatValue>("1e39").find("fits 32 bits") != std::string::npos);
  CHECK(error<pb::DoubleValue>("'0x10'").find("expected a number") != std::string::npos);
  CHECK(error<pb::BytesValue>("'a b'").find("expected base64 text") != std::string::npos);
  CHECK(error<pb::Duration>("'1'").find("expected a duration") != std::string::npos);
  CHECK(error<pb::Duration>("1").find("expected a duration") != std::string::npos);
  CHECK(error<pb::Duration>("{second: 1}").find("unknown field of google.protobuf.Duration; did you mean 'seconds'?") != std::string::npos);
  CHECK(error<pb::UInt32Value>("{value: x}").find("expected an integer") != std::string::npos);
  CHECK(error<pb::Timestamp>("'2020-01-01'").find("expected a time") != std::string::npos);
  CHECK(error<pb::Struct>("[a]").find("expected a map") != std::string::npos);
  CHECK(error<envoy::config::core::v3::Address>("socket_address: {address: a, port_value: 1}\npipe: {path: x}") ==
        "edge.yaml:2: pipe: 'socket_address' is set too, and only one of the alternatives of 'address' can be");
  CHECK(error<Cluster>("connect_timeout: 1s\nconnectTimeout: 1s") == "edge.yaml:2: connect_timeout: given twice, under both its names");
}

TEST_CASE("Any is refused when its type is missing, unknown or no URL") {
  CHECK(error<pb::Any>("{a: 1}").find("\"@type\" is required") != std::string::npos);
  CHECK(error<pb::Any>("{'@type': 5}") == "edge.yaml:1: @type: expected a string, got 5");
  CHECK(error<pb::Any>("{'@type': envoy.config.cluster.v3.Cluster}").find("expected a type URL") != std::string::npos);
  CHECK(error<pb::Any>("{'@type': /envoy.config.cluster.v3.Cluster}").find("expected a type URL") != std::string::npos);
  CHECK(error<pb::Any>("{'@type': type.googleapis.com/envoy.config.cluster.v3.Clustr}").find("Clustr") != std::string::npos);
  CHECK(error<pb::Any>("{'@type': type.googleapis.com/google.protobuf.Duration, seconds: 1}").find("stands under \"value\"") != std::string::npos);
  CHECK(message<pb::Any>("{}").type_url().empty());
  pb::Duration inside;
  REQUIRE(message<pb::Any>("{'@type': type.googleapis.com/google.protobuf.Duration, value: 2s}").UnpackTo(&inside));
  CHECK(inside.seconds() == 2);
}

TEST_CASE("accepted forms of scalars") {
  CHECK(message<pb::Int64Value>("'-9223372036854775808'").value() == std::numeric_limits<std::int64_t>::min());
  CHECK(message<pb::UInt64Value>("18446744073709551615").value() == std::numeric_limits<std::uint64_t>::max());
  CHECK(message<pb::UInt32Value>("80.0").value() == 80);
  CHECK(message<pb::UInt32Value>("'1e3'").value() == 1000);
  CHECK(message<pb::DoubleValue>("'-Infinity'").value() < -1e308);
  CHECK(message<pb::DoubleValue>("'1.5'").value() == 1.5);
  CHECK(message<pb::BytesValue>("aGk").value() == "hi");
  CHECK(message<pb::UInt32Value>("{value: 7}").value() == 7);
  CHECK(message<pb::Duration>("{seconds: 1, nanos: 5}").nanos() == 5);
  CHECK(message<Cluster>("connect_timeout: {seconds: 1}").connect_timeout().seconds() == 1);
  CHECK(message<pb::FieldMask>("'fooBar,baz.quxQuux'").paths(0) == "foo_bar");
  CHECK(message<pb::Timestamp>("'2020-01-01T00:00:00.5Z'").nanos() == 500'000'000);
  CHECK(message<Cluster>("null").ByteSizeLong() == 0);
  CHECK(message<pb::Struct>("a: null").fields().at("a").kind_case() == pb::Value::kNullValue);
  const auto cluster = message<Cluster>("name: a\nconnect_timeout: null\nlb_policy: 'MAGLEV'\n");
  CHECK_FALSE(cluster.has_connect_timeout());
  CHECK(cluster.lb_policy() == Cluster::MAGLEV);
}

TEST_CASE("unknown fields are collected when asked for") {
  std::vector<absl::Status> unknown;
  ToMessageOptions options;
  options.unknown = &unknown;
  Cluster cluster;
  REQUIRE(to_message(yaml("name: a\nnew_field: 1\nlb_policy: NEWEST\n"), &cluster, options).ok());
  REQUIRE(unknown.size() == 2);
  CHECK(unknown[0].message() == "edge.yaml:2: new_field: unknown field of envoy.config.cluster.v3.Cluster");
  CHECK(cluster.name() == "a");
}

TEST_CASE("marks of fields are found by path, or their nearest ancestor's") {
  FieldMarks marks;
  CHECK(marks.empty());
  CHECK(marks.find("x").line == 0);
  ToMessageOptions options;
  options.marks = &marks;
  Bootstrap read;
  REQUIRE(to_message(yaml(bootstrap), &read, options).ok());
  CHECK(marks.find("static_resources.clusters[0].connect_timeout").line == 35);
  CHECK(marks.find("static_resources.clusters[0].connect_timeout.seconds").line == 35);
  CHECK(marks.find("static_resources.listeners[0].address.socket_address.port_value").line == 7);  // camelCase there
  CHECK(marks.find("static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix").line == 13);
  CHECK(marks.find("static_resources.clusters[7].name").line == 32);
  CHECK(marks.find("nothing").to_string() == "edge.yaml:1");
  CHECK(marks.find("node.metadata[\"fairlead.io/gateway\"]").line == 1);
}

TEST_CASE("messages print as protobuf's JSON does, and read back equal") {
  check_against_protobuf(message<Bootstrap>("node: {id: a}\nadmin: {address: {pipe: {path: /x, mode: 420}}}"));
  const auto cluster = message<Cluster>(R"(name: a
type: EDS
connect_timeout: 0.000001s
max_requests_per_connection: 7
lb_policy: RING_HASH
ring_hash_lb_config: {minimum_ring_size: "18446744073709551615", maximum_ring_size: 5}
circuit_breakers: {thresholds: [{priority: HIGH, max_connections: 1, retry_budget: {budget_percent: {value: 33.3}}}]}
metadata: {filter_metadata: {envoy.lb: {canary: true, n: 1.25, l: [], m: {}, s: "é\n"}}}
dns_refresh_rate: 100s
)");
  check_against_protobuf(cluster);
  pb::Struct fields;
  (*fields.mutable_fields())["big"].set_number_value(1e21);
  (*fields.mutable_fields())["small"].set_number_value(-0.25);
  (*fields.mutable_fields())["null"].set_null_value(pb::NULL_VALUE);
  check_against_protobuf(fields);
  envoy::config::core::v3::DataSource source;
  source.set_inline_bytes(std::string("\x00\xff\x10", 3));
  check_against_protobuf(source);
  envoy::config::core::v3::RuntimeDouble ratio;
  ratio.set_default_value(0.1);
  check_against_protobuf(ratio);
  pb::FloatValue real;
  real.set_value(0.1f);
  CHECK(to_json(from_message(real)) == "0.1");
  check_against_protobuf(message<envoy::config::route::v3::Route>(
      "{match: {path: /a, query_parameters: [{name: q, present_match: true}]}, redirect: {response_code: FOUND, strip_query: true}}"));
  pb::Duration negative;
  negative.set_nanos(-1'000'000);
  check_against_protobuf(negative);
  pb::Timestamp time;
  time.set_seconds(-1);
  time.set_nanos(1);
  check_against_protobuf(time);
}

TEST_CASE("Any is always opened; what cannot be is shown as base64") {
  const auto read = message<Bootstrap>(bootstrap);
  const Value printed = from_message(read);
  INFO(to_yaml(printed));
  const Value* config = printed.find_path("static_resources.listeners");
  REQUIRE(config != nullptr);
  const Value filter = config->items()[0].find("filter_chains")->items()[0].find("filters")->items()[0];
  CHECK(filter.find_path("typed_config.stat_prefix")->as_string() == "ingress");
  CHECK(filter.find("typed_config")->entries()[0].key == "@type");
  Bootstrap again;
  REQUIRE(to_message(yaml(to_yaml(printed)), &again).ok());
  CHECK(MessageDifferencer::Equals(read, again));

  pb::Any any;
  any.set_type_url("type.googleapis.com/no.such.Type");
  any.set_value("hi");
  CHECK(to_json(from_message(any)) == R"({"@type":"type.googleapis.com/no.such.Type","value":"aGk="})");
  any.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  any.set_value("\xff\xff");
  CHECK(to_json(from_message(any)) == R"({"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","value":"//8="})");
  pb::Any nested;
  for (int i = 0; i < 300; ++i) {
    pb::Any outer;
    outer.PackFrom(nested);
    nested = outer;
  }
  CHECK(to_json(from_message(nested)).size() > 1000);
  CHECK(from_bytes("envoy.config.cluster.v3.Cluster", message<Cluster>("name: a").SerializeAsString())->find("name")->as_string() == "a");
  CHECK_FALSE(from_bytes("no.such.Type", "").ok());
}

TEST_CASE("types that are not linked in are read and printed through the descriptors") {
  const char* text = R"("@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
default_source_code: {inline_string: "x"}
source_codes: {a: {filename: /b}}
stat_prefix: p
)";
  const auto any = message<pb::Any>(text);
  CHECK(from_message(any) == yaml(text));
  CHECK(error<pb::Any>(std::string(text) + "default_source_kode: {}\n").find("did you mean 'default_source_code'?") != std::string::npos);
  const char* timed = R"("@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
grpc_service: {envoy_grpc: {cluster_name: a}, timeout: 0.250s}
failure_mode_allow: true
status_on_error: {code: Forbidden}
metadata_context_namespaces: [a]
)";
  CHECK(from_message(message<pb::Any>(timed)) == yaml(timed));
  CHECK(error<pb::Any>("{'@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, grpc_service: {timeout: soon}}")
            .find("edge.yaml:1: grpc_service.timeout: expected a duration") == 0);
}

}  // namespace
}  // namespace fairlead::doc
