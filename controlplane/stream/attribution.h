// Which resources of a refused response a NACK's message means. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fairlead::cpstream {

// Those of `names` the message names. Envoy's "Error adding/updating listener(s) NAME: …", one per line, and
// "Error adding/updating cluster(s) NAME: …, NAME: …" are read as such; in other texts a name counts when it stands alone
// (quoted, or between characters that names do not have). Empty when no name is found.
std::vector<std::string> named_by(std::string_view message, const std::vector<std::string>& names);

}  // namespace fairlead::cpstream
