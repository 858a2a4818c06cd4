// What answers to checks mean.
#include <catch2/catch.hpp>

#include "dataplane/upstream/health/probe.h"

namespace fairlead::upstream {
namespace {

using namespace std::string_literals;

TEST_CASE("bytes are found in order, with anything between") {
  CHECK(holds_in_order("+PONG\r\n", {"PONG"}));
  CHECK(holds_in_order("a1b2c", {"a", "b", "c"}));
  CHECK_FALSE(holds_in_order("b2a1c", {"a", "b", "c"}));
  CHECK_FALSE(holds_in_order("aa", {"aa", "a"}));
  CHECK(holds_in_order("", {}));
}

TEST_CASE("the request of gRPC's health protocol") {
  CHECK(grpc_health_request("") == "\0\0\0\0\0"s);
  CHECK(grpc_health_request("svc") == "\0\0\0\0\5\x0a\3svc"s);
  const std::string name(200, 'n');
  CHECK(grpc_health_request(name) == "\0\0\0\0\xcb\x0a\xc8\1"s + name);
}

TEST_CASE("the answer of gRPC's health protocol: SERVING, and nothing else") {
  CHECK(grpc_health_serving("\0\0\0\0\2\x08\1"s));
  CHECK(grpc_health_serving("\0\0\0\0\6\x12\2ab\x08\1"s));  // a field that is not known
  CHECK_FALSE(grpc_health_serving("\0\0\0\0\2\x08\2"s));
  CHECK_FALSE(grpc_health_serving("\0\0\0\0\0"s));
  CHECK_FALSE(grpc_health_serving("\1\0\0\0\2\x08\1"s));
  CHECK_FALSE(grpc_health_serving("\0\0\0\0\3\x08\1"s));
  CHECK_FALSE(grpc_health_serving("\0\0\0\0\1\x08"s));
  CHECK_FALSE(grpc_health_serving("\0\0\0\0\3\x12\x7f\1"s));
  CHECK_FALSE(grpc_health_serving(""));
}

}  // namespace
}  // namespace fairlead::upstream
