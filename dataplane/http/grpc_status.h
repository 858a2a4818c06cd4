// What an HTTP status means to a gRPC client that got no grpc-status: gRPC's own table (doc/http-grpc-status-mapping.md); and back, as
// Envoy does it. Pure.
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

// Envoy 1.40, Grpc::Utility::grpcToHttpStatus
constexpr uint32_t http_status_of_grpc(uint32_t status) {
  constexpr uint32_t known[] = {200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401};
  return status < sizeof known / sizeof *known ? known[status] : 500;
}

}  // namespace fairlead::http
