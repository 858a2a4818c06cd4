// Compressing and decompressing of bodies as they stream: one object per body. gzip (zlib), brotli and zstd implement it; this is the only
// room that includes their headers. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/net/buffer.h"

namespace fairlead::compression {

class Compressor {
 public:
  virtual ~Compressor() = default;
  // Replaces `data` by its compressed form. Everything given is flushed, so that the peer can read it now; `finish` ends the stream.
  virtual void compress(net::Buffer& data, bool finish) = 0;
};

// What compressed input may become: at most `max_ratio` times its size, but small outputs always pass.
struct RatioGuard {
  static constexpr uint64_t kHarmless = 64 * 1024;
  uint64_t max_ratio = 100;  // Envoy 1.40: 100, gzip's max_inflate_ratio
  uint64_t in = 0, out = 0;
  bool exceeded() const { return out > kHarmless && out / max_ratio > in; }
};

class Decompressor {
 public:
  enum class Result : uint8_t { kOk, kCorrupt, kTooLarge };
  virtual ~Decompressor() = default;
  // Takes all of `in` and appends to `out` what it means. `finish`: no more will come, so a stream that has not ended is corrupt.
  // Stops as soon as the guard says so: what was written by then is bounded.
  virtual Result decompress(net::Buffer& in, net::Buffer& out, bool finish) = 0;

  RatioGuard guard;
};

struct GzipOptions {
  int level = -1;        // zlib's default
  int strategy = 0;
  int memory_level = 5;  // Envoy 1.40: 5
  int window_bits = 12;  // Envoy 1.40: 12
  size_t chunk = 4096;   // Envoy 1.40: 4096; bytes of output asked for at a time
};
struct BrotliOptions {
  uint32_t quality = 3;          // Envoy 1.40: 3
  uint32_t mode = 0;
  uint32_t window_bits = 18;     // Envoy 1.40: 18
  uint32_t input_block_bits = 24;  // Envoy 1.40: 24
  bool disable_literal_context_modeling = false;
  size_t chunk = 4096;
};
struct ZstdOptions {
  int level = 3;         // Envoy 1.40: the library's default, 3
  bool checksum = false;
  int strategy = 0;      // 0: by level
  size_t chunk = 4096;
};

std::unique_ptr<Compressor> make_gzip_compressor(const GzipOptions& options);
std::unique_ptr<Compressor> make_brotli_compressor(const BrotliOptions& options);
std::unique_ptr<Compressor> make_zstd_compressor(const ZstdOptions& options);

std::unique_ptr<Decompressor> make_gzip_decompressor(int window_bits, size_t chunk);  // several members one after the other are one body
std::unique_ptr<Decompressor> make_brotli_decompressor(bool disable_ring_buffer_reallocation, size_t chunk);
std::unique_ptr<Decompressor> make_zstd_decompressor(size_t chunk);

}  // namespace fairlead::compression
