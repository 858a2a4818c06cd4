// Most assignments are alike but for names, addresses and weights: of those a look at the bytes says at once that fairlead-proxy takes them, at a
// fortieth of what its parser costs. A "yes" is certain; a "no" only says that the parser has to be asked, which also has the words for it.
// Pure; any thread. Invariant: what is called plain here is taken by config::parse_endpoints (plain_assignment_test.cc tries to find bytes of which that
// is not so).
#pragma once

#include <string_view>

namespace fairlead::pipeline {

// Whether the bytes are a ClusterLoadAssignment with nothing in it but a name, localities with their names and weights, and endpoints at IP addresses
// and ports with theirs, each in the order of the fields, and all of it within its bounds.
bool is_plain_assignment(std::string_view bytes);

}  // namespace fairlead::pipeline
