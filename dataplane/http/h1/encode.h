// Writing of HTTP/1 heads and chunks straight into a connection's output: one reservation, one pass. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/header_map.h"
#include "dataplane/net/buffer.h"

namespace fairlead::h1 {

enum class Framing : uint8_t {
  None,        // nothing is said: 1xx, 204, 304, HEAD with a length, until close, tunnel
  Length,      // the map holds content-length
  ZeroLength,  // "content-length: 0" is added
  Chunked,     // "transfer-encoding: chunked" is added
};

struct HeadStyle {
  Framing framing = Framing::None;
  bool proper_case = false;
  bool drop_length = false;        // 1xx and 204 must not carry content-length
  std::string_view connection;     // "close" or "keep-alive" to add; empty: none
};

// Both return the number of bytes written. Pseudo-headers and transfer-encoding of the map are not copied.
size_t write_response_head(net::Buffer& out, bool http10, unsigned status, const http::HeaderMap& headers, const HeadStyle& style);
size_t write_request_head(net::Buffer& out, const http::HeaderMap& headers, const HeadStyle& style);
size_t write_chunk_start(net::Buffer& out, size_t size);  // "1f\r\n"
size_t write_trailers(net::Buffer& out, const http::HeaderMap* trailers, bool proper_case);  // "0\r\n…\r\n"

}  // namespace fairlead::h1
