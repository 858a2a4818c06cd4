// Heads of responses. Field numbers are those of envoy/service/discovery/v3/discovery.proto.
#include "controlplane/stream/encode.h"

#include "base/wire.h"

namespace fairlead::cpstream {
namespace {

void put(std::string& out, int field, std::string_view value) {
  if (!value.empty()) wire::put_bytes(out, field, value);
}

void put_control_plane(std::string& out, int field, std::string_view identifier) {
  if (identifier.empty()) return;
  wire::put_head(out, field, 1 + wire::varint_size(identifier.size()) + identifier.size());
  wire::put_bytes(out, 1, identifier);  // ControlPlane.identifier
}

// Version, type and nonce are fields 1, 4 and 5 of either response.
void put_begin(std::string& out, const Response& response, std::string_view control_plane) {
  const std::string_view type = resources::type_url(response.type);
  out.reserve(response.version.size() + type.size() + response.nonce.size() + control_plane.size() + 32);  // put together once for each stream of a push
  put(out, 1, response.version);
  put(out, 4, type);
  put(out, 5, response.nonce);
}

}  // namespace

size_t WireMessage::size() const {
  size_t n = head.size();
  for (size_t i = 0; i < shared.size(); ++i) n += frame(i).size();
  return n;
}

std::string WireMessage::flatten() const {
  std::string out;
  out.reserve(size());
  out = head;
  for (size_t i = 0; i < shared.size(); ++i) out.append(frame(i));
  return out;
}

WireMessage encode_sotw(Response response, std::string_view control_plane) {
  WireMessage m;
  put_begin(m.head, response, control_plane);
  put_control_plane(m.head, 6, control_plane);
  m.shared = std::move(response.resources);
  m.timed = response.timed;
  m.beat = response.beat;
  return m;
}

WireMessage encode_delta(Response response, std::string_view control_plane) {
  WireMessage m;
  m.delta = true;
  put_begin(m.head, response, control_plane);
  for (const std::string& name : response.removed) wire::put_bytes(m.head, 6, name);  // an empty name is a name too (rule 30)
  put_control_plane(m.head, 7, control_plane);
  m.shared = std::move(response.resources);
  m.timed = response.timed;
  m.beat = response.beat;
  return m;
}

}  // namespace fairlead::cpstream
