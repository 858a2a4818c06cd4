// Base64 of grpc_web. The first byte says how many cut points follow; the rest is both bytes to encode and text to decode. Encoding in
// pieces is what absl makes of the whole, decoding gives the bytes back, and any text decodes in pieces as it does at once and as a slow
// reading of its groups says, right up to where it breaks.
#include <absl/strings/escaping.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/filters/http/grpc_web/base64_stream.h"

using namespace fairlead;
using namespace fairlead::filters::grpc_web;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<std::string_view> pieces_of(std::string_view bytes, const std::vector<size_t>& cuts) {
  std::vector<std::string_view> out;
  for (const size_t cut : cuts) {
    const size_t n = std::min(cut, bytes.size());
    out.push_back(bytes.substr(0, n));
    bytes.remove_prefix(n);
  }
  out.push_back(bytes);
  return out;
}

struct Decoded {
  bool ok = true;
  bool whole = true;
  std::string bytes;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(const std::vector<std::string_view>& pieces) {
  Decoded out;
  Base64Decoder decoder;
  net::Buffer buffer;
  for (const auto piece : pieces) {
    if (out.ok) out.ok = decoder.add(piece, buffer);
  }
  out.whole = out.ok && decoder.whole();
  out.bytes = buffer.to_string();
  return out;
}

// Group by group; what is left over at the end is no error.
Decoded model(std::string_view text) {
  static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Decoded out;
  for (size_t at = 0; at < text.size(); at += 4) {
    std::string bits;
    size_t padding = 0;
    const std::string_view group = text.substr(at, 4);
    for (size_t i = 0; i < group.size(); ++i) {
      const size_t value = alphabet.find(group[i]);
      if (group[i] == '=' ? i < 2 : value == std::string::npos || padding != 0) return out.ok = out.whole = false, out;
      if (group[i] == '=') ++padding;
      for (int bit = 5; bit >= 0; --bit) bits += group[i] != '=' && (value >> bit & 1) != 0 ? '1' : '0';
    }
    if (group.size() < 4) return out.whole = false, out;
    for (size_t byte = 0; byte < 3 - padding; ++byte) out.bytes += static_cast<char>(std::stoi(bits.substr(byte * 8, 8), nullptr, 2));
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t count = std::min<size_t>(data[0] % 8, size - 1);
  std::vector<size_t> cuts;
  for (size_t i = 0; i < count; ++i) cuts.push_back(data[1 + i]);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1 + count, size - 1 - count);
  const auto pieces = pieces_of(bytes, cuts);

  net::Buffer one_message, each_padded;
  Base64Encoder encoder;
  for (const auto piece : pieces) encoder.add(piece, one_message);
  encoder.pad(one_message);
  encoder.pad(one_message);  // nothing is left
  require(one_message.to_string() == absl::Base64Escape(bytes));
  std::string expected;
  for (const auto piece : pieces) {
    encoder.add(piece, each_padded);
    encoder.pad(each_padded);
    expected += absl::Base64Escape(piece);
  }
  require(each_padded.to_string() == expected);
  for (const std::string& text : {one_message.to_string(), expected}) {
    const Decoded back = decode(pieces_of(text, cuts));
    require(back.ok && back.whole && back.bytes == bytes);
  }
  const Decoded whole = decode({bytes});
  require(decode(pieces) == whole);
  require(model(bytes) == whole);
  return 0;
}
