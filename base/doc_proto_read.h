// Private to base: the reader behind to_message, spread over doc_proto.cc (messages, maps, lists), doc_proto_scalar.cc and
// doc_proto_known.cc (google.protobuf's own types).
// One per call, one thread.
// Invariant: recursion is as deep as the document, whose depth its parser has bounded.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/status.h"

namespace fairlead::doc {

// A path as a chain of stack frames: text is only made for errors.
struct FieldPath {
  static constexpr std::size_t no_index = static_cast<std::size_t>(-1);
  const FieldPath* up = nullptr;
  std::string_view name;  // a field or a map key; with null data: see index
  std::size_t index = no_index;

  std::string to_string() const;
};

class MessageReader {
 public:
  explicit MessageReader(const ToMessageOptions& options) : options_(options), errors_(options.max_errors) {}

  void message(const Value& value, google::protobuf::Message* message, const FieldPath& path);
  absl::Status status() const { return errors_.status(); }

 private:
  using Message = google::protobuf::Message;
  using FieldDescriptor = google::protobuf::FieldDescriptor;

  void fields(const Value& value, Message* message, const FieldPath& path, bool inside_any);
  void repeated_field(const Value& value, Message* message, const FieldDescriptor* field, const FieldPath& path);
  void map_field(const Value& value, Message* message, const FieldDescriptor* field, const FieldPath& path);
  // A field that was read before and rules this one out.
  static const FieldDescriptor* clash(const FieldDescriptor* field, const std::vector<const FieldDescriptor*>& seen);

  // Sets the field, or adds to it when repeated.
  void scalar(const Value& value, Message* message, const FieldDescriptor* field, const FieldPath& path);
  void enumeration(const Value& value, Message* message, const FieldDescriptor* field, const FieldPath& path);

  // True when the message is one of google.protobuf's types with a form of their own, and has been dealt with.
  bool well_known(const Value& value, Message* message, const FieldPath& path);
  void any(const Value& value, Message* message, const FieldPath& path);
  void duration(const Value& value, Message* message, const FieldPath& path);
  void timestamp(const Value& value, Message* message, const FieldPath& path);
  void field_mask(const Value& value, Message* message, const FieldPath& path);

  void error(const Mark& mark, const FieldPath& path, std::string_view message);
  void expected(const Value& value, const FieldPath& path, std::string_view what);
  void unknown(const Mark& mark, const FieldPath& path, std::string_view message);

  const ToMessageOptions& options_;
  ErrorList errors_;
};

// Whether proto3's JSON gives the type a form of its own, so that inside an Any it stands under "value".
bool has_own_form(const google::protobuf::Descriptor* type);
bool is_wrapper(const google::protobuf::Descriptor* type);

// "connect_timeout" -> "connectTimeout", as protobuf makes JSON names; and back.
std::string camel_case(std::string_view snake);
std::string snake_case(std::string_view camel);

}  // namespace fairlead::doc
