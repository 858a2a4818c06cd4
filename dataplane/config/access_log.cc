// Access log sinks, formats and filters; see access_log.h.
#include "dataplane/config/access_log.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>

#include "base/descriptors.h"
#include "dataplane/config/fields.h"
#include "dataplane/http/header_map.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/config/core/v3/substitution_format_string.pb.h"
#include "envoy/data/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"

namespace fairlead::config {
namespace accesslog_v3 = envoy::config::accesslog::v3;
namespace loggers = envoy::extensions::access_loggers;
using Format = std::variant<format::Formatter, format::JsonFormatter>;
namespace {

absl::StatusOr<Format> text_format(std::string_view text, bool omit_empty, const std::string& field) {
  auto formatter = format::Formatter::parse(text, omit_empty);
  if (!formatter.ok()) return prefix(field, formatter.status());
  return Format(std::move(*formatter));
}

absl::StatusOr<Format> json_format(const google::protobuf::Struct& object, bool omit_empty, const std::string& field) {
  auto formatter = format::JsonFormatter::parse(object, omit_empty);
  if (!formatter.ok()) return prefix(field, formatter.status());
  return Format(std::move(*formatter));
}

// Extensions whose operators are always there.
bool is_built_in_formatter(std::string_view type_url) {
  const std::string_view name = type_name(type_url);
  return name == "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery" || name == "envoy.extensions.formatter.metadata.v3.Metadata";
}

// The API numbers the types in the order in which they came; ours stand by topic.
std::optional<format::LogType> log_type_of(int type) {
  using format::LogType;
  namespace data = envoy::data::accesslog::v3;
  switch (type) {
    case data::NotSet: return LogType::NotSet;
    case data::TcpUpstreamConnected: return LogType::TcpUpstreamConnected;
    case data::TcpPeriodic: return LogType::TcpPeriodic;
    case data::TcpConnectionStart: return LogType::TcpConnectionStart;
    case data::TcpConnectionEnd: return LogType::TcpConnectionEnd;
    case data::DownstreamStart: return LogType::DownstreamStart;
    case data::DownstreamPeriodic: return LogType::DownstreamPeriodic;
    case data::DownstreamEnd: return LogType::DownstreamEnd;
    case data::UpstreamPoolReady: return LogType::UpstreamPoolReady;
    case data::UpstreamPeriodic: return LogType::UpstreamPeriodic;
    case data::UpstreamEnd: return LogType::UpstreamEnd;
    case data::DownstreamTunnelSuccessfullyEstablished: return LogType::DownstreamTunnelSuccessfullyEstablished;
    case data::UdpTunnelUpstreamConnected: return LogType::UdpTunnelUpstreamConnected;
    case data::UdpPeriodic: return LogType::UdpPeriodic;
    case data::UdpSessionEnd: return LogType::UdpSessionEnd;
    default: return std::nullopt;
  }
}

absl::StatusOr<Format> default_format() { return text_format(format::default_access_log_format, false, ""); }

absl::StatusOr<Format> file_format(const loggers::file::v3::FileAccessLog& proto, const std::string& field, const router::FileReader& read_file) {
  using File = loggers::file::v3::FileAccessLog;
  switch (proto.access_log_format_case()) {
    case File::kFormat: return proto.format().empty() ? default_format() : text_format(proto.format(), false, field + ".format");
    case File::kJsonFormat: return json_format(proto.json_format(), false, field + ".json_format");
    case File::kTypedJsonFormat: return json_format(proto.typed_json_format(), false, field + ".typed_json_format");
    case File::kLogFormat: return parse_format(proto.log_format(), field + ".log_format", read_file);
    case File::ACCESS_LOG_FORMAT_NOT_SET: break;
  }
  return default_format();
}

}  // namespace

absl::StatusOr<Format> parse_format(const envoy::config::core::v3::SubstitutionFormatString& proto, const std::string& field,
                                    const router::FileReader& read_file) {
  using String = envoy::config::core::v3::SubstitutionFormatString;
  for (int i = 0; i < proto.formatters_size(); ++i) {
    const auto& formatter = proto.formatters(i);
    if (!is_built_in_formatter(formatter.typed_config().type_url())) {
      return unknown_extension(absl::StrCat(field, ".formatters[", i, "]"), formatter.name(), formatter.typed_config().type_url());
    }
  }
  switch (proto.format_case()) {
    case String::kTextFormat: return text_format(proto.text_format(), proto.omit_empty_values(), field + ".text_format");
    case String::kJsonFormat: return json_format(proto.json_format(), proto.omit_empty_values(), field + ".json_format");
    case String::kTextFormatSource: {
      if (proto.text_format_source().specifier_case() == envoy::config::core::v3::DataSource::SPECIFIER_NOT_SET) {
        return absl::InvalidArgumentError(absl::StrCat(field, ".text_format_source: one of filename, inline_string, inline_bytes, environment_variable must be set"));
      }
      auto text = router::read_data_source(proto.text_format_source(), read_file, field + ".text_format_source");
      if (!text.ok()) return text.status();
      const auto& source = proto.text_format_source();
      const auto* given = source.GetReflection()->GetOneofFieldDescriptor(source, source.GetDescriptor()->oneof_decl(0));
      return text_format(*text, proto.omit_empty_values(), absl::StrCat(field, ".text_format_source.", given->name()));
    }
    case String::FORMAT_NOT_SET: break;
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": one of text_format, json_format, text_format_source must be set"));
}

void AccessLogConfig::render(const format::FormatContext& context, std::string& out) const {
  std::visit([&](const auto& formatter) { formatter.render(context, out); }, format);
}

absl::StatusOr<AccessLogConfig> parse_access_log(const accesslog_v3::AccessLog& proto, const std::string& field, const router::FileReader& read_file) {
  AccessLogConfig log;
  log.name = proto.name();
  const auto& any = proto.typed_config();
  const std::string place = field + ".typed_config";
  if (any.Is<loggers::file::v3::FileAccessLog>()) {
    FL_ASSIGN_OR_RETURN(auto file, unpack_as<loggers::file::v3::FileAccessLog>(any, place));
    log.sink = AccessLogConfig::Sink::File;
    log.path = file.path();
    if (log.path.empty()) return absl::InvalidArgumentError(absl::StrCat(place, ".path: must not be empty"));
    FL_ASSIGN_OR_RETURN(log.format, file_format(file, place, read_file));
  } else if (any.Is<loggers::stream::v3::StdoutAccessLog>()) {
    FL_ASSIGN_OR_RETURN(auto stream, unpack_as<loggers::stream::v3::StdoutAccessLog>(any, place));
    FL_ASSIGN_OR_RETURN(log.format, stream.has_log_format() ? parse_format(stream.log_format(), place + ".log_format", read_file) : default_format());
  } else if (any.Is<loggers::stream::v3::StderrAccessLog>()) {
    FL_ASSIGN_OR_RETURN(auto stream, unpack_as<loggers::stream::v3::StderrAccessLog>(any, place));
    log.sink = AccessLogConfig::Sink::Stderr;
    FL_ASSIGN_OR_RETURN(log.format, stream.has_log_format() ? parse_format(stream.log_format(), place + ".log_format", read_file) : default_format());
  } else {
    return unknown_extension(field, proto.name(), any.type_url());
  }
  if (proto.has_filter()) {
    FL_ASSIGN_OR_RETURN(log.filter, AccessLogFilter::compile(proto.filter(), field + ".filter"));
  }
  return log;
}

absl::StatusOr<AccessLogFilter> AccessLogFilter::compile(const accesslog_v3::AccessLogFilter& proto, const std::string& field) {
  AccessLogFilter filter;
  const auto comparison = [&](Kind kind, const accesslog_v3::ComparisonFilter& compare) {
    filter.kind_ = kind;
    filter.value_ = compare.value().default_value();
    filter.runtime_key_ = compare.value().runtime_key();
    switch (compare.op()) {
      case accesslog_v3::ComparisonFilter::GE: filter.compare_ = Compare::GreaterOrEqual; break;
      case accesslog_v3::ComparisonFilter::LE: filter.compare_ = Compare::LessOrEqual; break;
      case accesslog_v3::ComparisonFilter::NE: filter.compare_ = Compare::NotEqual; break;
      default: filter.compare_ = Compare::Equal;
    }
  };
  const auto children = [&](Kind kind, const auto& filters, std::string_view name) -> absl::Status {
    filter.kind_ = kind;
    for (int i = 0; i < filters.size(); ++i) {
      FL_ASSIGN_OR_RETURN(AccessLogFilter child, compile(filters[i], absl::StrCat(field, ".", name, ".filters[", i, "]")));
      filter.children_.push_back(std::move(child));
    }
    return absl::OkStatus();
  };
  switch (proto.filter_specifier_case()) {
    case accesslog_v3::AccessLogFilter::kStatusCodeFilter: comparison(Kind::Status, proto.status_code_filter().comparison()); break;
    case accesslog_v3::AccessLogFilter::kDurationFilter: comparison(Kind::Duration, proto.duration_filter().comparison()); break;
    case accesslog_v3::AccessLogFilter::kNotHealthCheckFilter: filter.kind_ = Kind::NotHealthCheck; break;
    case accesslog_v3::AccessLogFilter::kTraceableFilter: filter.kind_ = Kind::Traceable; break;
    case accesslog_v3::AccessLogFilter::kRuntimeFilter: {
      filter.kind_ = Kind::Runtime;
      filter.runtime_key_ = proto.runtime_filter().runtime_key();
      filter.independent_ = proto.runtime_filter().use_independent_randomness();
      envoy::config::core::v3::RuntimeFractionalPercent percent;
      *percent.mutable_default_value() = proto.runtime_filter().percent_sampled();
      percent.set_runtime_key(filter.runtime_key_);
      auto fraction = matching::Fraction::compile(percent);
      if (!fraction.ok()) return prefix(field + ".runtime_filter.percent_sampled", fraction.status());
      filter.fraction_ = *fraction;
      break;
    }
    case accesslog_v3::AccessLogFilter::kAndFilter: FL_RETURN_IF_ERROR(children(Kind::And, proto.and_filter().filters(), "and_filter")); break;
    case accesslog_v3::AccessLogFilter::kOrFilter: FL_RETURN_IF_ERROR(children(Kind::Or, proto.or_filter().filters(), "or_filter")); break;
    case accesslog_v3::AccessLogFilter::kHeaderFilter: {
      filter.kind_ = Kind::Header;
      auto header = matching::HeaderMatcher::compile(proto.header_filter().header());
      if (!header.ok()) return prefix(field + ".header_filter.header", header.status());
      filter.header_ = std::move(*header);
      break;
    }
    case accesslog_v3::AccessLogFilter::kResponseFlagFilter:
      filter.kind_ = Kind::Flags;
      for (const std::string& name : proto.response_flag_filter().flags()) {
        const auto flag = format::response_flag_from_short_name(name);
        if (!flag) return absl::InvalidArgumentError(absl::StrCat(field, ".response_flag_filter.flags: unknown flag '", name, "'"));
        filter.flags_.set(*flag);
      }
      break;
    case accesslog_v3::AccessLogFilter::kGrpcStatusFilter:
      filter.kind_ = Kind::GrpcStatus;
      filter.exclude_ = proto.grpc_status_filter().exclude();
      for (int status : proto.grpc_status_filter().statuses()) filter.set_ |= 1U << (status & 31);
      break;
    case accesslog_v3::AccessLogFilter::kLogTypeFilter:
      filter.kind_ = Kind::LogType;
      filter.exclude_ = proto.log_type_filter().exclude();
      for (int type : proto.log_type_filter().types()) {
        if (const auto known = log_type_of(type)) filter.set_ |= 1U << static_cast<unsigned>(*known);
      }
      break;
    case accesslog_v3::AccessLogFilter::kExtensionFilter:
      return unknown_extension(field + ".extension_filter", proto.extension_filter().name(), proto.extension_filter().typed_config().type_url());
    case accesslog_v3::AccessLogFilter::kMetadataFilter: {
      const auto& metadata = proto.metadata_filter();
      filter.kind_ = Kind::Metadata;
      filter.when_missing_ = !metadata.has_match_if_key_not_found() || metadata.match_if_key_not_found().value();
      if (metadata.has_matcher()) {
        FL_ASSIGN_OR_RETURN(filter.metadata_, matching::MetadataMatcher::compile(metadata.matcher(), field + ".metadata_filter.matcher"));
      }
      break;
    }
    case accesslog_v3::AccessLogFilter::FILTER_SPECIFIER_NOT_SET: return absl::InvalidArgumentError(absl::StrCat(field, ": one filter must be set"));
  }
  return filter;
}

namespace {

uint32_t grpc_status_of(const format::FormatContext& context) {
  const http::Header* header = context.response_trailers == nullptr ? nullptr : context.response_trailers->find("grpc-status");
  if (header == nullptr && context.response_headers != nullptr) header = context.response_headers->find("grpc-status");
  uint32_t status = 2;  // UNKNOWN, unless the HTTP status says more
  if (header != nullptr && absl::SimpleAtoi(header->value(), &status)) return status;
  switch (context.response_code) {
    case 400: return 13;
    case 401: return 16;
    case 403: return 7;
    case 404: return 12;
    case 429: case 502: case 503: case 504: return 14;
    default: return 2;
  }
}

}  // namespace

bool AccessLogFilter::match(const Input& input) const {
  const format::FormatContext& context = *input.context;
  const auto compare = [&](uint64_t value) {
    const uint64_t limit =
        input.runtime == nullptr || runtime_key_.empty() ? value_ : static_cast<uint64_t>(input.runtime->number(runtime_key_, value_));
    switch (compare_) {
      case Compare::Equal: return value == limit;
      case Compare::NotEqual: return value != limit;
      case Compare::GreaterOrEqual: return value >= limit;
      case Compare::LessOrEqual: return value <= limit;
    }
    return false;
  };
  switch (kind_) {
    case Kind::Status: return compare(context.response_code);
    case Kind::Duration: {
      const auto end = context.times.get(format::TimePoint::StreamEnd);
      return end && compare(static_cast<uint64_t>(end->count() / 1'000'000));
    }
    case Kind::NotHealthCheck: return !input.health_check;
    case Kind::Traceable: return input.traced;
    case Kind::Runtime: return fraction_->match(input.random, input.runtime);
    case Kind::And:
      for (const AccessLogFilter& child : children_) {
        if (!child.match(input)) return false;
      }
      return true;
    case Kind::Metadata: {
      const google::protobuf::Value* value = metadata_ ? metadata_->find(context.dynamic_metadata) : nullptr;
      return value == nullptr || value->kind_case() == google::protobuf::Value::KIND_NOT_SET ? when_missing_ : metadata_->match(value);
    }
    case Kind::Or:
      for (const AccessLogFilter& child : children_) {
        if (child.match(input)) return true;
      }
      return false;
    case Kind::Header: return context.request_headers != nullptr && header_->match(*context.request_headers);
    case Kind::Flags: return flags_.empty() ? !context.flags.empty() : context.flags.intersects(flags_);
    case Kind::GrpcStatus: {
      const uint32_t status = grpc_status_of(context);
      return (status < 32 && (set_ >> status & 1) != 0) != exclude_;
    }
    case Kind::LogType: return ((set_ >> static_cast<unsigned>(context.log_type) & 1) != 0) != exclude_;
  }
  return true;
}

}  // namespace fairlead::config
