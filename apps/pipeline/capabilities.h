// What versions of clients are known to lack: fields that an old Envoy does not know, so that a resource with them means something else to it, or
// nothing. Only what Envoy's own release notes say stands here; a client that is not named is taken to know everything. Pure; any thread.
#pragma once

#include <vector>

#include "controlplane/resources/resource.h"
#include "controlplane/snapshot/update.h"

namespace fairlead::pipeline {

// Who cannot use the resource, each with the field and what would become of it; `resource` is left to the caller.
std::vector<snapshot::Unfit> lacking_clients(const resources::Resource& resource);

}  // namespace fairlead::pipeline
