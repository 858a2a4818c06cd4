// HttpConnectionManager.original_ip_detection_extensions: where the client's address comes from when it is neither the peer's nor simply the
// last of x-forwarded-for. Parsed on the main thread, immutable; evaluated by dataplane/stream/request_headers.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/matching/matchers.h"

namespace fairlead {
class ErrorList;
}
namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}

namespace fairlead::config {

// One way to find the address; the first that does so decides.
struct IpDetection {
  std::string header = {};                     // custom_header: its name in lower case; empty: x-forwarded-for
  bool may_be_internal = false;                // custom_header: the address may make a request internal
  std::optional<uint32_t> reject_status = {};  // custom_header: the answer to requests without an address in it
  uint32_t trusted_hops = 0;                   // xff: entries to skip, from the right
  std::vector<matching::Cidr> trusted_proxies = {};  // xff: skip these instead, if the peer is one of them too
  bool skip_append = true;                     // Envoy 1.40: true, XffConfig.skip_xff_append: the peer is not added to x-forwarded-for
};

void read_ip_detections(const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& proto, const std::string& field,
                        std::vector<IpDetection>& out, ErrorList& errors);

}  // namespace fairlead::config
