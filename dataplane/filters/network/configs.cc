// What configuration of network filters is understood; see builtin.h.
#include "dataplane/filters/network/builtin.h"
#include "dataplane/filters/network/connection_limit/config.h"
#include "dataplane/filters/network/direct_response/config.h"
#include "dataplane/filters/network/echo/config.h"
#include "dataplane/filters/network/local_ratelimit/config.h"
#include "dataplane/filters/network/rbac/config.h"
#include "dataplane/filters/network/sni_cluster/config.h"
#include "dataplane/filters/network/tcp_proxy/config.h"

namespace fairlead::filters::network {

void register_configs(config::Registry& registry, const router::FileReader& read_file) {
  connection_limit::register_config(registry);
  direct_response::register_config(registry, read_file);
  echo::register_config(registry);
  local_ratelimit::register_config(registry);
  rbac::register_config(registry);
  sni_cluster::register_config(registry);
  tcp_proxy::register_config(registry, read_file);
}

}  // namespace fairlead::filters::network
