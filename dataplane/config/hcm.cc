// HttpConnectionManager → HcmConfig; see hcm.h.
#include "dataplane/config/hcm.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/validate.h"
#include "dataplane/config/fields.h"
#include "dataplane/config/route.h"
#include "envoy/config/common/mutation_rules/v3/mutation_rules.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace fairlead::config {
namespace hcm_v3 = envoy::extensions::filters::network::http_connection_manager::v3;
using Hcm = hcm_v3::HttpConnectionManager;
namespace {

void read_codec(const Hcm& proto, const std::string& field, HcmConfig& out, ErrorList& errors) {
  switch (proto.codec_type()) {
    case Hcm::AUTO: out.codec = HcmConfig::Codec::Auto; break;
    case Hcm::HTTP1: out.codec = HcmConfig::Codec::Http1; break;
    case Hcm::HTTP2: out.codec = HcmConfig::Codec::Http2; break;
    default: errors.add(field + ".codec_type", absl::StrCat(Hcm::CodecType_Name(proto.codec_type()), " is not supported"));
  }
  const auto& http1 = proto.http_protocol_options();
  out.allow_absolute_url = !http1.has_allow_absolute_url() || http1.allow_absolute_url().value();
  out.accept_http_10 = http1.accept_http_10();
  out.default_host_for_http_10 = http1.default_host_for_http_10();
  out.enable_trailers = http1.enable_trailers();
  out.allow_chunked_length = http1.allow_chunked_length();
  out.http2 = parse_http2(proto.http2_protocol_options(), proto.stream_error_on_invalid_http_message().value(), field + ".http2_protocol_options", errors);
  if (proto.has_drain_timeout()) out.drain_timeout = ms(proto.drain_timeout());
  if (proto.has_stream_flush_timeout()) out.stream_flush_timeout = ms(proto.stream_flush_timeout());
}

void read_routes(const Hcm& proto, const std::string& field, const HcmOptions& options, HcmConfig& out, ErrorList& errors) {
  switch (proto.route_specifier_case()) {
    case Hcm::kRds: {
      out.routes.rds_name = proto.rds().route_config_name();
      auto source = parse_config_source(proto.rds().config_source(), field + ".rds.config_source");
      if (errors.check(source)) out.routes.rds_source = std::move(*source);
      if (out.routes.rds_name.empty()) errors.add(field + ".rds.route_config_name", "must not be empty");
      break;
    }
    case Hcm::kRouteConfig: {
      auto table = router::RouteTable::compile(proto.route_config(), route_options(options, true));
      if (table.ok()) {
        out.routes.inline_table = std::move(*table);
      } else {
        errors.add(prefix(field + ".route_config", table.status()));
      }
      break;
    }
    case Hcm::kScopedRoutes: errors.add(field + ".scoped_routes", "scoped routes are not supported"); break;
    case Hcm::ROUTE_SPECIFIER_NOT_SET: errors.add(field + ".route_specifier", "one of rds, route_config must be set"); break;
  }
}

void read_filters(const Hcm& proto, const std::string& field, const HcmOptions& options, HcmConfig& out, ErrorList& errors) {
  for (int i = 0; i < proto.http_filters_size(); ++i) {
    const auto& filter = proto.http_filters(i);
    const std::string place = absl::StrCat(field, ".http_filters[", i, "]");
    const bool last = i + 1 == proto.http_filters_size();
    // also for one that is discovered: what comes for it will have to be terminal
    if (last && filter.disabled()) {
      errors.add(place, absl::StrCat("Error: the last (terminal) filter (", filter.name(), ") in the chain cannot be disabled by default."));
    }
    if (filter.config_type_case() == hcm_v3::HttpFilter::kConfigDiscovery) {
      auto discovery = parse_filter_discovery(filter.config_discovery(), filter.name(), last, place, options.extensions());
      if (errors.check(discovery)) out.http_filters.push_back({filter.name(), nullptr, nullptr, filter.disabled(), *std::move(discovery)});
      continue;
    }
    const HttpFilterType* type = options.extensions().http_filter(filter.typed_config().type_url());
    if (type == nullptr) {
      const absl::Status missing = unknown_extension(place, filter.name(), filter.typed_config().type_url());
      if (!filter.is_optional()) {
        errors.add(missing);
      } else if (options.warnings != nullptr) {
        options.warnings->push_back(absl::StrCat(missing.message(), "; left out, since it is optional"));
      }
      continue;
    }
    errors.add(prefix(place, check_terminal(filter.name(), *type, last)));
    auto config = type->parse(filter.typed_config());
    if (!config.ok()) {
      errors.add(prefix(place + ".typed_config", config.status()));
      continue;
    }
    out.http_filters.push_back({filter.name(), type, std::move(*config), filter.disabled()});
  }
  if (proto.http_filters().empty()) errors.add(field + ".http_filters", "must end with a terminal filter such as envoy.filters.http.router");
}

void read_limits(const Hcm& proto, const std::string& field, HcmConfig& out, ErrorList& errors) {
  const auto& common = proto.common_http_protocol_options();
  if (common.has_max_response_headers_kb()) {
    errors.add(field + ".common_http_protocol_options.max_response_headers_kb", "cannot be set on http_connection_manager: it is a limit of clusters");
  }
  if (common.has_idle_timeout()) out.idle_timeout = ms(common.idle_timeout());
  if (proto.has_stream_idle_timeout()) out.stream_idle_timeout = ms(proto.stream_idle_timeout());
  if (proto.has_request_timeout()) out.request_timeout = ms(proto.request_timeout());
  if (proto.has_request_headers_timeout()) out.request_headers_timeout = ms(proto.request_headers_timeout());
  if (common.has_max_connection_duration()) out.max_connection_duration = ms(common.max_connection_duration());
  out.max_connection_duration_jitter = common.max_connection_duration_jitter().value();
  out.http1_safe_max_connection_duration = proto.http1_safe_max_connection_duration();
  if (common.has_max_stream_duration()) out.max_stream_duration = ms(common.max_stream_duration());
  if (proto.has_delayed_close_timeout()) out.delayed_close_timeout = ms(proto.delayed_close_timeout());
  if (proto.has_max_request_headers_kb()) out.max_request_headers_kb = proto.max_request_headers_kb().value();
  if (common.has_max_headers_count()) out.max_headers_count = common.max_headers_count().value();
  if (common.has_max_requests_per_connection()) out.max_requests_per_connection = common.max_requests_per_connection().value();
  switch (common.headers_with_underscores_action()) {
    case envoy::config::core::v3::HttpProtocolOptions::REJECT_REQUEST:
      out.headers_with_underscores = HcmConfig::HeadersWithUnderscores::RejectRequest;
      break;
    case envoy::config::core::v3::HttpProtocolOptions::DROP_HEADER:
      out.headers_with_underscores = HcmConfig::HeadersWithUnderscores::DropHeader;
      break;
    default: out.headers_with_underscores = HcmConfig::HeadersWithUnderscores::Allow;
  }
}

void read_identity(const Hcm& proto, const std::string& field, HcmConfig& out, ErrorList& errors) {
  if (!proto.server_name().empty()) out.server_name = proto.server_name();
  switch (proto.server_header_transformation()) {
    case Hcm::APPEND_IF_ABSENT: out.server_header = HcmConfig::ServerHeader::AppendIfAbsent; break;
    case Hcm::PASS_THROUGH: out.server_header = HcmConfig::ServerHeader::PassThrough; break;
    default: out.server_header = HcmConfig::ServerHeader::Overwrite;
  }
  out.scheme_to_overwrite = proto.scheme_header_transformation().scheme_to_overwrite();
  out.scheme_match_upstream = proto.scheme_header_transformation().match_upstream();
  out.via = proto.via();
  out.use_remote_address = proto.use_remote_address().value();
  out.xff_num_trusted_hops = proto.xff_num_trusted_hops();
  out.skip_xff_append = proto.skip_xff_append();
  read_ip_detections(proto, field, out.ip_detections, errors);
  out.internal_unix_sockets = proto.internal_address_config().unix_sockets();
  for (int i = 0; i < proto.internal_address_config().cidr_ranges_size(); ++i) {
    auto cidr = matching::Cidr::compile(proto.internal_address_config().cidr_ranges(i));
    if (cidr.ok()) {
      out.internal_cidrs.push_back(*cidr);
    } else {
      errors.add(prefix(absl::StrCat(field, ".internal_address_config.cidr_ranges[", i, "]"), cidr.status()));
    }
  }
  switch (proto.forward_client_cert_details()) {
    case hcm_v3::HttpConnectionManager::FORWARD_ONLY: out.client_cert_header = ClientCertHeader::ForwardOnly; break;
    case hcm_v3::HttpConnectionManager::APPEND_FORWARD: out.client_cert_header = ClientCertHeader::AppendForward; break;
    case hcm_v3::HttpConnectionManager::SANITIZE_SET: out.client_cert_header = ClientCertHeader::SanitizeSet; break;
    case hcm_v3::HttpConnectionManager::ALWAYS_FORWARD_ONLY: out.client_cert_header = ClientCertHeader::AlwaysForwardOnly; break;
    default: out.client_cert_header = ClientCertHeader::Sanitize;
  }
  const auto& details = proto.set_current_client_cert_details();
  out.client_cert_details = {details.subject().value(), details.cert(), details.chain(), details.dns(), details.uri()};
  out.append_x_forwarded_port = proto.append_x_forwarded_port();
  out.append_local_overload = proto.append_local_overload();
  out.generate_request_id = !proto.has_generate_request_id() || proto.generate_request_id().value();
  const std::string& id_type = proto.request_id_extension().typed_config().type_url();
  if (!id_type.empty() && type_name(id_type) != "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig") {
    errors.add(field + ".request_id_extension", absl::StrCat("Didn't find a registered implementation for type: '", type_name(id_type), "'"));
  }
  // Nothing is traced, but what is no tracer at all is a mistake.
  const auto& tracer = proto.tracing().provider();
  const std::string_view tracer_type = type_name(tracer.typed_config().type_url());
  if (!tracer_type.empty() && !absl::StartsWith(tracer_type, "envoy.config.trace.") && !absl::StartsWith(tracer_type, "envoy.extensions.tracers.")) {
    errors.add(unknown_extension(field + ".tracing.provider", tracer.name(), tracer.typed_config().type_url()));
  }
  out.preserve_external_request_id = proto.preserve_external_request_id();
  out.always_set_request_id_in_response = proto.always_set_request_id_in_response();
  out.represent_ipv4_remote_address_as_ipv4_mapped_ipv6 = proto.represent_ipv4_remote_address_as_ipv4_mapped_ipv6();
  out.add_user_agent = proto.add_user_agent().value();
  out.proxy_100_continue = proto.proxy_100_continue();
}

void read_paths(const Hcm& proto, const std::string& field, HcmConfig& out, ErrorList& errors) {
  out.normalize_path = proto.normalize_path().value();
  out.merge_slashes = proto.merge_slashes();
  switch (proto.path_with_escaped_slashes_action()) {
    case Hcm::REJECT_REQUEST: out.escaped_slashes = HcmConfig::EscapedSlashes::RejectRequest; break;
    case Hcm::UNESCAPE_AND_REDIRECT: out.escaped_slashes = HcmConfig::EscapedSlashes::UnescapeAndRedirect; break;
    case Hcm::UNESCAPE_AND_FORWARD: out.escaped_slashes = HcmConfig::EscapedSlashes::UnescapeAndForward; break;
    default: out.escaped_slashes = HcmConfig::EscapedSlashes::KeepUnchanged;
  }
  out.strip_matching_host_port = proto.strip_matching_host_port();
  out.strip_any_host_port = proto.strip_any_host_port();
  out.strip_trailing_host_dot = proto.strip_trailing_host_dot();
  if (out.strip_matching_host_port && out.strip_any_host_port) {
    errors.add(field, "Error: Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.");
  }
  for (int i = 0; i < proto.upgrade_configs_size(); ++i) {
    const auto& upgrade = proto.upgrade_configs(i);
    const std::string place = absl::StrCat(field, ".upgrade_configs[", i, "]");
    router::UpgradeOption option{absl::AsciiStrToLower(upgrade.upgrade_type()), !upgrade.has_enabled() || upgrade.enabled().value()};
    for (const auto& other : out.upgrades) {
      if (other.type == option.type) {
        errors.add(place, absl::StrCat("Error: multiple upgrade configs with the same name: '", option.type, "'"));
      }
    }
    out.upgrades.push_back(std::move(option));
  }
}

void read_access_logs(const Hcm& proto, const std::string& field, const HcmOptions& options, HcmConfig& out, ErrorList& errors) {
  for (int i = 0; i < proto.access_log_size(); ++i) {
    auto log = parse_access_log(proto.access_log(i), absl::StrCat(field, ".access_log[", i, "]"), options.read_file);
    if (errors.check(log)) out.access_logs.push_back(std::move(*log));
  }
  const auto& more = proto.access_log_options();
  if (proto.has_access_log_options() && proto.has_access_log_flush_interval()) {
    errors.add(field, "Only one of access_log_flush_interval or access_log_options can be specified.");
  }
  if (proto.has_access_log_options() && proto.flush_access_log_on_new_request()) {
    errors.add(field, "Only one of flush_access_log_on_new_request or access_log_options can be specified.");
  }
  out.flush_access_log_on_new_request = proto.flush_access_log_on_new_request() || more.flush_access_log_on_new_request();
  if (proto.has_access_log_flush_interval()) out.access_log_flush_interval = ms(proto.access_log_flush_interval());
  if (more.has_access_log_flush_interval()) out.access_log_flush_interval = ms(more.access_log_flush_interval());
}

// The content type of a body_format: what was said, else by its kind.
std::string content_type_of(const envoy::config::core::v3::SubstitutionFormatString& proto) {
  if (!proto.content_type().empty()) return proto.content_type();
  return proto.has_json_format() ? "application/json" : "text/plain";
}

void read_local_reply(const hcm_v3::LocalReplyConfig& proto, const std::string& field, const HcmOptions& options, HcmConfig& out, ErrorList& errors) {
  LocalReplyConfig reply;
  if (proto.has_body_format()) {
    auto body = parse_format(proto.body_format(), field + ".body_format", options.read_file);
    if (errors.check(body)) reply.body_format = std::move(*body);
    reply.content_type = content_type_of(proto.body_format());
  }
  for (int i = 0; i < proto.mappers_size(); ++i) {
    const auto& mapper = proto.mappers(i);
    const std::string place = absl::StrCat(field, ".mappers[", i, "]");
    auto filter = AccessLogFilter::compile(mapper.filter(), place + ".filter");
    if (!errors.check(filter)) continue;
    LocalReplyMapper entry{std::move(*filter), {}, {}, {}, {}, {}};
    if (mapper.has_status_code()) entry.status_code = mapper.status_code().value();
    if (mapper.body().specifier_case() != envoy::config::core::v3::DataSource::SPECIFIER_NOT_SET) {
      auto body = router::read_data_source(mapper.body(), options.read_file, place + ".body");
      if (errors.check(body)) entry.body = std::move(*body);
    }
    if (mapper.has_body_format_override()) {
      auto body = parse_format(mapper.body_format_override(), place + ".body_format_override", options.read_file);
      if (errors.check(body)) entry.body_format = std::move(*body);
      entry.content_type = content_type_of(mapper.body_format_override());
    }
    auto headers = router::HeaderOps::compile(mapper.headers_to_add(), {}, place + ".headers");
    if (errors.check(headers)) entry.headers = std::move(*headers);
    reply.mappers.push_back(std::move(entry));
  }
  out.local_reply = std::move(reply);
}

}  // namespace

router::CompileOptions route_options(const HcmOptions& options, bool inline_table) {
  router::CompileOptions compile;
  const Registry* registry = &options.extensions();
  compile.per_filter = [registry](std::string_view filter, const google::protobuf::Any& any)
      -> absl::StatusOr<std::shared_ptr<const router::PerFilterConfig>> {
    const HttpFilterType* type = registry->http_filter_by_per_route(any.type_url());
    if (type == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("Didn't find a registered implementation for '", filter, "' with type URL: '", any.type_url(), "'"));
    }
    return type->parse_per_route(any);
  };
  compile.knows_cluster = options.knows_cluster;
  compile.validate_clusters_default = inline_table;  // Envoy 1.40
  compile.warnings = options.warnings;
  compile.read_file = options.read_file;
  return compile;
}

absl::StatusOr<std::shared_ptr<const router::RouteTable>> parse_route_table(const envoy::config::route::v3::RouteConfiguration& proto,
                                                                            const HcmOptions& options, SupportFindings* findings) {
  FL_RETURN_IF_ERROR(prefix(absl::StrCat("route configuration '", proto.name(), "'"), admit(proto, findings)));
  return router::RouteTable::compile(proto, route_options(options, false));
}

void read_early_header_changes(const Hcm& proto, const std::string& field, HcmConfig& out, ErrorList& errors) {
  using Mutation = envoy::config::common::mutation_rules::v3::HeaderMutation;
  for (int i = 0; i < proto.early_header_mutation_extensions_size(); ++i) {
    const auto& extension = proto.early_header_mutation_extensions(i);
    const std::string place = absl::StrCat(field, ".early_header_mutation_extensions[", i, "]");
    if (type_name(extension.typed_config().type_url()) != "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation") {
      errors.add(unknown_extension(place, extension.name(), extension.typed_config().type_url()));
      continue;
    }
    const std::string inside = place + ".typed_config";
    auto message = unpack(extension.typed_config(), inside);  // through the embedded descriptors
    absl::Status status = message.ok() ? validate(**message, {.path = inside}) : message.status();
    if (!status.ok()) {
      errors.add(status);
      continue;
    }
    google::protobuf::RepeatedPtrField<Mutation> mutations;
    const auto* reflection = (*message)->GetReflection();
    const auto* list = (*message)->GetDescriptor()->FindFieldByName("mutations");
    for (int k = 0; k < reflection->FieldSize(**message, list); ++k) mutations.Add()->ParseFromString(reflection->GetRepeatedMessage(**message, list, k).SerializeAsString());
    for (auto& change : router::parse_header_changes(mutations, inside + ".mutations", errors)) out.early_header_changes.push_back(std::move(change));
  }
}

absl::StatusOr<std::shared_ptr<const HcmConfig>> parse_hcm(const Hcm& proto, const std::string& field, const HcmOptions& options) {
  auto out = std::make_shared<HcmConfig>();
  ErrorList errors(20);
  out->stat_prefix = proto.stat_prefix();
  read_codec(proto, field, *out, errors);
  read_routes(proto, field, options, *out, errors);
  read_filters(proto, field, options, *out, errors);
  read_limits(proto, field, *out, errors);
  read_identity(proto, field, *out, errors);
  read_early_header_changes(proto, field, *out, errors);
  read_paths(proto, field, *out, errors);
  read_access_logs(proto, field, options, *out, errors);
  if (proto.has_local_reply_config()) read_local_reply(proto.local_reply_config(), field + ".local_reply_config", options, *out, errors);
  if (!errors.empty()) return errors.status();
  return std::shared_ptr<const HcmConfig>(std::move(out));
}

}  // namespace fairlead::config
