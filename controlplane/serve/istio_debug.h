// What istioctl asks over ADS with types below "istio.io/debug", answered as istiod does: `proxy-status` (…/syncz), `proxy-status POD` (…/config_dump),
// `experimental internal-debug` (the type itself, with what would be a path below /debug/ as the one name). Pure; the caller's thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "controlplane/serve/client_status.h"

namespace fairlead::serve {

bool is_debug_type(std::string_view type_url);

// A resource of an answer. What is in it is a message of its type, but for "istio.io/debug" itself: there it is JSON, or a text.
struct DebugResource {
  std::string name, type_url, bytes;
};

// Of what there is not, none. ResourceExhausted: the answer would be too large.
absl::StatusOr<std::vector<DebugResource>> debug_answer(const cpstream::Request& request, const EachStream& each, const inspect::Now& now);

}  // namespace fairlead::serve
