// envoy.compression.* extensions as models: which codec, with which options. Pure; also linked by the control plane.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "dataplane/compression/codec.h"

namespace envoy::config::core::v3 {
class TypedExtensionConfig;
}

namespace fairlead::compression {

template <class Codec>
struct Library {
  std::string name;              // as configured: part of the statistics' names
  std::string_view encoding;     // of content-encoding: "gzip", "br", "zstd"
  std::string_view stat_prefix;  // "gzip", "brotli", "zstd"
  std::function<std::unique_ptr<Codec>()> make;
};

absl::StatusOr<Library<Compressor>> parse_compressor(const envoy::config::core::v3::TypedExtensionConfig& proto);
absl::StatusOr<Library<Decompressor>> parse_decompressor(const envoy::config::core::v3::TypedExtensionConfig& proto);

}  // namespace fairlead::compression
