// Scanning of HTTP/1 header lines (room-private). Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fairlead::h1 {

// Lower-case form of a token character, 0 for any other byte.
inline constexpr std::array<uint8_t, 256> kTokenLower = [] {
  std::array<uint8_t, 256> table{};
  for (char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")) {
    table[static_cast<uint8_t>(c)] = static_cast<uint8_t>(c);
  }
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<uint8_t>(c)] = static_cast<uint8_t>(c + 32);
  return table;
}();
// Characters Envoy 1.40 lets through in a Host header.
bool valid_authority(std::string_view authority);

// The first byte below 0x20 other than TAB, or 0x7f, in [at, end); end when there is none.
const char* find_control(const char* at, const char* end);

inline bool is_blank(char c) { return c == ' ' || c == '\t'; }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

inline std::string_view trim(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

// Case-insensitive comparison with a lower-case word.
inline bool is_word(std::string_view text, std::string_view lower_case_word) {
  if (text.size() != lower_case_word.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (lower(text[i]) != lower_case_word[i]) return false;
  }
  return true;
}

// f(element) for each non-empty element of a comma-separated list, trimmed; f returns false to stop.
template <class F>
void for_each_element(std::string_view list, F&& f) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view element = trim(list.substr(0, comma));
    if (!element.empty() && !f(element)) return;
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

// Digits only, at most 2^63-1.
bool parse_length(std::string_view text, uint64_t& length);

}  // namespace fairlead::h1
