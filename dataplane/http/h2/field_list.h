// Header maps on their way out: the fields that are sent, without what HTTP/2 forbids. Room-private.
// A list refers to the map's bytes and to this thread's scratch: encode it before the next call of its kind (heads; trailers).
#pragma once

#include <cstddef>
#include <string_view>

#include "dataplane/http/header_map.h"

namespace fairlead::h2 {

struct OutField {
  std::string_view name;
  std::string_view value;
  http::Token token;
};

struct FieldList {
  const OutField* fields;
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
