// Protobuf messages as documents: proto3's JSON mapping with original field names and every known Any opened.
// Pure; any thread.
// Invariants: never fails: an Any that cannot be opened is shown as base64; equal messages give equal documents.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/doc_build.h"
#include "base/doc_proto.h"
#include "base/doc_proto_read.h"
#include "base/strings.h"

namespace fairlead::doc {

namespace pb = google::protobuf;

namespace {

// Any in Any in Any…: each level is parsed anew, so protobuf's own limit does not hold.
constexpr int deepest = 100;

Value real(double value) {
  if (std::isnan(value)) return string("NaN");
  if (std::isinf(value)) return string(value > 0 ? "Infinity" : "-Infinity");
  // Whole numbers are written without a fraction, as protobuf does; up to here a double holds them exactly.
  if (value == std::floor(value) && std::fabs(value) < 9007199254740992.0 && !(value == 0 && std::signbit(value))) {
    return integer(static_cast<std::int64_t>(value));
  }
  return number(value);
}

// 0.1f is written 0.1, not 0.10000000149011612.
Value real(float value) {
  if (!std::isfinite(value)) return real(static_cast<double>(value));
  char text[32];
  *std::to_chars(text, text + sizeof text - 1, value).ptr = '\0';
  return real(std::strtod(text, nullptr));
}

std::string base64(const std::string& bytes) { return absl::Base64Escape(bytes); }

template <typename T>
T generated(const pb::Message& message) {
  if (const auto* same = dynamic_cast<const T*>(&message)) return *same;
  T copy;
  copy.ParseFromString(message.SerializeAsString());
  return copy;
}

Value from_struct(const pb::Struct& fields);

Value from_value(const pb::Value& value) {
  switch (value.kind_case()) {
    case pb::Value::kBoolValue: return boolean(value.bool_value());
    case pb::Value::kNumberValue: return real(value.number_value());
    case pb::Value::kStringValue: return string(value.string_value());
    case pb::Value::kStructValue: return from_struct(value.struct_value());
    case pb::Value::kListValue: {
      std::vector<Value> items;
      for (const pb::Value& item : value.list_value().values()) items.push_back(from_value(item));
      return list(std::move(items));
    }
    case pb::Value::kNullValue:
    case pb::Value::KIND_NOT_SET: return null();
  }
  return null();
}

Value sorted_map(std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  return map_without_duplicates(std::move(entries), {});
}

Value from_struct(const pb::Struct& fields) {
  std::vector<Entry> entries;
  for (const auto& [key, value] : fields.fields()) entries.push_back({key, from_value(value), {}});
  return sorted_map(std::move(entries));
}

Value print(const pb::Message& message, int depth);

Value enum_value(const pb::EnumDescriptor* type, int number) {
  if (type->full_name() == "google.protobuf.NullValue") return null();
  const pb::EnumValueDescriptor* named = type->FindValueByNumber(number);
  return named == nullptr ? integer(number) : string(named->name());
}

// `index` below 0: the field is not repeated.
Value field_value(const pb::Message& message, const pb::FieldDescriptor* field, int index, int depth) {
  const pb::Reflection* reflection = message.GetReflection();
  const bool one = index < 0;
#define FL_GET(Type) (one ? reflection->Get##Type(message, field) : reflection->GetRepeated##Type(message, field, index))
  switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32: return integer(FL_GET(Int32));
    case pb::FieldDescriptor::CPPTYPE_UINT32: return integer(FL_GET(UInt32));
    case pb::FieldDescriptor::CPPTYPE_INT64: return string(absl::StrCat(FL_GET(Int64)));
    case pb::FieldDescriptor::CPPTYPE_UINT64: return string(absl::StrCat(FL_GET(UInt64)));
    case pb::FieldDescriptor::CPPTYPE_DOUBLE: return real(FL_GET(Double));
    case pb::FieldDescriptor::CPPTYPE_FLOAT: return real(FL_GET(Float));
    case pb::FieldDescriptor::CPPTYPE_BOOL: return boolean(FL_GET(Bool));
    case pb::FieldDescriptor::CPPTYPE_ENUM: return enum_value(field->enum_type(), FL_GET(EnumValue));
    case pb::FieldDescriptor::CPPTYPE_STRING: {
      std::string text = FL_GET(String);
      return string(field->type() == pb::FieldDescriptor::TYPE_BYTES ? base64(text) : std::move(text));
    }
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: return print(FL_GET(Message), depth + 1);
  }
#undef FL_GET
  return null();
}

std::string key_text(const Value& value) {
  if (value.is_string()) return value.as_string();
  return to_json(value);
}

Value map_value(const pb::Message& message, const pb::FieldDescriptor* field, int depth) {
  std::vector<Entry> entries;
  const pb::Reflection* reflection = message.GetReflection();
  const pb::Descriptor* pair = field->message_type();
  const int size = reflection->FieldSize(message, field);
  for (int i = 0; i < size; ++i) {
    const pb::Message& entry = reflection->GetRepeatedMessage(message, field, i);
    entries.push_back({key_text(field_value(entry, pair->map_key(), -1, depth)), field_value(entry, pair->map_value(), -1, depth), {}});
  }
  return sorted_map(std::move(entries));
}

void add_fields(const pb::Message& message, std::vector<Entry>& out, int depth) {
  std::vector<const pb::FieldDescriptor*> set;
  const pb::Reflection* reflection = message.GetReflection();
  reflection->ListFields(message, &set);
  for (const pb::FieldDescriptor* field : set) {
    Value value;
    if (field->is_map()) {
      value = map_value(message, field, depth);
    } else if (field->is_repeated()) {
      std::vector<Value> items;
      const int size = reflection->FieldSize(message, field);
      items.reserve(static_cast<std::size_t>(size));
      for (int i = 0; i < size; ++i) items.push_back(field_value(message, field, i, depth));
      value = list(std::move(items));
    } else {
      value = field_value(message, field, -1, depth);
    }
    out.push_back({field->name(), std::move(value), {}});
  }
}

Value from_any(const pb::Any& any, int depth) {
  if (any.type_url().empty() && any.value().empty()) return map_without_duplicates({}, {});
  std::vector<Entry> entries;
  entries.push_back({"@type", string(any.type_url()), {}});
  const pb::Descriptor* type = depth < deepest ? find_message(any.type_url()) : nullptr;
  std::unique_ptr<pb::Message> inside = type == nullptr ? nullptr : make_message(type);
  if (inside == nullptr || !inside->ParsePartialFromString(any.value())) {
    entries.push_back({"value", string(base64(any.value())), {}});
  } else if (has_own_form(type)) {
    entries.push_back({"value", print(*inside, depth + 1), {}});
  } else {
    add_fields(*inside, entries, depth);
  }
  return map_without_duplicates(std::move(entries), {});
}

Value field_mask(const pb::FieldMask& mask) {
  std::string text;
  for (const std::string& path : mask.paths()) absl::StrAppend(&text, text.empty() ? "" : ",", camel_case(path));
  return string(std::move(text));
}

Value print_known(const pb::Message& message, int depth) {
  const pb::Descriptor* type = message.GetDescriptor();
  if (is_wrapper(type)) return field_value(message, type->FindFieldByNumber(1), -1, depth);
  const std::string_view name = type->name();
  if (name == "Any") return from_any(generated<pb::Any>(message), depth);
  if (name == "FieldMask") return field_mask(generated<pb::FieldMask>(message));
  if (name == "Struct") return from_struct(generated<pb::Struct>(message));
  if (name == "Value") return from_value(generated<pb::Value>(message));
  if (name == "ListValue") {
    pb::Value whole;
    *whole.mutable_list_value() = generated<pb::ListValue>(message);
    return from_value(whole);
  }
  if (name == "Duration") {
    const auto duration = generated<pb::Duration>(message);
    return string(format_proto_duration(duration.seconds(), duration.nanos()));
  }
  const auto time = generated<pb::Timestamp>(message);
  return string(format_rfc3339(time.seconds(), time.nanos()));
}

Value print(const pb::Message& message, int depth) {
  if (has_own_form(message.GetDescriptor())) return print_known(message, depth);
  std::vector<Entry> entries;
  add_fields(message, entries, depth);
  return map_without_duplicates(std::move(entries), {});
}

}  // namespace

Value from_message(const pb::Message& message) { return print(message, 0); }

absl::StatusOr<Value> from_bytes(std::string_view name, std::string_view bytes) {
  FL_ASSIGN_OR_RETURN(const std::unique_ptr<pb::Message> message, parse_message(name, bytes));
  return from_message(*message);
}

}  // namespace fairlead::doc
