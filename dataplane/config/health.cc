// Cluster.health_checks and outlier_detection; see health.h.
#include "dataplane/config/health.h"

#include <algorithm>
#include <cctype>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "dataplane/config/fields.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

namespace fairlead::config {
namespace core = envoy::config::core::v3;
namespace {

void read_ranges(const google::protobuf::RepeatedPtrField<envoy::type::v3::Int64Range>& proto, const std::string& field, StatusRanges& out, ErrorList& errors) {
  if (proto.empty()) return;
  out.clear();
  for (int i = 0; i < proto.size(); ++i) {
    const auto& range = proto.Get(i);
    const std::string place = absl::StrCat(field, "[", i, "]");
    if (range.start() >= range.end()) errors.add(place, absl::StrCat("Invalid http status range: expecting start < end, but found start=", range.start(), " and end=", range.end()));
    if (range.start() < 100) errors.add(place, absl::StrCat("Invalid http status range: expecting start >= 100, but found start=", range.start()));
    if (range.end() > 600) errors.add(place, absl::StrCat("Invalid http status range: expecting end <= 600, but found end=", range.end()));
    out.emplace_back(range.start(), range.end());
  }
}

std::string payload(const core::HealthCheck::Payload& proto, const std::string& field, ErrorList& errors) {
  if (proto.payload_case() == core::HealthCheck::Payload::kBinary) return proto.binary();
  std::string bytes;
  const bool hex = proto.text().size() % 2 == 0 && std::all_of(proto.text().begin(), proto.text().end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (!hex) {
    errors.add(field + ".text", absl::StrCat("invalid hex string '", proto.text(), "'"));
    return bytes;
  }
  return absl::HexStringToBytes(proto.text());
}

void read_http(const core::HealthCheck::HttpHealthCheck& proto, const std::string& field, HealthCheck& out, ErrorList& errors) {
  out.kind = HealthCheck::Kind::Http;
  out.host = proto.host();
  out.path = proto.path();
  if (proto.method() != core::METHOD_UNSPECIFIED) out.method = core::RequestMethod_Name(proto.method());
  if (proto.method() == core::CONNECT) errors.add(field + ".method", "a health check cannot be a CONNECT");
  read_ranges(proto.expected_statuses(), field + ".expected_statuses", out.expected, errors);
  read_ranges(proto.retriable_statuses(), field + ".retriable_statuses", out.retriable, errors);
  out.http2 = proto.codec_client_type() == envoy::type::v3::HTTP2;
  auto headers = router::HeaderOps::compile(proto.request_headers_to_add(), proto.request_headers_to_remove(), field + ".request_headers_to_add");
  if (errors.check(headers)) out.headers = std::move(*headers);
  if (proto.has_service_name_matcher()) {
    auto matcher = matching::StringMatcher::compile(proto.service_name_matcher());
    if (matcher.ok()) {
      out.service_name = std::move(*matcher);
    } else {
      errors.add(field + ".service_name_matcher", std::string(matcher.status().message()));
    }
  }
}

void read_event_logs(const core::HealthCheck& proto, const std::string& field, HealthCheck& out, ErrorList& errors) {
  if (!proto.event_log_path().empty()) out.event_logs.push_back(proto.event_log_path());
  for (int i = 0; i < proto.event_logger_size(); ++i) {
    const std::string place = absl::StrCat(field, ".event_logger[", i, "]");
    const auto& any = proto.event_logger(i).typed_config();
    if (type_name(any.type_url()) != "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink") {
      errors.add(unknown_extension(place, proto.event_logger(i).name(), any.type_url()));
      continue;
    }
    const auto sink = unpack(any, place);
    if (!errors.check(sink)) continue;
    const std::string path = (*sink)->GetReflection()->GetString(**sink, (*sink)->GetDescriptor()->FindFieldByName("event_log_path"));
    if (path.empty()) errors.add(place + ".typed_config.event_log_path", "must not be empty");
    out.event_logs.push_back(path);
  }
  out.always_log_failures = proto.always_log_health_check_failures();
  out.always_log_successes = proto.always_log_health_check_success();
}

}  // namespace

bool in_ranges(const StatusRanges& ranges, uint32_t status) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) { return status >= range.first && status < range.second; });
}

std::shared_ptr<const HealthCheck> parse_health_check(const envoy::config::cluster::v3::Cluster& cluster, ErrorList& errors) {
  if (cluster.health_checks_size() == 0) return nullptr;
  if (cluster.health_checks_size() != 1) {
    errors.add("health_checks", "Multiple health checks not supported");
    return nullptr;
  }
  const core::HealthCheck& proto = cluster.health_checks(0);
  const std::string field = "health_checks[0]";
  auto out = std::make_shared<HealthCheck>();
  const auto or_else = [](bool given, const google::protobuf::Duration& duration, milliseconds otherwise) { return given ? ms(duration) : otherwise; };
  out->timeout = ms(proto.timeout());
  out->interval = ms(proto.interval());
  out->unhealthy_threshold = proto.unhealthy_threshold().value();
  out->healthy_threshold = proto.healthy_threshold().value();
  out->initial_jitter = ms(proto.initial_jitter());
  out->interval_jitter = ms(proto.interval_jitter());
  out->interval_jitter_percent = proto.interval_jitter_percent();
  if (proto.has_reuse_connection()) out->reuse_connection = proto.reuse_connection().value();
  out->no_traffic_interval = or_else(proto.has_no_traffic_interval(), proto.no_traffic_interval(), out->no_traffic_interval);
  out->no_traffic_healthy_interval = or_else(proto.has_no_traffic_healthy_interval(), proto.no_traffic_healthy_interval(), out->no_traffic_interval);
  out->unhealthy_interval = or_else(proto.has_unhealthy_interval(), proto.unhealthy_interval(), out->interval);
  out->unhealthy_edge_interval = or_else(proto.has_unhealthy_edge_interval(), proto.unhealthy_edge_interval(), out->unhealthy_interval);
  out->healthy_edge_interval = or_else(proto.has_healthy_edge_interval(), proto.healthy_edge_interval(), out->interval);
  switch (proto.health_checker_case()) {
    case core::HealthCheck::kHttpHealthCheck: read_http(proto.http_health_check(), field + ".http_health_check", *out, errors); break;
    case core::HealthCheck::kTcpHealthCheck: {
      out->kind = HealthCheck::Kind::Tcp;
      const auto& tcp = proto.tcp_health_check();
      if (tcp.has_send()) out->send = payload(tcp.send(), field + ".tcp_health_check.send", errors);
      for (int i = 0; i < tcp.receive_size(); ++i) out->receive.push_back(payload(tcp.receive(i), absl::StrCat(field, ".tcp_health_check.receive[", i, "]"), errors));
      break;
    }
    case core::HealthCheck::kGrpcHealthCheck: {
      out->kind = HealthCheck::Kind::Grpc;
      out->http2 = true;
      out->host = proto.grpc_health_check().authority();
      out->grpc_service = proto.grpc_health_check().service_name();
      auto headers = router::HeaderOps::compile(proto.grpc_health_check().initial_metadata(), {}, field + ".grpc_health_check.initial_metadata");
      if (errors.check(headers)) out->headers = std::move(*headers);
      break;
    }
    default: errors.add(field + ".health_checker", "this kind of health check is not available");
  }
  read_event_logs(proto, field, *out, errors);
  return out;
}

std::shared_ptr<const OutlierDetection> parse_outlier_detection(const envoy::config::cluster::v3::Cluster& cluster, ErrorList& errors) {
  if (!cluster.has_outlier_detection()) return nullptr;
  const auto& proto = cluster.outlier_detection();
  auto out = std::make_shared<OutlierDetection>();
  const auto number = [](bool given, const google::protobuf::UInt32Value& value, uint32_t& to) {
    if (given) to = value.value();
  };
  if (proto.has_interval()) out->interval = ms(proto.interval());
  if (proto.has_base_ejection_time()) out->base_ejection_time = ms(proto.base_ejection_time());
  out->max_ejection_time = proto.has_max_ejection_time() ? ms(proto.max_ejection_time()) : std::max(out->max_ejection_time, out->base_ejection_time);
  if (out->max_ejection_time < out->base_ejection_time) {
    errors.add("outlier_detection.max_ejection_time", "outlier detector's max_ejection_time cannot be smaller than base_ejection_time");
  }
  if (proto.has_max_ejection_time_jitter()) out->max_ejection_time_jitter = ms(proto.max_ejection_time_jitter());
  number(proto.has_max_ejection_percent(), proto.max_ejection_percent(), out->max_ejection_percent);
  out->always_eject_one_host = proto.always_eject_one_host().value();
  out->split_local_origin = proto.split_external_local_origin_errors();
  if (proto.has_successful_active_health_check_uneject_host()) out->uneject_on_check = proto.successful_active_health_check_uneject_host().value();
  number(proto.has_consecutive_5xx(), proto.consecutive_5xx(), out->consecutive_5xx);
  number(proto.has_consecutive_gateway_failure(), proto.consecutive_gateway_failure(), out->consecutive_gateway);
  number(proto.has_consecutive_local_origin_failure(), proto.consecutive_local_origin_failure(), out->consecutive_local);
  number(proto.has_enforcing_consecutive_5xx(), proto.enforcing_consecutive_5xx(), out->enforcing_5xx);
  number(proto.has_enforcing_consecutive_gateway_failure(), proto.enforcing_consecutive_gateway_failure(), out->enforcing_gateway);
  number(proto.has_enforcing_consecutive_local_origin_failure(), proto.enforcing_consecutive_local_origin_failure(), out->enforcing_local);
  number(proto.has_enforcing_success_rate(), proto.enforcing_success_rate(), out->enforcing_success_rate);
  number(proto.has_enforcing_local_origin_success_rate(), proto.enforcing_local_origin_success_rate(), out->enforcing_local_success_rate);
  number(proto.has_success_rate_minimum_hosts(), proto.success_rate_minimum_hosts(), out->success_rate_minimum_hosts);
  number(proto.has_success_rate_request_volume(), proto.success_rate_request_volume(), out->success_rate_request_volume);
  number(proto.has_success_rate_stdev_factor(), proto.success_rate_stdev_factor(), out->success_rate_stdev_factor);
  number(proto.has_enforcing_failure_percentage(), proto.enforcing_failure_percentage(), out->enforcing_failure_percentage);
  number(proto.has_enforcing_failure_percentage_local_origin(), proto.enforcing_failure_percentage_local_origin(), out->enforcing_local_failure_percentage);
  number(proto.has_failure_percentage_threshold(), proto.failure_percentage_threshold(), out->failure_percentage_threshold);
  number(proto.has_failure_percentage_minimum_hosts(), proto.failure_percentage_minimum_hosts(), out->failure_percentage_minimum_hosts);
  number(proto.has_failure_percentage_request_volume(), proto.failure_percentage_request_volume(), out->failure_percentage_request_volume);
  return out;
}

std::shared_ptr<const OutlierDetection> with_runtime(const std::shared_ptr<const OutlierDetection>& detection, const matching::Runtime* runtime) {
  if (!detection || runtime == nullptr) return detection;
  auto out = std::make_shared<OutlierDetection>(*detection);
  const auto number = [&](std::string_view key, uint32_t& value) { value = static_cast<uint32_t>(runtime->number(absl::StrCat("outlier_detection.", key), value)); };
  const auto time = [&](std::string_view key, milliseconds& value) {
    value = milliseconds(static_cast<int64_t>(runtime->number(absl::StrCat("outlier_detection.", key, "_ms"), static_cast<double>(value.count()))));
  };
  time("interval", out->interval);
  time("base_ejection_time", out->base_ejection_time);
  time("max_ejection_time", out->max_ejection_time);
  time("max_ejection_time_jitter", out->max_ejection_time_jitter);
  number("max_ejection_percent", out->max_ejection_percent);
  number("consecutive_5xx", out->consecutive_5xx);
  number("consecutive_gateway_failure", out->consecutive_gateway);
  number("consecutive_local_origin_failure", out->consecutive_local);
  number("enforcing_consecutive_5xx", out->enforcing_5xx);
  number("enforcing_consecutive_gateway_failure", out->enforcing_gateway);
  number("enforcing_consecutive_local_origin_failure", out->enforcing_local);
  number("enforcing_success_rate", out->enforcing_success_rate);
  number("enforcing_local_origin_success_rate", out->enforcing_local_success_rate);
  number("success_rate_minimum_hosts", out->success_rate_minimum_hosts);
  number("success_rate_request_volume", out->success_rate_request_volume);
  number("success_rate_stdev_factor", out->success_rate_stdev_factor);
  number("enforcing_failure_percentage", out->enforcing_failure_percentage);
  number("enforcing_failure_percentage_local_origin", out->enforcing_local_failure_percentage);
  number("failure_percentage_threshold", out->failure_percentage_threshold);
  number("failure_percentage_minimum_hosts", out->failure_percentage_minimum_hosts);
  number("failure_percentage_request_volume", out->failure_percentage_request_volume);
  out->interval = std::max(out->interval, milliseconds(1));
  return out;
}

}  // namespace fairlead::config
