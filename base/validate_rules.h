// Private to base/validate.cc and base/screen.cc: one rule set against one value. Pure; any thread.
// A RuleSet points into the options of a descriptor, which live as long as the process.
// Invariant: `why` is written only when a check fails, and then says what must hold, without the value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "validate/validate.pb.h"

namespace re2 {
class RE2;
}

namespace fairlead::rules {

struct RuleSet {
  const validate::FieldRules* rules = nullptr;  // null: nothing to check
  const re2::RE2* pattern = nullptr;            // of string or bytes rules: `pattern` or the well-known regex
  bool (*surely)(char) = nullptr;               // a text, not empty, of such characters alone matches the pattern; null: none is known
};

// Compiles the pattern; patterns are shared by all fields that use the same one.
RuleSet compile(const validate::FieldRules& rules);
// The names of rules that `check` and its siblings do not enforce; none in the Envoy API.
std::string unsupported(const validate::FieldRules& rules);

// A scalar field, an item, a map key or value, or the content of a wrapper such as UInt32Value.
struct Scalar {
  std::int64_t integer = 0;  // signed types and enums
  std::uint64_t unsigned_integer = 0;
  double number = 0;  // float and double
  bool boolean = false;
  std::string_view text;  // string and bytes
  const google::protobuf::FieldDescriptor* field = nullptr;
};

// index < 0: the singular field. `scratch` holds the text when the message does not.
Scalar read(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor* field, int index,
            std::string& scratch);
// For error texts: 12, "text" with escapes and at most 64 bytes, ENUM_NAME.
std::string to_string(const Scalar& value);

bool check(const RuleSet& set, const Scalar& value, std::string& why);
// Duration, Timestamp or Any, present; true for any other message.
bool check(const RuleSet& set, const google::protobuf::Message& value, std::string& why);
// What holds for every Duration in a configuration, with rules or without.
bool check_duration(const google::protobuf::Message& value, std::string& why);
// "" for messages that have no short form.
std::string to_string(const google::protobuf::Message& value);
// The message must be present.
bool is_required(const RuleSet& set);

}  // namespace fairlead::rules
