// See watched_kinds.h.
#include "apps/pipeline/watched_kinds.h"

#include "adapters/core/core.h"
#include "adapters/gatewayapi/translate.h"
#include "adapters/ingress/translate.h"
#include "adapters/provision/parameters.h"
#include "adapters/xds/envoy_resources.h"

namespace fairlead::pipeline {

std::vector<adapters::WatchedKind> watched_kinds() {
  std::vector<adapters::WatchedKind> all;
  for (const auto& of : {adapters::core::watched_kinds, adapters::gatewayapi::watched_kinds, adapters::ingress::watched_kinds, adapters::xds::watched_kinds, adapters::provision::watched_kinds}) {
    for (adapters::WatchedKind& kind : of()) all.push_back(std::move(kind));
  }
  return all;
}

}  // namespace fairlead::pipeline
