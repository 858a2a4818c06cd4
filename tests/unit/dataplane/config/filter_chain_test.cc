// Filter chains of a listener: their filters' order, what is refused in whose words, and which changes can be made in place.
#include "dataplane/config/filter_chain.h"

#include <catch2/catch.hpp>

#include "dataplane/config/listener.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "tests/unit/dataplane/config/filters.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace filter_chain_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;

namespace {

const Registry& registry() {
  static const auto* made = [] {
    auto* out = new Registry(test::filters());
    struct Plain : FilterConfig {};
    const auto parse = [](const google::protobuf::Any&, const std::string&) -> absl::StatusOr<std::shared_ptr<const FilterConfig>> { return std::make_shared<const Plain>(); };
    const auto fail = [](const google::protobuf::Any&, const std::string& field) -> absl::StatusOr<std::shared_ptr<const FilterConfig>> { return absl::InvalidArgumentError(field + ": it does not please"); };
    out->add(NetworkFilterType{"type.googleapis.com/google.protobuf.Empty", "test.looks", false, parse});
    out->add(NetworkFilterType{"type.googleapis.com/google.protobuf.StringValue", "test.ends", true, parse});
    out->add(NetworkFilterType{"type.googleapis.com/google.protobuf.BoolValue", "test.fails", true, fail});
    out->add(ListenerFilterType{"type.googleapis.com/google.protobuf.Empty", "test.inspects", parse});
    out->add(ListenerFilterType{"type.googleapis.com/google.protobuf.BoolValue", "test.fails", fail});
    return out;
  }();
  return *made;
}

const std::string kLooks = "{name: looks, typed_config: {\"@type\": type.googleapis.com/google.protobuf.Empty}}";
const std::string kEnds = "{name: ends, typed_config: {\"@type\": type.googleapis.com/google.protobuf.StringValue}}";
const std::string kFails = "{name: fails, typed_config: {\"@type\": type.googleapis.com/google.protobuf.BoolValue}}";
const std::string kHcm =
    "{name: hcm, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
    "route_config: {name: r}, http_filters: [{name: r, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}";

std::string listener(const std::string& rest) { return "{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 80}}, " + rest + "}"; }
std::string with_filters(const std::string& filters) { return listener("filter_chains: [{filters: [" + filters + "]}]"); }

absl::StatusOr<std::shared_ptr<const ListenerConfig>> parse(const std::string& yaml) {
  HcmOptions options;
  options.registry = &registry();
  return parse_listener(test::from_yaml<envoy::config::listener::v3::Listener>(yaml), options);
}
std::string error_of(const std::string& yaml) {
  const auto parsed = parse(yaml);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

}  // namespace

TEST_CASE("a chain keeps its filters in order, with the connection manager or another terminal filter as the last") {
  const auto http = parse(with_filters(kLooks + ", " + kLooks + ", " + kHcm));
  REQUIRE(http.ok());
  CHECK((*http)->chains[0]->filters.size() == 2);
  CHECK((*http)->chains[0]->hcm != nullptr);
  const auto other = parse(with_filters(kLooks + ", " + kEnds));
  REQUIRE(other.ok());
  REQUIRE((*other)->chains[0]->filters.size() == 2);
  CHECK((*other)->chains[0]->filters[1].name == "ends");
  CHECK((*other)->chains[0]->filters[1].type->terminal);
  CHECK((*other)->chains[0]->hcm == nullptr);
  CHECK_THAT(error_of(with_filters("")), Contains("filter_chains[0].filters: a chain without filters would answer nobody"));
}

TEST_CASE("terminal filters stand last and nowhere else") {
  const std::string place = "listener 'l': filter_chains[0].filters";
  CHECK_THAT(error_of(with_filters(kEnds + ", " + kHcm)), Contains(place + "[0]: Error: terminal filter named ends of type test.ends must be the last filter in a network filter chain."));
  CHECK_THAT(error_of(with_filters(kHcm + ", " + kEnds)), Contains(place + "[0]: Error: terminal filter named hcm of type envoy.filters.network.http_connection_manager must be the last filter in a network filter chain."));
  CHECK_THAT(error_of(with_filters(kLooks)), Contains(place + "[0]: Error: non-terminal filter named looks of type test.looks is the last filter in a network filter chain."));
}

TEST_CASE("what nobody registered is refused by name, and what a filter says of its configuration carries its place") {
  const std::string unknown = "{name: x, typed_config: {\"@type\": type.googleapis.com/google.protobuf.UInt32Value}}";
  CHECK_THAT(error_of(with_filters(unknown + ", " + kEnds)), Contains("filter_chains[0].filters[0]: Didn't find a registered implementation for 'x' with type URL: 'type.googleapis.com/google.protobuf.UInt32Value'"));
  CHECK_THAT(error_of(with_filters("{name: x}")), Contains("filter_chains[0].filters[0]: Didn't find a registered implementation for 'x' with type URL: ''"));
  CHECK_THAT(error_of(with_filters(kFails)), Contains("filter_chains[0].filters[0].typed_config: it does not please"));
  CHECK_THAT(error_of(listener("filter_chains: [{filters: [" + kEnds + "]}], listener_filters: [" + unknown + "]")), Contains("listener_filters[0]: Didn't find a registered implementation for 'x'"));
  CHECK_THAT(error_of(listener("filter_chains: [{filters: [" + kEnds + "]}], listener_filters: [" + kFails + "]")), Contains("listener_filters[0].typed_config: it does not please"));
  CHECK_THAT(error_of(listener("default_filter_chain: {filters: [" + kFails + "]}")), Contains("default_filter_chain.filters[0].typed_config: it does not please"));
  CHECK_THAT(error_of(listener("filter_chains: [{filters: [" + kEnds + "], transport_socket: {name: t, typed_config: {\"@type\": type.googleapis.com/google.protobuf.Empty}}}]")),
             Contains("filter_chains[0].transport_socket: Didn't find a registered implementation for 't' with type URL: 'type.googleapis.com/google.protobuf.Empty'"));
}

TEST_CASE("listener filters, their timeout and the default chain") {
  const auto parsed = parse(listener("filter_chains: [{name: a, filter_chain_match: {destination_port: 1}, filters: [" + kEnds + "], transport_socket_connect_timeout: 2s}], default_filter_chain: {name: d, filters: [" + kHcm +
                                     "]}, listener_filters: [" + kLooks + "], use_original_dst: true"));
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  const ListenerConfig& l = **parsed;
  CHECK(l.chain_count() == 2);
  CHECK(l.chain(1)->name == "d");
  CHECK(l.chain(0)->transport_socket_connect_timeout == milliseconds(2000));
  CHECK(l.matcher != nullptr);
  REQUIRE(l.listener_filters.size() == 1);
  CHECK(l.listener_filters[0].type->canonical == "test.inspects");
  CHECK(l.listener_filters_timeout == milliseconds(15000));  // Envoy 1.40: 15 s
  CHECK_FALSE(l.continue_on_listener_filters_timeout);
  CHECK(l.use_original_dst);
  int managers = 0;
  l.for_each_hcm([&](const HcmConfig&) { ++managers; });
  CHECK(managers == 1);
  const auto other = parse(listener("filter_chains: [{filters: [" + kEnds + "]}], listener_filters_timeout: 0s, continue_on_listener_filters_timeout: true"));
  REQUIRE(other.ok());
  CHECK((*other)->listener_filters_timeout.count() == 0);
  CHECK((*other)->continue_on_listener_filters_timeout);
  CHECK((*other)->matcher == nullptr);  // nothing to choose from
}

TEST_CASE("forms of a listener that differ in their chains alone have the same outer hash, and chains that are the same have the same own") {
  const auto of = [](const std::string& first, const std::string& more) {
    return *parse(listener("filter_chains: [{name: a, filter_chain_match: {destination_port: 1}, filters: [" + first + "]}, {name: b, filters: [" + kEnds + "]}]" + more));
  };
  const auto one = of(kEnds, ""), changed = of(kHcm, ""), added = of(kEnds, ", default_filter_chain: {filters: [" + kEnds + "]}"), other = of(kEnds, ", listener_filters: [" + kLooks + "]");
  CHECK(one->outer_hash == changed->outer_hash);
  CHECK(one->outer_hash == added->outer_hash);
  CHECK(one->outer_hash != other->outer_hash);
  CHECK(one->chains[0]->content_hash != changed->chains[0]->content_hash);
  CHECK(one->chains[1]->content_hash == changed->chains[1]->content_hash);
}

namespace {

std::string by_server_name(const std::string& map, const std::string& more = "") {
  return "filter_chain_matcher: {matcher_tree: {input: {name: i, typed_config: {'@type': type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.ServerNameInput}}, "
         "exact_match_map: {map: {" + map + "}}}" + more + "}";
}
std::string to_chain(const std::string& name) { return "{action: {name: a, typed_config: {'@type': type.googleapis.com/google.protobuf.StringValue, value: " + name + "}}}"; }

}  // namespace

TEST_CASE("filter_chain_matcher chooses chains by name, and where it finds none the default chain takes the connection") {
  const std::string chains = "filter_chains: [{name: a, filters: [" + kEnds + "]}, {name: b, filters: [" + kEnds + "]}]";
  const std::string tree = by_server_name("x: " + to_chain("b") + ", y: " + to_chain("gone"));
  const auto choose = [&](const std::string& more, std::string_view server_name) {
    const auto parsed = parse(listener(chains + ", " + tree + more));
    INFO(parsed.status().ToString());
    REQUIRE(parsed.ok());
    CHECK((*parsed)->chooses());
    const auto at = *net::Address::parse("127.0.0.1:80");
    const auto found = (*parsed)->choose({.local = at, .remote = at, .direct_remote = at, .server_name = server_name});
    return found ? (*parsed)->chain(*found)->name : "";
  };
  CHECK(choose("", "x") == "b");
  CHECK(choose("", "z").empty());
  const std::string fallback = ", default_filter_chain: {name: d, filters: [" + kEnds + "]}";
  CHECK(choose(fallback, "z") == "d");
  CHECK(choose(fallback, "").empty() == false);
  CHECK(choose(fallback, "y").empty());  // Envoy 1.40: a chain that there is not is no reason for the default one
}

TEST_CASE("filter_chain_matcher wants chains with names of their own") {
  const auto fault = [](const std::string& chains) {
    const auto parsed = parse(listener("filter_chains: [" + chains + "], " + by_server_name("x: " + to_chain("a"))));
    return parsed.ok() ? "" : std::string(parsed.status().message());
  };
  CHECK_THAT(fault("{filters: [" + kEnds + "]}"), Contains("filter_chains[0].name: \"name\" field is required when using a listener matcher"));
  CHECK_THAT(fault("{name: a, filters: [" + kEnds + "]}, {name: a, filters: [" + kEnds + "]}"), Contains("filter_chains[1].name: \"name\" field is duplicated with value 'a'"));
  const auto other = parse(listener("filter_chains: [{name: a, filters: [" + kEnds + "]}], filter_chain_matcher: {on_no_match: {action: {name: a, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}}"));
  CHECK_THAT(std::string(other.status().message()), Contains("filter_chain_matcher.on_no_match.action: Didn't find a registered implementation for 'a'"));
}

}  // namespace filter_chain_test
