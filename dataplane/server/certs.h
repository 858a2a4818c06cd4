// The admin endpoint /certs: every certificate that listeners and clusters serve or trust, as Envoy 1.40 lists them. Main thread.
#pragma once

#include <chrono>
#include <string>

#include "dataplane/config/snapshot.h"

namespace fairlead::server {

std::string certificates_json(const config::Snapshot* snapshot, std::chrono::system_clock::time_point now);
// Until the first of them expires; nothing where there is none.
std::optional<uint32_t> days_until_first_expires(const config::Snapshot* snapshot, std::chrono::system_clock::time_point now);

}  // namespace fairlead::server
