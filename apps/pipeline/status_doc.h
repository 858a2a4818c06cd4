// Conditions of objects as a document, for the debug endpoints and `fairlead check`. Pure.
#pragma once

#include <vector>

#include "adapters/object/status.h"
#include "base/doc.h"

namespace fairlead::pipeline {

// {"objects": [{object, scopes: [{parent, section, attachedRoutes, conditions: [{type, status, reason, message}]}]}]}
doc::Value status_doc(const std::vector<const adapters::StatusSink*>& sinks);

}  // namespace fairlead::pipeline
