// See data_source.h.
#include "dataplane/router/data_source.h"

#include <cstdlib>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/status.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::router {
namespace {

// Envoy 1.40: the kernel's own folders are no place for configuration, and reading there may never end.
bool is_kernel_path(std::string_view path) {
  for (const std::string_view folder : {"/dev", "/proc", "/sys"}) {
    if (absl::StartsWith(path, folder) && (path.size() == folder.size() || path[folder.size()] == '/')) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> read_data_source(const envoy::config::core::v3::DataSource& proto, const FileReader& read_file, const std::string& field) {
  using Source = envoy::config::core::v3::DataSource;
  // of TLS, whoever asks sees to it
  if (proto.has_watched_directory()) return absl::InvalidArgumentError(absl::StrCat(field, ".watched_directory: not supported: only files of TLS are watched"));
  switch (proto.specifier_case()) {
    case Source::kInlineString: return proto.inline_string();
    case Source::kInlineBytes: return proto.inline_bytes();
    case Source::kFilename: {
      if (is_kernel_path(proto.filename())) return absl::InvalidArgumentError(absl::StrCat(field, ".filename: Invalid path: ", proto.filename()));
      if (!read_file) return "";
      auto text = read_file(proto.filename());
      if (!text.ok()) return absl::InvalidArgumentError(absl::StrCat(field, ".filename: ", text.status().message()));
      return text;
    }
    case Source::kEnvironmentVariable: {
      if (!read_file) return "";
      const char* value = std::getenv(proto.environment_variable().c_str());
      if (value == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(field, ".environment_variable: Environment variable doesn't exist: ", proto.environment_variable()));
      }
      return value;
    }
    case Source::SPECIFIER_NOT_SET: break;
  }
  return "";
}

}  // namespace fairlead::router
