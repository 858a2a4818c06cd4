// What an HTTP status means to a gRPC client that got no grpc-status: gRPC's own table (doc/http-grpc-status-mapping.md). Pure.
#pragma once

#include <cstdint>

namespace fairlead::http {

constexpr uint32_t grpc_status_of_http(uint32_t status) {
  switch (status) {
    case 400: return 13;  // INTERNAL
    case 401: return 16;  // UNAUTHENTICATED
    case 403: return 7;   // PERMISSION_DENIED
    case 404: return 12;  // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504: return 14;  // UNAVAILABLE
    default: return 2;    // UNKNOWN
  }
}

}  // namespace fairlead::http
