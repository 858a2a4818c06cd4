// The decompressor filter's configuration. Pure; also linked by the control plane.
#pragma once

#include "dataplane/compression/library.h"
#include "dataplane/config/registry.h"
#include "dataplane/matching/runtime.h"

namespace fairlead::filters::decompressor {

struct Direction {
  matching::RuntimeFlag enabled;
  bool ignore_no_transform = false;
};

struct Config final : config::FilterConfig {
  compression::Library<compression::Decompressor> library;
  Direction request, response;
  bool advertise = true;  // Envoy 1.40: true, advertise_accept_encoding
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::decompressor
