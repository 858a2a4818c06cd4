// What versions of clients are known to lack: fields that an old Envoy does not know, so that a resource with them means something else to it, or
// nothing. Only what Envoy's own release notes say stands here; a client that is not named is taken to know everything. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "controlplane/snapshot/update.h"

namespace envoy::config::route::v3 {
class Route;
}

namespace fairlead::pipeline {

inline constexpr size_t kCapabilities = 2;  // of routes

// Bit by bit, which of them the route asks of a client.
uint32_t capabilities_used(const envoy::config::route::v3::Route& route);

// The route of a table, by its virtual host's place and its own, that is the first to ask for each; -1: none does.
struct FirstUses {
  struct Place {
    int host = -1, route = -1;
    bool operator==(const Place&) const = default;
  };
  std::array<Place, kCapabilities> places;
  // In the table's order.
  void note(uint32_t used, int host, int route) {
    for (size_t c = 0; c < kCapabilities; ++c) {
      if ((used >> c & 1) != 0 && places[c].host < 0) places[c] = {host, route};
    }
  }
  bool operator==(const FirstUses&) const = default;
};

// Who cannot use a table of which that is so, each with the field and what would become of it; `resource` is left to the caller.
std::vector<snapshot::Unfit> lacking_clients(const FirstUses& uses);

}  // namespace fairlead::pipeline
