// Protobuf's wire format where few bytes are put together by hand: varints, and fields of numbers and of bytes. No message, no allocation but `out`'s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fairlead::wire {

inline void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// Takes a varint of at most `most_bytes` off the front of `bytes`. False: there is none; what is left of `bytes` then means nothing.
inline bool take_varint(std::string_view& bytes, uint64_t& value, int most_bytes = 10) {
  value = 0;
  for (int shift = 0; shift < 7 * most_bytes && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

inline size_t varint_size(uint64_t value) {
  size_t n = 1;
  for (; value >= 0x80; value >>= 7) ++n;
  return n;
}

// What stands before the `size` bytes of a length-delimited field.
inline void put_head(std::string& out, int field, size_t size) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  put_varint(out, size);
}

inline void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_head(out, field, bytes.size());
  out.append(bytes);
}

inline void put_number(std::string& out, int field, uint64_t value) {
  put_varint(out, static_cast<uint64_t>(field) << 3);
  put_varint(out, value);
}

}  // namespace fairlead::wire
