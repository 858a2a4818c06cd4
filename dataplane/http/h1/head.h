// Heads of HTTP/1 messages: pure functions from bytes to a HeaderMap and a verdict. Push-style use: find_head() says when a head is
// complete, parse_*_head() reads it in one pass over a copy in the arena. No state, no I/O; any thread.
// Refusals and their details strings are Envoy 1.40's, observed; where we are stricter docs/differences.md says so.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/codec.h"
#include "dataplane/http/h1/session.h"
#include "dataplane/http/header_map.h"
#include "dataplane/net/buffer.h"

namespace fairlead::h1 {

enum class Body : uint8_t { None, Length, Chunked, UntilClose, Tunnel };

struct Verdict {
  uint16_t status = 0;  // 0: accepted
  std::string_view details;
  bool protocol_error = true;
  bool ok() const { return status == 0; }
};

struct RequestHead {
  http::Protocol protocol = http::Protocol::Http11;
  Body body = Body::None;
  uint64_t length = 0;
  bool keep_alive = true;
  bool upgrade = false;  // asks for another protocol and may be answered with 101
  bool connect = false;
  bool head_method = false;
};

struct ResponseHead {
  unsigned status = 0;
  Body body = Body::None;
  uint64_t length = 0;
  bool keep_alive = true;
  bool says_close = false;  // by its Connection header or as HTTP/1.0; a body that runs until the close does not say it
  bool upgrade = false;
};

enum class HeadSearch { Incomplete, Complete, TooLarge, Broken };
// Looks for the end of the head at the front of `in`; empty lines before a head are drained when `skip_empty_lines`.
// `scanned` remembers how far earlier calls have looked (0 for a new head); `size` is the head's length when Complete.
HeadSearch find_head(net::Buffer& in, size_t limit, bool skip_empty_lines, size_t& scanned, size_t& size);

// What can be said of a request whose head is not complete yet: refused by its first byte or first line, or nothing.
// The same bytes make parse_request_head() say the same, so the verdict does not depend on how they arrive.
Verdict check_request_start(std::string_view bytes, const Settings& settings);
// `bytes` begin a response head that is not complete: refused already?
Verdict check_response_start(std::string_view bytes);

// `text` is a complete head in the arena of `headers`; names are lower-cased in place. Hop-by-hop headers do not enter the map.
Verdict parse_request_head(char* text, size_t size, const Settings& settings, http::HeaderMap& headers, RequestHead& head);
Verdict parse_response_head(char* text, size_t size, const Settings& settings, bool to_head_request, bool to_connect,
                            http::HeaderMap& headers, ResponseHead& head);
// A trailer section: header lines up to and with the empty line.
Verdict parse_trailers(char* text, size_t size, const Settings& settings, http::HeaderMap& trailers);

}  // namespace fairlead::h1
