// An xDS resource as it is kept and sent: encoded once, hashed once, shared by every scope and stream as bytes.
// Immutable after make_resource(); any thread. Invariant: equal `hash` and `version` mean byte-equal frames.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/hash.h"
#include "controlplane/intent/origin.h"

namespace google::protobuf {
class Message;
}

namespace fairlead::resources {

// In push order (make before break): what is named comes before what names it.
enum class Type : uint8_t {
  kCluster,
  kEndpoint,
  kListener,
  kRoute,
  kScopedRoute,
  kVirtualHost,
  kSecret,
  kRuntime,
  kExtensionConfig,
};
inline constexpr size_t kTypeCount = 9;
constexpr size_t index(Type t) { return static_cast<size_t>(t); }
std::array<Type, kTypeCount> all_types();  // in push order

std::string_view type_url(Type t);    // "type.googleapis.com/envoy.config.cluster.v3.Cluster"
std::string_view short_name(Type t);  // "cds", "eds", "lds", "rds", "srds", "vhds", "sds", "rtds", "ecds"
std::optional<Type> type_from_url(std::string_view url);
std::optional<Type> type_from_short_name(std::string_view name);  // also "cluster(s)", "listener(s)", "route(s)", "endpoint(s)", …
// LDS and CDS: the types whose SotW responses are complete and whose empty subscription means everything.
constexpr bool is_root(Type t) { return t == Type::kCluster || t == Type::kListener; }

// What a resource needs by name: a cluster its assignment, a listener its route table, a route table its clusters.
struct Reference {
  Type type;
  std::string name;
  auto operator<=>(const Reference&) const = default;
  bool operator==(const Reference&) const = default;
};

// What a resource is sent with besides its name and version.
struct Envelope {
  std::vector<std::string> aliases;   // it is sent to who asks for one of these, too (VHDS)
  std::chrono::milliseconds ttl{0};   // clients drop it when they have not heard of it for so long; 0: never
};

// One element of a repeated message field, encoded once and kept from one resource to the next.
struct Part {
  std::string bytes;
  ContentHash hash;  // of the bytes
};
using PartPtr = std::shared_ptr<const Part>;
// All of them, and where in the resource's body they stand.
struct Parts {
  size_t begin = 0, end = 0;
  std::vector<PartPtr> all;
};

struct Resource {
  Type type = Type::kCluster;
  std::string name;
  ContentHash hash;        // of the message's deterministic serialisation
  std::string version;     // hex of the hash's low half, or the verbatim version of the raw set it came from
  intent::Origins origins;
  std::vector<Reference> references;  // sorted, unique
  Envelope envelope;

  // Field 2 of a DeltaDiscoveryResponse: tag, length, Resource{name, version, Any}. Append it to a response head and nothing else is needed.
  std::string delta_frame;
  uint32_t body_offset = 0;  // the message itself is the tail of delta_frame from here
  // Field 2 of a DiscoveryResponse: tag, length, Any. Put together when it is first asked for, and then kept: most clients want the other one.
  const std::string& sotw_frame() const;
  struct Sotw;
  std::shared_ptr<Sotw> sotw;
  // The same frames with the time to live, and those that renew it without a body, for clients that know it; null without one.
  // In state of the world such a resource is an Any of a Resource.
  struct Timed {
    std::string sotw, delta, sotw_beat, delta_beat;
  };
  std::shared_ptr<const Timed> timed;
  // Of a route table that was put together of them, its virtual hosts in their order; null of all others.
  std::shared_ptr<const Parts> virtual_hosts;

  std::string_view body() const { return std::string_view(delta_frame).substr(body_offset); }
  uint64_t id() const { return hash.low; }
};
using ResourcePtr = std::shared_ptr<const Resource>;

// Serialises deterministically, hashes, finds references and encodes both frames. An empty `version` means the
// content hash. `name` is what clients subscribe to (for an assignment its cluster_name).
ResourcePtr make_resource(Type type, std::string name, const google::protobuf::Message& message, intent::Origins origins,
                          std::string_view version = {}, Envelope envelope = {});
// A message put together of parts: `before`, each part as an element of the field, `after`; `references` are sorted and unique.
ResourcePtr make_resource_of_parts(Type type, std::string name, std::string_view before, int field, std::vector<PartPtr> parts, std::string_view after,
                                   intent::Origins origins, std::vector<Reference> references);
// The same from bytes that are already a serialised message of the type (state files); references are read again.
// InvalidArgument when they are not.
absl::StatusOr<ResourcePtr> make_resource_from_bytes(Type type, std::string name, std::string_view body, intent::Origins origins,
                                                     std::string_view version = {});
// The same resource under another version; shares nothing but is byte-equal in its body.
ResourcePtr with_version(const Resource& resource, std::string_view version);

// The same under another name, as some client writes it.
ResourcePtr with_name(const Resource& resource, std::string name);

// What delta clients are sent for a name on demand that nobody has, where that is no removal: a resource of that name and alias without a body.
ResourcePtr unresolved(Type type, std::string name);

// The same bytes with other origins: an object moved, or was written again with the same content.
ResourcePtr with_origins(const Resource& resource, intent::Origins origins);

// Every name the message refers to, through Any's of known types.
std::vector<Reference> references_of(const google::protobuf::Message& message);
// The name a message of this type goes by: its `name` or `cluster_name` field; empty when it has none.
std::string name_of(const google::protobuf::Message& message);

}  // namespace fairlead::resources
