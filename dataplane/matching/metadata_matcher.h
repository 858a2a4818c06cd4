// Conditions on metadata: what filters, listeners and hosts have written about a connection, a request or themselves. Compiled once from their
// proto on the main thread, immutable, for any thread; `match` does not allocate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/matching/matchers.h"

namespace google::protobuf {
class Value;
}
namespace envoy::config::core::v3 {
class Metadata;
}
namespace envoy::type::matcher::v3 {
class MetadataMatcher;
class ValueMatcher;
}

namespace fairlead::matching {

// A condition on one value.
class ValueMatcher {
 public:
  // Errors name the part of `field`.
  static absl::StatusOr<ValueMatcher> compile(const envoy::type::matcher::v3::ValueMatcher& proto, const std::string& field);
  bool match(const google::protobuf::Value* value) const;  // null: there is none

 private:
  enum class Kind : uint8_t { Null, Exact, Range, String, Bool, Present, List, Or };
  Kind kind_ = Kind::Present;
  double low_ = 0, high_ = 0;  // half-open
  bool flag_ = false;
  std::optional<StringMatcher> string_;
  std::vector<ValueMatcher> children_;
};

// The value at a path within one filter's part of metadata. What is missing on the way is a missing value, which only some conditions match.
class MetadataMatcher {
 public:
  // Errors name the part of `field`.
  static absl::StatusOr<MetadataMatcher> compile(const envoy::type::matcher::v3::MetadataMatcher& proto, const std::string& field);
  // The value that it asks about; null: there is none. `metadata` may be null.
  const google::protobuf::Value* find(const envoy::config::core::v3::Metadata* metadata) const;
  bool match(const google::protobuf::Value* value) const { return value_.match(value) != invert_; }
  bool match(const envoy::config::core::v3::Metadata* metadata) const { return match(find(metadata)); }
  std::string describe() const;  // "metadata example.filter[tier][name]"

 private:
  explicit MetadataMatcher(ValueMatcher value) : value_(std::move(value)) {}
  std::string filter_;
  std::vector<std::string> path_;
  ValueMatcher value_;
  bool invert_ = false;
};

}  // namespace fairlead::matching
