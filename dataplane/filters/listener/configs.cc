// What configuration of listener filters is understood; see builtin.h.
#include "dataplane/filters/listener/builtin.h"
#include "dataplane/filters/listener/http_inspector/config.h"
#include "dataplane/filters/listener/local_ratelimit/config.h"
#include "dataplane/filters/listener/original_dst/config.h"
#include "dataplane/filters/listener/proxy_protocol/config.h"
#include "dataplane/filters/listener/tls_inspector/config.h"

namespace fairlead::filters::listener {

void register_configs(config::Registry& registry) {
  http_inspector::register_config(registry);
  local_ratelimit::register_config(registry);
  original_dst::register_config(registry);
  proxy_protocol::register_config(registry);
  tls_inspector::register_config(registry);
}

}  // namespace fairlead::filters::listener
