// Heads of responses. Field numbers are those of envoy/service/discovery/v3/discovery.proto.
#include "controlplane/stream/encode.h"

#include "base/wire.h"

namespace fairlead::cpstream {
namespace {

// Version, type and nonce are fields 1, 4 and 5 of either response.
std::string common_of(resources::Type type, std::string_view control_plane, int control_plane_field) {
  std::string out;
  wire::put_bytes(out, 4, resources::type_url(type));
  if (control_plane.empty()) return out;
  std::string identified;
  wire::put_bytes(identified, 1, control_plane);  // ControlPlane.identifier
  wire::put_bytes(out, control_plane_field, identified);
  return out;
}

void put(std::string& out, int field, std::string_view value) {
  if (!value.empty()) wire::put_bytes(out, field, value);
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

Encoder::Encoder(std::string_view control_plane) {
  for (const resources::Type t : resources::all_types()) {
    sotw_[resources::index(t)] = common_of(t, control_plane, 6);
    delta_[resources::index(t)] = common_of(t, control_plane, 7);
  }
}

WireMessage Encoder::message(Response& response, const Common& common, bool delta) {
  const std::string& type = common[resources::index(response.type)];
  WireMessage m;
  m.delta = delta;
  m.head.reserve(type.size() + response.version.size() + response.nonce.size() + 8);  // put together once for each stream of a push
  m.head = type;
  put(m.head, 1, response.version);
  put(m.head, 5, response.nonce);
  m.shared = std::move(response.resources);
  m.timed = response.timed;
  m.beat = response.beat;
  return m;
}

WireMessage Encoder::sotw(Response response) const { return message(response, sotw_, false); }

WireMessage Encoder::delta(Response response) const {
  WireMessage m = message(response, delta_, true);
  for (const std::string& name : response.removed) wire::put_bytes(m.head, 6, name);  // an empty name is a name too (rule 30)
  return m;
}

}  // namespace fairlead::cpstream
