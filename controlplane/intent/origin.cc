// How origins and findings read. Pure; any thread.
#include "controlplane/intent/origin.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

namespace fairlead::intent {

std::string Origin::object() const {
  if (kind.empty()) return name;
  return ns.empty() ? absl::StrCat(kind, " ", name) : absl::StrCat(kind, " ", ns, "/", name);
}

std::string Origin::place() const {
  if (!file.empty()) return line > 0 ? absl::StrCat(file, ":", line) : file;
  return generation > 0 ? absl::StrCat(object(), "@", generation) : object();
}

std::string Origin::str() const {
  std::string out = file.empty() ? place() : absl::StrCat(place(), ": ", object());
  if (!field.empty()) absl::StrAppend(&out, ": ", field);
  return out;
}

bool Origin::same_object(const Origin& other) const {
  return group == other.group && kind == other.kind && ns == other.ns && name == other.name;
}

void add_origin(Origins& to, const Origin& origin) {
  if (std::find(to.begin(), to.end(), origin) == to.end()) to.push_back(origin);
}

std::string_view severity_name(Severity s) {
  switch (s) {
    case Severity::kError: return "error";
    case Severity::kWarning: return "warning";
    case Severity::kNote: return "note";
  }
  return "error";
}

std::string Finding::str() const { return absl::StrCat(origin.str(), ": ", reason, ": ", message); }

}  // namespace fairlead::intent
