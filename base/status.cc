// Helpers over absl::Status: prefixing with a place and collecting several errors.
// Pure functions and value types; usable from any thread.
// Invariant: the code of the (first) error is kept.
#include "base/status.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fairlead {

absl::Status prefix(std::string_view place, const absl::Status& status) {
  if (status.ok() || place.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(place, ": ", status.message()));
}

void ErrorList::add(absl::Status status) {
  if (status.ok()) return;
  if (errors_.size() < limit_) errors_.push_back(std::move(status));
  ++count_;
}

void ErrorList::add(std::string_view place, std::string_view message) {
  add(prefix(place, absl::InvalidArgumentError(message)));
}

std::vector<std::string> ErrorList::messages() const {
  std::vector<std::string> out;
  out.reserve(errors_.size());
  for (const absl::Status& error : errors_) out.emplace_back(error.message());
  return out;
}

absl::Status ErrorList::status() const {
  if (count_ == 0) return absl::OkStatus();
  if (errors_.empty()) return absl::InvalidArgumentError(absl::StrCat(count_, " errors"));
  if (count_ == 1) return errors_.front();
  std::string text = absl::StrJoin(messages(), "\n");
  if (count_ > errors_.size()) absl::StrAppend(&text, "\nand ", count_ - errors_.size(), " more");
  return absl::Status(errors_.front().code(), text);
}

}  // namespace fairlead
