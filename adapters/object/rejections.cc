// See rejections.h.
#include "adapters/object/rejections.h"

#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::adapters {

namespace {
constexpr size_t kMostErrors = 5;  // named in one condition; all of them are in `fairlead conditions`
}  // namespace

std::string errors_text(const std::vector<const Diagnostic*>& diagnostics) {
  std::string out;
  size_t errors = 0;
  for (const Diagnostic* d : diagnostics) {
    if (d->severity != Severity::kError || ++errors > kMostErrors) continue;
    absl::StrAppend(&out, out.empty() ? "" : "; ", d->field, d->field.empty() ? "" : ": ", d->message);
  }
  if (errors > kMostErrors) absl::StrAppend(&out, "; and ", errors - kMostErrors, " more");
  return out;
}

Rejections::Rejections(const ObjectSnapshot& snapshot, std::string_view group) : snapshot_(snapshot), group_(group) {
  for (const Diagnostic& d : snapshot.diagnostics()) {
    if (d.severity == Severity::kError && d.object.group == group_) errors_[d.object].push_back(&d);
  }
}

std::string Rejections::message(const ObjectKey& key) const {
  const auto found = errors_.find(key);
  std::string out = found == errors_.end() ? "" : errors_text(found->second);
  if (snapshot_.find(key)) absl::StrAppend(&out, out.empty() ? "" : "; ", "its last good version stays in use");
  return out;
}

void Rejections::report(std::string_view kind, StatusSink& status) const {
  for (const auto& [key, object] : snapshot_.rejected()) {
    if (key.group == group_ && key.kind == kind) status.set(key, {}, {"Accepted", Truth::kFalse, "Invalid", message(key), object->generation});
  }
}

}  // namespace fairlead::adapters
