// google.protobuf's own types, which proto3's JSON writes in forms of their own: Any, Duration, Timestamp, FieldMask, Struct,
// Value, ListValue and the wrappers.
// Pure; any thread.
// Invariant: a dynamic message of such a type is filled like the generated one.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/descriptors.h"
#include "base/doc_proto_read.h"
#include "base/serialize.h"
#include "base/strings.h"

namespace fairlead::doc {

namespace pb = google::protobuf;

namespace {

constexpr std::string_view package = "google.protobuf.";

// The generated class when the message is of it; else a copy goes through bytes.
template <typename T>
void assign(pb::Message* message, T&& made) {
  if (auto* generated = dynamic_cast<std::decay_t<T>*>(message)) {
    *generated = std::forward<T>(made);
  } else {
    message->ParseFromString(made.SerializeAsString());
  }
}

void fill_list(const Value& value, pb::ListValue* out);
void fill_struct(const Value& value, pb::Struct* out);

void fill_value(const Value& value, pb::Value* out) {
  switch (value.kind()) {
    case Kind::null: return out->set_null_value(pb::NULL_VALUE);
    case Kind::boolean: return out->set_bool_value(value.as_boolean());
    case Kind::integer:
    case Kind::unsigned_integer:
    case Kind::number: return out->set_number_value(value.as_number());
    case Kind::string: return out->set_string_value(value.as_string());
    case Kind::list: return fill_list(value, out->mutable_list_value());
    case Kind::map: return fill_struct(value, out->mutable_struct_value());
  }
}

void fill_list(const Value& value, pb::ListValue* out) {
  for (const Value& item : value.items()) fill_value(item, out->add_values());
}

void fill_struct(const Value& value, pb::Struct* out) {
  for (const Entry& entry : value.entries()) fill_value(entry.value, &(*out->mutable_fields())[entry.key]);
}

}  // namespace

bool is_wrapper(const pb::Descriptor* type) {
  return absl::StartsWith(type->full_name(), package) && type->file()->name() == "google/protobuf/wrappers.proto";
}

bool has_own_form(const pb::Descriptor* type) {
  std::string_view name = type->full_name();
  if (!absl::StartsWith(name, package)) return false;
  name.remove_prefix(package.size());
  return name == "Any" || name == "Duration" || name == "Timestamp" || name == "FieldMask" || name == "Struct" || name == "Value" ||
         name == "ListValue" || is_wrapper(type);
}

std::string camel_case(std::string_view snake) {
  std::string out;
  bool upper = false;
  for (const char c : snake) {
    if (c == '_') {
      upper = true;
    } else {
      out.push_back(upper ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c);
      upper = false;
    }
  }
  return out;
}

std::string snake_case(std::string_view camel) {
  std::string out;
  for (const char c : camel) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c))) out.push_back('_');
    out.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

bool MessageReader::well_known(const Value& value, pb::Message* message, const FieldPath& path) {
  const pb::Descriptor* type = message->GetDescriptor();
  if (!has_own_form(type)) return false;
  const std::string_view name = std::string_view(type->full_name()).substr(package.size());
  // Envoy 1.40 also reads {seconds: 1} and {value: 7}: the message behind the short form.
  if (value.is_map() && (is_wrapper(type) || name == "Duration" || name == "Timestamp")) {
    fields(value, message, path, false);
    return true;
  }
  if (is_wrapper(type)) {
    // A wrapper is written as what it wraps.
    scalar(value, message, type->FindFieldByNumber(1), path);
    return true;
  }
  if (name == "Any") any(value, message, path);
  if (name == "Duration") duration(value, message, path);
  if (name == "Timestamp") timestamp(value, message, path);
  if (name == "FieldMask") field_mask(value, message, path);
  if (name == "Value") {
    pb::Value made;
    fill_value(value, &made);
    assign(message, std::move(made));
  }
  if (name == "Struct") {
    pb::Struct made;
    value.is_map() ? fill_struct(value, &made) : expected(value, path, "a map");
    assign(message, std::move(made));
  }
  if (name == "ListValue") {
    pb::ListValue made;
    value.is_list() ? fill_list(value, &made) : expected(value, path, "a list");
    assign(message, std::move(made));
  }
  return true;
}

void MessageReader::any(const Value& value, pb::Message* message, const FieldPath& path) {
  if (!value.is_map()) return expected(value, path, "a map with \"@type\"");
  if (value.size() == 0) return;
  const Value* type = value.find("@type");
  if (type == nullptr) {
    return error(value.mark(), path, "\"@type\" is required, for example \"@type\": type.googleapis.com/google.protobuf.Struct");
  }
  const FieldPath type_path{&path, "@type"};
  if (!type->is_string()) return expected(*type, type_path, "a string");
  const std::string& url = type->as_string();
  if (const auto slash = url.find('/'); slash == std::string::npos || slash == 0) {
    return expected(*type, type_path, absl::StrCat("a type URL like \"", type_url("package.Message"), "\""));
  }
  auto made = make_message(url);
  if (!made.ok()) return error(type->mark(), type_path, made.status().message());
  pb::Message* inside = made->get();
  if (has_own_form(inside->GetDescriptor())) {
    for (const Entry& entry : value.entries()) {
      const FieldPath here{&path, entry.key};
      if (entry.key == "value") {
        this->message(entry.value, inside, here);
      } else if (entry.key != "@type") {
        unknown(entry.key_mark, here, absl::StrCat("unknown field; ", inside->GetDescriptor()->full_name(), " stands under \"value\""));
      }
    }
  } else {
    fields(value, inside, path, true);
  }
  pb::Any packed;
  packed.set_type_url(url);
  packed.set_value(serialize(*inside));
  assign(message, std::move(packed));
}

void MessageReader::duration(const Value& value, pb::Message* message, const FieldPath& path) {
  const auto parsed = value.is_string() ? parse_proto_duration(value.as_string()) : std::nullopt;
  if (!parsed) return expected(value, path, "a duration like \"0.25s\"");
  pb::Duration made;
  made.set_seconds(parsed->seconds);
  made.set_nanos(parsed->nanos);
  assign(message, std::move(made));
}

void MessageReader::timestamp(const Value& value, pb::Message* message, const FieldPath& path) {
  const auto parsed = value.is_string() ? parse_rfc3339(value.as_string()) : std::nullopt;
  if (!parsed) return expected(value, path, "a time like \"2020-01-31T12:00:00Z\"");
  pb::Timestamp made;
  made.set_seconds(parsed->seconds);
  made.set_nanos(parsed->nanos);
  assign(message, std::move(made));
}

void MessageReader::field_mask(const Value& value, pb::Message* message, const FieldPath& path) {
  if (!value.is_string()) return expected(value, path, "field names separated by commas");
  pb::FieldMask made;
  for (const std::string_view name : absl::StrSplit(value.as_string(), ',', absl::SkipEmpty())) made.add_paths(snake_case(name));
  assign(message, std::move(made));
}

}  // namespace fairlead::doc
