// See base64_stream.h.
#include "dataplane/filters/http/grpc_web/base64_stream.h"

#include <array>

namespace fairlead::filters::grpc_web {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  for (auto& v : values) v = -1;
  for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kValues = make_values();

void put_group(const uint8_t* b, char* to) {
  to[0] = kAlphabet[b[0] >> 2];
  to[1] = kAlphabet[(b[0] & 3) << 4 | b[1] >> 4];
  to[2] = kAlphabet[(b[1] & 15) << 2 | b[2] >> 6];
  to[3] = kAlphabet[b[2] & 63];
}

constexpr size_t kPiece = 3072;  // bytes encoded at a time: 4096 characters

}  // namespace

void Base64Encoder::add(std::string_view bytes, net::Buffer& out) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPiece);
    bytes.remove_prefix(piece.size());
    char* to = out.reserve(piece.size() / 3 * 4 + 8);
    char* at = to;
    for (const char c : piece) {
      kept_[count_++] = static_cast<uint8_t>(c);
      if (count_ < 3) continue;
      put_group(kept_, at);
      at += 4;
      count_ = 0;
    }
    out.commit(static_cast<size_t>(at - to));
  }
}

void Base64Encoder::pad(net::Buffer& out) {
  if (count_ == 0) return;
  for (uint8_t i = count_; i < 3; ++i) kept_[i] = 0;
  char group[4];
  put_group(kept_, group);
  for (uint8_t i = count_ + 1; i < 4; ++i) group[i] = '=';
  out.append(std::string_view(group, 4));
  count_ = 0;
}

bool Base64Decoder::add(std::string_view text, net::Buffer& out) {
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, 4096);
    text.remove_prefix(piece.size());
    char* to = out.reserve(piece.size() / 4 * 3 + 3);
    char* at = to;
    for (const char c : piece) {
      if (c == '=') {
        if (count_ < 2) return out.commit(static_cast<size_t>(at - to)), false;
        kept_[count_++] = 0;
        ++padding_;
      } else {
        const int8_t value = kValues[static_cast<uint8_t>(c)];
        if (value < 0 || padding_ != 0) return out.commit(static_cast<size_t>(at - to)), false;
        kept_[count_++] = static_cast<uint8_t>(value);
      }
      if (count_ < 4) continue;
      const uint32_t group = static_cast<uint32_t>(kept_[0]) << 18 | static_cast<uint32_t>(kept_[1]) << 12 | static_cast<uint32_t>(kept_[2]) << 6 | kept_[3];
      *at++ = static_cast<char>(group >> 16);
      if (padding_ < 2) *at++ = static_cast<char>(group >> 8);
      if (padding_ < 1) *at++ = static_cast<char>(group);
      count_ = padding_ = 0;
    }
    out.commit(static_cast<size_t>(at - to));
  }
  return true;
}

}  // namespace fairlead::filters::grpc_web
