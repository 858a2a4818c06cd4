// Byte classes and scanning (fields.h).
#include "dataplane/http/h1/fields.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <array>

namespace fairlead::h1 {

namespace {

constexpr std::array<bool, 256> make_authority() {
  std::array<bool, 256> table{};
  for (char c : std::string_view("!$%&'()*+,-.:;=@[]_~0123456789")) table[static_cast<uint8_t>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<uint8_t>(c)] = table[static_cast<uint8_t>(c - 32)] = true;
  return table;
}

constexpr auto kAuthority = make_authority();

}  // namespace

bool valid_authority(std::string_view authority) {
  for (char c : authority) {
    if (!kAuthority[static_cast<uint8_t>(c)]) return false;
  }
  return true;
}

const char* find_control(const char* at, const char* end) {
#if defined(__SSE2__)
  const __m128i bias = _mm_set1_epi8(static_cast<char>(0x80));
  const __m128i space = _mm_set1_epi8(static_cast<char>(0x20 ^ 0x80));
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (end - at >= 16) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    __m128i low = _mm_cmplt_epi8(_mm_xor_si128(bytes, bias), space);  // unsigned comparison by flipping the sign bit
    low = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), low);
    int hits = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, del)));
    if (hits != 0) return at + __builtin_ctz(static_cast<unsigned>(hits));
    at += 16;
  }
#endif
  for (; at != end; ++at) {
    auto c = static_cast<unsigned char>(*at);
    if ((c < 0x20 && c != '\t') || c == 0x7f) return at;
  }
  return end;
}

bool parse_length(std::string_view text, uint64_t& length) {
  if (text.empty()) return false;
  uint64_t value = 0;
  for (char c : text) {
    if (!is_digit(c)) return false;
    if (value > (UINT64_MAX / 2 - static_cast<uint64_t>(c - '0')) / 10) return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  length = value;
  return true;
}

}  // namespace fairlead::h1
