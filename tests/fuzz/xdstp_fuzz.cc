// Names that clients give: whatever they are, the canonical form of one is its own, names the same type, and belongs to the same glob.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "controlplane/resources/xdstp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fairlead::resources;
  const std::string_view name(reinterpret_cast<const char*>(data), size);
  const bool glob = is_glob(name);
  const std::string of = glob_of(name);
  if (!of.empty() && !is_glob(of)) abort();
  const std::optional<std::string> canonical = canonical_xdstp(name);
  if (!canonical) return 0;
  if (!is_xdstp(*canonical) || canonical->size() > name.size()) abort();
  if (canonical_xdstp(*canonical) != canonical) abort();
  if (type_in_xdstp(*canonical) != type_in_xdstp(name) || type_in_xdstp(name).empty()) abort();
  if (is_glob(*canonical) != glob || canonical_xdstp(of) != glob_of(*canonical)) abort();
  return 0;
}
