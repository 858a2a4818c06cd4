// Requests from bytes. An ACK is read by a small scanner that touches only what it needs; whatever that does not know
// goes through the generated classes. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "controlplane/stream/session.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace fairlead::cpstream {

// InvalidArgument when the bytes are not a DiscoveryRequest (rule: malformed bytes close only that stream). The reported versions of a delta request
// are left in `bytes`, which have to outlive it.
absl::StatusOr<Request> decode_sotw(std::string_view bytes);
absl::StatusOr<Request> decode_delta(std::string_view bytes);
absl::StatusOr<Request> decode_delta(std::string&& bytes) = delete;

snapshot::Node node_of(const envoy::config::core::v3::Node& from);

}  // namespace fairlead::cpstream
