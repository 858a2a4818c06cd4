// Serialising, hashing and framing of resources. Pure; any thread.
#include "controlplane/resources/resource.h"

#include <algorithm>
#include <iterator>
#include <mutex>

#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/serialize.h"
#include "base/wire.h"

namespace fairlead::resources {

struct Resource::Sotw {
  std::once_flag once;
  std::string frame;
};

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

// google.protobuf.Duration: seconds = 1, nanos = 2
std::string duration(std::chrono::milliseconds time) {
  std::string out;
  if (const int64_t seconds = time.count() / 1000; seconds != 0) wire::put_number(out, 1, static_cast<uint64_t>(seconds));
  if (const int64_t nanos = time.count() % 1000 * 1'000'000; nanos != 0) wire::put_number(out, 2, static_cast<uint64_t>(nanos));
  return out;
}

// The fields of an envoy.service.discovery.v3.Resource but for its body: version = 1, name = 3, aliases = 4, ttl = 6
std::string head_of(const Resource& r, bool with_ttl) {
  std::string out;
  wire::put_bytes(out, 1, r.version);
  wire::put_bytes(out, 3, r.name);
  for (const std::string& alias : r.envelope.aliases) wire::put_bytes(out, 4, alias);
  if (with_ttl) wire::put_bytes(out, 6, duration(r.envelope.ttl));
  return out;
}

// google.protobuf.Any: type_url = 1, value = 2
std::string any_of(std::string_view url, std::string_view value) {
  std::string out;
  out.reserve(field_size(url.size()) + field_size(value.size()));
  wire::put_bytes(out, 1, url);
  wire::put_bytes(out, 2, value);
  return out;
}

// Field 2 of either response: resources
std::string response_field(std::string_view value) {
  std::string out;
  out.reserve(field_size(value.size()));
  wire::put_bytes(out, 2, value);
  return out;
}

std::shared_ptr<const Resource::Timed> timed_frames(const Resource& r, std::string_view any) {
  constexpr std::string_view kResource = "type.googleapis.com/envoy.service.discovery.v3.Resource";
  const std::string beat = head_of(r, true);
  std::string whole = beat;
  wire::put_bytes(whole, 2, any);
  auto timed = std::make_shared<Resource::Timed>();
  timed->delta = response_field(whole);
  timed->delta_beat = response_field(beat);
  timed->sotw = response_field(any_of(kResource, whole));
  timed->sotw_beat = response_field(any_of(kResource, beat));
  return timed;
}

constexpr size_t kHashDigits = 16;  // as hex64() writes them

size_t any_size_of(Type type, size_t body_size) { return field_size(type_url(type).size()) + field_size(body_size); }

// The tail of its frame.
std::string_view any_within(const Resource& r) {
  const std::string_view frame = r.delta_frame;
  return frame.substr(frame.size() - any_size_of(r.type, r.body().size()));
}

// `write` appends the body.
template <typename Write>
std::shared_ptr<Resource> frame_of(Type type, std::string name, size_t body_size, Write&& write, intent::Origins origins, std::string_view version,
                                   std::vector<Reference> references, Envelope envelope) {
  auto r = std::make_shared<Resource>();
  r->type = type;
  r->name = std::move(name);
  r->origins = std::move(origins);
  r->references = std::move(references);
  r->envelope = std::move(envelope);
  r->sotw = std::make_shared<Resource::Sotw>();
  r->version = version.empty() ? std::string(kHashDigits, '0') : std::string(version);
  const std::string_view url = type_url(type);
  const size_t any_size = any_size_of(type, body_size);
  const std::string head = head_of(*r, false);
  const size_t inner = head.size() + field_size(any_size);
  std::string& frame = r->delta_frame;
  frame.reserve(field_size(inner));
  wire::put_head(frame, 2, inner);
  const size_t version_at = frame.size() + 2;  // the head begins with it, after a tag and a length
  frame.append(head);
  wire::put_head(frame, 2, any_size);
  wire::put_bytes(frame, 1, url);
  wire::put_head(frame, 2, body_size);
  r->body_offset = static_cast<uint32_t>(frame.size());
  write(frame);
  r->hash = content_hash(r->body());
  if (!r->envelope.aliases.empty() || r->envelope.ttl.count() > 0) {
    ContentHasher hasher;
    hasher.add_field(r->body()).add_field(duration(r->envelope.ttl));
    for (const std::string& alias : r->envelope.aliases) hasher.add_field(alias);
    r->hash = hasher.finish();
  }
  if (version.empty()) {
    r->version = hex64(r->hash.low);
    frame.replace(version_at, kHashDigits, r->version);
  }
  if (r->envelope.ttl.count() > 0) r->timed = timed_frames(*r, any_within(*r));
  return r;
}

ResourcePtr frame(Type type, std::string name, std::string_view body, intent::Origins origins, std::string_view version,
                  std::vector<Reference> references, Envelope envelope) {
  return frame_of(type, std::move(name), body.size(), [&](std::string& to) { to.append(body); }, std::move(origins), version, std::move(references), std::move(envelope));
}

}  // namespace

const std::string& Resource::sotw_frame() const {
  static const std::string kNone;
  if (!sotw) return kNone;
  std::call_once(sotw->once, [this] { sotw->frame = response_field(any_within(*this)); });
  return sotw->frame;
}

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
                          std::string_view version, Envelope envelope) {
  std::vector<Reference> references;
  if (type != Type::kEndpoint) references = references_of(message);  // an assignment names nothing, and there are many
  return frame(type, std::move(name), serialize(message), std::move(origins), version, std::move(references), std::move(envelope));
}

ResourcePtr make_resource_of_parts(Type type, std::string name, std::string_view before, int field, std::vector<PartPtr> parts, std::string_view after,
                                   intent::Origins origins, std::vector<Reference> references) {
  size_t size = before.size() + after.size();
  for (const PartPtr& part : parts) size += field_size(part->bytes.size());
  const auto write = [&](std::string& to) {
    to.append(before);
    for (const PartPtr& part : parts) wire::put_bytes(to, field, part->bytes);
    to.append(after);
  };
  std::shared_ptr<Resource> r = frame_of(type, std::move(name), size, write, std::move(origins), {}, std::move(references), {});
  r->virtual_hosts = std::make_shared<const Parts>(Parts{before.size(), size - after.size(), std::move(parts)});
  return r;
}

absl::StatusOr<ResourcePtr> make_resource_from_bytes(Type type, std::string name, std::string_view body, intent::Origins origins,
                                                     std::string_view version) {
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> message = parse_message(type_url(type), body);
  if (!message.ok()) return message.status();
  return frame(type, std::move(name), body, std::move(origins), version, references_of(**message), {});
}

ResourcePtr with_version(const Resource& resource, std::string_view version) {
  return frame(resource.type, resource.name, resource.body(), resource.origins, version, resource.references, resource.envelope);
}

ResourcePtr with_name(const Resource& resource, std::string name) {
  return frame(resource.type, std::move(name), resource.body(), resource.origins, resource.version, resource.references, resource.envelope);
}

ResourcePtr unresolved(Type type, std::string name) {
  auto r = std::make_shared<Resource>();
  r->type = type;
  r->envelope.aliases = {name};
  r->name = std::move(name);
  r->delta_frame = response_field(head_of(*r, false));
  r->body_offset = static_cast<uint32_t>(r->delta_frame.size());
  return r;
}

ResourcePtr with_origins(const Resource& resource, intent::Origins origins) {
  auto copy = std::make_shared<Resource>(resource);
  copy->origins = std::move(origins);
  return copy;
}

}  // namespace fairlead::resources
