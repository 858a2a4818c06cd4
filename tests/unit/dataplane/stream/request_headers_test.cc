// The connection manager's header rules on bare header maps: who is trusted, what is dropped, what is added.
#include <catch2/catch.hpp>

#include "dataplane/stream/local_reply.h"
#include "dataplane/stream/request_headers.h"
#include "dataplane/stream/stream.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::stream;
using http::Token;

namespace {

struct Fixture {
  http::Arena arena;
  http::HeaderMap headers{arena};
  config::HcmConfig config;
  net::Address remote = net::Address::from_ip("203.0.113.7", 4000).value();
  std::string remote_ip = "203.0.113.7";

  Origin apply() {
    return set_origin_headers(headers, config, {.remote = &remote, .remote_ip = remote_ip, .local_ip = "10.1.1.1", .local_port = 8080}, nullptr, 1, 2);
  }
  void trust(const char* range, uint32_t bits) { config.internal_cidrs.push_back(matching::Cidr::parse(range, bits).value()); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "addresses of x-forwarded-for from the right") {
  struct Row {
    const char* header;
    uint32_t skip;
    const char* address;
    bool single;
  };
  for (const Row row : {Row{"1.1.1.1", 0, "1.1.1.1", true}, {"1.1.1.1,2.2.2.2", 0, "2.2.2.2", false}, {"1.1.1.1, 2.2.2.2", 1, "1.1.1.1", false}, {"1.1.1.1", 1, "", false},
                        {"", 0, "", false}, {"nonsense", 0, "", false}, {"::1, 2001:db8::9", 0, "2001:db8::9", false}, {"1.1.1.1,", 0, "", false}, {",", 1, "", false}}) {
    http::HeaderMap map(arena);
    map.add(Token::XForwardedFor, row.header);
    bool single;
    INFO(row.header);
    CHECK(forwarded_address(map, row.skip, single) == row.address);
    CHECK(single == row.single);
  }
}

TEST_CASE_METHOD(Fixture, "with use_remote_address the peer is the client and is appended") {
  config.use_remote_address = true;
  headers.add(Token::XForwardedFor, "1.1.1.1");
  headers.add(Token::XForwardedProto, "https");
  const Origin origin = apply();
  CHECK(headers.get(Token::XForwardedFor) == "1.1.1.1,203.0.113.7");
  CHECK(headers.get(Token::XForwardedProto) == "http");
  CHECK(headers.get(Token::XEnvoyExternalAddress) == "203.0.113.7");
  CHECK(origin.edge);
  CHECK_FALSE(origin.internal);
}

TEST_CASE_METHOD(Fixture, "at the edge what only this proxy may say is dropped") {
  config.use_remote_address = true;
  headers.add(Token::XEnvoyOriginalPath, "/z");
  headers.add(Token::XEnvoyDecoratorOperation, "q");
  headers.add("x-envoy-downstream-service-cluster", "c");
  headers.add(Token::XEnvoyExternalAddress, "1.1.1.1");
  headers.add(Token::XForwardedClientCert, "x");
  apply();
  CHECK_FALSE(headers.has(Token::XEnvoyOriginalPath));
  CHECK_FALSE(headers.has(Token::XEnvoyDecoratorOperation));
  CHECK_FALSE(headers.has("x-envoy-downstream-service-cluster"));
  CHECK_FALSE(headers.has(Token::XForwardedClientCert));
  CHECK(headers.get(Token::XEnvoyExternalAddress) == "203.0.113.7");
}

TEST_CASE_METHOD(Fixture, "trusted hops move the client to the left") {
  config.use_remote_address = true;
  config.xff_num_trusted_hops = 1;
  headers.add(Token::XForwardedFor, "9.9.9.9, 8.8.8.8");
  headers.add(Token::XForwardedProto, "https");
  const Origin origin = apply();
  CHECK(origin.client_ip == "8.8.8.8");
  CHECK(headers.get(Token::XForwardedProto) == "https");
  CHECK(headers.get(Token::XEnvoyExternalAddress) == "8.8.8.8");
}

TEST_CASE_METHOD(Fixture, "a loopback peer is appended as this machine") {
  config.use_remote_address = true;
  remote = net::Address::v4_loopback(5);
  remote_ip = "127.0.0.1";
  apply();
  CHECK(headers.get(Token::XForwardedFor) == "10.1.1.1");
}

TEST_CASE_METHOD(Fixture, "an empty x-forwarded-for gets no comma") {
  config.use_remote_address = true;
  headers.add(Token::XForwardedFor, "");
  apply();
  CHECK(headers.get(Token::XForwardedFor) == "203.0.113.7");
}

TEST_CASE_METHOD(Fixture, "a header of its own may name the client") {
  trust("10.0.0.0", 8);
  config.ip_detections.push_back({.header = "x-real"});
  headers.add("x-forwarded-for", "9.9.9.9");
  SECTION("an address alone") {
    headers.add("x-real", "10.0.0.9");
    const Origin origin = apply();
    CHECK(origin.client_ip == "10.0.0.9");
    CHECK_FALSE(origin.internal);
    CHECK(headers.get(Token::XForwardedFor) == "9.9.9.9");
  }
  SECTION("that is trusted") {
    config.ip_detections[0].may_be_internal = true;
    headers.add("x-real", "10.0.0.9");
    CHECK(apply().internal);
  }
  SECTION("anything else is no address") {
    for (const char* bad : {"", "junk", "1.2.3.4:80", "[::1]:80", "1.2.3.4, 5.6.7.8"}) {
      headers.set("x-real", bad);
      const Origin origin = apply();
      CHECK(origin.client_ip.empty());
      CHECK(origin.reject_status == 0);
    }
  }
  SECTION("or is refused") {
    config.ip_detections[0].reject_status = 401;
    CHECK(apply().reject_status == 401);
    headers.set("x-real", "::1");
    CHECK(apply().reject_status == 0);
  }
  SECTION("what it does not find, the next may") {
    config.ip_detections.push_back({.skip_append = false});
    CHECK(apply().client_ip == "9.9.9.9");
    CHECK(headers.get(Token::XForwardedFor) == "9.9.9.9,203.0.113.7");
  }
}

TEST_CASE_METHOD(Fixture, "trusted proxies in x-forwarded-for are passed over") {
  trust("10.0.0.0", 8);
  config.ip_detections.push_back({.trusted_proxies = {matching::Cidr::parse("203.0.113.0", 24).value(), matching::Cidr::parse("10.0.0.0", 8).value()}});
  std::string twenty = "10.0.0.1";
  for (int i = 1; i < 20; ++i) twenty += ", 10.0.0.1";
  struct Row {
    std::string header;
    const char* address;
  };
  for (const Row& row : {Row{"9.9.9.9", "9.9.9.9"}, {"9.9.9.9, 10.1.1.1", "9.9.9.9"}, {"9.9.9.9, 8.8.8.8,10.1.1.1", "8.8.8.8"}, {"10.2.2.2, 10.1.1.1", "10.2.2.2"}, {"junk, 10.1.1.1", ""}, {"9.9.9.9,,10.1.1.1", ""},
                         {"junk, 9.9.9.9, 10.1.1.1", "9.9.9.9"}, {twenty, "10.0.0.1"}, {twenty + ", 8.8.8.8", ""}, {"", ""}}) {
    INFO(row.header);
    headers.set("x-forwarded-for", row.header);
    const Origin origin = apply();
    CHECK(origin.client_ip == row.address);
    CHECK_FALSE(origin.internal);
    CHECK(headers.get(Token::XForwardedFor) == row.header);
  }
  headers.set("x-forwarded-for", "10.2.2.2");
  CHECK(apply().internal);  // the only address there is
  remote = net::Address::from_ip("192.0.2.1", 4000).value();
  remote_ip = "192.0.2.1";
  headers.set("x-forwarded-for", "9.9.9.9");
  CHECK(apply().client_ip.empty());  // whoever is no proxy may have written anything
  CHECK(headers.get(Token::XForwardedFor) == "9.9.9.9,192.0.2.1");
}

TEST_CASE_METHOD(Fixture, "skip_xff_append changes no header") {
  config.use_remote_address = config.skip_xff_append = true;
  apply();
  CHECK_FALSE(headers.has(Token::XForwardedFor));
}

TEST_CASE_METHOD(Fixture, "nobody is internal without internal_address_config") {
  headers.add(Token::XForwardedFor, "10.0.0.1");
  headers.add(Token::XEnvoyRetryOn, "5xx");
  headers.add(Token::XEnvoyInternal, "true");
  CHECK_FALSE(apply().internal);
  CHECK_FALSE(headers.has(Token::XEnvoyRetryOn));
  CHECK_FALSE(headers.has(Token::XEnvoyInternal));
}

TEST_CASE_METHOD(Fixture, "one internal address makes a request internal, two do not") {
  trust("10.0.0.0", 8);
  headers.add(Token::XForwardedFor, "10.0.0.1");
  headers.add(Token::XEnvoyRetryOn, "5xx");
  SECTION("one") {
    CHECK(apply().internal);
    CHECK(headers.get(Token::XEnvoyInternal) == "true");
    CHECK(headers.get(Token::XEnvoyRetryOn) == "5xx");
  }
  SECTION("two") {
    headers.append(Token::XForwardedFor, "10.0.0.2");
    CHECK_FALSE(apply().internal);
    CHECK_FALSE(headers.has(Token::XEnvoyRetryOn));
  }
  SECTION("with use_remote_address a request that brings the header never is") {
    config.use_remote_address = true;
    remote_ip = "10.0.0.9";
    remote = net::Address::from_ip(remote_ip, 1).value();
    CHECK_FALSE(apply().internal);
  }
}

TEST_CASE_METHOD(Fixture, "request ids are made when missing and replaced at the edge") {
  apply();
  const std::string made(headers.get(Token::XRequestId));
  CHECK(made.size() == 36);
  CHECK(made[14] == '4');
  apply();
  CHECK(headers.get(Token::XRequestId) == made);
  config.use_remote_address = true;
  headers.set(Token::XRequestId, "theirs");
  config.preserve_external_request_id = true;
  apply();
  CHECK(headers.get(Token::XRequestId) == "theirs");
  config.preserve_external_request_id = false;
  apply();
  CHECK(headers.get(Token::XRequestId) != "theirs");
}

TEST_CASE_METHOD(Fixture, "hop-by-hop headers go, and what Connection names with them") {
  for (const auto& [name, value] : {std::pair{"connection", "keep-alive, x-hop"}, {"x-hop", "1"}, {"keep-alive", "5"}, {"proxy-connection", "x"}, {"te", "deflate, trailers"}, {"upgrade", "x"}, {"x-stays", "1"}}) headers.add(name, value);
  CHECK(clean_hop_by_hop(headers, false));
  CHECK(headers.size() == 2);
  CHECK(headers.get(Token::Te) == "trailers");
  headers.add("connection", "host");
  CHECK_FALSE(clean_hop_by_hop(headers, false));
}

TEST_CASE_METHOD(Fixture, "host ports and dots are stripped as configured") {
  const auto strip = [&](const char* host) {
    headers.set(Token::PseudoAuthority, host);
    strip_host(headers, config, 8080);
    return std::string(headers.get(Token::PseudoAuthority));
  };
  CHECK(strip("a.b:8080") == "a.b:8080");
  config.strip_matching_host_port = true;
  CHECK(strip("a.b:8080") == "a.b");
  CHECK(strip("a.b:81") == "a.b:81");
  CHECK(strip("a.b:") == "a.b:");
  CHECK(strip("[::1]:8080") == "[::1]");
  config.strip_matching_host_port = false;
  config.strip_any_host_port = true;
  CHECK(strip("a.b:") == "a.b:");
  CHECK(strip("a.b:x") == "a.b:x");
  CHECK(strip("a.b:81") == "a.b");
  CHECK(strip("[::1]") == "[::1]");
  config.strip_trailing_host_dot = true;
  CHECK(strip("a.b.:81") == "a.b");
}

TEST_CASE_METHOD(Fixture, "headers with underscores are dropped or refused") {
  headers.add("x_a", "1");
  headers.add("x-b", "1");
  CHECK_FALSE(check_underscores(headers, false));
  CHECK(check_underscores(headers, true));
  CHECK(headers.size() == 1);
  CHECK(check_underscores(headers, false));
}

TEST_CASE_METHOD(Fixture, "responses get server and date") {
  headers.add(Token::Server, "theirs");
  headers.add(Token::Connection, "close");
  finish_response(headers, config, "id", false, std::chrono::system_clock::from_time_t(784111777));
  CHECK(headers.get(Token::Server) == "envoy");
  CHECK(headers.get(Token::Date) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK_FALSE(headers.has(Token::Connection));
  CHECK_FALSE(headers.has(Token::XRequestId));
  config.server_header = config::HcmConfig::ServerHeader::PassThrough;
  config.always_set_request_id_in_response = true;
  headers.set(Token::Server, "theirs");
  finish_response(headers, config, "id", false, std::chrono::system_clock::from_time_t(0));
  CHECK(headers.get(Token::Server) == "theirs");
  CHECK(headers.get(Token::Date) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(headers.get(Token::XRequestId) == "id");
}

TEST_CASE_METHOD(Fixture, "local replies as text, for HEAD, without a body and for gRPC") {
  format::FormatContext context;
  const LocalReply reply{.status = 503, .body = "no 100% upstream"};
  SECTION("text") {
    CHECK(make_local_reply(reply, config, false, false, context, 0, nullptr, headers) == "no 100% upstream");
    CHECK(headers.get(Token::PseudoStatus) == "503");
    CHECK(headers.get(Token::ContentLength) == "16");
    CHECK(headers.get(Token::ContentType) == "text/plain");
  }
  SECTION("HEAD") {
    CHECK(make_local_reply(reply, config, false, true, context, 0, nullptr, headers).empty());
    CHECK(headers.get(Token::ContentLength) == "16");
  }
  SECTION("no body") {
    CHECK(make_local_reply({.status = 404}, config, false, false, context, 0, nullptr, headers).empty());
    CHECK_FALSE(headers.has(Token::ContentType));
  }
  SECTION("mapped by a filter whose limit the runtime moves") {
    const auto filter = test::from_yaml<envoy::config::accesslog::v3::AccessLogFilter>("status_code_filter: {comparison: {op: GE, value: {default_value: 600, runtime_key: mapped.from}}}");
    config.local_reply.emplace().mappers.push_back({config::AccessLogFilter::compile(filter, "filter").value(), 418, {}, {}, {}, {}});
    matching::Runtime runtime;
    runtime.set("mapped.from", {"500", 500.0, {}});
    make_local_reply(reply, config, false, false, context, 0, &runtime, headers);
    CHECK(headers.get(Token::PseudoStatus) == "418");
  }
  SECTION("not mapped by that filter without the runtime's word") {
    const auto filter = test::from_yaml<envoy::config::accesslog::v3::AccessLogFilter>("status_code_filter: {comparison: {op: GE, value: {default_value: 600, runtime_key: mapped.from}}}");
    config.local_reply.emplace().mappers.push_back({config::AccessLogFilter::compile(filter, "filter").value(), 418, {}, {}, {}, {}});
    make_local_reply(reply, config, false, false, context, 0, nullptr, headers);
    CHECK(headers.get(Token::PseudoStatus) == "503");
  }
  SECTION("gRPC") {
    CHECK(make_local_reply(reply, config, true, false, context, 0, nullptr, headers).empty());
    CHECK(headers.get(Token::PseudoStatus) == "200");
    CHECK(headers.get(Token::GrpcStatus) == "14");
    CHECK(headers.get(Token::GrpcMessage) == "no 100%25 upstream");
  }
}

TEST_CASE("HTTP statuses as gRPC statuses") {
  for (const auto& [status, grpc] : {std::pair{400u, 13u}, {401u, 16u}, {403u, 7u}, {404u, 12u}, {429u, 14u}, {503u, 14u}, {504u, 14u}, {500u, 2u}, {418u, 2u}}) {
    CHECK(grpc_status_of_http(status) == grpc);
  }
}
