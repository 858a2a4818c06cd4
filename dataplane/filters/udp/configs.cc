// What configuration of UDP filters is understood; see builtin.h.
#include "dataplane/filters/udp/builtin.h"
#include "dataplane/filters/udp/udp_proxy/config.h"

namespace fairlead::filters::udp {

void register_configs(config::Registry& registry, const router::FileReader& read_file) { udp_proxy::register_config(registry, read_file); }

}  // namespace fairlead::filters::udp
