// Access log configuration: where a line goes, how it is formatted and which requests are logged. Pure model; accesslog/
// opens the files. Parsed on the main thread, immutable, read by workers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/format/formatter.h"
#include "dataplane/matching/metadata_matcher.h"
#include "dataplane/router/data_source.h"

namespace envoy::config::accesslog::v3 {
class AccessLog;
class AccessLogFilter;
}
namespace envoy::config::core::v3 {
class SubstitutionFormatString;
}

namespace fairlead::config {

// A tree of conditions; accesslog/ asks `match` once per finished request.
class AccessLogFilter {
 public:
  struct Input {
    const format::FormatContext* context = nullptr;
    uint64_t random = 0;             // the stream's stable random number
    bool health_check = false;
    bool traced = false;
    const matching::Runtime* runtime = nullptr;
  };
  static absl::StatusOr<AccessLogFilter> compile(const envoy::config::accesslog::v3::AccessLogFilter& proto, const std::string& field);
  bool match(const Input& input) const;

 private:
  enum class Kind : uint8_t { Status, Duration, NotHealthCheck, Traceable, Runtime, And, Or, Header, Flags, GrpcStatus, LogType, Metadata };
  enum class Compare : uint8_t { Equal, NotEqual, GreaterOrEqual, LessOrEqual };
  Kind kind_ = Kind::NotHealthCheck;
  Compare compare_ = Compare::Equal;
  uint32_t value_ = 0;
  std::string runtime_key_;
  std::vector<AccessLogFilter> children_;
  std::optional<matching::HeaderMatcher> header_;
  std::optional<matching::Fraction> fraction_;
  format::ResponseFlags flags_;
  uint32_t set_ = 0;       // bits: gRPC statuses or log types
  std::optional<matching::MetadataMatcher> metadata_;
  bool when_missing_ = true;  // of Metadata
  bool exclude_ = false;
  bool independent_ = false;
};

struct AccessLogConfig {
  enum class Sink : uint8_t { Stdout, Stderr, File };
  std::string name;
  Sink sink = Sink::Stdout;
  std::string path;  // File
  std::variant<format::Formatter, format::JsonFormatter> format;
  std::optional<AccessLogFilter> filter;

  void render(const format::FormatContext& context, std::string& out) const;
};

absl::StatusOr<AccessLogConfig> parse_access_log(const envoy::config::accesslog::v3::AccessLog& proto, const std::string& field,
                                                 const router::FileReader& read_file = {});
absl::StatusOr<std::variant<format::Formatter, format::JsonFormatter>> parse_format(
    const envoy::config::core::v3::SubstitutionFormatString& proto, const std::string& field, const router::FileReader& read_file = {});

}  // namespace fairlead::config
