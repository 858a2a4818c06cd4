// Helpers over absl::Status: errors are values, and every error carries its place.
// Pure functions and value types; usable from any thread. Nothing here allocates on the success path.
// Invariant: prefixing or collecting keeps the code of the (first) error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define FL_STATUS_CONCAT_INNER(a, b) a##b
#define FL_STATUS_CONCAT(a, b) FL_STATUS_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expression` (an absl::Status) is not OK.
#define FL_RETURN_IF_ERROR(expression)                                  \
  do {                                                                  \
    if (absl::Status fl_status = (expression); !fl_status.ok()) {       \
      return fl_status;                                                 \
    }                                                                   \
  } while (false)

// FL_ASSIGN_OR_RETURN(auto x, f()): x gets the value of the StatusOr, or the enclosing function returns its status.
#define FL_ASSIGN_OR_RETURN(target, expression) \
  FL_ASSIGN_OR_RETURN_INNER(FL_STATUS_CONCAT(fl_status_or_, __LINE__), target, expression)
#define FL_ASSIGN_OR_RETURN_INNER(variable, target, expression) \
  auto variable = (expression);                                 \
  if (!variable.ok()) {                                         \
    return std::move(variable).status();                        \
  }                                                             \
  target = std::move(variable).value()

namespace fairlead {

// "place: message" with the same code; an OK status or an empty place changes nothing.
absl::Status prefix(std::string_view place, const absl::Status& status);

// Several errors found in one pass, in the order found. `limit` bounds memory under hostile input: errors past it are
// only counted. Not thread safe.
class ErrorList {
 public:
  explicit ErrorList(std::size_t limit = 100) : limit_(limit) {}

  void add(absl::Status status);  // OK is ignored
  void add(std::string_view place, std::string_view message);  // InvalidArgument "place: message"

  // Adds the error of a StatusOr; true when there was none.
  template <typename T>
  bool check(const absl::StatusOr<T>& value) {
    add(value.status());
    return value.ok();
  }

  bool empty() const { return count_ == 0; }
  std::size_t count() const { return count_; }
  const std::vector<absl::Status>& errors() const { return errors_; }
  std::vector<std::string> messages() const;

  // OK, the only error, or all messages on lines of their own ("and N more" when over the limit) under the first's code.
  absl::Status status() const;

 private:
  std::size_t limit_;
  std::size_t count_ = 0;
  std::vector<absl::Status> errors_;
};

}  // namespace fairlead
