// The order in which connects to the addresses of one endpoint are raced. Pure.
#pragma once

#include <vector>

#include "dataplane/config/cluster.h"
#include "dataplane/net/address.h"

namespace fairlead::upstream {

// Families interleaved, the order within each kept; addresses that are no IP stay where they are: then nothing is moved.
std::vector<net::Address> interleave(std::vector<net::Address> addresses, const config::HappyEyeballs& options);

}  // namespace fairlead::upstream
