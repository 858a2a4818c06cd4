// What UDP filters can run; see builtin.h.
#include "dataplane/filters/udp/builtin.h"
#include "dataplane/filters/udp/udp_proxy/filter.h"

namespace fairlead::filters::udp {

void register_filters(stream::UdpFilterRegistry& registry) { udp_proxy::register_filter(registry); }

}  // namespace fairlead::filters::udp
