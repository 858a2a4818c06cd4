// Header maps on their way out: the list that nghttp2 encodes, without what HTTP/2 forbids. Room-private.
// The list refers to the map's bytes and to this thread's scratch: encode it before the next call.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <string_view>

#include "dataplane/http/header_map.h"

namespace fairlead::h2 {

struct FieldList {
  const nghttp2_nv* fields;
  size_t size;
};

// `upgraded`: an extended CONNECT is answered; its 101 leaves as 200 (as in Envoy).
FieldList response_fields(const http::HeaderMap& headers, unsigned status, bool upgraded);
// The protocol an HTTP/1 style upgrade asks for; empty: it is none.
std::string_view upgrade_of(const http::HeaderMap& headers);
// `upgrade`: what upgrade_of() said; the request leaves as extended CONNECT.
FieldList request_fields(const http::HeaderMap& headers, std::string_view upgrade);
FieldList trailer_fields(const http::HeaderMap& headers);

}  // namespace fairlead::h2
