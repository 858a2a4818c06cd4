// Reading heads (head.h). Order of judgement: first byte, first line, size, header lines in order, then what the head says as a whole.
#include "dataplane/http/h1/head.h"

#include <algorithm>
#include <cstring>

#include "dataplane/http/h1/fields.h"
#include "dataplane/http/h1/request_line.h"
#include "dataplane/http/status.h"

namespace fairlead::h1 {

namespace {

using http::HeaderMap;
using http::Token;

constexpr Verdict kTooManyHeaders{431, "http1.too_many_headers"};
constexpr Verdict kConnectionRejected{400, "http1.connection_header_rejected"};
constexpr unsigned kMaxNominated = 10;  // Envoy 1.40: more headers named in Connection are taken for an attack

// What the header lines say about framing and connection; everything else is in the map.
struct Fields {
  struct Named {  // values of Connection headers, linked in the arena
    std::string_view list;
    Named* next;
  };
  std::string_view host;
  unsigned hosts = 0;
  unsigned lengths = 0;
  uint64_t length = 0;
  unsigned codings = 0;
  bool chunked = false;
  bool close = false;
  bool keep_alive = false;
  std::string_view upgrade_word;  // of Connection, as written; empty: no upgrade is asked for
  bool nominates = false;
  Named* connection = nullptr;
  std::string_view upgrade;
  bool te_trailers = false;
};

void read_connection(std::string_view value, HeaderMap& headers, Fields& f) {
  for_each_element(value, [&f](std::string_view element) {
    if (is_word(element, "close")) {
      f.close = true;
    } else if (is_word(element, "keep-alive")) {
      f.keep_alive = true;
    } else if (is_word(element, "upgrade")) {
      f.upgrade_word = element;
    } else {
      f.nominates = true;
    }
    return true;
  });
  if (!f.nominates) return;
  f.connection = headers.arena().make<Fields::Named>(Fields::Named{value, f.connection});
}

// True when the header has been dealt with and does not enter the map.
bool take_special(Token token, std::string_view value, bool request, HeaderMap& headers, Fields& f, Verdict& v) {
  switch (token) {
    case Token::ContentLength:
      if (++f.lengths > 1 || !parse_length(value, f.length)) v = kCodecError;
      return false;
    case Token::TransferEncoding:
      ++f.codings;
      f.chunked = is_word(value, "chunked");
      return true;
    case Token::Connection:
      read_connection(value, headers, f);
      return true;
    case Token::ProxyConnection:
      if (is_word(value, "close")) f.close = true;
      return true;
    case Token::KeepAlive:
      return true;
    case Token::Upgrade:
      f.upgrade = value;
      return true;
    case Token::Host:
      if (!request) return false;
      ++f.hosts;
      f.host = value;
      return true;
    case Token::Te:
      if (!request) return false;
      for_each_element(value, [&](std::string_view element) {
        if (f.te_trailers || !is_word(element.substr(0, element.find(';')), "trailers")) return true;
        f.te_trailers = true;
        headers.add_ref(Token::Te, "trailers");
        return false;
      });
      return true;
    default:
      return false;
  }
}

// Line end at `at` (the byte find_control stopped at)? Gives the start of the next line.
bool end_of_line(char* at, char*& next) {
  if (*at == '\n') {
    next = at + 1;
    return true;
  }
  if (at[0] == '\r' && at[1] == '\n') {
    next = at + 2;
    return true;
  }
  return false;
}

// Why the byte that stopped a scan is refused: a control character, or a bare CR or something out of place.
Verdict bad_byte(char c) {
  auto u = static_cast<unsigned char>(c);
  bool control = (u < 0x20 && c != '\r' && c != '\n' && c != '\t') || u == 0x7f;
  return control ? kInvalidCharacters : kCodecError;
}

// All header lines up to and with the empty one. `p` ends with that line: nothing reads past it.
template <class Take>
Verdict read_fields(char* p, char* end, uint32_t max_headers, Take&& take) {
  uint32_t count = 0;
  char* next;
  while (!end_of_line(p, next)) {
    char* name = p;
    while (uint8_t c = kTokenLower[static_cast<uint8_t>(*p)]) *p++ = static_cast<char>(c);
    if (*p != ':' || p == name) return bad_byte(*p);
    std::string_view name_view(name, static_cast<size_t>(p - name));
    do ++p;
    while (is_blank(*p));
    char* value = p;
    char* value_end = const_cast<char*>(find_control(p, end));
    if (!end_of_line(value_end, next)) return bad_byte(*value_end);
    while (is_blank(*next)) {  // obs-fold: the line break goes, the blank stays
      char* more_end = const_cast<char*>(find_control(next, end));
      char* after;
      if (!end_of_line(more_end, after)) return bad_byte(*more_end);
      std::memmove(value_end, next, static_cast<size_t>(more_end - next));
      value_end += more_end - next;
      next = after;
    }
    if (++count > max_headers) return kTooManyHeaders;
    p = next;
    std::string_view value_view = trim({value, static_cast<size_t>(value_end - value)});
    Token token = http::token_of(name_view);
    Verdict v = take(name_view, value_view, token);
    if (!v.ok()) return v;
  }
  return {};
}

// Removes what Connection names; Envoy refuses names that would hide where a request came from.
Verdict apply_nominations(HeaderMap& headers, Fields& f) {
  unsigned count = 0;
  Verdict v;
  for (Fields::Named* named = f.connection; named != nullptr && v.ok(); named = named->next) {
    for_each_element(named->list, [&](std::string_view element) {
      if (element[0] == ':' || is_word(element, "x-forwarded-for") || is_word(element, "x-forwarded-host") ||
          is_word(element, "x-forwarded-proto") || ++count > kMaxNominated) {
        v = kConnectionRejected;
        return false;
      }
      if (is_word(element, "te")) return true;
      if (is_word(element, "host")) f.hosts = 0;
      headers.remove_if([element](const http::Header& h) { return !h.is_pseudo() && is_word(element, h.name()); });
      return true;
    });
  }
  return v;
}

// The protocols asked for, without h2c (Envoy ignores that upgrade); empty: none.
std::string_view wanted_upgrade(std::string_view value, http::Arena& arena) {
  bool h2c = false;
  size_t others = 0;
  for_each_element(value, [&](std::string_view element) {
    is_word(element, "h2c") ? void(h2c = true) : void(others += element.size() + 1);
    return true;
  });
  if (!h2c) return value;
  if (others == 0) return {};
  char* text = arena.bytes(others);
  char* at = text;
  for_each_element(value, [&](std::string_view element) {
    if (is_word(element, "h2c")) return true;
    if (at != text) *at++ = ',';
    at = std::copy(element.begin(), element.end(), at);
    return true;
  });
  return {text, static_cast<size_t>(at - text)};
}

Verdict read_framing(const Fields& f, const Settings& settings, bool connect, RequestHead& head) {
  if (f.codings != 0 && f.lengths != 0 && !connect && !settings.allow_chunked_length) {
    return {400, "http1.content_length_and_chunked_not_allowed"};
  }
  if (f.codings != 0 && (f.codings > 1 || !f.chunked || connect)) return {501, "http1.invalid_transfer_encoding"};
  if (connect && f.length != 0) return {400, "http1.body_disallowed"};
  if (f.codings != 0) {
    head.body = Body::Chunked;
  } else if (f.length != 0) {
    head.body = Body::Length;
    head.length = f.length;
  }
  return {};
}

Verdict check_request(const RequestLine& line, const Fields& f, const Settings& settings, HeaderMap& headers, RequestHead& head) {
  bool http10 = line.major == 1 && line.minor == 0;
  if (!(line.major == 1 && line.minor == 1) && !(http10 && settings.accept_http_10)) return kLowVersion;
  head.protocol = http10 ? http::Protocol::Http10 : http::Protocol::Http11;
  if (http10 && f.codings != 0) return kCodecError;
  std::string_view authority = line.authority;
  if (authority.empty()) {
    authority = f.host;
    if (f.hosts == 0) {
      if (!http10 || settings.default_host_for_http_10.empty()) return {400, "missing_host_header", false};
      authority = settings.default_host_for_http_10;
    }
  }
  headers.set_ref(Token::PseudoAuthority, authority);
  if (!valid_authority(authority)) return {400, "http.invalid_authority"};
  if (head.connect) return {};
  if (line.path[0] == '/' && line.path.find('#') != std::string_view::npos) return {400, "path_normalization_failed", false};
  if (line.method == "QUERY" && !headers.has(Token::ContentType)) return {400, "query_missing_content_type", false};
  return {};
}

}  // namespace

HeadSearch find_head(net::Buffer& in, size_t limit, bool skip_empty_lines, size_t& scanned, size_t& size) {
  std::string_view bytes = in.front();
  if (skip_empty_lines && scanned == 0) {
    while (!bytes.empty() && (bytes[0] == '\r' || bytes[0] == '\n')) {
      size_t n = 0;
      while (n < bytes.size()) {
        const size_t line = bytes[n] == '\n' ? 1 : bytes.substr(n, 2) == "\r\n" ? 2 : 0;
        if (line == 0) break;
        n += line;
      }
      if (n == 0) {  // a CR: alone, at the end of its slice, or of the input
        if (in.size() == 1) return HeadSearch::Incomplete;
        char second;
        in.copy_out(1, &second, 1);
        if (second != '\n') return HeadSearch::Broken;
        n = 2;
      }
      in.drain(n);
      bytes = in.front();
    }
  }
  if (bytes.size() < in.size()) bytes = in.linearize(std::min(in.size(), limit + 4));
  size_t at = scanned;
  while (at < bytes.size()) {
    const void* hit = std::memchr(bytes.data() + at, '\n', bytes.size() - at);
    if (hit == nullptr) {
      at = bytes.size();
      break;
    }
    size_t lf = static_cast<size_t>(static_cast<const char*>(hit) - bytes.data());
    size_t next = lf + 1;
    if (next < bytes.size() && bytes[next] == '\r') ++next;
    if (next >= bytes.size()) {  // the deciding byte is not here yet: look at this line end again
      at = lf;
      break;
    }
    if (bytes[next] == '\n') {
      size = next + 1;
      return size > limit ? HeadSearch::TooLarge : HeadSearch::Complete;
    }
    at = lf + 1;
  }
  scanned = at;
  return bytes.size() > limit ? HeadSearch::TooLarge : HeadSearch::Incomplete;
}

Verdict check_request_start(std::string_view bytes, const Settings& settings) {
  if (bytes.empty() || bytes == "\r") return {};  // half an empty line in front
  if (bytes[0] < 'A' || bytes[0] > 'Z') return kCodecError;
  size_t lf = bytes.find('\n');
  if (lf == std::string_view::npos || lf >= settings.max_head_bytes) return {};
  std::string_view line = bytes.substr(0, lf);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  RequestLine ignored;
  return read_request_line(line, settings, ignored);
}

Verdict check_response_start(std::string_view bytes) {
  constexpr std::string_view kStart = "HTTP/1.";
  size_t n = std::min(bytes.size(), kStart.size());
  return bytes.substr(0, n) == kStart.substr(0, n) ? Verdict{} : kCodecError;
}

Verdict parse_request_head(char* text, size_t size, const Settings& settings, HeaderMap& headers, RequestHead& head) {
  char* end = text + size;
  char* lf = static_cast<char*>(std::memchr(text, '\n', size));
  std::string_view line_text(text, static_cast<size_t>(lf - text));
  if (!line_text.empty() && line_text.back() == '\r') line_text.remove_suffix(1);
  RequestLine line;
  Verdict v = read_request_line(line_text, settings, line);
  if (!v.ok()) return v;
  head.connect = line.method == "CONNECT";
  head.head_method = line.method == "HEAD";
  headers.add_ref(Token::PseudoMethod, line.method);
  if (!head.connect) headers.add_ref(Token::PseudoPath, line.path);
  headers.add_ref(Token::PseudoAuthority, line.authority);
  if (!line.scheme.empty()) headers.add_ref(Token::PseudoScheme, line.scheme);

  Fields f;
  v = read_fields(lf + 1, end, settings.max_headers, [&](std::string_view name, std::string_view value, Token token) {
    Verdict bad;
    if (token == Token::Other || !take_special(token, value, true, headers, f, bad)) {
      headers.add_ref(name, value, token);
    } else if (((token == Token::Connection && !f.upgrade_word.empty()) || token == Token::Upgrade) && !headers.has(token)) {
      headers.add_ref(name, value, token);  // an upgrade's keep their places; others go below
    }
    return bad;
  });
  if (!v.ok()) return v;
  // Envoy joins several Host headers with a comma; routes and policies of whatever stands in front may see another host than we do.
  if (f.hosts > 1) return kCodecError;
  if (f.nominates) {
    v = apply_nominations(headers, f);
    if (!v.ok()) return v;
  }
  v = read_framing(f, settings, head.connect, head);
  if (!v.ok()) return v;
  v = check_request(line, f, settings, headers, head);
  if (!v.ok()) return v;

  head.keep_alive = head.protocol == http::Protocol::Http10 ? f.keep_alive && !f.close : !f.close;
  if (!f.upgrade_word.empty() && !f.upgrade.empty()) {
    std::string_view wanted = wanted_upgrade(f.upgrade, headers.arena());
    if (wanted.size() != f.upgrade.size()) headers.remove(Token::Http2Settings);
    if (!wanted.empty() && head.protocol == http::Protocol::Http11) {
      head.upgrade = true;
      if (wanted.size() != f.upgrade.size() || !headers.has(Token::Connection)) headers.set_ref(Token::Connection, f.upgrade_word);
      headers.set_ref(Token::Upgrade, wanted);
    }
  }
  if (!head.upgrade) {
    if (headers.has(Token::Connection)) headers.remove(Token::Connection);
    if (headers.has(Token::Upgrade)) headers.remove(Token::Upgrade);
  }
  return {};
}

Verdict parse_response_head(char* text, size_t size, const Settings& settings, bool to_head_request, bool to_connect,
                            HeaderMap& headers, ResponseHead& head) {
  char* end = text + size;
  char* lf = static_cast<char*>(std::memchr(text, '\n', size));
  std::string_view line(text, static_cast<size_t>(lf - text));
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (find_control(line.data(), line.data() + line.size()) != line.data() + line.size()) return kCodecError;
  if (line.size() < 12 || line.substr(0, 7) != "HTTP/1." || !is_digit(line[7]) || line[8] != ' ') return kCodecError;
  if (line.size() > 12 && line[12] != ' ') return kCodecError;
  head.status = http::parse_status(line.substr(9, 3));
  if (head.status == 0) return kCodecError;
  headers.add_ref(Token::PseudoStatus, line.substr(9, 3));

  Fields f;
  Verdict v = read_fields(lf + 1, end, settings.max_headers, [&](std::string_view name, std::string_view value, Token token) {
    Verdict bad;
    if (token == Token::Other || !take_special(token, value, false, headers, f, bad)) {
      headers.add_ref(name, value, token);
    } else if (head.status == 101 && (token == Token::Connection || token == Token::Upgrade) && !headers.has(token)) {
      headers.add_ref(name, value, token);  // keeps its place
    }
    return bad;
  });
  if (!v.ok()) return v;
  head.keep_alive = line[7] == '0' ? f.keep_alive && !f.close : !f.close;
  head.says_close = !head.keep_alive;
  if (f.codings != 0 && f.lengths != 0) return {502, "http1.content_length_and_chunked_not_allowed"};
  if (f.codings != 0 && (f.codings > 1 || !f.chunked)) return {502, "http1.invalid_transfer_encoding"};
  if (head.status == 101) {
    head.upgrade = true;
    head.body = Body::Tunnel;
    headers.set_ref(Token::Connection, f.upgrade_word.empty() ? std::string_view("Upgrade") : f.upgrade_word);
    if (!f.upgrade.empty()) headers.set_ref(Token::Upgrade, f.upgrade);
    return {};
  }
  if (to_connect && head.status >= 200 && head.status < 300) {
    head.body = Body::Tunnel;
    return {};
  }
  if (head.status < 200 || head.status == 204) {
    // Envoy 1.40: a body announced here is a protocol error; "content-length: 0" is dropped.
    if (f.codings != 0 || f.length != 0) return {502, "http1.body_disallowed"};
    headers.remove(Token::ContentLength);
    return {};
  }
  if (to_head_request || head.status == 304) return {};
  if (f.codings != 0) {
    head.body = Body::Chunked;
  } else if (f.lengths != 0) {
    head.body = f.length != 0 ? Body::Length : Body::None;
    head.length = f.length;
  } else {
    head.body = Body::UntilClose;
    head.keep_alive = false;
  }
  return {};
}

Verdict parse_trailers(char* text, size_t size, const Settings& settings, HeaderMap& trailers) {
  return read_fields(text, text + size, settings.max_headers,
                     [&trailers](std::string_view name, std::string_view value, Token token) {
                       switch (token) {  // never to be taken from a trailer (RFC 9110, 6.5.1)
                         case Token::ContentLength:
                         case Token::TransferEncoding:
                         case Token::Host:
                         case Token::Connection:
                         case Token::Te:
                         case Token::Trailer:
                         case Token::Upgrade:
                         case Token::Authorization:
                           break;
                         default:
                           trailers.add_ref(name, value, token);
                       }
                       return Verdict{};
                     });
}

}  // namespace fairlead::h1
