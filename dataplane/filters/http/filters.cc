// What filters can run; see builtin.h.
#include "dataplane/filters/http/buffer/filter.h"
#include "dataplane/filters/http/builtin.h"
#include "dataplane/filters/http/cache/filter.h"
#include "dataplane/filters/http/compressor/filter.h"
#include "dataplane/filters/http/cors/filter.h"
#include "dataplane/filters/http/decompressor/filter.h"
#include "dataplane/filters/http/fault/filter.h"
#include "dataplane/filters/http/grpc_stats/filter.h"
#include "dataplane/filters/http/grpc_web/filter.h"
#include "dataplane/filters/http/header_mutation/filter.h"
#include "dataplane/filters/http/health_check/filter.h"
#include "dataplane/filters/http/local_ratelimit/filter.h"
#include "dataplane/filters/http/router/filter.h"
#include "dataplane/filters/http/stateful_session/filter.h"

namespace fairlead::filters {

void register_filters(stream::FilterRegistry& registry) {
  buffer::register_filter(registry);
  cache::register_filter(registry);
  compressor::register_filter(registry);
  cors::register_filter(registry);
  decompressor::register_filter(registry);
  fault::register_filter(registry);
  grpc_stats::register_filter(registry);
  grpc_web::register_filter(registry);
  header_mutation::register_filter(registry);
  health_check::register_filter(registry);
  local_ratelimit::register_filter(registry);
  router::register_filter(registry);
  stateful_session::register_filter(registry);
}

}  // namespace fairlead::filters
