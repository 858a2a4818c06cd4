// See message_reader.h.
#include "controlplane/rpc/message_reader.h"

#include <zlib.h>

#include <algorithm>

#include <absl/strings/str_cat.h>

namespace fairlead::rpc {
namespace {

constexpr size_t kHead = 5;

absl::Status too_large(size_t size, size_t max) {
  return absl::ResourceExhaustedError(absl::StrCat("received message larger than max (", size, " vs. ", max, ")"));
}

}  // namespace

Encoding encoding_of(std::string_view grpc_encoding) {
  if (grpc_encoding.empty() || grpc_encoding == "identity") return Encoding::kIdentity;
  if (grpc_encoding == "gzip") return Encoding::kGzip;
  if (grpc_encoding == "deflate") return Encoding::kDeflate;
  return Encoding::kUnknown;
}

absl::Status MessageReader::read(net::Buffer& data, absl::FunctionRef<bool(std::string_view)> on_message) {
  pending_.append(data);
  while (pending_.size() >= kHead) {
    unsigned char head[kHead];
    pending_.copy_out(0, head, kHead);
    if (head[0] > 1) return absl::InternalError(absl::StrCat("message flag ", head[0], " is neither 0 nor 1"));
    const size_t size = size_t{head[1]} << 24 | size_t{head[2]} << 16 | size_t{head[3]} << 8 | head[4];
    if (size > max_) return too_large(size, max_);
    if (pending_.size() < kHead + size) break;
    pending_.drain(kHead);
    const std::string_view message = pending_.linearize(size);
    bool go_on = true;
    if (head[0] == 0) {
      go_on = on_message(message);
    } else {
      std::string plain;
      if (absl::Status s = inflate(message, plain); !s.ok()) return s;
      go_on = on_message(plain);
    }
    if (!go_on) {
      pending_.clear();
      return absl::OkStatus();
    }
    pending_.drain(size);
  }
  return absl::OkStatus();
}

// The limit holds for what comes out: what a few bytes may become is bounded by it.
absl::Status MessageReader::inflate(std::string_view compressed, std::string& out) const {
  if (encoding_ == Encoding::kIdentity) return absl::InternalError("a compressed message without grpc-encoding");
  z_stream z{};
  // zlib's format for deflate, gzip's for gzip
  if (inflateInit2(&z, encoding_ == Encoding::kGzip ? 15 + 16 : 15) != Z_OK) return absl::ResourceExhaustedError("no memory to decompress a message");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  z.avail_in = static_cast<uInt>(compressed.size());
  int result = Z_OK;
  while (result == Z_OK && out.size() <= max_) {
    const size_t have = out.size();
    out.resize(have + std::max<size_t>(4096, compressed.size() * 2));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    z.avail_out = static_cast<uInt>(out.size() - have);
    result = ::inflate(&z, Z_NO_FLUSH);
    out.resize(out.size() - z.avail_out);
    if (result == Z_BUF_ERROR || (result == Z_OK && z.avail_in == 0 && z.avail_out != 0)) break;
  }
  inflateEnd(&z);
  if (out.size() > max_) return too_large(out.size(), max_);
  if (result != Z_STREAM_END || z.avail_in != 0) return absl::InternalError("a compressed message does not decompress");
  return absl::OkStatus();
}

}  // namespace fairlead::rpc
