// Every listener filter of this proxy, in one list. The control plane calls only the first function, and so links only the pure halves.
// At start-up, once, on the main thread.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::stream {
class ListenerFilterRegistry;
}

namespace fairlead::filters::listener {

void register_configs(config::Registry& registry);
void register_filters(stream::ListenerFilterRegistry& registry);

}  // namespace fairlead::filters::listener
