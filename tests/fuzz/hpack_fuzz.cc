// The HPACK encoder's heads through nghttp2's decoder: whatever is encoded is decoded the same, whatever the table went through, in no
// more bytes than were promised, and secrets are marked. An operation a byte: ends a head, changes the table's size, adds a field (a
// well-known name or one from the input, a value from the input or many times its byte).
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/http/h2/hpack_encoder.h"

using namespace fairlead;
using namespace fairlead::h2;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct OneField {
  std::string name, value;
};

constexpr std::string_view kNames[] = {":method", ":scheme", ":path", ":status", ":authority", "date", "server", "content-type", "content-length", "cookie", "set-cookie", "authorization",
                                       "accept-encoding", "etag", "vary", "x-request-id", "x-a", "a-x", "grpc-status", "te"};
constexpr std::string_view kValues[] = {"GET", "POST", "http", "https", "/", "200", "404", "gzip, deflate", "application/grpc", "0", ""};

class Wire {
 public:
  Wire() { require(nghttp2_hd_inflate_new(&inflater_) == 0); }
  ~Wire() { nghttp2_hd_inflate_del(inflater_); }
  Wire(const Wire&) = delete;

  void resize(uint32_t size) {  // RFC 7541 section 6.3
    if (size < 31) {
      updates_ += static_cast<char>(0x20 | size);
      return;
    }
    updates_ += '\x3f';
    for (size -= 31; size >= 128; size >>= 7) updates_ += static_cast<char>(size | 128);
    updates_ += static_cast<char>(size);
  }

  void head(const std::vector<OneField>& fields) {
    std::vector<OutField> list;
    for (const OneField& field : fields) list.push_back({field.name, field.value, http::token_of(field.name)});
    const FieldList out{list.data(), list.size()};
    encoder_.apply_updates(reinterpret_cast<const uint8_t*>(updates_.data()), updates_.size());
    const size_t bound = HpackEncoder::bound(out);
    const auto block = std::make_unique<char[]>(bound);  // of exactly this size, for a sanitizer to see
    const auto size = static_cast<size_t>(encoder_.encode(out, block.get()) - block.get());
    require(size <= bound);
    decode(updates_ + std::string(block.get(), size), fields);
    updates_.clear();
  }

 private:
  void decode(std::string bytes, const std::vector<OneField>& expected) {
    auto* at = reinterpret_cast<uint8_t*>(bytes.data());
    size_t seen = 0;
    for (size_t left = bytes.size();;) {
      nghttp2_nv nv;
      int flags = 0;
      const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, at, left, 1);
      require(n >= 0);
      at += n;
      left -= static_cast<size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        require(seen < expected.size());
        const OneField& field = expected[seen++];
        require(std::string_view(reinterpret_cast<char*>(nv.name), nv.namelen) == field.name && std::string_view(reinterpret_cast<char*>(nv.value), nv.valuelen) == field.value);
        const bool secret = field.name == "authorization" || (field.name == "cookie" && field.value.size() < 20);
        require(!secret || (nv.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0);
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0 || (left == 0 && (flags & NGHTTP2_HD_INFLATE_EMIT) == 0)) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    require(seen == expected.size());
  }

  HpackEncoder encoder_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string updates_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  size_t at = 0;
  const auto byte = [&]() -> uint8_t { return at < size ? data[at++] : 0; };
  const auto text = [&](size_t length) {
    length = std::min(length, size - at);
    at += length;
    return std::string(reinterpret_cast<const char*>(data) + at - length, length);
  };
  Wire wire;
  std::vector<OneField> fields;
  size_t bytes = 0;
  while (at < size) {
    const uint8_t op = byte();
    if (op < 48) {
      wire.head(fields);
      fields.clear();
    } else if (op < 64) {
      wire.resize(byte() * uint32_t{16});  // at most 4080, and the decoder allows 4096
    } else {
      OneField field;
      field.name = (op & 3) == 0 ? text(1 + byte() % 32) : std::string(kNames[byte() % std::size(kNames)]);
      if (field.name.empty()) continue;
      switch (op >> 2 & 3) {
        case 0: field.value = text(byte()); break;
        case 1: field.value = std::string(byte() * size_t{23}, static_cast<char>(op)); break;
        default: field.value = kValues[byte() % std::size(kValues)];
      }
      if ((bytes += field.name.size() + field.value.size()) > (size_t{1} << 20)) break;
      fields.push_back(std::move(field));
    }
  }
  wire.head(fields);
  return 0;
}
