// Parses and applies lists of header changes; see header_changes.h.
#include "dataplane/router/header_changes.h"

#include <absl/strings/str_cat.h>

#include "dataplane/http/header_map.h"
#include "envoy/config/common/mutation_rules/v3/mutation_rules.pb.h"

namespace fairlead::router {
namespace {

using envoy::config::common::mutation_rules::v3::HeaderMutation;
using envoy::config::core::v3::HeaderValueOption;

absl::StatusOr<HeaderChange> parse_change(const HeaderMutation& proto) {
  HeaderChange change;
  google::protobuf::RepeatedPtrField<HeaderValueOption> add;
  google::protobuf::RepeatedPtrField<std::string> remove;
  switch (proto.action_case()) {
    case HeaderMutation::kRemove: remove.Add()->assign(proto.remove()); break;
    case HeaderMutation::kAppend: *add.Add() = proto.append(); break;
    case HeaderMutation::kRemoveOnMatch: {
      FL_ASSIGN_OR_RETURN(change.remove_matching, matching::StringMatcher::compile(proto.remove_on_match().key_matcher()));
      return change;
    }
    case HeaderMutation::ACTION_NOT_SET: return absl::InvalidArgumentError("one of remove, append, remove_on_match must be set");
  }
  FL_ASSIGN_OR_RETURN(change.ops, HeaderOps::compile(add, remove, "header"));
  return change;
}

}  // namespace

HeaderChanges parse_header_changes(const google::protobuf::RepeatedPtrField<HeaderMutation>& protos, const std::string& field, ErrorList& errors) {
  HeaderChanges changes;
  for (int i = 0; i < protos.size(); ++i) {
    auto change = parse_change(protos[i]);
    if (change.ok()) {
      changes.push_back(std::move(*change));
    } else {
      errors.add(prefix(absl::StrCat(field, "[", i, "]"), change.status()));
    }
  }
  return changes;
}

void apply(const HeaderChanges& changes, http::HeaderMap& headers, const format::FormatContext& context) {
  for (const HeaderChange& change : changes) {
    if (change.remove_matching) {
      headers.remove_if([&](const http::Header& h) { return !h.is_pseudo() && h.token() != http::Token::Host && change.remove_matching->match(h.name()); });
    } else {
      change.ops.apply(headers, context);
    }
  }
}

}  // namespace fairlead::router
