// How names in certificates are compared. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/tls/options.h"

namespace fairlead::tls {

// Whether `pattern`, a DNS name of a certificate, covers `name`: equal but for case, or "*.example.test" for one label more.
bool dns_covers(std::string_view pattern, std::string_view name);
// Whether a certificate with these names may speak for `name`, a host's name or IP address.
bool names_cover(const std::vector<San>& names, std::string_view name);

}  // namespace fairlead::tls
