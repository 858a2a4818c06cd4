// Runs one operation: appends the text of an operator's value, or says that it is unset. Hot: one call per operator and log line.
#include <charconv>
#include <random>

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "dataplane/format/formatter.h"
#include "dataplane/format/metadata.h"
#include "dataplane/format/ops.h"
#include "dataplane/http/grpc_status.h"
#include "dataplane/http/header_map.h"

namespace fairlead::format {
namespace {

void append_number(int64_t value, std::string& out) {
  char buffer[24];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, result.ptr);
}
void append_unsigned(uint64_t value, std::string& out) {
  char buffer[24];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, result.ptr);
}

const http::Header* find(const http::HeaderMap* headers, std::string_view name) {
  return headers == nullptr || name.empty() ? nullptr : headers->find(name);
}

const http::Header* find_either(const http::HeaderMap* headers, const Op& op) {
  const http::Header* header = find(headers, op.text);
  return header != nullptr ? header : find(headers, op.alternative);
}

bool append_view(std::string_view value, std::string& out) {
  if (value.empty()) return false;
  out.append(value);
  return true;
}

std::string_view without_query(std::string_view path) { return path.substr(0, path.find('?')); }

// "1.2.3.4:80" and "[::1]:80" lose their port (and brackets); what has none stays as it is.
std::string_view strip_port(std::string_view address) {
  if (address.empty() || address[0] == '/' || address[0] == '@') return address;
  if (address[0] == '[') {
    const size_t close = address.find(']');
    return close == std::string_view::npos ? address : address.substr(1, close - 1);
  }
  const size_t colon = address.rfind(':');
  return colon == std::string_view::npos || address.find(':') != colon ? address : address.substr(0, colon);
}

bool append_port(std::string_view address, std::string& out) {
  if (address.empty() || address[0] == '/' || address[0] == '@') return false;
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || (address[0] != '[' && address.find(':') != colon)) return false;
  return append_view(address.substr(colon + 1), out);
}

bool emit_path(const Op& op, const FormatContext& context, std::string& out) {
  const http::Header* header = nullptr;
  if (context.request_headers == nullptr) return false;
  if (op.path != PathForm::PathOnly) header = context.request_headers->find("x-envoy-original-path");
  if (header == nullptr && op.path != PathForm::OriginalOnly) header = context.request_headers->find(":path");
  if (header == nullptr) return false;
  out.append(op.with_query ? header->value() : without_query(header->value()));
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_percent_decoded(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
}

// What QUERY_PARAMS(DECODED) of Envoy 1.40 decodes: visible characters but '"'; a '%' before two other characters goes.
void append_visibly_decoded(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 2 >= text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) continue;
    const int code = high * 16 + low;
    if (code > 0x20 && code < 0x7f && code != '"') {
      out.push_back(static_cast<char>(code));
    } else {
      out.append(text.substr(i, 3));
    }
    i += 2;
  }
}

std::optional<std::string_view> query_of(const FormatContext& context) {
  if (context.request_headers == nullptr) return std::nullopt;
  const std::string_view path = context.request_headers->get(":path");
  const size_t mark = path.find('?');
  if (mark == std::string_view::npos) return std::nullopt;
  std::string_view query = path.substr(mark + 1);
  return query.substr(0, query.find('#'));
}

bool emit_query_param(const Op& op, const FormatContext& context, std::string& out) {
  auto query = query_of(context);
  while (query && !query->empty()) {
    const std::string_view pair = query->substr(0, query->find('&'));
    query->remove_prefix(std::min(query->size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != op.text) continue;
    if (equals != std::string_view::npos) append_percent_decoded(pair.substr(equals + 1), out);
    return true;
  }
  return false;
}

bool emit_query_params(const Op& op, const FormatContext& context, std::string& out) {
  const auto query = query_of(context);
  if (!query || query->empty()) return false;
  if (op.text == "DECODED") {
    append_visibly_decoded(*query, out);
  } else {
    out.append(*query);
  }
  return true;
}

bool emit_duration(const Op& op, const FormatContext& context, std::string& out) {
  const auto from = context.times.get(op.from), to = context.times.get(op.to);
  if (op.from == TimePoint::DownstreamRxBegin && !from && to) {  // the request's begin is the zero of the time line
    append_number(to->count() / op.unit_nanos, out);
    return true;
  }
  if (!from || !to || *to < *from) return false;  // the answer came before the request had ended
  append_number((*to - *from).count() / op.unit_nanos, out);
  return true;
}

uint64_t header_bytes(const Op& op, const FormatContext& context) {
  const http::HeaderMap* headers = op.text == "request"    ? context.request_headers
                                   : op.text == "response" ? context.response_headers
                                                           : context.response_trailers;
  return headers == nullptr ? 0 : headers->byte_size();
}

constexpr std::string_view grpc_camel[] = {"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
                                           "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange",
                                           "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"};
constexpr std::string_view grpc_snake[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
                                           "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
                                           "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

// Only of gRPC requests, as in Envoy: from the trailers, else from the headers of a trailers-only response, else what the HTTP status means.
std::optional<uint64_t> grpc_status_of(const FormatContext& context) {
  if (context.request_headers == nullptr) return std::nullopt;
  const std::string_view type = context.request_headers->get("content-type");
  if (type.substr(0, 16) != "application/grpc" || (type.size() > 16 && type[16] != '+')) return std::nullopt;
  const http::Header* status = find(context.response_trailers, "grpc-status");
  if (status == nullptr) status = find(context.response_headers, "grpc-status");
  uint64_t value = 0;
  if (status != nullptr) return absl::SimpleAtoi(status->value(), &value) ? std::optional(value) : std::nullopt;
  return context.response_code != 0 ? std::optional<uint64_t>(http::grpc_status_of_http(context.response_code)) : std::nullopt;
}

bool emit_grpc_status(const Op& op, const FormatContext& context, std::string& out) {
  const auto status = grpc_status_of(context);
  if (!status) return false;
  if (op.grpc == GrpcForm::Number || op.code == OpCode::GrpcStatusNumber || *status >= std::size(grpc_camel)) {
    append_unsigned(*status, out);
  } else {
    out.append(op.grpc == GrpcForm::SnakeString ? grpc_snake[*status] : grpc_camel[*status]);
  }
  return true;
}

constexpr std::string_view log_types[] = {"NotSet", "TcpUpstreamConnected", "TcpPeriodic", "TcpConnectionStart", "TcpConnectionEnd",
                                          "DownstreamStart", "DownstreamPeriodic", "DownstreamEnd", "UpstreamPoolReady", "UpstreamPeriodic",
                                          "UpstreamEnd", "DownstreamTunnelSuccessfullyEstablished", "UdpTunnelUpstreamConnected",
                                          "UdpPeriodic", "UdpSessionEnd"};

// A version 4 UUID.
void append_uuid(std::string& out) {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  const uint64_t high = (random() & 0xffffffffffff0fffULL) | 0x4000, low = (random() & 0x3fffffffffffffffULL) | 0x8000000000000000ULL;
  char text[37];
  std::snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                static_cast<unsigned>(high & 0xffff), static_cast<unsigned>(low >> 48), static_cast<unsigned long long>(low & 0xffffffffffffULL));
  out.append(text, 36);
}

bool emit_view(const Op& op, const FormatContext& context, std::string& out) {
  const std::string_view value = context.*op.view;
  if (value.empty()) {  // Envoy 1.40: these are texts even when they are empty
    return op.view == &FormatContext::local_reply_body || (op.view == &FormatContext::response_code_details && context.flags.has(ResponseFlag::NoFilterConfigFound));
  }
  if (op.text.empty()) {
    out.append(value);
  } else {
    for (char c : value) out.push_back(c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r' ? '_' : c);
  }
  return true;
}

bool emit_any(const Op& op, const FormatContext& context, bool as_json, std::string& out) {
  switch (op.code) {
    case OpCode::Literal:
    case OpCode::Fixed: out.append(op.text); return true;
    case OpCode::Unset: return false;
    case OpCode::RequestHeader:
    case OpCode::ResponseHeader:
    case OpCode::ResponseTrailer: {
      const http::HeaderMap* headers = op.code == OpCode::RequestHeader    ? context.request_headers
                                       : op.code == OpCode::ResponseHeader ? context.response_headers
                                                                           : context.response_trailers;
      const http::Header* header = find_either(headers, op);
      if (header == nullptr) return false;
      out.append(header->value());
      return true;
    }
    case OpCode::RequestHeaderWithoutQuery: {
      const http::Header* header = find_either(context.request_headers, op);
      if (header == nullptr) return false;
      out.append(without_query(header->value()));
      return true;
    }
    case OpCode::Path: return emit_path(op, context, out);
    case OpCode::QueryParam: return emit_query_param(op, context, out);
    case OpCode::QueryParams: return emit_query_params(op, context, out);
    case OpCode::StartTime: op.time->append(context.start, out); return true;
    case OpCode::EmitTime: op.time->append(context.now == std::chrono::system_clock::time_point{} ? std::chrono::system_clock::now() : context.now, out); return true;
    case OpCode::Duration: return emit_duration(op, context, out);
    case OpCode::View: return emit_view(op, context, out);
    case OpCode::Number:
      append_unsigned(op.bytes != nullptr ? context.bytes.*op.bytes : op.number != nullptr ? context.*op.number : header_bytes(op, context), out);
      return true;
    case OpCode::OptionalNumber:
      if (!(context.*op.optional_number)) return false;
      append_unsigned(*(context.*op.optional_number), out);
      return true;
    case OpCode::ResponseCode: append_unsigned(context.response_code, out); return true;
    case OpCode::FlagsShort: context.flags.append_short(out); return true;
    case OpCode::FlagsLong: context.flags.append_long(out); return true;
    case OpCode::LogTypeName: out.append(log_types[static_cast<size_t>(context.log_type)]); return true;
    case OpCode::AddressWithoutPort: return append_view(strip_port(context.*op.view), out);
    case OpCode::AddressPort: return append_port(context.*op.view, out);
    case OpCode::GrpcStatus:
    case OpCode::GrpcStatusNumber: return emit_grpc_status(op, context, out);
    case OpCode::Metadata: return emit_metadata(op, context, as_json, out);
    case OpCode::FilterState: {
      if (context.filter_state == nullptr) return false;
      const auto it = context.filter_state->find(op.text);
      if (it == context.filter_state->end()) return false;
      out.append(it->second);
      return true;
    }
    case OpCode::UniqueId: append_uuid(out); return true;
    case OpCode::Tls: return emit_tls(op, context, out);
  }
  return false;
}

}  // namespace

bool emit(const Op& op, const FormatContext& context, bool as_json, std::string& out) {
  const size_t before = out.size();
  if (!emit_any(op, context, as_json, out)) {
    out.resize(before);
    return false;
  }
  if (op.max_length && out.size() - before > *op.max_length && !(as_json && op.kind == ValueKind::Json)) {
    out.resize(before + *op.max_length);
  }
  return true;
}

}  // namespace fairlead::format
