// The bundled verdict: what fairlead-proxy itself would say to a resource, by the very code it runs. Pure: opens no file, no
// socket, no name. Any thread.
#pragma once

#include <absl/status/status.h>

#include "controlplane/resources/resource.h"

namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace fairlead::pipeline {

// Makes every extension of fairlead-proxy known to the parsers of its configuration. Once is enough, and again does no harm.
void register_extensions();

// OK, or why fairlead-proxy would refuse it, with the field. Types it does not subscribe to are OK.
absl::Status bundled_verdict(const resources::Resource& resource);
// The same of a route table that has been parsed from these bytes.
absl::Status route_table_verdict(const envoy::config::route::v3::RouteConfiguration& table, std::string_view bytes);

}  // namespace fairlead::pipeline
