// Documents to protobuf messages and back, by proto3's JSON mapping over reflection, with file:line, field path and value in
// every error: `edge.yaml:14: static_resources.clusters[0].connect_timeout: expected a duration like "0.25s", got "5 parsecs"`.
// Pure; any thread. Types inside Any come from base/descriptors.h (all of Envoy's API and our own).
// Invariants: original and camelCase names are both read, original names are written; an unknown field is an error unless
// collected; a oneof set twice is an error; what from_message writes, to_message reads back to an equal message, as long as
// every Any inside is of a known type.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/doc.h"
#include "base/status.h"

namespace google::protobuf {
class Message;
}

namespace fairlead::doc {

// Where each field of a message was written, for errors that are found later and name only a field path such as
// "static_resources.clusters[0].name" (original field names; fields inside an Any continue the path of the Any itself).
// Costs nothing until it is asked: it walks the document, which it keeps alive.
class FieldMarks {
 public:
  FieldMarks() = default;
  explicit FieldMarks(Value root) : root_(std::move(root)) {}

  // The mark of the path or of its nearest known ancestor; an unknown mark when there is no document.
  Mark find(std::string_view path) const;
  bool empty() const { return root_.is_null(); }

 private:
  Value root_;
};

struct ToMessageOptions {
  std::string path;                       // where the value stands in its document, prefixed to paths in errors
  std::vector<absl::Status>* unknown = nullptr;  // unknown fields and enum names are collected here instead of failing
  FieldMarks* marks = nullptr;            // set, for paths relative to the message
  std::size_t max_errors = 20;
};

// Fills the message (merging into what it holds is not done: it is cleared first). All errors are found, up to max_errors,
// one a line. The message must be of a generated type or from base/descriptors.h.
absl::Status to_message(const Value& value, google::protobuf::Message* message, const ToMessageOptions& options = {});

// Any message as a value: original field names, unset fields left out, 64-bit integers as strings, enums by name, Any opened
// with "@type" first. An Any of an unknown type or with broken bytes becomes {"@type": …, value: base64}. Map keys are sorted.
Value from_message(const google::protobuf::Message& message);

// The bytes of an Any's content, by type name ("envoy.config.cluster.v3.Cluster"). InvalidArgument when the type is unknown or
// the bytes are not of it.
absl::StatusOr<Value> from_bytes(std::string_view type_name, std::string_view bytes);

}  // namespace fairlead::doc
