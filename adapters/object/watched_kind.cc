// See watched_kind.h.
#include "adapters/object/watched_kind.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fairlead::adapters {

std::string plural_of(std::string_view kind) {
  std::string name = absl::AsciiStrToLower(kind);
  if (absl::EndsWith(name, "s") || absl::EndsWith(name, "x") || absl::EndsWith(name, "ch")) return name + "es";
  if (absl::EndsWith(name, "y") && !absl::EndsWith(name, "ay") && !absl::EndsWith(name, "ey")) return absl::StrCat(name.substr(0, name.size() - 1), "ies");
  return name + "s";
}

}  // namespace fairlead::adapters
