// Which operators exist, what arguments they take and which operation each becomes. Errors use Envoy 1.40's texts where it has one.
#include <cstdlib>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include "base/status.h"
#include "dataplane/format/ops.h"

namespace fairlead::format {
namespace {

struct Call {
  std::string_view name, arguments;
  bool has_arguments;
  std::optional<size_t> max_length;
};
using Maker = absl::StatusOr<Op> (*)(const Call&);

absl::Status needs_arguments(const Call& call) {
  if (call.arguments.empty()) return absl::InvalidArgumentError(absl::StrCat(call.name, " requires parameters"));
  return absl::OkStatus();
}

absl::Status takes_nothing(const Call& call) {
  if (call.has_arguments) return absl::InvalidArgumentError(absl::StrCat(call.name, " does not take any parameters"));
  if (call.max_length) return absl::InvalidArgumentError(absl::StrCat(call.name, " does not allow length to be specified."));
  return absl::OkStatus();
}

// NAME or NAME?ALTERNATIVE
absl::StatusOr<Op> header_op(const Call& call, OpCode code, bool reads_response) {
  FL_RETURN_IF_ERROR(needs_arguments(call));
  const std::vector<std::string_view> names = absl::StrSplit(call.arguments, '?');
  if (names.size() > 2) {
    return absl::InvalidArgumentError(absl::StrCat("More than 1 alternative header specified in token: ", call.arguments));
  }
  if (names[0].empty()) return absl::InvalidArgumentError(absl::StrCat(call.name, " requires parameters"));
  Op op;
  op.code = code;
  op.reads_response = reads_response;
  op.text = absl::AsciiStrToLower(names[0]);
  if (names.size() == 2) op.alternative = absl::AsciiStrToLower(names[1]);
  op.max_length = call.max_length;
  return op;
}
absl::StatusOr<Op> request_header(const Call& c) { return header_op(c, OpCode::RequestHeader, false); }
absl::StatusOr<Op> response_header(const Call& c) { return header_op(c, OpCode::ResponseHeader, true); }
absl::StatusOr<Op> response_trailer(const Call& c) { return header_op(c, OpCode::ResponseTrailer, true); }
absl::StatusOr<Op> without_query(const Call& c) { return header_op(c, OpCode::RequestHeaderWithoutQuery, false); }

// PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)
absl::StatusOr<Op> path(const Call& call) {
  const std::vector<std::string_view> parts = absl::StrSplit(call.arguments, ':');
  Op op;
  op.code = OpCode::Path;
  op.max_length = call.max_length;
  const std::string_view query = parts.empty() ? std::string_view() : parts[0];  // absl: none from a null view
  if (query == "NQ") {
    op.with_query = false;
  } else if (!query.empty() && query != "WQ") {
    return absl::InvalidArgumentError(absl::StrCat("Invalid PATH option: '", query, "', only 'WQ'/'NQ' are allowed"));
  }
  const std::string_view source = parts.size() > 1 ? parts[1] : std::string_view();
  if (source == "ORIG") {
    op.path = PathForm::OriginalOnly;
  } else if (source == "PATH") {
    op.path = PathForm::PathOnly;
  } else if (!source.empty() && source != "ORIG_OR_PATH") {
    return absl::InvalidArgumentError(absl::StrCat("Invalid PATH option: '", source, "', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed"));
  }
  return op;
}

absl::StatusOr<Op> query_param(const Call& call) {
  FL_RETURN_IF_ERROR(needs_arguments(call));
  Op op;
  op.code = OpCode::QueryParam;
  op.text = std::string(call.arguments);
  op.max_length = call.max_length;
  return op;
}

absl::StatusOr<Op> query_params(const Call& call) {
  Op op;
  op.code = OpCode::QueryParams;
  op.max_length = call.max_length;
  if (call.arguments == "DECODED") {
    op.text = "DECODED";
  } else if (!call.arguments.empty() && call.arguments != "ORIG") {
    return absl::InvalidArgumentError(
        absl::StrCat("Invalid QUERY_PARAMS option: '", call.arguments, "', only 'ORIG'/'DECODED' are allowed"));
  }
  return op;
}

absl::StatusOr<Op> time_op(const Call& call, OpCode code, bool local) {
  if (call.max_length) return absl::InvalidArgumentError(absl::StrCat(call.name, " does not allow length to be specified."));
  if (call.arguments.find('\n') != std::string_view::npos) {
    return absl::InvalidArgumentError("Invalid header configuration. Format string contains newline.");
  }
  Op op;
  op.code = code;
  op.time = std::make_shared<const TimeFormat>(call.arguments, local);
  return op;
}
absl::StatusOr<Op> start_time(const Call& c) { return time_op(c, OpCode::StartTime, false); }
absl::StatusOr<Op> start_time_local(const Call& c) { return time_op(c, OpCode::StartTime, true); }
absl::StatusOr<Op> emit_time(const Call& c) { return time_op(c, OpCode::EmitTime, false); }
absl::StatusOr<Op> emit_time_local(const Call& c) { return time_op(c, OpCode::EmitTime, true); }

template <TimePoint From, TimePoint To, bool ReadsResponse>
absl::StatusOr<Op> duration(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::Duration;
  op.kind = ValueKind::Number;
  op.reads_response = ReadsResponse;
  op.from = From;
  op.to = To;
  return op;
}

std::optional<TimePoint> time_point(std::string_view name) {
  static constexpr std::pair<std::string_view, TimePoint> points[] = {
      {"DS_RX_BEG", TimePoint::DownstreamRxBegin},   {"DS_RX_END", TimePoint::DownstreamRxEnd},
      {"US_CX_BEG", TimePoint::UpstreamConnectBegin}, {"US_CX_END", TimePoint::UpstreamConnectEnd},
      {"US_HS_END", TimePoint::UpstreamHandshakeEnd}, {"US_TX_BEG", TimePoint::UpstreamTxBegin},
      {"US_TX_END", TimePoint::UpstreamTxEnd},        {"US_RX_BEG", TimePoint::UpstreamRxBegin},
      {"US_RX_BODY_BEG", TimePoint::UpstreamRxBodyBegin}, {"US_RX_END", TimePoint::UpstreamRxEnd},
      {"DS_TX_BEG", TimePoint::DownstreamTxBegin},    {"DS_TX_END", TimePoint::DownstreamTxEnd},
  };
  for (const auto& [text, point] : points) {
    if (text == name) return point;
  }
  return std::nullopt;
}

absl::StatusOr<Op> common_duration(const Call& call) {
  FL_RETURN_IF_ERROR(needs_arguments(call));
  const std::vector<std::string_view> parts = absl::StrSplit(call.arguments, ':');
  if (parts.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat("Invalid common duration configuration: ", call.arguments, "."));
  }
  Op op;
  op.code = OpCode::Duration;
  op.kind = ValueKind::Number;
  op.reads_response = true;
  const auto from = time_point(parts[0]), to = time_point(parts[1]);
  if (!from || !to) {
    return absl::InvalidArgumentError(absl::StrCat("COMMON_DURATION: unknown time point '", from ? parts[1] : parts[0],
                                                   "': points set by filters under names of their own are not supported"));
  }
  op.from = *from;
  op.to = *to;
  if (parts[2] == "ms") {
    op.unit_nanos = 1'000'000;
  } else if (parts[2] == "us") {
    op.unit_nanos = 1'000;
  } else if (parts[2] == "ns") {
    op.unit_nanos = 1;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("Invalid common duration precision: ", parts[2], "."));
  }
  op.max_length = call.max_length;
  return op;
}

template <std::string_view FormatContext::*View, bool ReadsResponse = false>
absl::StatusOr<Op> view(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::View;
  op.view = View;
  op.reads_response = ReadsResponse;
  return op;
}

absl::StatusOr<Op> code_details(const Call& call) {
  if (call.max_length) return absl::InvalidArgumentError(absl::StrCat(call.name, " does not allow length to be specified."));
  Op op;
  op.code = OpCode::View;
  op.view = &FormatContext::response_code_details;
  op.reads_response = true;
  if (call.arguments != "ALLOW_WHITESPACES") op.text = "_";  // what white space becomes
  return op;
}

template <std::string_view FormatContext::*View>
absl::StatusOr<Op> address_without_port(const Call& call) {
  if (!call.arguments.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(call.name, ": a mask prefix length is not supported: '", call.arguments, "'"));
  }
  Op op;
  op.code = OpCode::AddressWithoutPort;
  op.view = View;
  return op;
}

template <std::string_view FormatContext::*View>
absl::StatusOr<Op> address_port(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::AddressPort;
  op.kind = ValueKind::Number;
  op.view = View;
  return op;
}

template <uint64_t ByteCounts::*Bytes, bool ReadsResponse>
absl::StatusOr<Op> bytes(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::Number;
  op.kind = ValueKind::Number;
  op.bytes = Bytes;
  op.reads_response = ReadsResponse;
  return op;
}

template <std::optional<uint64_t> FormatContext::*Field>
absl::StatusOr<Op> optional_number(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::OptionalNumber;
  op.kind = ValueKind::Number;
  op.optional_number = Field;
  return op;
}

template <OpCode Code, ValueKind Kind, bool ReadsResponse>
absl::StatusOr<Op> plain(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = Code;
  op.kind = Kind;
  op.reads_response = ReadsResponse;
  return op;
}

absl::StatusOr<Op> attempts(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::Number;
  op.kind = ValueKind::Number;
  op.number = &FormatContext::upstream_attempts;
  return op;
}

absl::StatusOr<Op> grpc_status(const Call& call) {
  Op op;
  op.code = OpCode::GrpcStatus;
  op.reads_response = true;
  if (call.arguments == "SNAKE_STRING") {
    op.grpc = GrpcForm::SnakeString;
  } else if (call.arguments == "NUMBER") {
    op.grpc = GrpcForm::Number;
    op.kind = ValueKind::Number;
  } else if (!call.arguments.empty() && call.arguments != "CAMEL_STRING") {
    return absl::InvalidArgumentError("GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER.");
  }
  return op;
}

absl::StatusOr<Op> metadata_op(const Call& call, MetadataOf of, std::string_view path_text) {
  if (path_text.empty()) return absl::InvalidArgumentError(absl::StrCat(call.name, " requires parameters"));
  const std::vector<std::string> parts = absl::StrSplit(path_text, ':');
  Op op;
  op.code = OpCode::Metadata;
  op.kind = ValueKind::Json;
  op.metadata = of;
  op.text = parts[0];
  op.keys.assign(parts.begin() + 1, parts.end());
  op.max_length = call.max_length;
  return op;
}
absl::StatusOr<Op> dynamic_metadata(const Call& c) { return metadata_op(c, MetadataOf::Dynamic, c.arguments); }
absl::StatusOr<Op> cluster_metadata(const Call& c) { return metadata_op(c, MetadataOf::Cluster, c.arguments); }
absl::StatusOr<Op> upstream_metadata(const Call& c) { return metadata_op(c, MetadataOf::UpstreamHost, c.arguments); }

absl::StatusOr<Op> metadata(const Call& call) {
  FL_RETURN_IF_ERROR(needs_arguments(call));
  const std::pair<std::string_view, std::string_view> parts = absl::StrSplit(call.arguments, absl::MaxSplits(':', 1));
  static constexpr std::pair<std::string_view, MetadataOf> types[] = {
      {"DYNAMIC", MetadataOf::Dynamic},           {"ROUTE", MetadataOf::Route},
      {"CLUSTER", MetadataOf::Cluster},           {"UPSTREAM_HOST", MetadataOf::UpstreamHost},
      {"VIRTUAL_HOST", MetadataOf::VirtualHost},  {"LISTENER", MetadataOf::Listener},
  };
  for (const auto& [name, of] : types) {
    if (parts.first == name) return metadata_op(call, of, parts.second);
  }
  return absl::InvalidArgumentError(absl::StrCat(parts.first, " is not supported metadata type"));
}

absl::StatusOr<Op> filter_state(const Call& call) {
  FL_RETURN_IF_ERROR(needs_arguments(call));
  const std::vector<std::string_view> parts = absl::StrSplit(call.arguments, ':');
  if (parts.size() > 1 && parts[1] != "PLAIN") {
    return absl::InvalidArgumentError(absl::StrCat("FILTER_STATE: only PLAIN values are supported, not '", parts[1], "'"));
  }
  Op op;
  op.code = OpCode::FilterState;
  op.text = std::string(parts[0]);
  op.max_length = call.max_length;
  return op;
}

absl::StatusOr<Op> environment(const Call& call) {
  FL_RETURN_IF_ERROR(needs_arguments(call));
  const char* value = std::getenv(std::string(call.arguments).c_str());
  Op op;
  op.code = OpCode::Fixed;
  op.text = value == nullptr ? "-" : value;  // Envoy 1.40: "-" even where unset values are omitted
  op.max_length = call.max_length;
  return op;
}

absl::StatusOr<Op> hostname(const Call& call) {
  char name[256] = "";
  Op op;
  op.code = ::gethostname(name, sizeof name - 1) == 0 ? OpCode::Fixed : OpCode::Unset;
  op.text = name;
  op.max_length = call.max_length;
  return op;
}

// What exists in Envoy but can have no value on plain HTTP/1.1 connections: accepted, always unset.
absl::StatusOr<Op> unset(const Call& call) {
  Op op;
  op.code = OpCode::Unset;
  op.max_length = call.max_length;
  return op;
}

absl::StatusOr<Op> always_zero(const Call& call) {
  FL_RETURN_IF_ERROR(takes_nothing(call));
  Op op;
  op.code = OpCode::Fixed;
  op.kind = ValueKind::Number;
  op.text = "0";
  return op;
}

using C = FormatContext;
using B = ByteCounts;
using T = TimePoint;

const absl::flat_hash_map<std::string_view, Maker>& makers() {
  static const auto* map = new absl::flat_hash_map<std::string_view, Maker>{
      {"REQ", request_header}, {"REQUEST_HEADER", request_header},
      {"RESP", response_header}, {"RESPONSE_HEADER", response_header},
      {"TRAILER", response_trailer}, {"RESPONSE_TRAILER", response_trailer},
      {"REQ_WITHOUT_QUERY", without_query}, {"PATH", path}, {"QUERY_PARAM", query_param}, {"QUERY_PARAMS", query_params},
      {"START_TIME", start_time}, {"START_TIME_LOCAL", start_time_local}, {"EMIT_TIME", emit_time}, {"EMIT_TIME_LOCAL", emit_time_local},
      {"DURATION", duration<T::DownstreamRxBegin, T::StreamEnd, true>},
      {"REQUEST_DURATION", duration<T::DownstreamRxBegin, T::DownstreamRxEnd, false>},
      {"REQUEST_TX_DURATION", duration<T::DownstreamRxBegin, T::UpstreamTxEnd, false>},
      {"RESPONSE_DURATION", duration<T::DownstreamRxBegin, T::UpstreamRxBegin, true>},
      {"RESPONSE_TX_DURATION", duration<T::UpstreamRxBegin, T::DownstreamTxEnd, true>},
      {"COMMON_DURATION", common_duration}, {"ROUNDTRIP_DURATION", unset},
      {"DOWNSTREAM_HANDSHAKE_DURATION", unset}, {"UPSTREAM_CONNECTION_POOL_READY_DURATION", duration<T::DownstreamRxBegin, T::UpstreamTxBegin, false>},
      {"BYTES_RECEIVED", bytes<&B::body_received, false>}, {"BYTES_SENT", bytes<&B::body_sent, true>},
      {"BYTES_RETRANSMITTED", always_zero}, {"PACKETS_RETRANSMITTED", always_zero},
      {"DOWNSTREAM_WIRE_BYTES_RECEIVED", bytes<&B::downstream_wire_received, false>},
      {"DOWNSTREAM_WIRE_BYTES_SENT", bytes<&B::downstream_wire_sent, true>},
      {"DOWNSTREAM_HEADER_BYTES_RECEIVED", bytes<&B::downstream_header_received, false>},
      {"DOWNSTREAM_HEADER_BYTES_SENT", bytes<&B::downstream_header_sent, true>},
      {"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", bytes<&B::downstream_header_received, false>},
      {"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", bytes<&B::downstream_header_sent, true>},
      {"UPSTREAM_WIRE_BYTES_RECEIVED", bytes<&B::upstream_wire_received, true>},
      {"UPSTREAM_WIRE_BYTES_SENT", bytes<&B::upstream_wire_sent, false>},
      {"UPSTREAM_HEADER_BYTES_RECEIVED", bytes<&B::upstream_header_received, true>},
      {"UPSTREAM_HEADER_BYTES_SENT", bytes<&B::upstream_header_sent, false>},
      {"UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", bytes<&B::upstream_header_received, true>},
      {"UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", bytes<&B::upstream_header_sent, false>},
      {"REQUEST_HEADERS_BYTES", plain<OpCode::Number, ValueKind::Number, false>},
      {"RESPONSE_HEADERS_BYTES", plain<OpCode::Number, ValueKind::Number, true>},
      {"RESPONSE_TRAILERS_BYTES", plain<OpCode::Number, ValueKind::Number, true>},
      {"RESPONSE_CODE", plain<OpCode::ResponseCode, ValueKind::Number, true>},
      {"RESPONSE_CODE_DETAILS", code_details},
      {"CONNECTION_TERMINATION_DETAILS", view<&C::connection_termination_details, true>},
      {"RESPONSE_FLAGS", plain<OpCode::FlagsShort, ValueKind::String, true>},
      {"RESPONSE_FLAGS_LONG", plain<OpCode::FlagsLong, ValueKind::String, true>},
      {"PROTOCOL", view<&C::protocol>}, {"UPSTREAM_PROTOCOL", view<&C::upstream_protocol>},
      {"ROUTE_NAME", view<&C::route_name>}, {"VIRTUAL_CLUSTER_NAME", view<&C::virtual_cluster_name>},
      {"UPSTREAM_CLUSTER", view<&C::upstream_cluster>}, {"UPSTREAM_CLUSTER_RAW", view<&C::upstream_cluster_raw>},
      {"UPSTREAM_HOST", view<&C::upstream_host>}, {"UPSTREAM_HOST_NAME", view<&C::upstream_host_name>},
      {"UPSTREAM_HOST_NAME_WITHOUT_PORT", address_without_port<&C::upstream_host_name>},
      {"UPSTREAM_LOCAL_ADDRESS", view<&C::upstream_local_address>},
      {"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", address_without_port<&C::upstream_local_address>},
      {"UPSTREAM_LOCAL_PORT", address_port<&C::upstream_local_address>},
      {"UPSTREAM_REMOTE_ADDRESS", view<&C::upstream_remote_address>},
      {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", address_without_port<&C::upstream_remote_address>},
      {"UPSTREAM_REMOTE_PORT", address_port<&C::upstream_remote_address>},
      {"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", unset},
      {"UPSTREAM_TRANSPORT_FAILURE_REASON", view<&C::upstream_transport_failure_reason>},
      {"UPSTREAM_REQUEST_ATTEMPT_COUNT", attempts},
      {"UPSTREAM_CONNECTION_ID", optional_number<&C::upstream_connection_id>},
      {"UPSTREAM_HOSTS_ATTEMPTED", view<&C::upstream_hosts_attempted>},
      {"DOWNSTREAM_REMOTE_ADDRESS", view<&C::downstream_remote_address>},
      {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", address_without_port<&C::downstream_remote_address>},
      {"DOWNSTREAM_REMOTE_PORT", address_port<&C::downstream_remote_address>},
      {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", view<&C::downstream_direct_remote_address>},
      {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", address_without_port<&C::downstream_direct_remote_address>},
      {"DOWNSTREAM_DIRECT_REMOTE_PORT", address_port<&C::downstream_direct_remote_address>},
      {"DOWNSTREAM_LOCAL_ADDRESS", view<&C::downstream_local_address>},
      {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", address_without_port<&C::downstream_local_address>},
      {"DOWNSTREAM_LOCAL_PORT", address_port<&C::downstream_local_address>},
      {"DOWNSTREAM_DIRECT_LOCAL_ADDRESS", view<&C::downstream_direct_local_address>},
      {"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT", address_without_port<&C::downstream_direct_local_address>},
      {"DOWNSTREAM_DIRECT_LOCAL_PORT", address_port<&C::downstream_direct_local_address>},
      {"DOWNSTREAM_TRANSPORT_FAILURE_REASON", view<&C::downstream_transport_failure_reason>},
      {"REQUESTED_SERVER_NAME", view<&C::requested_server_name>},
      {"CONNECTION_ID", optional_number<&C::connection_id>}, {"STREAM_ID", view<&C::stream_id>},
      {"FILTER_CHAIN_NAME", view<&C::filter_chain_name>},
      {"TRACE_ID", view<&C::trace_id>}, {"SPAN_ID", view<&C::span_id>}, {"LOCAL_REPLY_BODY", view<&C::local_reply_body, true>},
      {"ACCESS_LOG_TYPE", plain<OpCode::LogTypeName, ValueKind::String, false>},
      {"GRPC_STATUS", grpc_status}, {"GRPC_STATUS_NUMBER", plain<OpCode::GrpcStatusNumber, ValueKind::Number, true>},
      {"METADATA", metadata}, {"DYNAMIC_METADATA", dynamic_metadata}, {"CLUSTER_METADATA", cluster_metadata},
      {"UPSTREAM_METADATA", upstream_metadata}, {"FILTER_STATE", filter_state},
      {"ENVIRONMENT", environment}, {"HOSTNAME", hostname}, {"UNIQUE_ID", plain<OpCode::UniqueId, ValueKind::String, false>},
      {"CUSTOM_FLAGS", unset}, {"DOWNSTREAM_LOCAL_CLOSE_REASON", view<&C::downstream_local_close_reason>}, {"DOWNSTREAM_DETECTED_CLOSE_TYPE", view<&C::downstream_detected_close_type>},
      {"UPSTREAM_FILTER_STATE", unset}, {"TLS_JA3_FINGERPRINT", view<&C::tls_ja3>}, {"TLS_JA4_FINGERPRINT", view<&C::tls_ja4>},
  };
  return *map;
}

// The families of operators that describe a connection's TLS, on either side.
std::optional<absl::StatusOr<Op>> tls_op(const Call& call) {
  std::string_view name = call.name;
  const bool upstream = absl::StartsWith(name, "UPSTREAM_");
  if (!upstream && !absl::StartsWith(name, "DOWNSTREAM_")) return std::nullopt;
  name.remove_prefix(upstream ? 9 : 11);
  static constexpr std::pair<std::string_view, TlsField> fields[] = {
      {"TLS_VERSION", TlsField::Version}, {"TLS_CIPHER", TlsField::Cipher}, {"TLS_GROUP", TlsField::Group}, {"TLS_SESSION_ID", TlsField::SessionId},
      {"PEER_URI_SAN", TlsField::PeerUriSan}, {"PEER_DNS_SAN", TlsField::PeerDnsSan}, {"PEER_IP_SAN", TlsField::PeerIpSan},
      {"PEER_EMAIL_SAN", TlsField::PeerEmailSan}, {"PEER_OTHERNAME_SAN", TlsField::PeerOtherNameSan}, {"LOCAL_URI_SAN", TlsField::LocalUriSan},
      {"LOCAL_DNS_SAN", TlsField::LocalDnsSan}, {"LOCAL_IP_SAN", TlsField::LocalIpSan}, {"LOCAL_EMAIL_SAN", TlsField::LocalEmailSan},
      {"LOCAL_OTHERNAME_SAN", TlsField::LocalOtherNameSan}, {"PEER_SUBJECT", TlsField::PeerSubject}, {"LOCAL_SUBJECT", TlsField::LocalSubject},
      {"PEER_ISSUER", TlsField::PeerIssuer}, {"PEER_SERIAL", TlsField::PeerSerial}, {"PEER_FINGERPRINT_256", TlsField::PeerSha256},
      {"PEER_FINGERPRINT_1", TlsField::PeerSha1}, {"PEER_CERT", TlsField::PeerCert}, {"PEER_CERT_V_START", TlsField::PeerCertStart},
      {"PEER_CERT_V_END", TlsField::PeerCertEnd}, {"PEER_CHAIN_FINGERPRINTS_256", TlsField::PeerChainSha256},
      {"PEER_CHAIN_FINGERPRINTS_1", TlsField::PeerChainSha1}, {"PEER_CHAIN_SERIALS", TlsField::PeerChainSerials}};
  if (name == "PEER_ISSUER_SERIAL") return unset(call);
  for (const auto& [known, field] : fields) {
    if (known != name) continue;
    Op op;
    op.code = OpCode::Tls;
    op.tls = field;
    op.upstream = upstream;
    op.reads_response = upstream;
    op.max_length = call.max_length;
    if (field == TlsField::PeerCertStart || field == TlsField::PeerCertEnd) op.time = std::make_shared<const TimeFormat>(call.arguments);
    return op;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Op> make_op(std::string_view name, std::string_view arguments, bool has_arguments, std::optional<size_t> max_length) {
  const Call call{name, arguments, has_arguments, max_length};
  const auto it = makers().find(name);
  if (it == makers().end()) {
    if (auto op = tls_op(call)) return *std::move(op);
    return absl::InvalidArgumentError(absl::StrCat("Not supported field in StreamInfo: ", name));
  }
  auto op = it->second(call);
  if (op.ok()) {
    if (name == "REQUEST_HEADERS_BYTES") op->text = "request";
    if (name == "RESPONSE_HEADERS_BYTES") op->text = "response";
    if (name == "RESPONSE_TRAILERS_BYTES") op->text = "trailers";
  }
  return op;
}

absl::StatusOr<std::vector<Op>> parse_ops(std::string_view format) {
  std::vector<Op> ops;
  std::string literal;
  const auto flush = [&] {
    if (literal.empty()) return;
    Op op;
    op.text = std::move(literal);
    ops.push_back(std::move(op));
    literal.clear();
  };
  const auto broken = [&](size_t at) {
    return absl::InvalidArgumentError(
        absl::StrCat("Incorrect configuration: ", format, ". Couldn't find valid command at position ", at));
  };
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      const size_t next = std::min(format.find('%', at), format.size());
      literal.append(format.substr(at, next - at));
      at = next;
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == '%') {
      literal.push_back('%');
      at += 2;
      continue;
    }
    size_t end = at + 1;
    while (end < format.size() && (absl::ascii_isupper(format[end]) || absl::ascii_isdigit(format[end]) || format[end] == '_')) ++end;
    const std::string_view name = format.substr(at + 1, end - at - 1);
    if (name.empty()) return broken(at);
    std::string_view arguments;
    bool has_arguments = false;
    if (end < format.size() && format[end] == '(') {
      const size_t close = format.find(')', end);
      if (close == std::string_view::npos) return broken(at);
      arguments = format.substr(end + 1, close - end - 1);
      has_arguments = true;
      end = close + 1;
    }
    std::optional<size_t> max_length;
    if (end < format.size() && format[end] == ':') {
      size_t stop = end + 1;
      while (stop < format.size() && absl::ascii_isdigit(format[stop])) ++stop;
      size_t value = 0;
      if (!absl::SimpleAtoi(format.substr(end + 1, stop - end - 1), &value)) return broken(at);
      max_length = value;
      end = stop;
    }
    if (end >= format.size() || format[end] != '%') return broken(at);
    flush();
    FL_ASSIGN_OR_RETURN(Op op, make_op(name, arguments, has_arguments, max_length));
    ops.push_back(std::move(op));
    at = end + 1;
  }
  flush();
  return ops;
}

}  // namespace fairlead::format
