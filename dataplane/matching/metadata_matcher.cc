// See metadata_matcher.h.
#include "dataplane/matching/metadata_matcher.h"

#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>

#include <algorithm>

#include "base/status.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/type/matcher/v3/metadata.pb.h"
#include "envoy/type/matcher/v3/value.pb.h"

namespace fairlead::matching {

absl::StatusOr<ValueMatcher> ValueMatcher::compile(const envoy::type::matcher::v3::ValueMatcher& proto, const std::string& field) {
  using Proto = envoy::type::matcher::v3::ValueMatcher;
  ValueMatcher out;
  const auto child = [&](const Proto& inner, const std::string& place) -> absl::Status {
    FL_ASSIGN_OR_RETURN(ValueMatcher made, compile(inner, place));
    out.children_.push_back(std::move(made));
    return absl::OkStatus();
  };
  switch (proto.match_pattern_case()) {
    case Proto::kNullMatch: out.kind_ = Kind::Null; return out;
    case Proto::kBoolMatch: out.kind_ = Kind::Bool; out.flag_ = proto.bool_match(); return out;
    case Proto::kPresentMatch: out.kind_ = Kind::Present; out.flag_ = proto.present_match(); return out;
    case Proto::kStringMatch: {
      out.kind_ = Kind::String;
      auto made = StringMatcher::compile(proto.string_match());
      if (!made.ok()) return prefix(field + ".string_match", made.status());
      out.string_ = *std::move(made);
      return out;
    }
    case Proto::kDoubleMatch:
      out.kind_ = proto.double_match().has_range() ? Kind::Range : Kind::Exact;
      out.low_ = proto.double_match().has_range() ? proto.double_match().range().start() : proto.double_match().exact();
      out.high_ = proto.double_match().range().end();
      return out;
    case Proto::kListMatch:
      out.kind_ = Kind::List;
      FL_RETURN_IF_ERROR(child(proto.list_match().one_of(), field + ".list_match.one_of"));
      return out;
    case Proto::kOrMatch:
      out.kind_ = Kind::Or;
      for (int i = 0; i < proto.or_match().value_matchers_size(); ++i)
        FL_RETURN_IF_ERROR(child(proto.or_match().value_matchers(i), absl::StrCat(field, ".or_match.value_matchers[", i, "]")));
      return out;
    case Proto::MATCH_PATTERN_NOT_SET: break;
  }
  return absl::InvalidArgumentError(field + ": one of its patterns must be set");
}

bool ValueMatcher::match(const google::protobuf::Value* value) const {
  using V = google::protobuf::Value;
  const auto kind = value == nullptr ? V::KIND_NOT_SET : value->kind_case();
  switch (kind_) {
    case Kind::Null: return kind == V::kNullValue;
    case Kind::Exact: return kind == V::kNumberValue && value->number_value() == low_;
    case Kind::Range: return kind == V::kNumberValue && value->number_value() >= low_ && value->number_value() < high_;
    case Kind::String: return kind == V::kStringValue && string_->match(value->string_value());
    case Kind::Bool: return kind == V::kBoolValue && value->bool_value() == flag_;
    // Envoy 1.40: `false` matches nothing at all, and what has parts is not present
    case Kind::Present: return flag_ && kind != V::KIND_NOT_SET && kind != V::kListValue && kind != V::kStructValue;
    case Kind::List:
      if (kind != V::kListValue) return false;
      return std::any_of(value->list_value().values().begin(), value->list_value().values().end(), [&](const V& one) { return children_[0].match(&one); });
    case Kind::Or: return std::any_of(children_.begin(), children_.end(), [&](const ValueMatcher& one) { return one.match(value); });
  }
  return false;
}

absl::StatusOr<MetadataMatcher> MetadataMatcher::compile(const envoy::type::matcher::v3::MetadataMatcher& proto, const std::string& field) {
  FL_ASSIGN_OR_RETURN(ValueMatcher value, ValueMatcher::compile(proto.value(), field + ".value"));
  MetadataMatcher out(std::move(value));
  out.filter_ = proto.filter();
  out.invert_ = proto.invert();
  for (const auto& segment : proto.path()) out.path_.push_back(segment.key());
  return out;
}

const google::protobuf::Value* MetadataMatcher::find(const envoy::config::core::v3::Metadata* metadata) const {
  if (metadata == nullptr) return nullptr;
  const auto found = metadata->filter_metadata().find(filter_);
  const google::protobuf::Struct* level = found == metadata->filter_metadata().end() ? nullptr : &found->second;
  const google::protobuf::Value* value = nullptr;
  for (const std::string& step : path_) {
    if (level == nullptr) return nullptr;
    const auto next = level->fields().find(step);
    value = next == level->fields().end() ? nullptr : &next->second;
    level = value != nullptr && value->has_struct_value() ? &value->struct_value() : nullptr;
  }
  return value;
}

std::string MetadataMatcher::describe() const {
  std::string text = absl::StrCat(invert_ ? "not metadata " : "metadata ", filter_);
  for (const std::string& step : path_) absl::StrAppend(&text, "[", step, "]");
  return text;
}

}  // namespace fairlead::matching
