// zstd; see codec.h.
#include <zstd.h>

#include "dataplane/compression/codec.h"

namespace fairlead::compression {
namespace {

class ZstdCompressor final : public Compressor {
 public:
  explicit ZstdCompressor(const ZstdOptions& options) : chunk_(options.chunk), context_(ZSTD_createCCtx()) {
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, options.level);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, options.checksum ? 1 : 0);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_strategy, options.strategy);
  }
  ~ZstdCompressor() override { ZSTD_freeCCtx(context_); }

  void compress(net::Buffer& data, bool finish) override {
    net::Buffer out;
    while (!data.empty()) {
      const std::string_view piece = data.front();
      run(piece, ZSTD_e_continue, out);
      data.drain(piece.size());
    }
    run({}, finish ? ZSTD_e_end : ZSTD_e_flush, out);
    data.append(out);
  }

 private:
  void run(std::string_view piece, ZSTD_EndDirective directive, net::Buffer& out) {
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    size_t left;
    do {
      ZSTD_outBuffer to{out.reserve(chunk_), chunk_, 0};
      left = ZSTD_compressStream2(context_, &to, &in, directive);
      out.commit(to.pos);
      if (ZSTD_isError(left) != 0) return;
    } while (directive == ZSTD_e_continue ? in.pos != in.size : left != 0);
  }

  size_t chunk_;
  ZSTD_CCtx* context_;
};

class ZstdDecompressor final : public Decompressor {
 public:
  explicit ZstdDecompressor(size_t chunk) : chunk_(chunk), context_(ZSTD_createDCtx()) {
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, 23);  // RFC 8878: 8 MiB is what a decoder on the web has to take
  }
  ~ZstdDecompressor() override { ZSTD_freeDCtx(context_); }

  Result decompress(net::Buffer& in, net::Buffer& out, bool finish) override {
    while (!in.empty()) {
      const std::string_view piece = in.front();
      guard.in += piece.size();
      ZSTD_inBuffer from{piece.data(), piece.size(), 0};
      bool full;
      do {
        ZSTD_outBuffer to{out.reserve(chunk_), chunk_, 0};
        const size_t left = ZSTD_decompressStream(context_, &to, &from);
        out.commit(to.pos);
        guard.out += to.pos;
        if (ZSTD_isError(left) != 0) return Result::kCorrupt;
        if (guard.exceeded()) return Result::kTooLarge;
        ended_ = left == 0;  // of a frame; another may follow
        full = !ended_ && to.pos == to.size;  // nothing of a whole frame is left behind
      } while (from.pos != from.size || full);
      in.drain(piece.size());
    }
    return finish && !ended_ ? Result::kCorrupt : Result::kOk;
  }

 private:
  size_t chunk_;
  ZSTD_DCtx* context_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Compressor> make_zstd_compressor(const ZstdOptions& options) { return std::make_unique<ZstdCompressor>(options); }
std::unique_ptr<Decompressor> make_zstd_decompressor(size_t chunk) { return std::make_unique<ZstdDecompressor>(chunk); }

}  // namespace fairlead::compression
