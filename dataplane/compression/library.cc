// See library.h.
#include "dataplane/compression/library.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/extensions/compression/brotli/compressor/v3/brotli.pb.h"
#include "envoy/extensions/compression/brotli/decompressor/v3/brotli.pb.h"
#include "envoy/extensions/compression/gzip/compressor/v3/gzip.pb.h"
#include "envoy/extensions/compression/gzip/decompressor/v3/gzip.pb.h"
#include "envoy/extensions/compression/zstd/compressor/v3/zstd.pb.h"
#include "envoy/extensions/compression/zstd/decompressor/v3/zstd.pb.h"

namespace fairlead::compression {
namespace {

namespace ext = envoy::extensions::compression;

absl::Status unknown(const envoy::config::core::v3::TypedExtensionConfig& proto) {
  return absl::InvalidArgumentError(absl::StrCat("Didn't find a registered implementation for '", proto.name(), "' with type URL: '", proto.typed_config().type_url(), "'"));
}

template <class Proto>
size_t chunk_of(const Proto& proto) {
  return proto.has_chunk_size() ? proto.chunk_size().value() : 4096;  // Envoy 1.40: 4096
}

}  // namespace

absl::StatusOr<Library<Compressor>> parse_compressor(const envoy::config::core::v3::TypedExtensionConfig& proto) {
  const auto& any = proto.typed_config();
  if (ext::gzip::compressor::v3::Gzip gzip; any.Is<ext::gzip::compressor::v3::Gzip>() && any.UnpackTo(&gzip)) {
    GzipOptions options;
    if (gzip.compression_level() != 0) options.level = gzip.compression_level();
    options.strategy = gzip.compression_strategy();
    if (gzip.has_memory_level()) options.memory_level = static_cast<int>(gzip.memory_level().value());
    if (gzip.has_window_bits()) options.window_bits = static_cast<int>(gzip.window_bits().value());
    options.chunk = chunk_of(gzip);
    return Library<Compressor>{proto.name(), "gzip", "gzip", [options] { return make_gzip_compressor(options); }};
  }
  if (ext::brotli::compressor::v3::Brotli brotli; any.Is<ext::brotli::compressor::v3::Brotli>() && any.UnpackTo(&brotli)) {
    BrotliOptions options;
    if (brotli.has_quality()) options.quality = brotli.quality().value();
    using Mode = ext::brotli::compressor::v3::Brotli;
    options.mode = brotli.encoder_mode() == Mode::TEXT ? 1 : brotli.encoder_mode() == Mode::FONT ? 2 : 0;
    if (brotli.has_window_bits()) options.window_bits = brotli.window_bits().value();
    if (brotli.has_input_block_bits()) options.input_block_bits = brotli.input_block_bits().value();
    options.disable_literal_context_modeling = brotli.disable_literal_context_modeling();
    options.chunk = chunk_of(brotli);
    return Library<Compressor>{proto.name(), "br", "brotli", [options] { return make_brotli_compressor(options); }};
  }
  if (ext::zstd::compressor::v3::Zstd zstd; any.Is<ext::zstd::compressor::v3::Zstd>() && any.UnpackTo(&zstd)) {
    if (zstd.has_dictionary()) return absl::InvalidArgumentError("dictionary: dictionaries are not supported");
    ZstdOptions options;
    if (zstd.has_compression_level()) options.level = static_cast<int>(zstd.compression_level().value());
    options.checksum = zstd.enable_checksum();
    options.strategy = zstd.strategy();
    options.chunk = chunk_of(zstd);
    return Library<Compressor>{proto.name(), "zstd", "zstd", [options] { return make_zstd_compressor(options); }};
  }
  return unknown(proto);
}

absl::StatusOr<Library<Decompressor>> parse_decompressor(const envoy::config::core::v3::TypedExtensionConfig& proto) {
  const auto& any = proto.typed_config();
  if (ext::gzip::decompressor::v3::Gzip gzip; any.Is<ext::gzip::decompressor::v3::Gzip>() && any.UnpackTo(&gzip)) {
    const int window_bits = gzip.has_window_bits() ? static_cast<int>(gzip.window_bits().value()) : 15;  // Envoy 1.40: 15
    const uint64_t ratio = gzip.has_max_inflate_ratio() ? std::max<uint64_t>(gzip.max_inflate_ratio().value(), 1) : 100;
    const size_t chunk = chunk_of(gzip);
    return Library<Decompressor>{proto.name(), "gzip", "gzip", [=] {
                                   auto made = make_gzip_decompressor(window_bits, chunk);
                                   made->guard.max_ratio = ratio;
                                   return made;
                                 }};
  }
  if (ext::brotli::decompressor::v3::Brotli brotli; any.Is<ext::brotli::decompressor::v3::Brotli>() && any.UnpackTo(&brotli)) {
    const bool fixed = brotli.disable_ring_buffer_reallocation();
    const size_t chunk = chunk_of(brotli);
    return Library<Decompressor>{proto.name(), "br", "brotli", [=] { return make_brotli_decompressor(fixed, chunk); }};
  }
  if (ext::zstd::decompressor::v3::Zstd zstd; any.Is<ext::zstd::decompressor::v3::Zstd>() && any.UnpackTo(&zstd)) {
    if (zstd.dictionaries_size() != 0) return absl::InvalidArgumentError("dictionaries: dictionaries are not supported");
    const size_t chunk = chunk_of(zstd);
    return Library<Decompressor>{proto.name(), "zstd", "zstd", [=] { return make_zstd_decompressor(chunk); }};
  }
  return unknown(proto);
}

}  // namespace fairlead::compression
