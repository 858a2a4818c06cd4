// Documents to protobuf messages: proto3's JSON mapping over reflection. The well-known types are in doc_proto_known.cc,
// scalars in doc_proto_scalar.cc, the way back in doc_proto_print.cc.
// Pure; any thread.
// Invariant: every error names file:line, field path and what was expected; after an error the other fields are still read.
#include "base/doc_proto.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/doc_proto_read.h"
#include "base/doc_reader.h"
#include "base/strings.h"

namespace fairlead::doc {

namespace pb = google::protobuf;

std::string FieldPath::to_string() const {
  const std::string above = up == nullptr ? std::string() : up->to_string();
  if (name.data() == nullptr) return index == no_index ? above : join_path(above, index);
  if (up == nullptr) return std::string(name);
  return join_path(above, name);
}

void MessageReader::error(const Mark& mark, const FieldPath& path, std::string_view message) {
  errors_.add(error_at(mark, path.to_string(), message));
}

void MessageReader::expected(const Value& value, const FieldPath& path, std::string_view what) {
  const bool collection = value.is_list() || value.is_map() || value.is_null();
  error(value.mark(), path, absl::StrCat("expected ", what, ", got ", collection ? std::string(kind_name(value.kind())) : value.describe()));
}

void MessageReader::unknown(const Mark& mark, const FieldPath& path, std::string_view message) {
  if (options_.unknown != nullptr) {
    options_.unknown->push_back(error_at(mark, path.to_string(), message));
  } else {
    error(mark, path, message);
  }
}

void MessageReader::message(const Value& value, pb::Message* message, const FieldPath& path) {
  if (well_known(value, message, path)) return;
  if (!value.is_map()) return expected(value, path, absl::StrCat("a map (", message->GetDescriptor()->full_name(), ")"));
  fields(value, message, path, false);
}

namespace {

const pb::FieldDescriptor* find_field(const pb::Descriptor* type, const std::string& key) {
  if (const pb::FieldDescriptor* field = type->FindFieldByName(key)) return field;
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == key) return type->field(i);
  }
  return nullptr;
}

std::string unknown_field(const pb::Descriptor* type, std::string_view key) {
  std::vector<std::string_view> names;
  for (int i = 0; i < type->field_count(); ++i) names.push_back(type->field(i)->name());
  const auto meant = closest(key, names);
  return absl::StrCat("unknown field of ", type->full_name(), meant ? absl::StrCat("; did you mean '", *meant, "'?") : "");
}

bool takes_null(const pb::FieldDescriptor* field) {
  if (field->is_repeated()) return false;
  if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) return field->message_type()->full_name() == "google.protobuf.Value";
  return field->cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM && field->enum_type()->full_name() == "google.protobuf.NullValue";
}

}  // namespace

void MessageReader::fields(const Value& value, pb::Message* message, const FieldPath& path, bool inside_any) {
  const pb::Descriptor* type = message->GetDescriptor();
  std::vector<const pb::FieldDescriptor*> seen;
  for (const Entry& entry : value.entries()) {
    if (inside_any && entry.key == "@type") continue;
    const pb::FieldDescriptor* field = find_field(type, entry.key);
    if (field == nullptr) {
      unknown(entry.key_mark, FieldPath{&path, entry.key}, unknown_field(type, entry.key));
      continue;
    }
    if (entry.value.is_null() && !takes_null(field)) continue;
    const FieldPath here{&path, field->name()};
    if (const pb::FieldDescriptor* other = clash(field, seen)) {
      error(entry.key_mark, here,
            other == field ? std::string("given twice, under both its names")
                           : absl::StrCat("'", other->name(), "' is set too, and only one of the alternatives of '",
                                          field->containing_oneof()->name(), "' can be"));
      continue;
    }
    seen.push_back(field);
    if (field->is_map()) {
      map_field(entry.value, message, field, here);
    } else if (field->is_repeated()) {
      repeated_field(entry.value, message, field, here);
    } else if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      this->message(entry.value, message->GetReflection()->MutableMessage(message, field), here);
    } else {
      scalar(entry.value, message, field, here);
    }
  }
}

const pb::FieldDescriptor* MessageReader::clash(const pb::FieldDescriptor* field, const std::vector<const pb::FieldDescriptor*>& seen) {
  for (const pb::FieldDescriptor* other : seen) {
    if (other == field) return other;
    if (field->real_containing_oneof() != nullptr && field->real_containing_oneof() == other->real_containing_oneof()) return other;
  }
  return nullptr;
}

void MessageReader::repeated_field(const Value& value, pb::Message* message, const pb::FieldDescriptor* field, const FieldPath& path) {
  if (!value.is_list()) return expected(value, path, "a list");
  std::size_t index = 0;
  for (const Value& item : value.items()) {
    const FieldPath here{&path, {}, index++};
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      this->message(item, message->GetReflection()->AddMessage(message, field), here);
    } else {
      scalar(item, message, field, here);
    }
  }
}

void MessageReader::map_field(const Value& value, pb::Message* message, const pb::FieldDescriptor* field, const FieldPath& path) {
  if (!value.is_map()) return expected(value, path, "a map");
  const pb::Descriptor* pair = field->message_type();
  const pb::FieldDescriptor* key_field = pair->map_key();
  const pb::FieldDescriptor* value_field = pair->map_value();
  for (const Entry& entry : value.entries()) {
    const FieldPath here{&path, entry.key};
    pb::Message* made = message->GetReflection()->AddMessage(message, field);
    scalar(string(entry.key, entry.key_mark), made, key_field, here);
    if (value_field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      this->message(entry.value, made->GetReflection()->MutableMessage(made, value_field), here);
    } else {
      scalar(entry.value, made, value_field, here);
    }
  }
}

Mark FieldMarks::find(std::string_view path) const {
  Value at = root_;
  Mark mark = root_.mark();
  while (!path.empty()) {
    std::string key;
    if (path.front() == '[') {
      std::size_t end = path.starts_with("[\"") ? path.find("\"]") : path.find(']');
      if (end == std::string_view::npos) break;
      const bool is_quoted = path.starts_with("[\"");
      key = std::string(path.substr(is_quoted ? 2 : 1, end - (is_quoted ? 2 : 1)));
      path.remove_prefix(end + (is_quoted ? 2 : 1));
    } else {
      const std::size_t end = std::min(path.find_first_of(".["), path.size());
      key = std::string(path.substr(0, end));
      path.remove_prefix(end);
    }
    if (path.starts_with('.')) path.remove_prefix(1);

    std::size_t index = 0;
    if (at.is_list() && absl::SimpleAtoi(key, &index) && index < at.size()) {
      const Value item = at.items()[index];
      at = item;
      if (at.mark().line != 0) mark = at.mark();
      continue;
    }
    const Entry* entry = at.find_entry(key);
    if (entry == nullptr) entry = at.find_entry(camel_case(key));
    if (entry == nullptr) break;
    if (entry->key_mark.line != 0) mark = entry->key_mark;
    const Value below = entry->value;
    at = below;
  }
  return mark;
}

absl::Status to_message(const Value& value, pb::Message* message, const ToMessageOptions& options) {
  message->Clear();
  if (options.marks != nullptr) *options.marks = FieldMarks(value);
  MessageReader reader(options);
  const FieldPath root{nullptr, options.path};
  reader.message(value.is_null() ? map({}, value.mark()) : value, message, root);
  return reader.status();
}

}  // namespace fairlead::doc
