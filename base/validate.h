// Envoy's `validate.rules` (protoc-gen-validate), enforced for any message by reflection: what Envoy 1.40 refuses
// because of such a rule is refused here, with the path of the field, the limit and the value. Any thread. The rules of
// a type are compiled once per process, so a type's descriptor must live as long; subtrees without rules are skipped:
// 10,000 clusters take some 30 ms. Refused as well, as by Envoy: fields and enum values that are deprecated and
// disallowed by default, and durations that are negative or out of range, wherever they stand. Invariant: values of fields marked sensitive (private keys, passwords) never appear in a
// message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace fairlead {

struct Violation {
  std::string path;     // "clusters[0].connect_timeout", as base/doc_proto.h writes paths; "" for the message itself
  std::string message;  // "must be greater than 0s (value -1s)"
};

struct ValidateOptions {
  std::string_view path;  // where the message stands; put before every path
  // Also check what each Any of a known type holds. Envoy checks an Any when the extension that owns it reads it; leave
  // this off where the owner validates what it unpacks.
  bool open_any = false;
  std::size_t max_violations = 20;  // stops looking after so many
  bool* met_any = nullptr;          // set to true where an Any with content was met and left closed: open_any would look at more
};

// All violations in the order of the fields; empty when the message obeys its rules.
std::vector<Violation> violations(const google::protobuf::Message& message, const ValidateOptions& options = {});

// OK, or InvalidArgument with one "path: message" a line.
absl::Status validate(const google::protobuf::Message& message, const ValidateOptions& options = {});

// The rules on a type that this file cannot enforce, as "field: rule"; empty for every type of the Envoy API.
std::vector<std::string> unsupported_rules(const google::protobuf::Descriptor* descriptor);

}  // namespace fairlead
