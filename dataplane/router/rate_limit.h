// Rate limit policies (RateLimit messages of routes, virtual hosts and filters): actions that make a descriptor, a list of keys and values,
// out of a request. Compiled on the main thread, immutable; building a descriptor copies only what has to be made up, into the request's arena.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/inlined_vector.h>
#include <absl/status/statusor.h>

#include "dataplane/matching/matchers.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace envoy::config::route::v3 {
class RateLimit;
}
namespace fairlead::http {
class Arena;
}

namespace fairlead::router {

struct DescriptorEntry {
  std::string_view key, value;
  bool operator==(const DescriptorEntry&) const = default;
};
using Descriptor = absl::InlinedVector<DescriptorEntry, 4>;

// What actions read beside the headers.
struct RateLimitFacts {
  std::string_view remote_ip;            // of the client, after x-forwarded-for
  std::string_view source_cluster;       // this proxy's own: node.cluster
  std::string_view destination_cluster;  // the route's
};

struct RateLimitAction {
  enum class Kind : uint8_t { SourceCluster, DestinationCluster, RequestHeader, QueryParameter, RemoteAddress, MaskedRemoteAddress, GenericKey, HeaderMatch, QueryMatch };
  Kind kind = Kind::GenericKey;
  std::string key;    // of the entry
  std::string value;  // of generic keys and matches
  std::string name;   // of the header (lower case) or parameter
  bool skip_if_absent = false;  // the entry is left out; otherwise there is no descriptor at all
  bool expect_match = true;
  uint32_t v4_bits = 32, v6_bits = 128;
  std::vector<matching::HeaderMatcher> headers;
  std::vector<matching::QueryMatcher> query;
};

struct RateLimitPolicy {
  uint32_t stage = 0;
  std::vector<RateLimitAction> actions;

  // False: an action has nothing to say, so there is no descriptor.
  bool describe(const http::HeaderMap& headers, const RateLimitFacts& facts, http::Arena& arena, Descriptor& out) const;

  // Field paths in errors start with `path`.
  static absl::StatusOr<std::vector<RateLimitPolicy>> compile(const google::protobuf::RepeatedPtrField<envoy::config::route::v3::RateLimit>& protos, const std::string& path);
};

}  // namespace fairlead::router
