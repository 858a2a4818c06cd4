// gzip with zlib; see codec.h.
#include <zlib.h>

#include <algorithm>

#include "dataplane/compression/codec.h"

namespace fairlead::compression {
namespace {

constexpr int kGzipFormat = 16;  // added to the window's bits: a gzip header and trailer, not zlib's
constexpr size_t kMaxPiece = 1u << 30;

class GzipCompressor final : public Compressor {
 public:
  explicit GzipCompressor(const GzipOptions& options) : chunk_(options.chunk) {
    good_ = deflateInit2(&z_, options.level, Z_DEFLATED, options.window_bits | kGzipFormat, options.memory_level, options.strategy) == Z_OK;
  }
  ~GzipCompressor() override { deflateEnd(&z_); }

  void compress(net::Buffer& data, bool finish) override {
    net::Buffer out;
    while (!data.empty()) {
      const std::string_view piece = data.front().substr(0, kMaxPiece);
      z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
      z_.avail_in = static_cast<uInt>(piece.size());
      run(Z_NO_FLUSH, out);
      data.drain(piece.size());
    }
    z_.avail_in = 0;
    run(finish ? Z_FINISH : Z_SYNC_FLUSH, out);
    data.append(out);
  }

 private:
  void run(int flush, net::Buffer& out) {
    if (!good_) return;
    do {
      z_.next_out = reinterpret_cast<Bytef*>(out.reserve(chunk_));
      z_.avail_out = static_cast<uInt>(chunk_);
      const int result = deflate(&z_, flush);
      out.commit(chunk_ - z_.avail_out);
      if (result != Z_OK) return;  // the end, or nothing to do
    } while (z_.avail_out == 0);
  }

  z_stream z_{};
  size_t chunk_;
  bool good_ = false;
};

class GzipDecompressor final : public Decompressor {
 public:
  GzipDecompressor(int window_bits, size_t chunk) : chunk_(chunk) { good_ = inflateInit2(&z_, window_bits | kGzipFormat) == Z_OK; }
  ~GzipDecompressor() override { inflateEnd(&z_); }

  Result decompress(net::Buffer& in, net::Buffer& out, bool finish) override {
    while (!in.empty()) {
      const std::string_view piece = in.front().substr(0, kMaxPiece);
      guard.in += piece.size();
      z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
      z_.avail_in = static_cast<uInt>(piece.size());
      if (const Result result = run(out); result != Result::kOk) return result;
      in.drain(piece.size());
    }
    return finish && !ended_ ? Result::kCorrupt : Result::kOk;
  }

 private:
  Result run(net::Buffer& out) {
    if (!good_) return Result::kCorrupt;
    do {
      if (ended_) {  // another member
        if (z_.avail_in == 0) return Result::kOk;
        inflateReset(&z_);
        ended_ = false;
      }
      z_.next_out = reinterpret_cast<Bytef*>(out.reserve(chunk_));
      z_.avail_out = static_cast<uInt>(chunk_);
      const int result = inflate(&z_, Z_NO_FLUSH);
      out.commit(chunk_ - z_.avail_out);
      guard.out += chunk_ - z_.avail_out;
      if (guard.exceeded()) return Result::kTooLarge;
      if (result == Z_STREAM_END) {
        ended_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return Result::kCorrupt;
      }
    } while (z_.avail_in != 0 || z_.avail_out == 0);
    return Result::kOk;
  }

  z_stream z_{};
  size_t chunk_;
  bool good_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Compressor> make_gzip_compressor(const GzipOptions& options) { return std::make_unique<GzipCompressor>(options); }
std::unique_ptr<Decompressor> make_gzip_decompressor(int window_bits, size_t chunk) { return std::make_unique<GzipDecompressor>(window_bits, chunk); }

}  // namespace fairlead::compression
