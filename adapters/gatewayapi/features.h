// What GatewayClass.status.supportedFeatures says: names of the features of Gateway API's conformance suite. Private to the room.
#pragma once

#include <string>
#include <vector>

namespace fairlead::adapters::gatewayapi {

// All that the translation carries out, sorted. The suite takes them from the status and asks for no others.
const std::vector<std::string>& supported_features();

}  // namespace fairlead::adapters::gatewayapi
