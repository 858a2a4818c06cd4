// What network filters can run; see builtin.h.
#include "dataplane/filters/network/builtin.h"
#include "dataplane/filters/network/connection_limit/filter.h"
#include "dataplane/filters/network/direct_response/filter.h"
#include "dataplane/filters/network/echo/filter.h"
#include "dataplane/filters/network/local_ratelimit/filter.h"
#include "dataplane/filters/network/rbac/filter.h"
#include "dataplane/filters/network/sni_cluster/filter.h"
#include "dataplane/filters/network/tcp_proxy/filter.h"

namespace fairlead::filters::network {

void register_filters(stream::NetworkFilterRegistry& registry) {
  connection_limit::register_filter(registry);
  direct_response::register_filter(registry);
  echo::register_filter(registry);
  local_ratelimit::register_filter(registry);
  rbac::register_filter(registry);
  sni_cluster::register_filter(registry);
  tcp_proxy::register_filter(registry);
}

}  // namespace fairlead::filters::network
