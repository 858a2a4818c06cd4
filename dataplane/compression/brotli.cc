// brotli; see codec.h.
#include <brotli/decode.h>
#include <brotli/encode.h>

#include "dataplane/compression/codec.h"

namespace fairlead::compression {
namespace {

class BrotliCompressor final : public Compressor {
 public:
  explicit BrotliCompressor(const BrotliOptions& options) : chunk_(options.chunk), state_(BrotliEncoderCreateInstance(nullptr, nullptr, nullptr)) {
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY, options.quality);
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, options.window_bits);
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGBLOCK, options.input_block_bits);
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_MODE, options.mode);
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING, options.disable_literal_context_modeling ? 1 : 0);
  }
  ~BrotliCompressor() override { BrotliEncoderDestroyInstance(state_); }

  void compress(net::Buffer& data, bool finish) override {
    net::Buffer out;
    while (!data.empty()) {
      const std::string_view piece = data.front();
      run(piece, BROTLI_OPERATION_PROCESS, out);
      data.drain(piece.size());
    }
    run({}, finish ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_FLUSH, out);
    data.append(out);
  }

 private:
  void run(std::string_view piece, BrotliEncoderOperation operation, net::Buffer& out) {
    auto* next_in = reinterpret_cast<const uint8_t*>(piece.data());
    size_t left = piece.size();
    do {
      auto* next_out = reinterpret_cast<uint8_t*>(out.reserve(chunk_));
      size_t room = chunk_;
      const bool good = BrotliEncoderCompressStream(state_, operation, &left, &next_in, &room, &next_out, nullptr) == BROTLI_TRUE;
      out.commit(chunk_ - room);
      if (!good) return;
    } while (left != 0 || BrotliEncoderHasMoreOutput(state_) == BROTLI_TRUE);
  }

  size_t chunk_;
  BrotliEncoderState* state_;
};

class BrotliDecompressor final : public Decompressor {
 public:
  BrotliDecompressor(bool disable_ring_buffer_reallocation, size_t chunk) : chunk_(chunk), state_(BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {
    BrotliDecoderSetParameter(state_, BROTLI_DECODER_PARAM_DISABLE_RING_BUFFER_REALLOCATION, disable_ring_buffer_reallocation ? 1 : 0);
  }
  ~BrotliDecompressor() override { BrotliDecoderDestroyInstance(state_); }

  Result decompress(net::Buffer& in, net::Buffer& out, bool finish) override {
    while (!in.empty()) {
      const std::string_view piece = in.front();
      guard.in += piece.size();
      auto* next_in = reinterpret_cast<const uint8_t*>(piece.data());
      size_t left = piece.size();
      BrotliDecoderResult result;
      do {
        if (BrotliDecoderIsFinished(state_) == BROTLI_TRUE) return Result::kCorrupt;  // something follows the end
        auto* next_out = reinterpret_cast<uint8_t*>(out.reserve(chunk_));
        size_t room = chunk_;
        result = BrotliDecoderDecompressStream(state_, &left, &next_in, &room, &next_out, nullptr);
        out.commit(chunk_ - room);
        guard.out += chunk_ - room;
        if (guard.exceeded()) return Result::kTooLarge;
        if (result == BROTLI_DECODER_RESULT_ERROR) return Result::kCorrupt;
      } while (left != 0 || result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT);
      in.drain(piece.size());
    }
    return finish && BrotliDecoderIsFinished(state_) != BROTLI_TRUE ? Result::kCorrupt : Result::kOk;
  }

 private:
  size_t chunk_;
  BrotliDecoderState* state_;
};

}  // namespace

std::unique_ptr<Compressor> make_brotli_compressor(const BrotliOptions& options) { return std::make_unique<BrotliCompressor>(options); }
std::unique_ptr<Decompressor> make_brotli_decompressor(bool disable_ring_buffer_reallocation, size_t chunk) {
  return std::make_unique<BrotliDecompressor>(disable_ring_buffer_reallocation, chunk);
}

}  // namespace fairlead::compression
