// See event_log.h.
#include "dataplane/upstream/health/event_log.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>
#include <google/protobuf/util/json_util.h>

#include "dataplane/format/formatter.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::upstream {
namespace {

std::string json_text(std::string_view text) {
  std::string out;
  format::append_json_string(text, out);
  return out;
}

// As protobuf's JSON prints a Timestamp of whole milliseconds: 0 or 3 digits.
std::string timestamp(WallTime now) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count();
  std::string out = absl::FormatTime("%Y-%m-%dT%H:%M:%S", absl::FromUnixMillis(ms), absl::UTCTimeZone());
  if (ms % 1000 != 0) absl::StrAppendFormat(&out, ".%03d", static_cast<int>(ms % 1000));
  return json_text(out + "Z");
}

std::string host(const config::Address& address) {
  if (address.kind == config::Address::Kind::Pipe) return absl::StrCat("{\"pipe\":{\"path\":", json_text(address.path), ",\"mode\":0}}");
  return absl::StrCat("{\"socket_address\":{\"protocol\":\"TCP\",\"address\":", json_text(address.host), ",\"port_value\":", address.port,
                      ",\"resolver_name\":\"\",\"ipv4_compat\":false,\"network_namespace_filepath\":\"\"}}");
}

std::string_view checker_name(config::HealthCheck::Kind kind) {
  switch (kind) {
    case config::HealthCheck::Kind::Http: return "HTTP";
    case config::HealthCheck::Kind::Tcp: return "TCP";
    case config::HealthCheck::Kind::Grpc: return "GRPC";
  }
  return "";
}

std::string_view failure_name(CheckFailure failure) {
  switch (failure) {
    case CheckFailure::Answer:
    case CheckFailure::Retriable: return "ACTIVE";
    case CheckFailure::Network: return "NETWORK";
    case CheckFailure::Timeout: return "NETWORK_TIMEOUT";
    case CheckFailure::Passive: return "PASSIVE";
  }
  return "";
}

std::string metadata_json(const envoy::config::core::v3::Metadata& metadata) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string out;
  if (!google::protobuf::util::MessageToJsonString(metadata, &out, options).ok()) return "{}";
  return out;
}

constexpr std::string_view flag(bool value) { return value ? "true" : "false"; }

}  // namespace

std::string check_event_line(const CheckEvent& event, config::HealthCheck::Kind checker, std::string_view cluster, const config::Endpoint& endpoint, const config::Locality& place, WallTime now) {
  using Kind = CheckEvent::Kind;
  std::string out = absl::StrCat("{\"health_checker_type\":\"", checker_name(checker), "\",\"host\":", host(endpoint.address), ",\"cluster_name\":", json_text(cluster));
  if (event.kind == Kind::EjectUnhealthy) {
    absl::StrAppend(&out, ",\"eject_unhealthy_event\":{\"failure_type\":\"", failure_name(event.failure), "\",\"http_status_code\":", event.http_status, "}");
  }
  if (event.kind == Kind::AddHealthy) absl::StrAppend(&out, ",\"add_healthy_event\":{\"first_check\":", flag(event.first_check), "}");
  absl::StrAppend(&out, ",\"timestamp\":", timestamp(now));
  if (event.kind == Kind::Failure) {
    absl::StrAppend(&out, ",\"health_check_failure_event\":{\"failure_type\":\"", failure_name(event.failure), "\",\"first_check\":", flag(event.first_check),
                    ",\"http_status_code\":", event.http_status, "}");
  }
  if (event.kind == Kind::Degraded) absl::StrAppend(&out, ",\"degraded_healthy_host\":{}");
  if (event.kind == Kind::NoLongerDegraded) absl::StrAppend(&out, ",\"no_longer_degraded_host\":{}");
  if (endpoint.metadata) absl::StrAppend(&out, ",\"metadata\":", metadata_json(*endpoint.metadata));
  absl::StrAppend(&out, ",\"locality\":{\"region\":", json_text(place.region), ",\"zone\":", json_text(place.zone), ",\"sub_zone\":", json_text(place.sub_zone), "}");
  if (event.kind == Kind::Success) absl::StrAppend(&out, ",\"successful_health_check_event\":{}");
  return out + "}\n";
}

std::string outlier_event_line(const OutlierEvent& event, std::string_view cluster, std::string_view address, WallTime now) {
  std::string out = absl::StrCat("{\"type\":\"", event.type, "\",\"timestamp\":", timestamp(now));
  if (event.since_last) absl::StrAppend(&out, ",\"secs_since_last_action\":\"", event.since_last->count(), "\"");  // protobuf prints 64 bits as text
  absl::StrAppend(&out, ",\"cluster_name\":", json_text(cluster), ",\"upstream_url\":", json_text(address), ",\"action\":\"", event.eject ? "EJECT" : "UNEJECT",
                  "\",\"num_ejections\":", event.ejections, ",\"enforced\":", flag(event.enforced));
  const auto whole = [](double rate) { return static_cast<uint32_t>(rate < 0 ? 0 : rate); };
  if (event.eject) {
    switch (event.detail) {
      case OutlierEvent::Detail::Consecutive: absl::StrAppend(&out, ",\"eject_consecutive_event\":{}"); break;
      case OutlierEvent::Detail::SuccessRate:
        absl::StrAppend(&out, ",\"eject_success_rate_event\":{\"host_success_rate\":", whole(event.host_rate), ",\"cluster_average_success_rate\":", whole(event.average_rate),
                        ",\"cluster_success_rate_ejection_threshold\":", whole(event.threshold), "}");
        break;
      case OutlierEvent::Detail::FailurePercentage: absl::StrAppend(&out, ",\"eject_failure_percentage_event\":{\"host_success_rate\":", whole(event.host_rate), "}"); break;
    }
  }
  return out + "}\n";
}

}  // namespace fairlead::upstream
