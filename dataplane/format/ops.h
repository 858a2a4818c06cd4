// The operations a format string is parsed to. Private to the room: formatter.cc and json_formatter.cc run them.
// Invariant: an Op says everything there is to know; emit() looks at nothing but the Op and the context.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/format/context.h"
#include "dataplane/format/time_format.h"

namespace fairlead::format {

enum class OpCode : uint8_t {
  Literal,
  RequestHeader, ResponseHeader, ResponseTrailer, RequestHeaderWithoutQuery, Path, QueryParam, QueryParams,
  StartTime, EmitTime, Duration, View, Number, OptionalNumber, ResponseCode, FlagsShort, FlagsLong, LogTypeName,
  AddressWithoutPort, AddressPort, GrpcStatus, GrpcStatusNumber, Metadata, FilterState, Fixed, UniqueId, Tls, Unset
};

// What of a connection's TLS: DOWNSTREAM_… or UPSTREAM_…
enum class TlsField : uint8_t {
  Version, Cipher, Group, SessionId,
  PeerUriSan, PeerDnsSan, PeerIpSan, PeerEmailSan, PeerOtherNameSan, LocalUriSan, LocalDnsSan, LocalIpSan, LocalEmailSan, LocalOtherNameSan,
  PeerSubject, LocalSubject, PeerIssuer, PeerSerial, PeerSha256, PeerSha1, PeerCert, PeerCertStart, PeerCertEnd,
  PeerChainSha256, PeerChainSha1, PeerChainSerials
};

// What an operator is in JSON when it stands alone.
enum class ValueKind : uint8_t { String, Number, Json };

enum class GrpcForm : uint8_t { CamelString, SnakeString, Number };
enum class PathForm : uint8_t { PathOnly, OriginalOnly, OriginalOrPath };
enum class MetadataOf : uint8_t { Dynamic, Route, Cluster, UpstreamHost, VirtualHost, Listener };

struct Op {
  OpCode code = OpCode::Literal;
  ValueKind kind = ValueKind::String;
  bool reads_response = false;
  std::string text;         // literal, header name, key, fixed value
  std::string alternative;  // second header name
  std::optional<size_t> max_length;
  std::shared_ptr<const TimeFormat> time;
  std::string_view FormatContext::*view = nullptr;
  uint64_t ByteCounts::*bytes = nullptr;
  std::optional<uint64_t> FormatContext::*optional_number = nullptr;
  uint32_t FormatContext::*number = nullptr;
  TimePoint from = TimePoint::DownstreamRxBegin, to = TimePoint::StreamEnd;
  int64_t unit_nanos = 1'000'000;
  GrpcForm grpc = GrpcForm::CamelString;
  PathForm path = PathForm::OriginalOrPath;
  bool with_query = true;
  MetadataOf metadata = MetadataOf::Dynamic;
  TlsField tls = TlsField::Version;
  bool upstream = false;
  std::vector<std::string> keys;  // metadata path below the namespace in `text`
};

// Makes the operation for NAME(arguments):max_length. `has_arguments` tells "()" from nothing.
absl::StatusOr<Op> make_op(std::string_view name, std::string_view arguments, bool has_arguments, std::optional<size_t> max_length);

// Appends the operation's text; false (and nothing appended) when the value is unset.
// For ValueKind::Json with `as_json`, what is appended is a JSON value.
bool emit(const Op& op, const FormatContext& context, bool as_json, std::string& out);

// OpCode::Tls (emit_tls.cc).
bool emit_tls(const Op& op, const FormatContext& context, std::string& out);

// Splits a format string into operations. Consecutive literals are joined.
absl::StatusOr<std::vector<Op>> parse_ops(std::string_view format);

}  // namespace fairlead::format
