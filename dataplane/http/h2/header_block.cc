// Checks and copies of received header blocks (header_block.h). Details strings are Envoy 1.40's.
#include "dataplane/http/h2/header_block.h"

#include <array>
#include <cstring>

#include <absl/strings/match.h>

#include "dataplane/http/status.h"

namespace fairlead::h2 {

namespace {

using http::HeaderMap;
using http::Token;

constexpr std::string_view kInvalidField = "http2.invalid.header.field";
constexpr std::string_view kMessaging = "http2.violation.of.messaging.rule";
// Entries that a proxy usually adds: more cost a second array, fewer are room for nothing.
constexpr uint32_t kAddedToRequest = 8;
constexpr uint32_t kAddedToResponse = 4;

constexpr auto kNameByte = [] {  // RFC 9110 token characters without upper case
  std::array<bool, 256> table{};
  for (char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

bool valid_name(std::string_view name) {
  for (char c : name) {
    if (!kNameByte[static_cast<uint8_t>(c)]) return false;
  }
  return true;
}

// No control character but TAB. Eight bytes at a time: most values hold none.
bool valid_value(const char* at, size_t size) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
  const char* end = at + size;
  const auto bad = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  for (; end - at >= 8; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    const uint64_t below = (word - kOnes * 0x20) & ~word & kHigh;  // a byte below 0x20 (or a borrow behind one)
    const uint64_t del = word ^ (kOnes * 0x7f);
    if ((below | ((del - kOnes) & ~del & kHigh)) == 0) continue;
    for (int i = 0; i < 8; ++i) {
      if (bad(at[i])) return false;
    }
  }
  for (; at != end; ++at) {
    if (bad(*at)) return false;
  }
  return true;
}

bool parse_length(std::string_view text, uint64_t& length) {
  if (text.empty() || text.size() > 18) return false;  // below 10^18: no such body exists
  uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  length = value;
  return true;
}

bool valid_scheme(std::string_view s) {
  for (char c : s) {
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alpha && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return false;
  }
  return !s.empty();
}

// RFC 9113 lets nobody send blanks around a value; Envoy takes them, and HTTP/1 strips them.
std::string_view trimmed(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (s.empty() || (!blank(s.front()) && !blank(s.back()))) return s;  // as good as always
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

const uint8_t* bytes_of(const Field& f) { return reinterpret_cast<const uint8_t*>(f.value); }

// Copies views into one piece of an arena, laid out for all of them at once.
class Placer {
 public:
  Placer(http::Arena& arena, const Field* fields, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i) {
      if (fields[i].token == Token::Cookie) {
        bytes += fields[i].value_size + size_t{2};
      } else if (fields[i].value_owner != nullptr) {
        bytes += fields[i].value_size;
      }
      if (fields[i].name_owner != nullptr) bytes += fields[i].name_size;
    }
    at_ = bytes != 0 ? arena.bytes(bytes) : nullptr;
  }
  std::string_view name(const Field& f) {
    if (f.name_owner != nullptr) return place({f.name, f.name_size});
    return f.token != Token::Other ? http::token_name(f.token) : std::string_view(f.name, f.name_size);  // static either way
  }
  std::string_view value(const Field& f) {
    if (f.value_owner == nullptr) return f.value_view();  // an entry of the static table
    return place(trimmed(f.value_view()));
  }
  std::string_view place(std::string_view text) {
    if (text.empty()) return {};
    std::memcpy(at_, text.data(), text.size());
    std::string_view placed(at_, text.size());
    at_ += text.size();
    return placed;
  }
  // All crumbs, joined by "; " as Envoy does. The last call on this object: separators use the room left for them.
  std::string_view cookies(const Field* fields, size_t count) {
    char* start = at_;
    for (size_t i = 0; i < count; ++i) {
      if (fields[i].token != Token::Cookie) continue;
      const std::string_view crumb = trimmed(fields[i].value_view());
      if (at_ != start) place("; ");
      place(crumb);
    }
    return {start, static_cast<size_t>(at_ - start)};
  }

 private:
  char* at_;
};

}  // namespace

KnownFields::~KnownFields() {
  for (const Known& known : known_) {
    if (known.name == nullptr) continue;
    nghttp2_rcbuf_decref(known.name);
    nghttp2_rcbuf_decref(known.value);
  }
}

void KnownFields::add(nghttp2_rcbuf* name, nghttp2_rcbuf* value, Token token) {
  Known& known = known_[index(name, value)];
  nghttp2_rcbuf_incref(name);
  nghttp2_rcbuf_incref(value);
  if (known.name != nullptr) {
    nghttp2_rcbuf_decref(known.name);
    nghttp2_rcbuf_decref(known.value);
  }
  known = {name, value, token};
}

void BlockCheck::start(BlockKind kind, const Settings& settings) {
  *this = BlockCheck();
  kind_ = kind;
  allow_connect_ = settings.allow_connect;
  max_count_ = settings.max_headers;
  max_bytes_ = settings.max_head_bytes;
}

bool BlockCheck::fail(std::string_view problem) {
  if (problem_.empty()) problem_ = problem;
  return false;
}

bool BlockCheck::once(uint32_t bit) {
  if ((seen_ & bit) != 0) return fail(kInvalidField);
  seen_ |= bit;
  return true;
}

bool BlockCheck::add(Field& field, bool static_name, bool static_value, const Token* known) {
  const std::string_view name(field.name, field.name_size);
  bytes_ += field.name_size + field.value_size;
  if (++count_ > max_count_ || bytes_ > max_bytes_) too_large_ = true;
  if (too_large_ || !problem_.empty()) return false;
  field.token = known != nullptr ? *known : http::token_of(name);
  if (name.empty()) return fail(kInvalidField);
  if (name[0] == ':') return pseudo(field, known != nullptr);
  if (known == nullptr && field.token == Token::Other && !static_name && !valid_name(name)) return fail(kInvalidField);
  return regular(field, static_value || known != nullptr);
}

bool BlockCheck::pseudo(const Field& f, bool known) {
  const std::string_view value = f.value_view();
  if (regular_seen_ || kind_ == BlockKind::Trailers) return fail(kInvalidField);
  if ((f.token == Token::PseudoStatus) != (kind_ == BlockKind::Response)) return fail(kInvalidField);
  switch (f.token) {
    case Token::PseudoMethod:
      connect_ = value == "CONNECT";
      head_method_ = value == "HEAD";
      options_ = value == "OPTIONS";
      if (known || (!value.empty() && nghttp2_check_method(bytes_of(f), value.size()) != 0)) return once(kMethod);
      break;
    case Token::PseudoPath:
      path_start_ = value.empty() ? '\0' : value[0];
      path_size_ = f.value_size;
      if (known || (!value.empty() && nghttp2_check_path(bytes_of(f), value.size()) != 0)) return once(kPath);
      break;
    case Token::PseudoAuthority:
      if (known || nghttp2_check_authority(bytes_of(f), value.size()) != 0) return once(kAuthority);
      break;
    case Token::PseudoScheme:
      web_scheme_ = absl::EqualsIgnoreCase(value, "http") || absl::EqualsIgnoreCase(value, "https");
      if (known || valid_scheme(value)) return once(kScheme);
      break;
    case Token::PseudoProtocol:
      if (allow_connect_ && !value.empty() && nghttp2_check_method(bytes_of(f), value.size()) != 0) return once(kProtocol);
      break;
    case Token::PseudoStatus:
      status_ = value.size() == 3 ? http::parse_status(value) : 0;
      if (status_ != 0 && status_ != 101) return once(kStatus);
      break;
    default:
      break;
  }
  return fail(kInvalidField);
}

bool BlockCheck::regular(const Field& f, bool right_bytes) {
  regular_seen_ = true;
  if (!right_bytes && !valid_value(f.value, f.value_size)) return fail(kInvalidField);
  switch (f.token) {
    case Token::Connection:
    case Token::KeepAlive:
    case Token::ProxyConnection:
    case Token::TransferEncoding:
    case Token::Upgrade:
      return fail(kInvalidField);
    case Token::Te:
      return absl::EqualsIgnoreCase(trimmed(f.value_view()), "trailers") || fail(kInvalidField);
    case Token::Host:
      seen_ |= kHost;
      return nghttp2_check_authority(bytes_of(f), f.value_size) != 0 || fail(kInvalidField);
    case Token::ContentLength:
      if (kind_ == BlockKind::Trailers) return true;
      return parse_length(trimmed(f.value_view()), length_) ? once(kLength) : fail(kInvalidField);
    default:
      return true;
  }
}

void BlockCheck::finish() {
  if (!problem_.empty() || too_large_) return;
  const auto has = [this](uint32_t bits) { return (seen_ & bits) == bits; };
  if (kind_ == BlockKind::Response && !has(kStatus)) fail(kMessaging);
  if (kind_ != BlockKind::Request) return;
  if (!has(kMethod) || (seen_ & (kAuthority | kHost)) == 0) {
    fail(kMessaging);
  } else if (has(kProtocol)) {
    if (!connect_ || !has(kPath | kScheme | kAuthority)) fail(kMessaging);
  } else if (connect_) {
    if (!has(kAuthority) || (seen_ & (kPath | kScheme)) != 0) fail(kMessaging);
  } else if (!has(kPath | kScheme)) {
    fail(kMessaging);
  }
  const bool asterisk = options_ && path_start_ == '*' && path_size_ == 1;
  if (has(kPath) && web_scheme_ && path_start_ != '/' && !asterisk) fail(kMessaging);
}

void build_request(const Field* fields, size_t count, bool extended, HeaderMap& headers) {
  headers.reserve(static_cast<uint32_t>(count) + kAddedToRequest);
  Placer placer(headers.arena(), fields, count);
  uint32_t crumbs = 0;
  const Field* host = nullptr;
  for (const Field* f = fields; f != fields + count; ++f) {
    switch (f->token) {
      case Token::Cookie:
        ++crumbs;
        continue;
      case Token::Host:
        if (host == nullptr) host = f;
        continue;
      case Token::PseudoMethod:
        headers.add_ref(Token::PseudoMethod, extended ? std::string_view("GET") : placer.value(*f));
        continue;
      case Token::PseudoProtocol:
        if (extended) {
          headers.add_ref(Token::Upgrade, placer.value(*f));
          headers.add_ref(Token::Connection, "upgrade");
          continue;
        }
        break;
      default:
        break;
    }
    const std::string_view name = placer.name(*f);
    headers.add_ref(name, placer.value(*f), f->token);
  }
  if (host != nullptr && !headers.has(Token::PseudoAuthority)) headers.add_ref(Token::PseudoAuthority, placer.value(*host));
  if (crumbs != 0) headers.add_ref(Token::Cookie, placer.cookies(fields, count));
}

void build_response(const Field* fields, size_t count, std::string_view upgrade, HeaderMap& headers) {
  headers.reserve(static_cast<uint32_t>(count) + kAddedToResponse);
  Placer placer(headers.arena(), fields, count);
  for (const Field* f = fields; f != fields + count; ++f) {
    if (f->token == Token::PseudoStatus && !upgrade.empty() && f->value_view() == "200") {
      headers.add_ref(Token::PseudoStatus, "101");
      headers.add_ref(Token::Upgrade, upgrade);
      headers.add_ref(Token::Connection, "upgrade");
      continue;
    }
    const std::string_view name = placer.name(*f);
    headers.add_ref(name, placer.value(*f), f->token);
  }
}

void build_trailers(const Field* fields, size_t count, HeaderMap& headers) {
  headers.reserve(static_cast<uint32_t>(count));
  Placer placer(headers.arena(), fields, count);
  for (const Field* f = fields; f != fields + count; ++f) {
    const std::string_view name = placer.name(*f);
    headers.add_ref(name, placer.value(*f), f->token);
  }
}

}  // namespace fairlead::h2
