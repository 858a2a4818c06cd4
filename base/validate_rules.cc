// The rule kinds of protoc-gen-validate, one function each. Ranges: with a lower and an upper limit the value must be
// between them, or, when the upper limit is below the lower one, outside.
#include "base/validate_rules.h"

#include <arpa/inet.h>

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdlib>
#include <map>
#include <mutex>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/strings.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "re2/re2.h"

namespace fairlead::rules {
namespace {

namespace pb = google::protobuf;
using validate::FieldRules;

// Of protoc-gen-validate's KnownRegex. The strict forms follow RFC 7230 (and pseudo-headers); the loose ones only
// refuse what would end a header line.
constexpr std::string_view kHeaderName = "^:?[0-9a-zA-Z!#$%&'*+-.^_|~`]+$";
constexpr std::string_view kHeaderValue = "^[^\\x{00}-\\x{08}\\x{0A}-\\x{1F}\\x{7F}]*$";
constexpr std::string_view kHeaderLoose = "^[^\\x{00}\\x{0A}\\x{0D}]*$";

const re2::RE2* shared_pattern(std::string_view text) {
  static std::mutex mutex;
  static auto* patterns = new std::map<std::string, re2::RE2, std::less<>>;
  const std::lock_guard lock(mutex);
  auto it = patterns->find(text);
  if (it == patterns->end()) {
    it = patterns->try_emplace(std::string(text), re2::StringPiece(text.data(), text.size()), re2::RE2::Quiet).first;
  }
  return &it->second;
}

// Of the patterns above: the usual characters, which need no automaton.
bool in_header_name(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; }
bool in_header_value(char c) { return c >= 0x20 && c < 0x7F; }

bool (*surely_of(std::string_view pattern))(char) {
  return pattern == kHeaderName ? in_header_name : pattern == kHeaderValue || pattern == kHeaderLoose ? in_header_value : nullptr;
}

std::string_view pattern_of(const validate::StringRules& rules) {
  switch (rules.well_known_regex()) {
    case validate::HTTP_HEADER_NAME:
      return rules.strict() ? kHeaderName : kHeaderLoose;
    case validate::HTTP_HEADER_VALUE:
      return rules.strict() ? kHeaderValue : kHeaderLoose;
    default:
      return rules.pattern();
  }
}

// --- comparisons, for numbers, durations and timestamps -----------------------------------------------------------

struct Instant {  // a Duration or Timestamp
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
  bool timestamp = false;
  friend auto operator<=>(const Instant& a, const Instant& b) {
    return a.seconds != b.seconds ? a.seconds <=> b.seconds : a.nanos <=> b.nanos;
  }
  friend bool operator==(const Instant& a, const Instant& b) { return a.seconds == b.seconds && a.nanos == b.nanos; }
};

std::string text_of(const Instant& value) {
  return value.timestamp ? format_rfc3339(value.seconds, value.nanos)
                         : format_proto_duration(value.seconds, value.nanos);
}
template <typename T>
std::string text_of(T value) {
  return absl::StrCat(value);
}

Instant instant(const pb::Duration& value) { return {value.seconds(), value.nanos(), false}; }
Instant instant(const pb::Timestamp& value) { return {value.seconds(), value.nanos(), true}; }
template <typename T>
T instant(T value) {
  return value;
}

template <typename T, typename Rules>
bool check_range(const Rules& rules, const T& value, std::string& why) {
  const bool low = rules.has_gt() || rules.has_gte();
  const bool high = rules.has_lt() || rules.has_lte();
  if (!low && !high) {
    return true;
  }
  const T lower = instant(rules.has_gt() ? rules.gt() : rules.gte());
  const T upper = instant(rules.has_lt() ? rules.lt() : rules.lte());
  const bool above = low && (rules.has_gt() ? value > lower : value >= lower);
  const bool below = high && (rules.has_lt() ? value < upper : value <= upper);
  const bool inverted = low && high && !(upper > lower);
  if (inverted ? above || below : (above || !low) && (below || !high)) {
    return true;
  }
  const std::string lower_text =
      low ? absl::StrCat(rules.has_gt() ? "greater than " : "at least ", text_of(lower)) : "";
  const std::string upper_text = high ? absl::StrCat(rules.has_lt() ? "less than " : "at most ", text_of(upper)) : "";
  why = absl::StrCat("must be ", lower_text, low && high ? (inverted ? " or " : " and ") : "", upper_text);
  return false;
}

template <typename T, typename Rules>
bool check_lists(const Rules& rules, const T& value, std::string& why) {
  const auto equal = [&](const auto& listed) { return instant(listed) == value; };
  const auto texts = [](const auto& list) {
    return absl::StrJoin(list, ", ", [](std::string* out, const auto& listed) { *out += text_of(instant(listed)); });
  };
  if (rules.in_size() > 0 && std::none_of(rules.in().begin(), rules.in().end(), equal)) {
    why = absl::StrCat("must be one of ", texts(rules.in()));
    return false;
  }
  if (std::any_of(rules.not_in().begin(), rules.not_in().end(), equal)) {
    why = absl::StrCat("must be none of ", texts(rules.not_in()));
    return false;
  }
  return true;
}

template <typename T, typename Rules>
bool check_const(const Rules& rules, const T& value, std::string& why) {
  if (rules.has_const_() && value != instant(rules.const_())) {
    why = absl::StrCat("must be ", text_of(T(instant(rules.const_()))));
    return false;
  }
  return true;
}

template <typename T, typename Rules>
bool check_number(const Rules& rules, T value, std::string& why) {
  if (rules.ignore_empty() && value == T{}) {
    return true;
  }
  return check_const(rules, value, why) && check_range(rules, value, why) && check_lists(rules, value, why);
}

// --- text -----------------------------------------------------------------------------------------------------------

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string limits(std::uint64_t low, bool has_high, std::uint64_t high, std::string_view unit) {
  if (low > 0 && has_high) {
    return low == high ? absl::StrCat("exactly ", low, " ", unit) : absl::StrCat(low, " to ", high, " ", unit);
  }
  return has_high ? absl::StrCat("at most ", high, " ", unit) : absl::StrCat("at least ", low, " ", unit);
}

bool check_size(std::uint64_t size, std::uint64_t low, bool has_high, std::uint64_t high, std::string_view unit,
                std::string& why) {
  if (size >= low && (!has_high || size <= high)) {
    return true;
  }
  why = low == 1 && size == 0 ? std::string("must not be empty")
                              : absl::StrCat("must have ", limits(low, has_high, high, unit));
  return false;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kLimit = 64;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kLimit)), text.size() > kLimit ? "\"…" : "\"");
}

template <typename List>
bool check_text_lists(const List& in, const List& not_in, std::string_view value, std::string& why) {
  const auto texts = [](const List& list) {
    return absl::StrJoin(list, ", ", [](std::string* out, const std::string& listed) { *out += quoted(listed); });
  };
  if (!in.empty() && std::find(in.begin(), in.end(), value) == in.end()) {
    why = absl::StrCat("must be one of ", texts(in));
    return false;
  }
  if (std::find(not_in.begin(), not_in.end(), value) != not_in.end()) {
    why = absl::StrCat("must be none of ", texts(not_in));
    return false;
  }
  return true;
}

bool matches(const RuleSet& set, std::string_view value) {
  if (set.surely != nullptr && !value.empty() && std::all_of(value.begin(), value.end(), set.surely)) {
    return true;
  }
  return re2::RE2::FullMatch({value.data(), value.size()}, *set.pattern);
}

// What string and bytes rules share.
template <typename Rules>
bool check_content(const Rules& rules, const RuleSet& set, std::string_view value, std::string& why) {
  if (rules.has_const_() && value != rules.const_()) {
    why = absl::StrCat("must be ", quoted(rules.const_()));
  } else if (rules.has_prefix() && !absl::StartsWith(value, rules.prefix())) {
    why = absl::StrCat("must start with ", quoted(rules.prefix()));
  } else if (rules.has_suffix() && !absl::EndsWith(value, rules.suffix())) {
    why = absl::StrCat("must end with ", quoted(rules.suffix()));
  } else if (rules.has_contains() && !absl::StrContains(value, rules.contains())) {
    why = absl::StrCat("must contain ", quoted(rules.contains()));
  } else if (set.pattern != nullptr && !matches(set, value)) {
    why = absl::StrCat("must match the regular expression ", set.pattern->pattern());
  } else {
    return check_text_lists(rules.in(), rules.not_in(), value, why);
  }
  return false;
}

bool is_address(int family, const std::string& text) {
  in6_addr room;
  return inet_pton(family, text.c_str(), &room) == 1;
}

bool is_hostname(std::string_view text) {
  if (text.empty() || text.size() > 253) {
    return false;
  }
  for (std::string_view label : absl::StrSplit(absl::StripSuffix(text, "."), '.')) {
    const bool dashed = absl::StartsWith(label, "-") || absl::EndsWith(label, "-");
    const auto legal = [](char c) { return absl::ascii_isalnum(c) || c == '-'; };
    if (label.empty() || label.size() > 63 || dashed || !std::all_of(label.begin(), label.end(), legal)) {
      return false;
    }
  }
  return true;
}

bool is_uuid(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
    if (dash ? text[at] != '-' : !absl::ascii_isxdigit(text[at])) {
      return false;
    }
  }
  return text.size() == 36;
}

bool check_form(const validate::StringRules& rules, const std::string& value, std::string& why) {
  const bool v4 = is_address(AF_INET, value);
  const bool v6 = is_address(AF_INET6, value);
  if (rules.ip() && !v4 && !v6) {
    why = "must be an IP address";
  } else if (rules.ipv4() && !v4) {
    why = "must be an IPv4 address";
  } else if (rules.ipv6() && !v6) {
    why = "must be an IPv6 address";
  } else if (rules.hostname() && !is_hostname(value)) {
    why = "must be a host name";
  } else if (rules.address() && !v4 && !v6 && !is_hostname(value)) {
    why = "must be a host name or an IP address";
  } else if (rules.uuid() && !is_uuid(value)) {
    why = "must be a UUID";
  } else {
    return true;
  }
  return false;
}

bool check_string(const validate::StringRules& rules, const RuleSet& set, std::string_view value, std::string& why) {
  if (rules.ignore_empty() && value.empty()) {
    return true;
  }
  if (rules.has_len() && !check_size(characters(value), rules.len(), true, rules.len(), "characters", why)) {
    return false;
  }
  if (rules.has_len_bytes() && !check_size(value.size(), rules.len_bytes(), true, rules.len_bytes(), "bytes", why)) {
    return false;
  }
  if (rules.has_not_contains() && absl::StrContains(value, rules.not_contains())) {
    why = absl::StrCat("must not contain ", quoted(rules.not_contains()));
    return false;
  }
  if ((rules.min_len() > 0 || rules.has_max_len()) &&
      !check_size(characters(value), rules.min_len(), rules.has_max_len(), rules.max_len(), "characters", why)) {
    return false;
  }
  if (!check_size(value.size(), rules.min_bytes(), rules.has_max_bytes(), rules.max_bytes(), "bytes", why) ||
      !check_content(rules, set, value, why)) {
    return false;
  }
  const bool well_known_form = rules.well_known_case() != validate::StringRules::WELL_KNOWN_NOT_SET &&
                               rules.well_known_case() != validate::StringRules::kWellKnownRegex;
  return !well_known_form || check_form(rules, std::string(value), why);
}

bool check_bytes(const validate::BytesRules& rules, const RuleSet& set, std::string_view value, std::string& why) {
  if (rules.ignore_empty() && value.empty()) {
    return true;
  }
  if (rules.has_len() && !check_size(value.size(), rules.len(), true, rules.len(), "bytes", why)) {
    return false;
  }
  if ((rules.ipv4() && value.size() != 4) || (rules.ipv6() && value.size() != 16) ||
      (rules.ip() && value.size() != 4 && value.size() != 16)) {
    why = "must be the bytes of an IP address";
    return false;
  }
  return check_size(value.size(), rules.min_len(), rules.has_max_len(), rules.max_len(), "bytes", why) &&
         check_content(rules, set, value, why);
}

bool check_enum(const validate::EnumRules& rules, const Scalar& value, std::string& why) {
  const auto number = static_cast<std::int32_t>(value.integer);
  const pb::EnumDescriptor* type = value.field->enum_type();
  const auto name = [&](int listed) {
    const pb::EnumValueDescriptor* known = type->FindValueByNumber(listed);
    return known == nullptr ? absl::StrCat(listed) : known->name();
  };
  const auto names = [&](const auto& list) {
    return absl::StrJoin(list, ", ", [&](std::string* out, int listed) { *out += name(listed); });
  };
  if (rules.has_const_() && number != rules.const_()) {
    why = absl::StrCat("must be ", name(rules.const_()));
  } else if (rules.defined_only() && type->FindValueByNumber(number) == nullptr) {
    why = absl::StrCat("must be a value of ", type->full_name());
  } else if (rules.in_size() > 0 && std::find(rules.in().begin(), rules.in().end(), number) == rules.in().end()) {
    why = absl::StrCat("must be one of ", names(rules.in()));
  } else if (std::find(rules.not_in().begin(), rules.not_in().end(), number) != rules.not_in().end()) {
    why = absl::StrCat("must be none of ", names(rules.not_in()));
  } else {
    return true;
  }
  return false;
}

// --- messages -------------------------------------------------------------------------------------------------------

bool check_timestamp(const validate::TimestampRules& rules, const Instant& value, std::string& why) {
  if (!check_const(rules, value, why) || !check_range(rules, value, why)) {
    return false;
  }
  const auto since_epoch = RealClock::instance().system().time_since_epoch();
  const auto now_seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count();
  const Instant now{now_seconds, 0, true};
  if (rules.lt_now() && !(value < now)) {
    why = "must be in the past";
  } else if (rules.gt_now() && !(value > now)) {
    why = "must be in the future";
  } else if (rules.has_within() && std::abs(value.seconds - now_seconds) > rules.within().seconds()) {
    why = absl::StrCat("must be within ", text_of(instant(rules.within())), " of now");
  } else {
    return true;
  }
  return false;
}

bool check_any(const validate::AnyRules& rules, const std::string& type_url, std::string& why) {
  return check_text_lists(rules.in(), rules.not_in(), type_url, why);
}

// Seconds and nanos by reflection: the message may be dynamic.
Instant instant_of(const pb::Message& value, bool timestamp) {
  if (const auto* duration = dynamic_cast<const pb::Duration*>(&value)) {
    return instant(*duration);
  }
  const pb::Descriptor* type = value.GetDescriptor();
  const pb::Reflection* reflection = value.GetReflection();
  return {reflection->GetInt64(value, type->FindFieldByNumber(1)),
          reflection->GetInt32(value, type->FindFieldByNumber(2)), timestamp};
}

}  // namespace

RuleSet compile(const FieldRules& rules) {
  std::string_view pattern;
  if (rules.has_string()) {
    pattern = pattern_of(rules.string());
  } else if (rules.has_bytes()) {
    pattern = rules.bytes().pattern();
  }
  return {&rules, pattern.empty() ? nullptr : shared_pattern(pattern), surely_of(pattern)};
}

std::string unsupported(const FieldRules& rules) {
  if (const RuleSet set = compile(rules); set.pattern != nullptr && !set.pattern->ok()) {
    return absl::StrCat("pattern (", set.pattern->error(), ")");
  }
  if (rules.has_string()) {  // protoc-gen-validate's C++ generator refuses these three as well
    return rules.string().email() ? "email" : rules.string().uri() ? "uri" : rules.string().uri_ref() ? "uri_ref" : "";
  }
  return rules.has_map() && rules.map().no_sparse() ? "no_sparse" : "";
}

Scalar read(const pb::Message& message, const pb::FieldDescriptor* field, int index, std::string& scratch) {
  const pb::Reflection* reflection = message.GetReflection();
  const bool one = index < 0;
  Scalar value;
  value.field = field;
  switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32:
      value.integer = one ? reflection->GetInt32(message, field) : reflection->GetRepeatedInt32(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_INT64:
      value.integer = one ? reflection->GetInt64(message, field) : reflection->GetRepeatedInt64(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      value.unsigned_integer =
          one ? reflection->GetUInt32(message, field) : reflection->GetRepeatedUInt32(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      value.unsigned_integer =
          one ? reflection->GetUInt64(message, field) : reflection->GetRepeatedUInt64(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
      value.number = one ? reflection->GetFloat(message, field) : reflection->GetRepeatedFloat(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      value.number = one ? reflection->GetDouble(message, field) : reflection->GetRepeatedDouble(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      value.boolean = one ? reflection->GetBool(message, field) : reflection->GetRepeatedBool(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      value.integer =
          one ? reflection->GetEnumValue(message, field) : reflection->GetRepeatedEnumValue(message, field, index);
      break;
    case pb::FieldDescriptor::CPPTYPE_STRING:
      value.text = one ? reflection->GetStringReference(message, field, &scratch)
                       : reflection->GetRepeatedStringReference(message, field, index, &scratch);
      break;
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return value;
}

std::string to_string(const Scalar& value) {
  switch (value.field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32:
    case pb::FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(value.integer);
    case pb::FieldDescriptor::CPPTYPE_UINT32:
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(value.unsigned_integer);
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(value.number);
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return value.boolean ? "true" : "false";
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      const auto* known = value.field->enum_type()->FindValueByNumber(static_cast<int>(value.integer));
      return known == nullptr ? absl::StrCat(value.integer) : known->name();
    }
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return quoted(value.text);
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

bool check(const RuleSet& set, const Scalar& value, std::string& why) {
  if (set.rules == nullptr) {
    return true;
  }
  const FieldRules& rules = *set.rules;
  const auto integer32 = static_cast<std::int32_t>(value.integer);
  const auto unsigned32 = static_cast<std::uint32_t>(value.unsigned_integer);
  switch (rules.type_case()) {
    case FieldRules::kFloat:
      return check_number(rules.float_(), static_cast<float>(value.number), why);
    case FieldRules::kDouble:
      return check_number(rules.double_(), value.number, why);
    case FieldRules::kInt32:
      return check_number(rules.int32(), integer32, why);
    case FieldRules::kInt64:
      return check_number(rules.int64(), value.integer, why);
    case FieldRules::kUint32:
      return check_number(rules.uint32(), unsigned32, why);
    case FieldRules::kUint64:
      return check_number(rules.uint64(), value.unsigned_integer, why);
    case FieldRules::kSint32:
      return check_number(rules.sint32(), integer32, why);
    case FieldRules::kSint64:
      return check_number(rules.sint64(), value.integer, why);
    case FieldRules::kFixed32:
      return check_number(rules.fixed32(), unsigned32, why);
    case FieldRules::kFixed64:
      return check_number(rules.fixed64(), value.unsigned_integer, why);
    case FieldRules::kSfixed32:
      return check_number(rules.sfixed32(), integer32, why);
    case FieldRules::kSfixed64:
      return check_number(rules.sfixed64(), value.integer, why);
    case FieldRules::kBool:
      if (rules.bool_().has_const_() && value.boolean != rules.bool_().const_()) {
        why = rules.bool_().const_() ? "must be true" : "must be false";
        return false;
      }
      return true;
    case FieldRules::kString:
      return check_string(rules.string(), set, value.text, why);
    case FieldRules::kBytes:
      return check_bytes(rules.bytes(), set, value.text, why);
    case FieldRules::kEnum:
      return check_enum(rules.enum_(), value, why);
    default:
      return true;
  }
}

bool check(const RuleSet& set, const pb::Message& value, std::string& why) {
  if (set.rules == nullptr) {
    return true;
  }
  switch (set.rules->type_case()) {
    case FieldRules::kDuration: {
      const Instant duration = instant_of(value, false);
      const validate::DurationRules& rules = set.rules->duration();
      return check_const(rules, duration, why) && check_range(rules, duration, why) &&
             check_lists(rules, duration, why);
    }
    case FieldRules::kTimestamp:
      return check_timestamp(set.rules->timestamp(), instant_of(value, true), why);
    case FieldRules::kAny: {
      std::string scratch;
      const pb::FieldDescriptor* field = value.GetDescriptor()->FindFieldByNumber(pb::Any::kTypeUrlFieldNumber);
      return check_any(set.rules->any(), value.GetReflection()->GetStringReference(value, field, &scratch), why);
    }
    default:
      return true;
  }
}

bool check_duration(const pb::Message& value, std::string& why) {
  // Envoy 1.40: DurationUtil::durationToMilliseconds: not negative, and nanoseconds of 63 bits must hold it (292 years)
  constexpr std::int64_t kMostSeconds = 9'223'372'035;
  constexpr std::int32_t kMostNanos = 999'999'999;
  const Instant duration = instant_of(value, false);
  if (duration.seconds < 0 || duration.nanos < 0) {
    why = "must not be negative";
    return false;
  }
  if (duration.seconds > kMostSeconds || duration.nanos > kMostNanos) {
    why = "is out of a duration's range";
    return false;
  }
  return true;
}

std::string to_string(const pb::Message& value) {
  switch (value.GetDescriptor()->well_known_type()) {
    case pb::Descriptor::WELLKNOWNTYPE_DURATION:
      return text_of(instant_of(value, false));
    case pb::Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return text_of(instant_of(value, true));
    case pb::Descriptor::WELLKNOWNTYPE_ANY: {
      std::string scratch;
      const pb::FieldDescriptor* field = value.GetDescriptor()->FindFieldByNumber(pb::Any::kTypeUrlFieldNumber);
      return value.GetReflection()->GetStringReference(value, field, &scratch);
    }
    default:
      return "";
  }
}

bool is_required(const RuleSet& set) {
  if (set.rules == nullptr) {
    return false;
  }
  const FieldRules& rules = *set.rules;
  return rules.message().required() || rules.duration().required() || rules.timestamp().required() ||
         rules.any().required();
}

}  // namespace fairlead::rules
