// Serialising, hashing and framing of resources. Pure; any thread.
#include "controlplane/resources/resource.h"

#include <algorithm>
#include <iterator>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/wire.h"

namespace fairlead::resources {
namespace {

struct TypeNames {
  std::string_view url;
  std::string_view short_name;
  std::string_view word;
};

constexpr TypeNames kNames[kTypeCount] = {
    {"type.googleapis.com/envoy.config.cluster.v3.Cluster", "cds", "cluster"},
    {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "eds", "endpoint"},
    {"type.googleapis.com/envoy.config.listener.v3.Listener", "lds", "listener"},
    {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "rds", "route"},
    {"type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration", "srds", "scoped-route"},
    {"type.googleapis.com/envoy.config.route.v3.VirtualHost", "vhds", "virtual-host"},
    {"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "sds", "secret"},
    {"type.googleapis.com/envoy.service.runtime.v3.Runtime", "rtds", "runtime"},
    {"type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "ecds", "extension"},
};

size_t field_size(size_t value) { return 1 + wire::varint_size(value) + value; }  // of a field number below 16

std::string serialize(const google::protobuf::Message& message) {
  std::string bytes;
  bytes.reserve(message.ByteSizeLong());
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializePartialToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

ResourcePtr frame(Type type, std::string name, std::string_view body, intent::Origins origins, std::string_view version,
                  std::vector<Reference> references) {
  auto r = std::make_shared<Resource>();
  r->type = type;
  r->name = std::move(name);
  r->hash = content_hash(body);
  r->version = version.empty() ? hex64(r->hash.low) : std::string(version);
  r->origins = std::move(origins);
  r->references = std::move(references);
  const std::string_view url = type_url(type);
  // google.protobuf.Any: type_url = 1, value = 2
  const size_t any = field_size(url.size()) + field_size(body.size());
  // DiscoveryResponse: resources = 2
  r->sotw_frame.reserve(field_size(any));
  wire::put_head(r->sotw_frame, 2, any);
  wire::put_bytes(r->sotw_frame, 1, url);
  wire::put_bytes(r->sotw_frame, 2, body);
  // DeltaDiscoveryResponse: resources = 2; Resource: version = 1, resource = 2, name = 3
  const size_t inner = field_size(r->version.size()) + field_size(r->name.size()) + field_size(any);
  r->delta_frame.reserve(field_size(inner));
  wire::put_head(r->delta_frame, 2, inner);
  wire::put_bytes(r->delta_frame, 1, r->version);
  wire::put_bytes(r->delta_frame, 3, r->name);
  wire::put_head(r->delta_frame, 2, any);
  wire::put_bytes(r->delta_frame, 1, url);
  wire::put_bytes(r->delta_frame, 2, body);
  r->body_offset = static_cast<uint32_t>(r->delta_frame.size() - body.size());
  return r;
}

}  // namespace

std::array<Type, kTypeCount> all_types() {
  std::array<Type, kTypeCount> types;
  for (size_t i = 0; i < kTypeCount; ++i) types[i] = static_cast<Type>(i);
  return types;
}

std::string_view type_url(Type t) { return kNames[index(t)].url; }
std::string_view short_name(Type t) { return kNames[index(t)].short_name; }

std::optional<Type> type_from_url(std::string_view url) {
  for (size_t i = 0; i < kTypeCount; ++i) {
    if (kNames[i].url == url) return static_cast<Type>(i);
  }
  return std::nullopt;
}

std::optional<Type> type_from_short_name(std::string_view name) {
  for (size_t i = 0; i < kTypeCount; ++i) {
    const TypeNames& n = kNames[i];
    const bool plural = name.size() == n.word.size() + 1 && name.back() == 's' && name.substr(0, n.word.size()) == n.word;
    if (name == n.short_name || name == n.word || plural) return static_cast<Type>(i);
  }
  return std::nullopt;
}

ResourcePtr make_resource(Type type, std::string name, const google::protobuf::Message& message, intent::Origins origins,
                          std::string_view version) {
  std::vector<Reference> references;
  if (type != Type::kEndpoint) references = references_of(message);  // an assignment names nothing, and there are many
  return frame(type, std::move(name), serialize(message), std::move(origins), version, std::move(references));
}

absl::StatusOr<ResourcePtr> make_resource_from_bytes(Type type, std::string name, std::string_view body, intent::Origins origins,
                                                     std::string_view version) {
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> message = parse_message(type_url(type), body);
  if (!message.ok()) return message.status();
  return frame(type, std::move(name), body, std::move(origins), version, references_of(**message));
}

ResourcePtr with_version(const Resource& resource, std::string_view version) {
  return frame(resource.type, resource.name, resource.body(), resource.origins, version, resource.references);
}

ResourcePtr with_origins(const Resource& resource, intent::Origins origins) {
  auto copy = std::make_shared<Resource>(resource);
  copy->origins = std::move(origins);
  return copy;
}

}  // namespace fairlead::resources
