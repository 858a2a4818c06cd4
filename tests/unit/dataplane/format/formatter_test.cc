// What each operator prints, set and unset, in text and JSON; and what a wrong format is told.
#include "dataplane/format/formatter.h"

#include <catch2/catch.hpp>

#include "envoy/config/core/v3/base.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace std::chrono_literals;
using format::FormatContext;
using format::Formatter;
using format::JsonFormatter;
using format::ResponseFlag;
using format::TimePoint;

namespace {

// A finished request with everything set.
struct Sample {
  test::Headers request{{":method", "GET"},       {":path", "/a/b?x=1&y=two%20words"}, {":authority", "example.com"},
                        {"x-forwarded-for", "1.2.3.4"}, {"user-agent", "curl/8"}, {"x-request-id", "id-1"},
                        {"x-twice", "first"},     {"x-twice", "second"}};
  test::Headers response{{":status", "200"}, {"x-envoy-upstream-service-time", "7"}, {"x-empty", ""}};
  test::Headers trailers{{"grpc-status", "5"}};
  envoy::config::core::v3::Metadata metadata = test::from_yaml<envoy::config::core::v3::Metadata>(R"(
filter_metadata:
  com.test: {text: foo, number: 1.5, whole: 3, flag: true, object: {b: 2, a: "x"}, list: [1, two]}
)");
  FormatContext context;

  Sample() {
    context.request_headers = request.get();
    context.response_headers = response.get();
    context.response_trailers = trailers.get();
    context.start = std::chrono::system_clock::time_point(1481818057s + 12ms + 345us);
    context.now = context.start + 1s;
    context.times.set(TimePoint::DownstreamRxBegin, 0ns);
    context.times.set(TimePoint::DownstreamRxEnd, 1500us);
    context.times.set(TimePoint::UpstreamTxEnd, 3ms);
    context.times.set(TimePoint::UpstreamRxBegin, 9ms);
    context.times.set(TimePoint::DownstreamTxEnd, 12ms);
    context.times.set(TimePoint::StreamEnd, 12'900us);
    context.bytes.body_received = 10;
    context.bytes.body_sent = 2048;
    context.response_code = 200;
    context.response_code_details = "via upstream";
    context.protocol = "HTTP/1.1";
    context.upstream_host = "10.0.0.1:8080";
    context.upstream_cluster = "alt";
    context.upstream_cluster_raw = "raw";
    context.upstream_attempts = 2;
    context.downstream_remote_address = "[2001:db8::1]:4711";
    context.downstream_local_address = "127.0.0.1:80";
    context.downstream_direct_remote_address = "/run/client.sock";
    context.connection_id = 42;
    context.log_type = format::LogType::DownstreamEnd;
    context.dynamic_metadata = &metadata;
  }
  std::string text(std::string_view format) { return Formatter::parse(format).value().render(context); }
  std::string json(std::string_view yaml) {
    std::string out;
    JsonFormatter::parse(test::from_yaml<google::protobuf::Struct>(yaml)).value().render(context, out);
    return out;
  }
};

}  // namespace

TEST_CASE("each operator prints its value") {
  Sample sample;
  const std::pair<std::string_view, std::string_view> table[] = {
      {"plain text", "plain text"},
      {"100%%", "100%"},
      {"%REQ(:METHOD)%", "GET"},
      {"%REQ(X-NONE)%", "-"},
      {"%REQ(X-NONE?USER-AGENT)%", "curl/8"},
      {"%REQ(USER-AGENT):4%", "curl"},
      {"%REQ(X-TWICE)%", "first"},
      {"%REQUEST_HEADER(USER-AGENT)%", "curl/8"},
      {"%REQ_WITHOUT_QUERY(:PATH)%", "/a/b"},
      {"%RESP(X-EMPTY)%", ""},
      {"%RESP(:STATUS)%", "200"},
      {"%TRAILER(GRPC-STATUS)%", "5"},
      {"%PATH%", "/a/b?x=1&y=two%20words"},
      {"%PATH(NQ)%", "/a/b"},
      {"%PATH(NQ:ORIG)%", "-"},
      {"%PATH(WQ:PATH):4%", "/a/b"},
      {"%QUERY_PARAM(y)%", "two words"},
      {"%QUERY_PARAM(z)%", "-"},
      {"%QUERY_PARAMS%", "x=1&y=two%20words"},
      {"%QUERY_PARAMS(DECODED)%", "x=1&y=two%20words"},
      {"%ENVIRONMENT(FAIRLEAD_NOT_SET)%", "-"},
      {"%START_TIME%", "2016-12-15T16:07:37.012Z"},
      {"%START_TIME(%Y/%m/%d %H:%M:%S.%6f)%", "2016/12/15 16:07:37.012345"},
      {"%START_TIME(%s.%3f)%", "1481818057.012"},
      {"%START_TIME(%f)%", "012345000"},
      {"%EMIT_TIME(%s)%", "1481818058"},
      {"%DURATION%", "12"},
      {"%REQUEST_DURATION%", "1"},
      {"%REQUEST_TX_DURATION%", "3"},
      {"%RESPONSE_DURATION%", "9"},
      {"%RESPONSE_TX_DURATION%", "3"},
      {"%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)%", "1500"},
      {"%COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%", "-"},
      {"%BYTES_RECEIVED%/%BYTES_SENT%", "10/2048"},
      {"%RESPONSE_CODE%", "200"},
      {"%RESPONSE_CODE_DETAILS%", "via_upstream"},
      {"%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "via upstream"},
      {"%RESPONSE_FLAGS%", "-"},
      {"%PROTOCOL%", "HTTP/1.1"},
      {"%ROUTE_NAME%", "-"},
      {"%UPSTREAM_HOST%", "10.0.0.1:8080"},
      {"%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%", "alt raw"},
      {"%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"},
      {"%DOWNSTREAM_REMOTE_ADDRESS%", "[2001:db8::1]:4711"},
      {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "2001:db8::1"},
      {"%DOWNSTREAM_REMOTE_PORT%", "4711"},
      {"%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "127.0.0.1"},
      {"%DOWNSTREAM_LOCAL_PORT%", "80"},
      {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "/run/client.sock"},
      {"%DOWNSTREAM_DIRECT_REMOTE_PORT%", "-"},
      {"%DOWNSTREAM_TLS_VERSION%", "-"},
      {"%CONNECTION_ID% %STREAM_ID%", "42 -"},
      {"%ACCESS_LOG_TYPE%", "DownstreamEnd"},
      {"%GRPC_STATUS%", "-"},
      {"%METADATA(DYNAMIC:com.test:text)%", "foo"},
      {"%DYNAMIC_METADATA(com.test:object)%", R"({"a":"x","b":2})"},
      {"%DYNAMIC_METADATA(com.test:object:b)%", "2"},
      {"%DYNAMIC_METADATA(com.test:none)%", "-"},
      {"%METADATA(ROUTE:com.test)%", "-"},
      {"%DYNAMIC_METADATA(com.test:object):5%", R"({"a":)"},
  };
  for (const auto& [format, expected] : table) {
    INFO(format);
    CHECK(sample.text(format) == expected);
  }
}

TEST_CASE("an empty local body prints as nothing, not as a missing value") {
  Sample sample;
  sample.context.local_reply_body = {};
  CHECK(sample.text("[%LOCAL_REPLY_BODY%]") == "[]");
  sample.context.local_reply_body = "body";
  CHECK(sample.text("[%LOCAL_REPLY_BODY%]") == "[body]");
}

TEST_CASE("flags print in the order they were set, short and long") {
  Sample sample;
  sample.context.flags.set(ResponseFlag::UpstreamRetryLimitExceeded);
  sample.context.flags.set(ResponseFlag::NoHealthyUpstream);
  CHECK(sample.text("%RESPONSE_FLAGS%") == "URX,UH");
  CHECK(sample.text("%RESPONSE_FLAGS_LONG%") == "UpstreamRetryLimitExceeded,NoHealthyUpstream");
  for (int i = 0; i < static_cast<int>(ResponseFlag::Count); ++i) {
    const auto flag = static_cast<ResponseFlag>(i);
    CHECK(format::response_flag_from_short_name(format::short_name(flag)) == flag);
  }
  CHECK_FALSE(format::response_flag_from_short_name("XX"));
}

TEST_CASE("a gRPC status is printed for gRPC requests only, in three forms") {
  Sample sample;
  sample.request->add("content-type", "application/grpc+proto");
  CHECK(sample.text("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%") == "NotFound NOT_FOUND 5 5");
}

TEST_CASE("a duration that ends before it begins is unset") {
  Sample sample;
  sample.context.times.set(TimePoint::UpstreamRxBegin, 1ms);
  CHECK(sample.text("%COMMON_DURATION(US_TX_END:US_RX_BEG:ms)%") == "-");
}

TEST_CASE("the gRPC status of an answer that names none is what its HTTP status means") {
  Sample sample;
  sample.request->add("content-type", "application/grpc");
  sample.context.response_trailers = nullptr;
  sample.context.response_code = 503;
  CHECK(sample.text("%GRPC_STATUS%") == "Unavailable");
  sample.context.response_code = 0;
  CHECK(sample.text("%GRPC_STATUS%") == "-");
}

TEST_CASE("the default line is Envoy's") {
  Sample sample;
  CHECK(sample.text(format::default_access_log_format) ==
        "[2016-12-15T16:07:37.012Z] \"GET /a/b?x=1&y=two%20words HTTP/1.1\" 200 - 10 2048 12 7 \"1.2.3.4\" \"curl/8\" \"id-1\" "
        "\"example.com\" \"10.0.0.1:8080\"\n");
}

TEST_CASE("an empty context prints unset values everywhere and crashes nowhere") {
  FormatContext context;
  CHECK(Formatter::parse("%REQ(a)%|%RESP(a)%|%TRAILER(a)%|%PATH%|%QUERY_PARAMS%|%DURATION%|%UPSTREAM_HOST%").value().render(context) ==
        "-|-|-|-|-|-|-");
  CHECK(Formatter::parse("<%REQ(a)%>", true).value().render(context) == "<>");
}

TEST_CASE("JSON keeps types, sorts keys and escapes what a log line must not hold") {
  Sample sample;
  CHECK(sample.json(R"({status: "%RESPONSE_CODE%", a: "%REQ(X-NONE)%", method: "%REQ(:METHOD)%", text: "m=%REQ(:METHOD)% n=%REQ(X-NONE)%",
                        nested: {z: 1, b: [true, "%DURATION%"]}, object: "%DYNAMIC_METADATA(com.test:object)%", name: "%DYNAMIC_METADATA(com.test:text)%"})") ==
        R"({"a":null,"method":"GET","name":"foo","nested":{"b":[true,12],"z":1},"object":{"a":"x","b":2},"status":200,"text":"m=GET n=-"})"
        "\n");
  sample.request->set("user-agent", "a\"b\\c\n\x01\xff\xc3\xa9");
  CHECK(sample.json(R"({ua: "%REQ(USER-AGENT)%"})") == "{\"ua\":\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xa9\"}\n");
}

TEST_CASE("a wrong format is told what Envoy tells") {
  const std::pair<std::string_view, std::string_view> table[] = {
      {"%BOGUS%", "Not supported field in StreamInfo: BOGUS"},
      {"100%", "Incorrect configuration: 100%. Couldn't find valid command at position 3"},
      {"a %REQ(x% b", "Incorrect configuration: a %REQ(x% b. Couldn't find valid command at position 2"},
      {"%REQ%", "REQ requires parameters"},
      {"%REQ(a?b?c)%", "More than 1 alternative header specified in token: a?b?c"},
      {"%PROTOCOL:3%", "PROTOCOL does not allow length to be specified."},
      {"%PATH(XX)%", "Invalid PATH option: 'XX', only 'WQ'/'NQ' are allowed"},
      {"%PATH(NQ:XX)%", "Invalid PATH option: 'XX', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed"},
      {"%QUERY_PARAMS(XX)%", "Invalid QUERY_PARAMS option: 'XX', only 'ORIG'/'DECODED' are allowed"},
      {"%START_TIME(%s):3%", "START_TIME does not allow length to be specified."},
      {"%METADATA(NONE:a)%", "NONE is not supported metadata type"},
  };
  for (const auto& [format, message] : table) {
    INFO(format);
    const auto parsed = Formatter::parse(format);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.status().message() == message);
  }
}

TEST_CASE("a format knows whether it is literal and whether it reads the response") {
  CHECK(Formatter::parse("a%%b").value().is_literal());
  CHECK(Formatter::parse("a%%b").value().text() == "a%b");
  CHECK_FALSE(Formatter::parse("%REQ(a)%").value().is_literal());
  CHECK_FALSE(Formatter::parse("%REQ(a)%").value().reads_response());
  CHECK(Formatter::parse("%RESP(a)%").value().reads_response());
  CHECK(Formatter::literal("%REQ(a)%").render(FormatContext{}) == "%REQ(a)%");
}
