// What listener filters can run; see builtin.h.
#include "dataplane/filters/listener/builtin.h"
#include "dataplane/filters/listener/http_inspector/filter.h"
#include "dataplane/filters/listener/local_ratelimit/filter.h"
#include "dataplane/filters/listener/original_dst/filter.h"
#include "dataplane/filters/listener/proxy_protocol/filter.h"
#include "dataplane/filters/listener/tls_inspector/filter.h"

namespace fairlead::filters::listener {

void register_filters(stream::ListenerFilterRegistry& registry) {
  http_inspector::register_filter(registry);
  local_ratelimit::register_filter(registry);
  original_dst::register_filter(registry);
  proxy_protocol::register_filter(registry);
  tls_inspector::register_filter(registry);
}

}  // namespace fairlead::filters::listener
