// See network_filter.h.
#include "dataplane/stream/network_filter.h"

namespace fairlead::stream {

NetworkFilterRegistry& NetworkFilterRegistry::global() {
  static NetworkFilterRegistry registry;
  return registry;
}

}  // namespace fairlead::stream
