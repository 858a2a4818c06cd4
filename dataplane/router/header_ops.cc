// See header_ops.h.
#include "dataplane/router/header_ops.h"

#include <absl/container/inlined_vector.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "base/status.h"
#include "dataplane/http/inline_headers.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::router {
namespace {

bool is_protected(std::string_view name) { return name.empty() || name[0] == ':' || name == "host"; }

absl::StatusOr<HeaderAdd> compile_add(const envoy::config::core::v3::HeaderValueOption& option) {
  HeaderAdd add;
  add.name = absl::AsciiStrToLower(option.header().key());
  if (is_protected(add.name)) {
    return absl::InvalidArgumentError(absl::StrCat(":-prefixed or host headers may not be modified (\"", option.header().key(), "\")"));
  }
  if (option.has_append()) {
    if (option.append_action() != envoy::config::core::v3::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD) {
      return absl::InvalidArgumentError("Both append and append_action are set and it's not allowed");
    }
    add.action = option.append().value() ? AppendAction::AppendIfExistsOrAdd : AppendAction::OverwriteIfExistsOrAdd;
  } else {
    switch (option.append_action()) {
      case envoy::config::core::v3::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD: add.action = AppendAction::AppendIfExistsOrAdd; break;
      case envoy::config::core::v3::HeaderValueOption::ADD_IF_ABSENT: add.action = AppendAction::AddIfAbsent; break;
      case envoy::config::core::v3::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD: add.action = AppendAction::OverwriteIfExistsOrAdd; break;
      case envoy::config::core::v3::HeaderValueOption::OVERWRITE_IF_EXISTS: add.action = AppendAction::OverwriteIfExists; break;
      default:
        return absl::InvalidArgumentError(absl::StrCat("append_action: unknown value ", static_cast<int>(option.append_action())));
    }
  }
  add.keep_empty = option.keep_empty_value();
  if (!option.header().raw_value().empty()) {
    add.value = format::Formatter::literal(option.header().raw_value());
    return add;
  }
  auto formatter = format::Formatter::parse(option.header().value(), true);
  if (!formatter.ok()) return prefix("header.value", formatter.status());
  add.value = std::move(*formatter);
  return add;
}

}  // namespace

absl::StatusOr<HeaderOps> HeaderOps::compile(const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
                                             const google::protobuf::RepeatedPtrField<std::string>& remove, const std::string& path) {
  HeaderOps ops;
  ErrorList errors;
  for (int i = 0; i < add.size(); ++i) {
    auto compiled = compile_add(add[i]);
    if (compiled.ok()) {
      ops.add.push_back(std::move(*compiled));
    } else {
      errors.add(prefix(absl::StrCat(path, "_to_add[", i, "]"), compiled.status()));
    }
  }
  for (int i = 0; i < remove.size(); ++i) {
    std::string name = absl::AsciiStrToLower(remove[i]);
    if (is_protected(name)) {
      errors.add(absl::StrCat(path, "_to_remove[", i, "]"),
                 absl::StrCat(":-prefixed or host headers may not be removed (\"", remove[i], "\")"));
    } else {
      ops.remove.push_back(std::move(name));
    }
  }
  if (!errors.empty()) return errors.status();
  return ops;
}

// As in Envoy, conditions and values look at the headers as they are after the removals, and within a level what overwrites is
// done before what adds, whatever their order in the configuration.
void HeaderOps::apply(http::HeaderMap& headers, const format::FormatContext& context) const {
  for (const std::string& name : remove) headers.remove(name);
  struct Pending {
    const HeaderAdd* op;
    std::string rendered;
    std::string_view value() const { return op->value.is_literal() ? std::string_view(op->value.text()) : std::string_view(rendered); }
  };
  absl::InlinedVector<Pending, 4> overwrites, adds;
  for (const HeaderAdd& op : add) {
    Pending pending{&op, {}};
    if (!op.value.is_literal()) {
      op.value.render(context, pending.rendered);
      // Decoded query parameters may hold what would end the header; Envoy 1.40 lets it through.
      for (char& c : pending.rendered) {
        if (c == '\r' || c == '\n' || c == '\0') c = ' ';
      }
    }
    if (pending.value().empty() && !op.keep_empty) continue;
    switch (op.action) {
      case AppendAction::AppendIfExistsOrAdd: adds.push_back(std::move(pending)); break;
      case AppendAction::AddIfAbsent:
        if (!headers.has(op.name)) adds.push_back(std::move(pending));
        break;
      case AppendAction::OverwriteIfExistsOrAdd: overwrites.push_back(std::move(pending)); break;
      case AppendAction::OverwriteIfExists:
        if (headers.has(op.name)) overwrites.push_back(std::move(pending));
        break;
    }
  }
  for (const Pending& pending : overwrites) {
    headers.remove(pending.op->name);  // Envoy 1.40: what overwrites goes to the end
    headers.add(pending.op->name, pending.value());
  }
  // Only requests have a method; a local reply is given its status after these operations.
  const auto kind = headers.has(http::Token::PseudoMethod) ? http::MessageKind::kRequest : http::MessageKind::kResponse;
  for (const Pending& pending : adds) http::add_value(headers, pending.op->name, pending.value(), kind);
}

}  // namespace fairlead::router
