// Head writing (encode.h).
#include "dataplane/http/h1/encode.h"

#include <cstring>

#include "dataplane/http/h1/fields.h"
#include "dataplane/http/status.h"

namespace fairlead::h1 {

namespace {

using http::HeaderMap;
using http::Token;

constexpr size_t kFixedRoom = 128;  // status line, added headers, the empty line

char* put(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());  // an empty value may have no address
  return at + text.size();
}

// Content-Type, X-Envoy-…: the first letter and each after a '-'.
char* put_name(char* at, std::string_view name, bool proper_case) {
  if (!proper_case) return put(at, name);
  bool up = true;
  for (char c : name) {
    *at++ = up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    up = c == '-';
  }
  return at;
}

char* put_line(char* at, std::string_view name, std::string_view value, bool proper_case) {
  at = put_name(at, name, proper_case);
  *at++ = ':';
  *at++ = ' ';
  at = put(at, value);
  *at++ = '\r';
  *at++ = '\n';
  return at;
}

bool skipped(const http::Header& h, const HeadStyle& style) {
  if (h.token() == Token::Other) return false;
  return h.is_pseudo() || h.token() == Token::TransferEncoding || (style.drop_length && h.token() == Token::ContentLength);
}

char* put_headers(char* at, const HeaderMap& headers, const HeadStyle& style) {
  for (const http::Header& h : headers) {
    if (!skipped(h, style)) at = put_line(at, h.name(), h.value(), style.proper_case);
  }
  if (!style.connection.empty()) at = put_line(at, "connection", style.connection, style.proper_case);
  if (style.framing == Framing::Chunked) at = put_line(at, "transfer-encoding", "chunked", style.proper_case);
  if (style.framing == Framing::ZeroLength) at = put_line(at, "content-length", "0", style.proper_case);
  return put(at, "\r\n");
}

size_t room_for(const HeaderMap& headers) { return headers.byte_size() + size_t{4} * headers.size() + kFixedRoom; }

}  // namespace

size_t write_response_head(net::Buffer& out, bool http10, unsigned status, const HeaderMap& headers, const HeadStyle& style) {
  char* start = out.reserve(room_for(headers));
  char* at = put(start, http10 ? "HTTP/1.0 " : "HTTP/1.1 ");
  *at++ = static_cast<char>('0' + status / 100);
  *at++ = static_cast<char>('0' + status / 10 % 10);
  *at++ = static_cast<char>('0' + status % 10);
  *at++ = ' ';
  at = put(at, http::reason_phrase(status));
  at = put(at, "\r\n");
  at = put_headers(at, headers, style);
  size_t size = static_cast<size_t>(at - start);
  out.commit(size);
  return size;
}

size_t write_request_head(net::Buffer& out, const HeaderMap& headers, const HeadStyle& style) {
  char* start = out.reserve(room_for(headers));
  std::string_view method = headers.get(Token::PseudoMethod);
  std::string_view authority = headers.get(Token::PseudoAuthority);
  char* at = put(start, method);
  *at++ = ' ';
  at = put(at, method == "CONNECT" ? authority : headers.get(Token::PseudoPath));
  at = put(at, " HTTP/1.1\r\n");
  at = put_line(at, "host", authority, style.proper_case);
  at = put_headers(at, headers, style);
  size_t size = static_cast<size_t>(at - start);
  out.commit(size);
  return size;
}

size_t write_chunk_start(net::Buffer& out, size_t size) {
  char text[20];
  char* at = text + sizeof text;
  *--at = '\n';
  *--at = '\r';
  do {
    *--at = "0123456789abcdef"[size & 15];
    size >>= 4;
  } while (size != 0);
  std::string_view line(at, static_cast<size_t>(text + sizeof text - at));
  out.append(line);
  return line.size();
}

size_t write_trailers(net::Buffer& out, const HeaderMap* trailers, bool proper_case) {
  if (trailers == nullptr) {
    out.append("0\r\n\r\n");
    return 5;
  }
  char* start = out.reserve(room_for(*trailers));
  HeadStyle style;
  style.proper_case = proper_case;
  char* at = put_headers(put(start, "0\r\n"), *trailers, style);
  size_t size = static_cast<size_t>(at - start);
  out.commit(size);
  return size;
}

}  // namespace fairlead::h1
