// What configuration of filters is understood; see builtin.h.
#include "dataplane/filters/http/buffer/config.h"
#include "dataplane/filters/http/builtin.h"
#include "dataplane/filters/http/cache/config.h"
#include "dataplane/filters/http/compressor/config.h"
#include "dataplane/filters/http/cors/config.h"
#include "dataplane/filters/http/decompressor/config.h"
#include "dataplane/filters/http/fault/config.h"
#include "dataplane/filters/http/grpc_stats/config.h"
#include "dataplane/filters/http/grpc_web/config.h"
#include "dataplane/filters/http/header_mutation/config.h"
#include "dataplane/filters/http/health_check/config.h"
#include "dataplane/filters/http/local_ratelimit/config.h"
#include "dataplane/filters/http/router/config.h"
#include "dataplane/filters/http/stateful_session/config.h"

namespace fairlead::filters {

void register_configs(config::Registry& registry) {
  buffer::register_config(registry);
  cache::register_config(registry);
  compressor::register_config(registry);
  cors::register_config(registry);
  decompressor::register_config(registry);
  fault::register_config(registry);
  grpc_stats::register_config(registry);
  grpc_web::register_config(registry);
  header_mutation::register_config(registry);
  health_check::register_config(registry);
  local_ratelimit::register_config(registry);
  router::register_config(registry);
  stateful_session::register_config(registry);
}

}  // namespace fairlead::filters
