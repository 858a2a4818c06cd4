// What tls_inspector looks for, and how far. Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"
#include "dataplane/filters/listener/tls_inspector/client_hello.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::listener::tls_inspector {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";

enum class Stat : uint32_t {
  client_hello_too_large, tls_found, tls_not_found, alpn_found, alpn_not_found, sni_found, sni_not_found,
  first_histogram, bytes_processed = first_histogram
};
extern const stats::StatSet kStats;  // tls_inspector.

struct Config final : config::FilterConfig {
  Wanted wanted;
  bool close_on_errors = false;  // what is no ClientHello is closed instead of passed on
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::listener::tls_inspector
