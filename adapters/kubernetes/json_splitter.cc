// See json_splitter.h.
#include "adapters/kubernetes/json_splitter.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

namespace fairlead::adapters::kubernetes {

namespace {
constexpr size_t kLongestKey = 16;  // "items" is the only one that matters
constexpr int kDeepest = 1000;
}  // namespace

absl::Status JsonSplitter::feed(std::string_view bytes) {
  if (cancelled_) return absl::CancelledError("ended by the reader");
  for (size_t at = 0; at < bytes.size();) {
    // a run of bytes that change nothing, then one that may
    size_t end = at;
    if (escaped_) {
      end = at + 1;
      escaped_ = false;
    } else if (in_string_) {
      end = std::min(bytes.find_first_of("\"\\", at), bytes.size());
    } else {
      end = std::min(bytes.find_first_of("{}[]\"", at), bytes.size());
    }
    const std::string_view run = bytes.substr(at, end - at);
    const bool inside = capturing();
    if (inside) {
      value_.append(run);
    } else if (mode_ == Mode::kItems && !in_items_) {
      around_.append(run);
      if (in_string_ && depth_ == 1) last_string_.append(run.substr(0, kLongestKey - std::min(kLongestKey, last_string_.size())));
    } else if (run.find_first_not_of(" \t\r\n,") != std::string_view::npos && !in_string_) {
      return absl::InvalidArgumentError(absl::StrCat("expected an object, got \"", run.substr(0, 40), "\""));
    }
    at = end;
    if (at == bytes.size()) break;
    if (in_string_ && end < bytes.size() && (bytes[end] == '"' || bytes[end] == '\\')) {
      const char c = bytes[end];
      (inside ? value_ : around_).push_back(c);
      if (c == '\\') {
        escaped_ = true;
        if (!inside && depth_ == 1) last_string_.push_back(c);  // whatever it is, it is not "items"
      } else {
        in_string_ = false;
      }
      ++at;
      continue;
    }
    if (in_string_) continue;  // after an escape
    if (absl::Status s = structural(bytes[at]); !s.ok()) return s;
    ++at;
  }
  if (value_.size() > limits_.value) return absl::ResourceExhaustedError(absl::StrCat("an object of more than ", limits_.value, " bytes"));
  if (around_.size() > limits_.around) return absl::ResourceExhaustedError(absl::StrCat("more than ", limits_.around, " bytes around the items of a list"));
  return absl::OkStatus();
}

absl::Status JsonSplitter::structural(char c) {
  const bool begins = c == '{' || c == '[';
  const int outer = mode_ == Mode::kValues ? 0 : 2;
  const bool among = mode_ == Mode::kValues ? depth_ == 0 : in_items_ && depth_ == 2;  // where values begin
  if (among && !capturing()) {
    if (c == '{') {
      value_depth_ = outer;
      value_.clear();
    } else if (mode_ == Mode::kItems && c == ']') {
      in_items_ = false;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("expected an object, got \"", std::string(1, c), "\""));
    }
  }
  if (c == '"') {
    in_string_ = true;
    if (!capturing() && depth_ == 1) last_string_.clear();
  } else if (begins) {
    if (done_) return absl::InvalidArgumentError("text after the end of the list");
    if (++depth_ > kDeepest) return absl::InvalidArgumentError("nested too deep");
  } else if (--depth_ < 0) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(1, c), "\" ends what has not begun"));
  }
  if (capturing()) {
    value_.push_back(c);
    if (depth_ > value_depth_ || in_string_) return absl::OkStatus();
    value_depth_ = -1;
    cancelled_ = !on_value_(value_);
    value_.clear();
    if (value_.capacity() > size_t{256} << 10) value_.shrink_to_fit();
    return cancelled_ ? absl::CancelledError("ended by the reader") : absl::OkStatus();
  }
  around_.push_back(c);
  if (c == '[' && depth_ == 2 && last_string_ == "items") in_items_ = true;
  if (c == '}' && depth_ == 0) done_ = true;
  return absl::OkStatus();
}

}  // namespace fairlead::adapters::kubernetes
