// Every kind of rule, paths, values and what is looked at; then Envoy's own messages.
#include "base/validate.h"

#include <catch2/catch.hpp>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/text_format.h"
#include "tests/slowness.h"
#include "validate/validate.pb.h"

namespace fairlead::validate_test {
namespace {

namespace pb = google::protobuf;

std::string text(const pb::Message& message, const ValidateOptions& options = {}) {
  return std::string(validate(message, options).message());
}

template <typename T>
T parse(const std::string& source) {
  T message;
  REQUIRE(pb::TextFormat::ParseFromString(source, &message));
  return message;
}

// A message type made for a test: text form of a google.protobuf.DescriptorProto. Types live as long as the process, as
// the checker demands of every type.
class TestTypes {
 public:
  static std::unique_ptr<pb::Message> make(const std::string& declaration) {
    static auto* pool = new pb::DescriptorPool(pb::DescriptorPool::generated_pool());
    static auto* factory = new pb::DynamicMessageFactory(pool);
    static int count = 0;
    pb::FileDescriptorProto file;
    file.set_name(absl::StrCat("test", ++count, ".proto"));
    file.set_package(absl::StrCat("test", count));
    file.set_syntax("proto3");
    for (const char* import :
         {"validate/validate.proto", "google/protobuf/duration.proto", "google/protobuf/timestamp.proto",
          "google/protobuf/any.proto", "google/protobuf/wrappers.proto", "google/protobuf/struct.proto"}) {
      file.add_dependency(import);
    }
    pb::DescriptorProto* type = file.add_message_type();
    type->set_name("Message");
    pb::EnumDescriptorProto* colour = type->add_enum_type();
    colour->set_name("Colour");
    for (const char* name : {"RED", "GREEN", "BLUE"}) {
      pb::EnumValueDescriptorProto* value = colour->add_value();
      value->set_number(colour->value_size() - 1);
      value->set_name(name);
    }
    REQUIRE(pb::TextFormat::MergeFromString(declaration, type));
    for (pb::FieldDescriptorProto& field : *type->mutable_field()) {
      if (field.type_name().starts_with('*')) {
        field.set_type_name(absl::StrCat(".", file.package(), ".Message.", field.type_name().substr(1)));
      }
    }
    const pb::FileDescriptor* built = pool->BuildFile(file);
    REQUIRE(built != nullptr);
    return std::unique_ptr<pb::Message>(factory->GetPrototype(built->message_type(0))->New());
  }

  // One field "f" with rules, and its value; "" when nothing is wrong.
  static std::string check(const std::string& field, const std::string& rules, const std::string& value) {
    const auto message = make(absl::StrCat("field { name: 'f' number: 1 label: LABEL_OPTIONAL ", field,
                                           " options { [validate.rules] { ", rules, " } } }"));
    REQUIRE(pb::TextFormat::ParseFromString(value, message.get()));
    return text(*message);
  }
};

struct Row {
  std::string field;
  std::string rules;
  std::string value;
  std::string error;  // without "f: "
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.field << " | " << row.rules << " | " << row.value);
    CHECK(TestTypes::check(row.field, row.rules, row.value) == (row.error.empty() ? "" : "f: " + row.error));
  }
}

TEST_CASE("Number rules") {
  check_rows({
      {"type: TYPE_UINT32", "uint32 { gt: 3 }", "f: 4", ""},
      {"type: TYPE_UINT32", "uint32 { gt: 3 }", "f: 3", "must be greater than 3 (value 3)"},
      {"type: TYPE_UINT32", "uint32 { gt: 3 }", "", "must be greater than 3 (value 0)"},
      {"type: TYPE_UINT32", "uint32 { gte: 1 lte: 10 }", "f: 10", ""},
      {"type: TYPE_UINT32", "uint32 { gte: 1 lte: 10 }", "f: 11", "must be at least 1 and at most 10 (value 11)"},
      {"type: TYPE_UINT32", "uint32 { gte: 1 ignore_empty: true }", "", ""},
      {"type: TYPE_UINT32", "uint32 { gt: 10 lt: 5 }", "f: 7", "must be greater than 10 or less than 5 (value 7)"},
      {"type: TYPE_UINT32", "uint32 { gt: 10 lt: 5 }", "f: 4", ""},
      {"type: TYPE_UINT32", "uint32 { gt: 10 lt: 5 }", "f: 11", ""},
      {"type: TYPE_UINT32", "uint32 { gt: 10 lt: 5 }", "f: 10", "must be greater than 10 or less than 5 (value 10)"},
      {"type: TYPE_INT32", "int32 { lt: -5 }", "f: -6", ""},
      {"type: TYPE_INT32", "int32 { lt: -5 }", "f: -5", "must be less than -5 (value -5)"},
      {"type: TYPE_INT64", "int64 { gte: 9000000000 }", "f: 8999999999",
       "must be at least 9000000000 (value 8999999999)"},
      {"type: TYPE_UINT64", "uint64 { lte: 18446744073709551614 }", "f: 18446744073709551615",
       "must be at most 18446744073709551614 (value 18446744073709551615)"},
      {"type: TYPE_SINT32", "sint32 { const: -1 }", "f: 1", "must be -1 (value 1)"},
      {"type: TYPE_SINT64", "sint64 { in: 1 in: 2 }", "f: 3", "must be one of 1, 2 (value 3)"},
      {"type: TYPE_FIXED32", "fixed32 { not_in: 7 }", "f: 7", "must be none of 7 (value 7)"},
      {"type: TYPE_FIXED64", "fixed64 { gt: 1 }", "f: 1", "must be greater than 1 (value 1)"},
      {"type: TYPE_SFIXED32", "sfixed32 { lte: 0 }", "f: 1", "must be at most 0 (value 1)"},
      {"type: TYPE_SFIXED64", "sfixed64 { lte: 0 }", "f: -1", ""},
      {"type: TYPE_FLOAT", "float { gte: 0.5 }", "f: 0.25", "must be at least 0.5 (value 0.25)"},
      {"type: TYPE_DOUBLE", "double { gte: 0 lte: 100 }", "f: 100.5",
       "must be at least 0 and at most 100 (value 100.5)"},
      {"type: TYPE_DOUBLE", "double { gte: 0 lte: 100 }", "f: nan", "must be at least 0 and at most 100 (value nan)"},
      {"type: TYPE_BOOL", "bool { const: true }", "", "must be true (value false)"},
      {"type: TYPE_BOOL", "bool { const: true }", "f: true", ""},
  });
}

TEST_CASE("String rules") {
  const std::string long_value(100, 'x');
  check_rows({
      {"type: TYPE_STRING", "string { min_len: 1 }", "", "must not be empty (value \"\")"},
      {"type: TYPE_STRING", "string { min_len: 3 }", "f: 'äö'",
       "must have at least 3 characters (value \"\\xc3\\xa4\\xc3\\xb6\")"},
      {"type: TYPE_STRING", "string { min_len: 3 max_len: 3 }", "f: 'äöü'", ""},
      {"type: TYPE_STRING", "string { min_bytes: 2 max_bytes: 3 }", "f: 'abcd'",
       "must have 2 to 3 bytes (value \"abcd\")"},
      {"type: TYPE_STRING", "string { max_bytes: 3 }", "f: 'äö'",
       "must have at most 3 bytes (value \"\\xc3\\xa4\\xc3\\xb6\")"},
      {"type: TYPE_STRING", "string { max_len: 3 }", "f: '" + long_value + "'",
       "must have at most 3 characters (value \"" + std::string(64, 'x') + "\"…)"},
      {"type: TYPE_STRING", "string { len: 2 }", "f: 'a'", "must have exactly 2 characters (value \"a\")"},
      {"type: TYPE_STRING", "string { len_bytes: 2 }", "f: 'ä'", ""},
      {"type: TYPE_STRING", "string { const: 'a' }", "f: 'b'", "must be \"a\" (value \"b\")"},
      {"type: TYPE_STRING", "string { prefix: '/' }", "f: 'a'", "must start with \"/\" (value \"a\")"},
      {"type: TYPE_STRING", "string { suffix: '.so' }", "f: 'a.s'", "must end with \".so\" (value \"a.s\")"},
      {"type: TYPE_STRING", "string { contains: 'x' }", "f: 'a'", "must contain \"x\" (value \"a\")"},
      {"type: TYPE_STRING", "string { not_contains: '*' }", "f: 'a*'", "must not contain \"*\" (value \"a*\")"},
      {"type: TYPE_STRING", "string { in: 'a' in: 'b' }", "f: 'c'", "must be one of \"a\", \"b\" (value \"c\")"},
      {"type: TYPE_STRING", "string { not_in: 'a' }", "f: 'a'", "must be none of \"a\" (value \"a\")"},
      {"type: TYPE_STRING", "string { pattern: '[a-z]+' }", "f: 'abc1'",
       "must match the regular expression [a-z]+ (value \"abc1\")"},
      {"type: TYPE_STRING", "string { pattern: '[a-z]+' }", "f: 'abc'", ""},
      {"type: TYPE_STRING", "string { pattern: '[a-z]+' ignore_empty: true }", "", ""},
      {"type: TYPE_STRING", "string { ip: true }", "f: '::1'", ""},
      {"type: TYPE_STRING", "string { ip: true }", "f: '1.2.3'", "must be an IP address (value \"1.2.3\")"},
      {"type: TYPE_STRING", "string { ipv4: true }", "f: '::1'", "must be an IPv4 address (value \"::1\")"},
      {"type: TYPE_STRING", "string { ipv6: true }", "f: '1.2.3.4'", "must be an IPv6 address (value \"1.2.3.4\")"},
      {"type: TYPE_STRING", "string { hostname: true }", "f: 'a.example.com.'", ""},
      {"type: TYPE_STRING", "string { hostname: true }", "f: 'a..b'", "must be a host name (value \"a..b\")"},
      {"type: TYPE_STRING", "string { hostname: true }", "f: '-a.b'", "must be a host name (value \"-a.b\")"},
      {"type: TYPE_STRING", "string { address: true }", "f: '10.0.0.1'", ""},
      {"type: TYPE_STRING", "string { address: true }", "f: 'a_b'",
       "must be a host name or an IP address (value \"a_b\")"},
      {"type: TYPE_STRING", "string { uuid: true }", "f: '123e4567-e89b-12d3-a456-426614174000'", ""},
      {"type: TYPE_STRING", "string { uuid: true }", "f: '123e4567e89b12d3a456426614174000'",
       "must be a UUID (value \"123e4567e89b12d3a456426614174000\")"},
  });
}

TEST_CASE("Header names and values") {
  const std::string name = "string { well_known_regex: HTTP_HEADER_NAME ";
  const std::string value = "string { well_known_regex: HTTP_HEADER_VALUE ";
  const auto accepted = [](const std::string& rules, const std::string& content) {
    return TestTypes::check("type: TYPE_STRING", rules, "f: '" + content + "'").empty();
  };
  CHECK(accepted(name + "}", "x-a"));
  CHECK(accepted(name + "}", ":path"));
  CHECK(accepted(name + "}", "a!#$%&*+-.^_|~`9"));
  CHECK_FALSE(accepted(name + "}", ""));
  CHECK_FALSE(accepted(name + "}", "a b"));
  CHECK_FALSE(accepted(name + "}", "a:b"));
  CHECK_FALSE(accepted(name + "}", "ä"));
  CHECK(accepted(name + "strict: false }", "a b"));
  CHECK(accepted(name + "strict: false }", ""));
  CHECK_FALSE(accepted(name + "strict: false }", "a\\nb"));
  CHECK_FALSE(accepted(name + "strict: false }", "a\\x00"));
  CHECK(accepted(value + "}", "a b\\tc ä"));
  CHECK_FALSE(accepted(value + "}", "a\\x01"));
  CHECK_FALSE(accepted(value + "}", "a\\x7f"));
  CHECK_FALSE(accepted(value + "}", "a\\r"));
  CHECK(accepted(value + "strict: false }", "a\\x01"));
  CHECK_FALSE(accepted(value + "strict: false }", "a\\r"));
}

TEST_CASE("Bytes and enum rules") {
  const std::string colour = "type: TYPE_ENUM type_name: '*Colour'";
  check_rows({
      {"type: TYPE_BYTES", "bytes { min_len: 1 }", "", "must not be empty (value \"\")"},
      {"type: TYPE_BYTES", "bytes { max_len: 2 }", "f: '\\x00\\x01\\x02'",
       "must have at most 2 bytes (value \"\\x00\\x01\\x02\")"},
      {"type: TYPE_BYTES", "bytes { len: 2 }", "f: 'a'", "must have exactly 2 bytes (value \"a\")"},
      {"type: TYPE_BYTES", "bytes { prefix: 'a' }", "f: 'b'", "must start with \"a\" (value \"b\")"},
      {"type: TYPE_BYTES", "bytes { ip: true }", "f: 'abcd'", ""},
      {"type: TYPE_BYTES", "bytes { ipv6: true }", "f: 'abcd'", "must be the bytes of an IP address (value \"abcd\")"},
      {"type: TYPE_BYTES", "bytes { min_len: 4 ignore_empty: true }", "", ""},
      {colour, "enum { defined_only: true }", "f: BLUE", ""},
      {colour, "enum { in: 1 in: 2 }", "", "must be one of GREEN, BLUE (value RED)"},
      {colour, "enum { not_in: 0 }", "f: RED", "must be none of RED (value RED)"},
      {colour, "enum { const: 2 }", "f: GREEN", "must be BLUE (value GREEN)"},
  });
  const std::string undefined = TestTypes::check(colour, "enum { defined_only: true }", "f: 9");
  CHECK(undefined.starts_with("f: must be a value of test"));
  CHECK(undefined.ends_with(".Message.Colour (value 9)"));
}

TEST_CASE("Repeated rules") {
  const std::string list = "label: LABEL_REPEATED ";
  check_rows({
      {list + "type: TYPE_UINT32", "repeated { min_items: 1 }", "", "must have at least 1 item (value 0 items)"},
      {list + "type: TYPE_UINT32", "repeated { max_items: 1 }", "f: [1, 2]",
       "must have at most 1 item (value 2 items)"},
      {list + "type: TYPE_UINT32", "repeated { min_items: 2 ignore_empty: true }", "", ""},
  });
  CHECK(TestTypes::check(list + "type: TYPE_STRING", "repeated { unique: true }", "f: ['a', 'b', 'a']") ==
        "f[2]: must not repeat an earlier item (value \"a\")");
  CHECK(TestTypes::check(list + "type: TYPE_UINT32", "repeated { items { uint32 { lt: 10 } } }", "f: [1, 10, 11]") ==
        "f[1]: must be less than 10 (value 10)\nf[2]: must be less than 10 (value 11)");
}

TEST_CASE("Map rules") {
  const std::string entry = R"(
    field { name: 'f' number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: '*FEntry'
            options { [validate.rules] { map { min_pairs: 1 max_pairs: 2 keys { string { min_len: 1 } }
                                               values { uint32 { gte: 5 } } } } } }
    nested_type { name: 'FEntry' options { map_entry: true }
                  field { name: 'key' number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
                  field { name: 'value' number: 2 label: LABEL_OPTIONAL type: TYPE_UINT32 } })";
  const auto check = [&](const std::string& value) {
    const auto message = TestTypes::make(entry);
    REQUIRE(pb::TextFormat::ParseFromString(value, message.get()));
    return text(*message);
  };
  CHECK(check("f { key: 'a' value: 5 }") == "");
  CHECK(check("") == "f: must have at least 1 item (value 0 items)");
  CHECK(check("f { key: 'a' value: 5 } f { key: 'b' value: 5 } f { key: 'c' value: 5 }") ==
        "f: must have at most 2 items (value 3 items)");
  CHECK(check("f { key: 'a.b' value: 4 }") == "f[\"a.b\"]: must be at least 5 (value 4)");
  CHECK(check("f { key: '' value: 5 }").ends_with("its key must not be empty (value \"\")"));
}

TEST_CASE("Durations, timestamps, wrappers and Any") {
  const std::string duration = "type: TYPE_MESSAGE type_name: '.google.protobuf.Duration'";
  const std::string timestamp = "type: TYPE_MESSAGE type_name: '.google.protobuf.Timestamp'";
  const std::string wrapper = "type: TYPE_MESSAGE type_name: '.google.protobuf.UInt32Value'";
  const std::string any = "type: TYPE_MESSAGE type_name: '.google.protobuf.Any'";
  check_rows({
      {duration, "duration { gt {} }", "f { seconds: -1 }", "must be greater than 0s (value -1s)"},
      {duration, "duration { gt {} }", "f { nanos: 1 }", ""},
      {duration, "duration { gt {} }", "", ""},
      {duration, "duration { required: true }", "", "is required"},
      {duration, "", "f { seconds: -1 }", "must not be negative (value -1s)"},
      {duration, "duration { lt { seconds: 2 } }", "f { nanos: -1 }", "must not be negative (value -0.000000001s)"},
      {duration, "", "f { seconds: 315576000001 }", "is out of a duration's range (value 315576000001s)"},
      {duration, "", "f { seconds: 9223372036 }", "is out of a duration's range (value 9223372036s)"},
      {duration, "", "f { seconds: 9223372035 }", ""},
      {duration, "", "f { seconds: 1 }", ""},
      {duration, "duration { gte { nanos: 1000000 } lt { seconds: 2 } }", "f { seconds: 2 }",
       "must be at least 0.001s and less than 2s (value 2s)"},
      {duration, "duration { in { seconds: 1 } }", "f { seconds: 2 }", "must be one of 1s (value 2s)"},
      {timestamp, "timestamp { required: true }", "", "is required"},
      {timestamp, "timestamp { gt { seconds: 86400 } }", "f { seconds: 1 }",
       "must be greater than 1970-01-02T00:00:00Z (value 1970-01-01T00:00:01Z)"},
      {timestamp, "timestamp { gt_now: true }", "f { seconds: 1 }",
       "must be in the future (value 1970-01-01T00:00:01Z)"},
      {timestamp, "timestamp { lt_now: true }", "f { seconds: 1 }", ""},
      {timestamp, "timestamp { within { seconds: 10 } }", "f { seconds: 1 }",
       "must be within 10s of now (value 1970-01-01T00:00:01Z)"},
      {wrapper, "uint32 { gte: 1 }", "", ""},
      {wrapper, "uint32 { gte: 1 }", "f {}", "must be at least 1 (value 0)"},
      {wrapper, "uint32 { gte: 1 }", "f { value: 1 }", ""},
      {any, "any { required: true }", "", "is required"},
      {any, "any { in: 'x/a.B' }", "f { type_url: 'x/a.C' }", "must be one of \"x/a.B\" (value x/a.C)"},
      {any, "any { not_in: 'x/a.B' }", "f { type_url: 'x/a.B' }", "must be none of \"x/a.B\" (value x/a.B)"},
  });
}

TEST_CASE("Required, skipped and optional members") {
  const std::string nested =
      R"(nested_type { name: 'N' field { name: 'g' number: 1 label: LABEL_OPTIONAL type: TYPE_UINT32
                                options { [validate.rules] { uint32 { gt: 0 } } } } })";
  const std::string field = "field { name: 'n' number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: '*N' ";
  const auto check = [&](const std::string& declaration, const std::string& value) {
    const auto message = TestTypes::make(declaration);
    REQUIRE(pb::TextFormat::ParseFromString(value, message.get()));
    return text(*message);
  };
  CHECK(check(field + "}" + nested, "") == "");
  CHECK(check(field + "}" + nested, "n {}") == "n.g: must be greater than 0 (value 0)");
  CHECK(check(field + "options { [validate.rules] { message { required: true } } } }" + nested, "") ==
        "n: is required");
  CHECK(check(field + "options { [validate.rules] { message { skip: true } } } }" + nested, "n {}") == "");
  CHECK(check(field + "}" + nested + "options { [validate.disabled]: true }", "n {}") == "");

  SECTION("a oneof checks only the member that is set") {
    const std::string oneof = R"(
      field { name: 'a' number: 1 label: LABEL_OPTIONAL type: TYPE_UINT32 oneof_index: 0 options { [validate.rules] { uint32 { gt: 0 } } } }
      field { name: 'b' number: 2 label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 options { [validate.rules] { string { min_len: 1 } } } }
      oneof_decl { name: 'kind' options { [validate.required]: true } })";
    CHECK(check(oneof, "a: 1") == "");
    CHECK(check(oneof, "a: 0") == "a: must be greater than 0 (value 0)");
    CHECK(check(oneof, "b: ''") == "b: must not be empty (value \"\")");
    CHECK(check(oneof, "") == "one of a, b is required");
  }
  SECTION("an optional scalar that is not set is left alone") {
    const std::string optional = R"(
      field { name: 'a' number: 1 label: LABEL_OPTIONAL type: TYPE_UINT32 oneof_index: 0 proto3_optional: true
              options { [validate.rules] { uint32 { gt: 0 } } } }
      oneof_decl { name: '_a' })";
    CHECK(check(optional, "") == "");
    CHECK(check(optional, "a: 0") == "a: must be greater than 0 (value 0)");
  }
}

TEST_CASE("Envoy's messages are checked with full paths") {
  const auto bootstrap = parse<envoy::config::bootstrap::v3::Bootstrap>(R"(
    static_resources {
      clusters { name: "" connect_timeout { seconds: -1 } }
      clusters { name: "b" lb_policy: 99 load_assignment { cluster_name: "b" endpoints { priority: 200 } } }
    })");
  CHECK(
      text(bootstrap) ==
      "static_resources.clusters[0].name: must not be empty (value \"\")\n"
      "static_resources.clusters[0].connect_timeout: must be greater than 0s (value -1s)\n"
      "static_resources.clusters[1].lb_policy: must be a value of envoy.config.cluster.v3.Cluster.LbPolicy (value 99)\n"
      "static_resources.clusters[1].load_assignment.endpoints[0].priority: must be at most 128 (value 200)");
  ValidateOptions options;
  options.path = "bootstrap";
  options.max_violations = 1;
  CHECK(text(bootstrap, options) == "bootstrap.static_resources.clusters[0].name: must not be empty (value \"\")");
  CHECK(violations(bootstrap).size() == 4);
  CHECK(violations(bootstrap)[1].path == "static_resources.clusters[0].connect_timeout");
}

TEST_CASE("A route without an action and a header with a line break are refused") {
  const auto route = parse<envoy::config::route::v3::RouteConfiguration>(R"(
    virtual_hosts {
      name: "v" domains: "*"
      routes { match { prefix: "/" } request_headers_to_add { header { key: "a" value: "b\n" } } }
      routes { redirect {} }
    })");
  const std::vector<Violation> found = violations(route);
  REQUIRE(found.size() == 3);
  CHECK(found[0].path == "virtual_hosts[0].routes[0].request_headers_to_add[0].header.value");
  CHECK(found[1].path == "virtual_hosts[0].routes[0]");
  CHECK(found[1].message.starts_with("one of route, redirect, direct_response"));
  CHECK(found[2].path == "virtual_hosts[0].routes[1].match");
  CHECK(found[2].message == "is required");
}

TEST_CASE("An Any is opened only when asked") {
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
  manager.set_stat_prefix("");
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  auto* listener = bootstrap.mutable_static_resources()->add_listeners();
  auto* filter = listener->add_filter_chains()->add_filters();
  filter->set_name("hcm");
  filter->mutable_typed_config()->PackFrom(manager);
  CHECK(text(bootstrap) == "");
  ValidateOptions open;
  open.open_any = true;
  const std::string path = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
  CHECK(text(bootstrap, open) == path + ".stat_prefix: must not be empty (value \"\")\n" + path +
                                     ": one of rds, route_config, scoped_routes is required");

  SECTION("types that are not linked are checked as well") {
    auto lua = make_message("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz");
    REQUIRE(lua.ok());
    REQUIRE(pb::TextFormat::ParseFromString("status_on_error { code: 1000 }", lua->get()));
    filter->mutable_typed_config()->PackFrom(**lua);
    CHECK(text(bootstrap, open) ==
          path + ".status_on_error.code: must be a value of envoy.type.v3.StatusCode (value 1000)");
  }
  SECTION("unknown types pass, broken bytes do not") {
    filter->mutable_typed_config()->set_type_url("type.googleapis.com/acme.Thing");
    CHECK(text(bootstrap, open) == "");
    filter->mutable_typed_config()->set_type_url("type.googleapis.com/envoy.config.core.v3.Node");
    filter->mutable_typed_config()->set_value("\xff");
    CHECK(text(bootstrap, open) == path + ": not a valid envoy.config.core.v3.Node: its 1 bytes cannot be parsed");
  }
}

TEST_CASE("Deprecated fields and values that Envoy refuses by default") {
  const auto route = parse<envoy::config::route::v3::RateLimit::Action>(
      R"(dynamic_metadata { descriptor_key: "a" metadata_key { key: "k" path { key: "p" } } })");
  CHECK(text(route) == "dynamic_metadata: is deprecated and refused by default");
}

TEST_CASE("Secrets stay out of messages") {
  const auto key =
      parse<envoy::extensions::transport_sockets::tls::v3::TlsCertificate>(R"(private_key { filename: "" })");
  CHECK(text(key) == "private_key.filename: must not be empty (value [redacted])");
}

TEST_CASE("Every rule in the Envoy API is one that is enforced") {
  std::vector<std::string> unsupported;
  int rules = 0;
  for (const std::string& name : message_names()) {
    const pb::Descriptor* type = find_message(name);
    REQUIRE(type != nullptr);
    for (int at = 0; at < type->field_count(); ++at) {
      rules += type->field(at)->options().HasExtension(validate::rules) ? 1 : 0;
    }
    for (const std::string& rule : unsupported_rules(type)) {
      unsupported.push_back(absl::StrCat(name, ".", rule));
    }
  }
  CHECK(unsupported == std::vector<std::string>{});
  CHECK(rules > 1500);
}

TEST_CASE("Ten thousand clusters are checked in well under a second") {
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  for (int at = 0; at < 10000; ++at) {
    auto* cluster = bootstrap.mutable_static_resources()->add_clusters();
    cluster->set_name(absl::StrCat("cluster-", at));
    cluster->mutable_connect_timeout()->set_seconds(1);
    cluster->mutable_load_assignment()->set_cluster_name(cluster->name());
    auto* address =
        cluster->mutable_load_assignment()->add_endpoints()->add_lb_endpoints()->mutable_endpoint()->mutable_address();
    address->mutable_socket_address()->set_address("127.0.0.1");
    address->mutable_socket_address()->set_port_value(8080);
  }
  const auto start = std::chrono::steady_clock::now();
  CHECK(violations(bootstrap).empty());
  const auto spent = std::chrono::steady_clock::now() - start;
  CHECK(spent < testing::kSlowness * std::chrono::milliseconds(500));
}

}  // namespace
}  // namespace fairlead::validate_test
