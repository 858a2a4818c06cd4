// The cache filter's configuration. Pure; also linked by the control plane.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/config/registry.h"
#include "dataplane/matching/matchers.h"

namespace fairlead::filters::cache {

struct Config final : config::FilterConfig {
  bool disabled = false;
  bool ignore_request_cache_control = false;
  uint64_t max_body_bytes = 0;  // 0: the store's own bound
  std::vector<matching::StringMatcher> allowed_vary;  // a response that varies by any other field is not kept
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::cache
