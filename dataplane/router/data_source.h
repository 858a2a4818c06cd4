// Texts that a configuration names instead of holding them: bodies and formats from files and environment variables.
// Main thread. The proxy gives the reader; where configuration is only judged (control plane, command line) there is none, and
// such a text counts as fine and empty: the file is another machine's.
#pragma once

#include <functional>
#include <string>

#include <absl/status/statusor.h>

namespace envoy::config::core::v3 {
class DataSource;
}

namespace fairlead::router {

using FileReader = std::function<absl::StatusOr<std::string>(const std::string& path)>;

// `field` starts every error. An unset source is an empty text.
absl::StatusOr<std::string> read_data_source(const envoy::config::core::v3::DataSource& proto, const FileReader& read_file, const std::string& field);

}  // namespace fairlead::router
