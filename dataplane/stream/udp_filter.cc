// See udp_filter.h.
#include "dataplane/stream/udp_filter.h"

namespace fairlead::stream {

UdpFilterRegistry& UdpFilterRegistry::global() {
  static auto* registry = new UdpFilterRegistry;
  return *registry;
}

}  // namespace fairlead::stream
