// Lines of the event logs, as Envoy 1.40 writes them.
#include <catch2/catch.hpp>

#include <google/protobuf/struct.pb.h>

#include "dataplane/upstream/health/event_log.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::upstream {
namespace {

const WallTime kNow{std::chrono::milliseconds(1'795'649'480'411)};

config::Endpoint at(const std::string& host, uint16_t port) {
  config::Endpoint endpoint;
  endpoint.address.host = host;
  endpoint.address.port = port;
  return endpoint;
}

std::string line(const CheckEvent& event) { return check_event_line(event, config::HealthCheck::Kind::Http, "c", at("10.0.0.1", 80), {"r", "z", "", 0, {}}, kNow); }

const std::string kHead = R"({"health_checker_type":"HTTP","host":{"socket_address":{"protocol":"TCP","address":"10.0.0.1","port_value":80,"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}},"cluster_name":"c",)";
const std::string kTime = R"("timestamp":"2026-11-25T23:31:20.411Z",)";
const std::string kPlace = R"("locality":{"region":"r","zone":"z","sub_zone":""})";

TEST_CASE("every kind of event of a health check, its fields in Envoy's order") {
  using Kind = CheckEvent::Kind;
  CHECK(line({.kind = Kind::AddHealthy, .first_check = true}) == kHead + R"("add_healthy_event":{"first_check":true},)" + kTime + kPlace + "}\n");
  CHECK(line({.kind = Kind::EjectUnhealthy, .failure = CheckFailure::Retriable, .http_status = 503}) == kHead + R"("eject_unhealthy_event":{"failure_type":"ACTIVE","http_status_code":503},)" + kTime + kPlace + "}\n");
  CHECK(line({.kind = Kind::Failure, .first_check = true, .failure = CheckFailure::Timeout}) ==
        kHead + kTime + R"("health_check_failure_event":{"failure_type":"NETWORK_TIMEOUT","first_check":true,"http_status_code":0},)" + kPlace + "}\n");
  CHECK(line({.kind = Kind::Degraded}) == kHead + kTime + R"("degraded_healthy_host":{},)" + kPlace + "}\n");
  CHECK(line({.kind = Kind::NoLongerDegraded}) == kHead + kTime + R"("no_longer_degraded_host":{},)" + kPlace + "}\n");
  CHECK(line({.kind = Kind::Success}) == kHead + kTime + kPlace + R"(,"successful_health_check_event":{}})" + "\n");
}

TEST_CASE("hosts at paths, their metadata, and a time of whole seconds") {
  config::Endpoint endpoint;
  endpoint.address.kind = config::Address::Kind::Pipe;
  endpoint.address.path = "/run/\"x\"";
  auto metadata = std::make_shared<envoy::config::core::v3::Metadata>();
  (*(*metadata->mutable_filter_metadata())["envoy.lb"].mutable_fields())["a"].set_number_value(1);
  endpoint.metadata = metadata;
  CHECK(check_event_line({.kind = CheckEvent::Kind::Success}, config::HealthCheck::Kind::Tcp, "c", endpoint, {}, WallTime{std::chrono::seconds(1)}) ==
        R"({"health_checker_type":"TCP","host":{"pipe":{"path":"/run/\"x\"","mode":0}},"cluster_name":"c","timestamp":"1970-01-01T00:00:01Z",)"
        R"("metadata":{"filter_metadata":{"envoy.lb":{"a":1}},"typed_filter_metadata":{}},"locality":{"region":"","zone":"","sub_zone":""},"successful_health_check_event":{}})"
        "\n");
}

TEST_CASE("ejections and returns") {
  CHECK(outlier_event_line({.type = "CONSECUTIVE_5XX", .enforced = true, .ejections = 1, .since_last = {}}, "c", "10.0.0.1:80", kNow) ==
        R"({"type":"CONSECUTIVE_5XX",)" + kTime + R"("cluster_name":"c","upstream_url":"10.0.0.1:80","action":"EJECT","num_ejections":1,"enforced":true,"eject_consecutive_event":{}})" + "\n");
  CHECK(outlier_event_line({.type = "CONSECUTIVE_5XX", .eject = false, .ejections = 2, .since_last = std::chrono::seconds(30)}, "c", "10.0.0.1:80", kNow) ==
        R"({"type":"CONSECUTIVE_5XX",)" + kTime + R"("secs_since_last_action":"30","cluster_name":"c","upstream_url":"10.0.0.1:80","action":"UNEJECT","num_ejections":2,"enforced":false})" + "\n");
  CHECK(outlier_event_line({.type = "SUCCESS_RATE", .ejections = 1, .since_last = {}, .detail = OutlierEvent::Detail::SuccessRate, .host_rate = 12.9, .average_rate = 50, .threshold = 25.5}, "c", "h", kNow) ==
        R"({"type":"SUCCESS_RATE",)" + kTime +
            R"("cluster_name":"c","upstream_url":"h","action":"EJECT","num_ejections":1,"enforced":false,"eject_success_rate_event":{"host_success_rate":12,"cluster_average_success_rate":50,"cluster_success_rate_ejection_threshold":25}})" +
            "\n");
  CHECK(outlier_event_line({.type = "FAILURE_PERCENTAGE", .ejections = 1, .since_last = {}, .detail = OutlierEvent::Detail::FailurePercentage, .host_rate = 3}, "c", "h", kNow) ==
        R"({"type":"FAILURE_PERCENTAGE",)" + kTime +
            R"("cluster_name":"c","upstream_url":"h","action":"EJECT","num_ejections":1,"enforced":false,"eject_failure_percentage_event":{"host_success_rate":3}})" + "\n");
}

}  // namespace
}  // namespace fairlead::upstream
