// Scalars of proto3's JSON mapping: integers also as strings, range checks, enums by name or number, bytes as base64.
// Pure; any thread.
// Invariant: no value is rounded, cut or wrapped silently, but for the precision of float itself.
#include <cfloat>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/doc_proto_read.h"
#include "base/strings.h"

namespace fairlead::doc {

namespace pb = google::protobuf;

namespace {

bool looks_numeric(std::string_view text) {
  // absl's parsers also take spaces around; the mapping does not.
  return !text.empty() && text.front() > ' ' && text.back() > ' ' && text.front() != '+';
}

template <typename T>
std::optional<T> from_real(double real) {
  // The bounds as doubles: the upper one is exclusive because max() itself may round up.
  const double low = static_cast<double>(std::numeric_limits<T>::min());
  const double high = std::ldexp(1.0, std::numeric_limits<T>::digits);
  if (real != std::floor(real) || !(real >= low && real < high)) return std::nullopt;
  return static_cast<T>(real);
}

template <typename T>
std::optional<T> read_integer(const Value& value) {
  switch (value.kind()) {
    case Kind::integer:
      if (!std::in_range<T>(value.as_integer())) return std::nullopt;
      return static_cast<T>(value.as_integer());
    case Kind::unsigned_integer:
      if (!std::in_range<T>(value.as_unsigned_integer())) return std::nullopt;
      return static_cast<T>(value.as_unsigned_integer());
    case Kind::number: return from_real<T>(value.as_number());
    case Kind::string: {
      T out = 0;
      if (looks_numeric(value.as_string()) && absl::SimpleAtoi(value.as_string(), &out)) return out;
      double real = 0;  // "1e3" is an integer as well
      if (looks_numeric(value.as_string()) && value.as_string().find_first_of("eE.") != std::string::npos &&
          absl::SimpleAtod(value.as_string(), &real)) {
        return from_real<T>(real);
      }
      return std::nullopt;
    }
    default: return std::nullopt;
  }
}

std::optional<double> read_real(const Value& value) {
  if (value.is_numeric()) return value.as_number();
  if (!value.is_string()) return std::nullopt;
  const std::string& text = value.as_string();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  double real = 0;
  const bool digits = looks_numeric(text) && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
  if (!digits || !absl::SimpleAtod(text, &real) || std::isinf(real)) return std::nullopt;
  return real;
}

std::optional<bool> read_boolean(const Value& value) {
  if (value.kind() == Kind::boolean) return value.as_boolean();
  if (value.as_string() == "true") return true;  // also the keys of map<bool, …>
  if (value.as_string() == "false") return false;
  return std::nullopt;
}

std::string range_text(std::string_view name, auto low, auto high) {
  return absl::StrCat(name, " from ", low, " to ", high);
}

}  // namespace

#define FL_SET(Type, value_)                                                       \
  (field->is_repeated() ? message->GetReflection()->Add##Type(message, field, value_) \
                        : message->GetReflection()->Set##Type(message, field, value_))

void MessageReader::scalar(const Value& value, pb::Message* message, const pb::FieldDescriptor* field, const FieldPath& path) {
  const auto integer_field = [&]<typename T>(T, auto set) {
    if (const auto number = read_integer<T>(value)) return set(*number);
    expected(value, path, range_text("an integer", std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  };
  switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32: return integer_field(std::int32_t{}, [&](std::int32_t n) { FL_SET(Int32, n); });
    case pb::FieldDescriptor::CPPTYPE_INT64: return integer_field(std::int64_t{}, [&](std::int64_t n) { FL_SET(Int64, n); });
    case pb::FieldDescriptor::CPPTYPE_UINT32: return integer_field(std::uint32_t{}, [&](std::uint32_t n) { FL_SET(UInt32, n); });
    case pb::FieldDescriptor::CPPTYPE_UINT64: return integer_field(std::uint64_t{}, [&](std::uint64_t n) { FL_SET(UInt64, n); });
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      if (const auto real = read_real(value)) return FL_SET(Double, *real);
      return expected(value, path, "a number");
    case pb::FieldDescriptor::CPPTYPE_FLOAT: {
      const auto real = read_real(value);
      const bool fits = real && (std::isnan(*real) || std::isinf(*real) || std::fabs(*real) <= FLT_MAX);
      if (fits) return FL_SET(Float, static_cast<float>(*real));
      return expected(value, path, real ? "a number that fits 32 bits" : "a number");
    }
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      if (const auto flag = read_boolean(value)) return FL_SET(Bool, *flag);
      return expected(value, path, "true or false");
    case pb::FieldDescriptor::CPPTYPE_ENUM: return enumeration(value, message, field, path);
    case pb::FieldDescriptor::CPPTYPE_STRING: {
      if (!value.is_string()) return expected(value, path, field->type() == pb::FieldDescriptor::TYPE_BYTES ? "base64 text" : "a string");
      if (field->type() != pb::FieldDescriptor::TYPE_BYTES) return FL_SET(String, value.as_string());
      if (const auto bytes = decode_base64(value.as_string())) return FL_SET(String, *bytes);
      return expected(value, path, "base64 text");
    }
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: return;  // messages never come here
  }
}

void MessageReader::enumeration(const Value& value, pb::Message* message, const pb::FieldDescriptor* field, const FieldPath& path) {
  const pb::EnumDescriptor* type = field->enum_type();
  if (value.is_null() && type->full_name() == "google.protobuf.NullValue") return FL_SET(EnumValue, 0);
  if (value.is_string()) {
    if (const pb::EnumValueDescriptor* named = type->FindValueByName(value.as_string())) return FL_SET(EnumValue, named->number());
  }
  if (const auto number = read_integer<std::int32_t>(value)) {
    const bool closed = field->file()->syntax() == pb::FileDescriptor::SYNTAX_PROTO2;
    if (!closed || type->FindValueByNumber(*number) != nullptr) return FL_SET(EnumValue, *number);
  }
  if (!value.is_string()) return expected(value, path, absl::StrCat("a name of the enum ", type->full_name()));
  std::vector<std::string_view> names;
  std::string list;
  for (int i = 0; i < type->value_count(); ++i) {
    names.push_back(type->value(i)->name());
    if (i < 12) absl::StrAppend(&list, i == 0 ? "" : ", ", type->value(i)->name());
  }
  if (type->value_count() > 12) list += ", …";
  const auto meant = closest(value.as_string(), names);
  unknown(value.mark(), path,
          absl::StrCat("expected one of ", list, ", got ", value.describe(), meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
}

#undef FL_SET

}  // namespace fairlead::doc
