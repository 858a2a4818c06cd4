// JA3 and JA4: which client made this ClientHello, told by what it offers and in which order. Pure; see client_hello.h.
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "base/digest.h"
#include "dataplane/filters/listener/tls_inspector/client_hello.h"
#include "dataplane/filters/listener/tls_inspector/wire.h"

namespace fairlead::filters::listener::tls_inspector {
namespace {

constexpr size_t kJa4Digits = 12;  // of each SHA-256

std::vector<uint16_t> numbers(std::string_view bytes, bool keep_grease) {
  std::vector<uint16_t> out;
  uint16_t value = 0;
  for (Wire wire(bytes); wire.u16(value);)
    if (keep_grease || !is_grease(value)) out.push_back(value);
  return out;
}

// The numbers behind a list's length.
std::vector<uint16_t> listed(const Extension* extension, bool keep_grease) {
  return extension == nullptr || extension->body.size() < 2 ? std::vector<uint16_t>() : numbers(extension->body.substr(2), keep_grease);
}

std::vector<uint16_t> types(const HelloParts& hello) {
  std::vector<uint16_t> out;
  for (const Extension& extension : hello.extensions)
    if (!is_grease(extension.type)) out.push_back(extension.type);
  return out;
}

std::string dashed(const std::vector<uint16_t>& values) {
  std::string out;
  for (const uint16_t value : values) absl::StrAppend(&out, out.empty() ? "" : "-", value);
  return out;
}

std::string hex_list(const std::vector<uint16_t>& values) {
  std::string out;
  for (const uint16_t value : values) absl::StrAppend(&out, out.empty() ? "" : ",", absl::Hex(value, absl::kZeroPad4));
  return out;
}

std::string short_hash(const std::string& text) { return sha256_hex(text).substr(0, kJa4Digits); }
std::string two_digits(size_t count) { return absl::StrCat(absl::Dec(std::min<size_t>(count, 99), absl::kZeroPad2)); }

std::string_view ja4_version(const HelloParts& hello) {
  uint16_t best = 0;
  if (const Extension* offered = hello.find(kSupportedVersions); offered != nullptr && !offered->body.empty()) {
    for (const uint16_t version : numbers(offered->body.substr(1), false)) best = std::max(best, version);
  }
  switch (best != 0 ? best : hello.version) {
    case 0x0304: return "13";
    case 0x0303: return "12";
    case 0x0302: return "11";
    case 0x0301: return "10";
    default: return "00";
  }
}

// First and last character of the first protocol; of one that is no word, two hexadecimal digits.
std::string ja4_protocol(const HelloParts& hello) {
  const Extension* extension = hello.find(kAlpn);
  std::string_view name;
  if (extension == nullptr || extension->body.size() < 2) return "00";
  if (Wire list(extension->body.substr(2)); !list.vector(1, name) || name.empty()) return "00";
  const auto first = static_cast<uint8_t>(name.front()), last = static_cast<uint8_t>(name.back());
  if (absl::ascii_isalnum(first) && absl::ascii_isalnum(last)) return {name.front(), name.back()};
  return absl::StrCat(absl::Hex(first >> 4), absl::Hex(last & 15));
}

}  // namespace

// Envoy 1.40 leaves GREASE among the groups.
std::string ja3_of(const HelloParts& hello) {
  std::string formats;
  if (const Extension* extension = hello.find(kPointFormats); extension != nullptr && !extension->body.empty()) {
    for (const char c : extension->body.substr(1)) absl::StrAppend(&formats, formats.empty() ? "" : "-", static_cast<uint8_t>(c));
  }
  return md5_hex(absl::StrCat(hello.version, ",", dashed(numbers(hello.cipher_suites, false)), ",", dashed(types(hello)), ",",
                              dashed(listed(hello.find(kSupportedGroups), true)), ",", formats));
}

std::string ja4_of(const HelloParts& hello) {
  std::vector<uint16_t> ciphers = numbers(hello.cipher_suites, false);
  std::vector<uint16_t> extensions = types(hello);
  const std::string head = absl::StrCat("t", ja4_version(hello), hello.find(kServerName) != nullptr ? "d" : "i", two_digits(ciphers.size()), two_digits(extensions.size()), ja4_protocol(hello));
  std::sort(ciphers.begin(), ciphers.end());
  std::erase_if(extensions, [](uint16_t type) { return type == kServerName || type == kAlpn; });
  std::sort(extensions.begin(), extensions.end());
  std::string offered = hex_list(extensions);
  if (const auto algorithms = listed(hello.find(kSignatureAlgorithms), true); !algorithms.empty()) absl::StrAppend(&offered, "_", hex_list(algorithms));
  return absl::StrCat(head, "_", ciphers.empty() ? std::string(kJa4Digits, '0') : short_hash(hex_list(ciphers)), "_", extensions.empty() ? std::string(kJa4Digits, '0') : short_hash(offered));
}

}  // namespace fairlead::filters::listener::tls_inspector
