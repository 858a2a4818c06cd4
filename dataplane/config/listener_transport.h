// The transport socket of a filter chain. Private to the room.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "dataplane/config/hcm.h"
#include "dataplane/config/tls.h"

namespace envoy::config::listener::v3 {
class FilterChain;
}

namespace fairlead::config {

// Null: connections are plain, or there is an error.
std::shared_ptr<const DownstreamTls> parse_chain_transport(const envoy::config::listener::v3::FilterChain& proto, const std::string& field, const HcmOptions& options, ErrorList& errors);

}  // namespace fairlead::config
