// Reading request lines (request_line.h).
#include "dataplane/http/h1/request_line.h"

#include <algorithm>

#include "dataplane/http/h1/fields.h"

namespace fairlead::h1 {

namespace {

constexpr Verdict kInvalidUrl{400, "http1.invalid_url"};

// Envoy 1.40's list; anything else is a codec error.
bool known_method(std::string_view m) {
  switch (m.size()) {
    case 3: return m == "GET" || m == "PUT" || m == "ACL";
    case 4: return m == "POST" || m == "HEAD" || m == "BIND" || m == "COPY" || m == "LINK" || m == "LOCK" || m == "MOVE";
    case 5: return m == "PATCH" || m == "TRACE" || m == "PURGE" || m == "MERGE" || m == "MKCOL" || m == "QUERY";
    case 6: return m == "DELETE" || m == "REBIND" || m == "REPORT" || m == "SEARCH" || m == "SOURCE" || m == "UNBIND" ||
                   m == "UNLINK" || m == "UNLOCK" || m == "NOTIFY";
    case 7: return m == "OPTIONS" || m == "CONNECT" || m == "MSEARCH";
    case 8: return m == "CHECKOUT" || m == "PROPFIND";
    case 9: return m == "SUBSCRIBE" || m == "PROPPATCH";
    case 10: return m == "MKACTIVITY" || m == "MKCALENDAR";
    case 11: return m == "UNSUBSCRIBE";
    default: return false;
  }
}

std::string_view next_word(std::string_view& line) {
  size_t n = 0;
  while (n < line.size() && !is_blank(line[n])) ++n;
  std::string_view word = line.substr(0, n);
  while (n < line.size() && is_blank(line[n])) ++n;
  line.remove_prefix(n);
  return word;
}

// "host:port" or "host"; userinfo already gone.
bool valid_host_port(std::string_view authority, bool need_port) {
  size_t bracket = authority.rfind(']');
  size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return !need_port && !authority.empty();
  std::string_view port = authority.substr(colon + 1);
  uint64_t number = 0;
  return colon != 0 && port.size() <= 5 && parse_length(port, number) && number <= 65535;
}

Verdict read_absolute(std::string_view target, RequestLine& out) {
  size_t colon = target.find("://");
  if (colon == std::string_view::npos || colon == 0) return kCodecError;
  std::string_view scheme = target.substr(0, colon);
  for (char c : scheme) {
    if (lower(c) < 'a' || lower(c) > 'z') return kCodecError;
  }
  if (is_word(scheme, "http")) {
    out.scheme = "http";
  } else if (is_word(scheme, "https")) {
    out.scheme = "https";
  } else {
    return {400, "http1.invalid_scheme"};
  }
  std::string_view rest = target.substr(colon + 3);
  size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  out.authority = rest.substr(0, end);
  out.path = end == rest.size() ? std::string_view("/") : rest.substr(end);
  if (!valid_authority(out.authority)) return kCodecError;
  size_t at = out.authority.find('@');
  if (at != std::string_view::npos) out.authority.remove_prefix(at + 1);
  if (out.authority.find('@') != std::string_view::npos || !valid_host_port(out.authority, false)) return kInvalidUrl;
  return {};
}

Verdict read_target(std::string_view target, const Settings& settings, RequestLine& out) {
  if (target.empty()) return kCodecError;
  for (char c : target) {
    if ((c & 0x80) != 0) return kCodecError;
  }
  if (out.method == "CONNECT") {
    if (target.find('@') != std::string_view::npos || !valid_authority(target) || !valid_host_port(target, true)) return kInvalidUrl;
    out.authority = target;
    return {};
  }
  if (target[0] == '/') {
    out.path = target;
    return {};
  }
  if (target == "*") {
    out.path = target;
    return out.method == "OPTIONS" ? Verdict{} : kInvalidUrl;
  }
  if (!settings.allow_absolute_url) {
    RequestLine ignored;  // Envoy 1.40: what is no URL at all is refused here, a URL by the connection manager
    Verdict v = read_absolute(target, ignored);
    if (!v.ok() && v.details == kCodecError.details) return v;
    out.path = target;
    return {};
  }
  return read_absolute(target, out);
}

}  // namespace

Verdict read_request_line(std::string_view line, const Settings& settings, RequestLine& out) {
  if (line.empty() || line[0] < 'A' || line[0] > 'Z') return kCodecError;
  const char* control = find_control(line.data(), line.data() + line.size());
  if (control != line.data() + line.size()) return *control == '\r' ? kCodecError : kInvalidCharacters;
  out.method = next_word(line);
  if (!known_method(out.method)) return kCodecError;
  Verdict v = read_target(next_word(line), settings, out);
  if (!v.ok()) return v;
  std::string_view version = next_word(line);
  if (version.empty()) return kLowVersion;  // HTTP/0.9
  if (!line.empty() || version.size() != 8 || version.substr(0, 5) != "HTTP/" || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7])) {
    return kCodecError;
  }
  out.major = version[5] - '0';
  out.minor = version[7] - '0';
  return {};
}

}  // namespace fairlead::h1
