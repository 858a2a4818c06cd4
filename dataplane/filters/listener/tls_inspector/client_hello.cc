// See client_hello.h. What is no ClientHello is what Envoy 1.40's inspector takes for none: broken vectors, broken names, extensions twice. Whether the
// handshake could go well (versions offered, compression, groups) is not asked.
#include "dataplane/filters/listener/tls_inspector/client_hello.h"

#include <absl/strings/ascii.h>

#include <algorithm>

#include "dataplane/filters/listener/tls_inspector/wire.h"

namespace fairlead::filters::listener::tls_inspector {
namespace {

constexpr uint8_t kHandshakeRecord = 22, kClientHelloMessage = 1;
constexpr size_t kRecordHeader = 5, kMessageHeader = 4;
constexpr size_t kMaxRecord = 16384 + 320;  // BoringSSL: SSL3_RT_MAX_ENCRYPTED_LENGTH
constexpr size_t kMaxPlainRecord = 16384;
constexpr size_t kMaxMessage = 16384;       // BoringSSL: of a server that waits for a ClientHello
constexpr int kMaxEmptyRecords = 32;        // BoringSSL: kMaxEmptyRecords
constexpr uint16_t kTls10 = 0x0301, kTls13 = 0x0304;

// The ClientHello's message out of its records. kTls: `message` is whole.
Verdict gather(std::string_view stream, std::string& message, size_t& bytes) {
  size_t whole = 0;  // of the message with its header; 0: not known yet
  int empty = 0;
  while (whole == 0 || message.size() < whole) {
    const std::string_view rest = stream.substr(bytes);
    // Nobody has to wait for five bytes to see that the first is no record.
    if (!rest.empty() && static_cast<uint8_t>(rest[0]) != kHandshakeRecord) return Verdict::kNotTls;
    if (rest.size() >= 2 && rest[1] != 3) return Verdict::kNotTls;
    if (rest.size() < kRecordHeader) return Verdict::kMore;
    const size_t length = static_cast<uint8_t>(rest[3]) << 8 | static_cast<uint8_t>(rest[4]);
    if (length > kMaxRecord) return Verdict::kNotTls;
    if (rest.size() < kRecordHeader + length) return Verdict::kMore;
    bytes += kRecordHeader + length;
    if (length > kMaxPlainRecord || (length == 0 && ++empty > kMaxEmptyRecords)) return Verdict::kNotTls;
    message.append(rest.substr(kRecordHeader, length));
    if (whole == 0 && message.size() >= kMessageHeader) {
      size_t size = 0;
      Wire(std::string_view(message).substr(1)).number(3, size);
      if (size > kMaxMessage) return Verdict::kNotTls;
      whole = kMessageHeader + size;
    }
  }
  if (static_cast<uint8_t>(message[0]) != kClientHelloMessage) return Verdict::kNotTls;
  message.resize(whole);
  return Verdict::kTls;
}

bool split(std::string_view message, HelloParts& out) {
  Wire wire(message.substr(kMessageHeader));
  std::string_view random, session, compression_methods;
  if (!wire.u16(out.version) || !wire.take(32, random) || !wire.vector(1, session) || session.size() > 32) return false;
  if (!wire.vector(2, out.cipher_suites) || out.cipher_suites.size() < 2 || out.cipher_suites.size() % 2 != 0) return false;
  if (!wire.vector(1, compression_methods) || compression_methods.empty()) return false;
  if (wire.empty()) return true;
  std::string_view all;
  if (!wire.vector(2, all) || !wire.empty()) return false;
  for (Wire list(all); !list.empty();) {
    Extension& extension = out.extensions.emplace_back();
    if (!list.u16(extension.type) || !list.vector(2, extension.body)) return false;
  }
  std::vector<uint16_t> types;
  for (const Extension& extension : out.extensions) types.push_back(extension.type);
  std::sort(types.begin(), types.end());
  return std::adjacent_find(types.begin(), types.end()) == types.end();
}

// Whether the extension is as it must be; `out` stays empty where there is none.
bool read_server_name(const HelloParts& hello, std::string& out) {
  const Extension* extension = hello.find(kServerName);
  if (extension == nullptr) return true;
  Wire body(extension->body);
  std::string_view list, name;
  size_t type = 0;
  if (!body.vector(2, list) || !body.empty()) return false;
  Wire entry(list);
  if (!entry.number(1, type) || type != 0 || !entry.vector(2, name) || !entry.empty()) return false;
  if (name.empty() || name.size() > 255 || name.find('\0') != std::string_view::npos) return false;
  out = absl::AsciiStrToLower(name);
  return true;
}

// A list that is not as it must be is left to the handshake to refuse.
bool read_protocols(const HelloParts& hello, std::vector<std::string>& out) {
  const Extension* extension = hello.find(kAlpn);
  if (extension == nullptr) return false;
  Wire body(extension->body);
  std::string_view list, name;
  if (!body.vector(2, list) || !body.empty() || list.size() < 2) return false;
  std::vector<std::string> found;
  for (Wire names(list); !names.empty();) {
    if (!names.vector(1, name) || name.empty()) return false;
    found.emplace_back(name);
  }
  out = std::move(found);
  return true;
}

}  // namespace

const Extension* HelloParts::find(uint16_t type) const {
  const auto at = std::find_if(extensions.begin(), extensions.end(), [&](const Extension& e) { return e.type == type; });
  return at == extensions.end() ? nullptr : &*at;
}

// Envoy 1.40 prints such names like that. Here nobody sees another: a client must not write lines of its own into logs.
std::string safe_name(std::string name) {
  const auto of_a_host = [](unsigned char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; };
  if (std::all_of(name.begin(), name.end(), of_a_host)) return name;
  std::replace_if(name.begin(), name.end(), [&](unsigned char c) { return !of_a_host(c); }, '_');
  return "invalid:" + name;
}

Inspection inspect(std::string_view stream, const Wanted& wanted) {
  Inspection out;
  std::string message;
  stream = stream.substr(0, wanted.limit);
  out.verdict = gather(stream, message, out.bytes);
  if (out.verdict == Verdict::kMore && stream.size() >= wanted.limit) out.verdict = Verdict::kTooLarge;
  if (out.verdict != Verdict::kTls) return out;
  HelloParts hello;
  if (!split(message, hello) || !read_server_name(hello, out.hello.server_name)) {
    out.verdict = Verdict::kNotTls;
    return out;
  }
  if (hello.version < kTls10 || hello.version > kTls13) {  // the field that TLS 1.3 fixed to 1.2, not what is offered
    out.verdict = Verdict::kRefused;
    return out;
  }
  out.hello.has_application_protocols = read_protocols(hello, out.hello.application_protocols);
  if (wanted.ja3) out.hello.ja3 = ja3_of(hello);
  if (wanted.ja4) out.hello.ja4 = ja4_of(hello);
  return out;
}

}  // namespace fairlead::filters::listener::tls_inspector
