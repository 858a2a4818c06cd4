// Every filter of UDP listeners of this proxy, in one list. The control plane calls only the first function, and so links only the pure halves.
// At start-up, once, on the main thread.
#pragma once

#include "dataplane/config/registry.h"
#include "dataplane/router/data_source.h"

namespace fairlead::stream {
class UdpFilterRegistry;
}

namespace fairlead::filters::udp {

// `read_file`: what reads texts that configurations name; unset where they are only judged.
void register_configs(config::Registry& registry, const router::FileReader& read_file = {});
void register_filters(stream::UdpFilterRegistry& registry);

}  // namespace fairlead::filters::udp
