// What the screen lets pass and what it sends to a closer look; tests/unit/dataplane/xds/screen_test.cc holds it to the walks at random.
#include "base/screen.h"

#include <catch2/catch.hpp>

#include "base/descriptors.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/buffer/v3/buffer.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"

namespace fairlead {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::route::v3::RouteConfiguration;

template <typename T>
T parse(const std::string& source) {
  T message;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(source, &message));
  return message;
}

Screen::Verdict look(const google::protobuf::Message& message, const std::string& more = "", Screen::Book book = {}) {
  Screen screen(std::move(book));
  return screen.look(message.GetDescriptor(), message.SerializeAsString() + more);
}

const std::string kRoutes = "name: 'r' virtual_hosts { name: 'v' domains: '*' routes { match { prefix: '/' } route { cluster: 'c' timeout { seconds: 3 } } } }";

// A route configuration whose virtual host configures a filter.
RouteConfiguration with_filter(const google::protobuf::Message& config) {
  auto routes = parse<RouteConfiguration>(kRoutes);
  (*routes.mutable_virtual_hosts(0)->mutable_typed_per_filter_config())["buffer"].PackFrom(config);
  return routes;
}

}  // namespace

TEST_CASE("what obeys its rules passes the screen") {
  const Screen::Verdict verdict = look(parse<RouteConfiguration>(kRoutes));
  CHECK((verdict.rules && verdict.known && verdict.allowed));
}

TEST_CASE("a broken rule is seen wherever it stands") {
  const char* broken[] = {
      "virtual_hosts { domains: '*' }",                                                                             // no name
      "virtual_hosts { name: 'v' }",                                                                                // no domain
      "virtual_hosts { name: 'v' domains: 'a\\n' }",                                                                // a pattern
      "virtual_hosts { name: 'v' domains: '*' require_tls: 7 }",                                                    // an enum
      "virtual_hosts { name: 'v' domains: '*' routes { route { cluster: 'c' } } }",                                 // no match
      "virtual_hosts { name: 'v' domains: '*' routes { match { prefix: '/' } route { } } }",                        // a required oneof
      "virtual_hosts { name: 'v' domains: '*' routes { match { prefix: '/' } route { cluster: '' } } }",            // one of its members
      "virtual_hosts { name: 'v' domains: '*' routes { match { prefix: '/' } } }",                                  // no action
      "virtual_hosts { name: 'v' domains: '*' routes { match { prefix: '/' } route { cluster: 'c' timeout { seconds: -1 } } } }",
      "request_headers_to_remove: 'a\\n'",                                                                           // an item
  };
  for (const char* text : broken) {
    INFO(text);
    CHECK_FALSE(look(parse<RouteConfiguration>(text)).rules);
  }
  CHECK_FALSE(look(parse<Cluster>("name: 'c' per_connection_buffer_limit_bytes { value: 1 } max_requests_per_connection { value: 0 } outlier_detection { max_ejection_percent { value: 101 } }")).rules);
}

TEST_CASE("how often a list may have items is counted") {
  auto routes = parse<RouteConfiguration>(kRoutes);
  for (int i = 0; i < 1000; ++i) routes.add_request_headers_to_add()->mutable_header()->set_key("a");
  CHECK(look(routes).rules);
  routes.add_request_headers_to_add()->mutable_header()->set_key("a");
  CHECK_FALSE(look(routes).rules);
}

TEST_CASE("what an Any holds is looked at, unless nobody knows its type") {
  envoy::extensions::filters::http::buffer::v3::BufferPerRoute filter;
  filter.mutable_buffer()->mutable_max_request_bytes()->set_value(1);
  CHECK(look(with_filter(filter)).rules);
  filter.mutable_buffer()->mutable_max_request_bytes()->set_value(0);  // must be more
  CHECK_FALSE(look(with_filter(filter)).rules);

  auto routes = with_filter(filter);
  auto& any = (*routes.mutable_virtual_hosts(0)->mutable_typed_per_filter_config())["buffer"];
  any.set_type_url("type.googleapis.com/nobody.Knows");
  CHECK(look(routes).rules);
  any.set_type_url("type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute");
  any.set_value("\x12\x05");  // torn
  CHECK_FALSE(look(routes).rules);
  any.set_value("\xA0\x1F\x01");  // field 500
  CHECK_FALSE(look(routes).known);
}

TEST_CASE("an unknown field is seen and nothing else doubted for it") {
  const Screen::Verdict verdict = look(parse<RouteConfiguration>(kRoutes), "\xA0\x1F\x01");
  CHECK_FALSE(verdict.known);
  CHECK((verdict.rules && verdict.allowed));
}

TEST_CASE("bytes that no encoder writes want a closer look") {
  const auto routes = parse<RouteConfiguration>(kRoutes);
  CHECK(look(routes).known);
  CHECK_FALSE(look(routes, std::string("\x0A\x01s")).rules);  // the name again
  CHECK_FALSE(look(parse<Cluster>("name: 'c' type: EDS"), parse<Cluster>("cluster_type { name: 't' }").SerializeAsString()).rules);  // another member of the oneof
}

TEST_CASE("the book is asked for fields and values where it covers the message") {
  Screen::Book book;
  book.covers = [](const auto* type) { return type->name() != "RouteMatch"; };
  book.allows = [](const auto* field) { return field->name() != "timeout" && field->name() != "prefix"; };
  book.allows_value = [](const auto* value) { return value->name() != "ALL"; };
  CHECK_FALSE(look(parse<RouteConfiguration>(kRoutes), "", book).allowed);
  auto routes = parse<RouteConfiguration>(kRoutes);
  routes.mutable_virtual_hosts(0)->mutable_routes(0)->mutable_route()->clear_timeout();
  CHECK(look(routes, "", book).allowed);
  routes.mutable_virtual_hosts(0)->set_require_tls(envoy::config::route::v3::VirtualHost::ALL);
  const Screen::Verdict verdict = look(routes, "", book);
  CHECK_FALSE(verdict.allowed);
  CHECK((verdict.rules && verdict.known));
}

}  // namespace fairlead
