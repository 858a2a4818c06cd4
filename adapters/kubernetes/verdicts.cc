// See verdicts.h.
#include "adapters/kubernetes/verdicts.h"

#include <optional>
#include <string_view>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

namespace fairlead::adapters::kubernetes {

namespace {

// The listener that "spec.listeners[2].tls" is within.
std::optional<size_t> listener_of(std::string_view field) {
  constexpr std::string_view kList = "spec.listeners[";
  size_t index = 0;
  if (!absl::StartsWith(field, kList)) return std::nullopt;
  field.remove_prefix(kList.size());
  return absl::SimpleAtoi(field.substr(0, field.find(']')), &index) ? std::optional(index) : std::nullopt;
}

// Once, however many scopes say it.
void add_to(std::string& message, const std::string& text) {
  if (!absl::StrContains(message, text)) absl::StrAppend(&message, message.empty() ? "" : "; ", text);
}

Condition programmed(const ObjectKey& object, const ObjectKey& gateway, std::optional<size_t> listener, const Verdicts& verdicts, int64_t generation) {
  Condition c{"Programmed", Truth::kUnknown, "Pending", "", generation};
  std::string remarks;
  const auto [first, last] = verdicts.refusals.equal_range(object);
  for (auto at = first; at != last; ++at) {
    const Refusal& r = at->second;
    if (r.gateway != gateway) continue;
    const std::optional<size_t> concerned = listener_of(r.field);
    if (listener && concerned && *concerned != *listener) continue;
    const std::string text = r.field.empty() ? r.message : absl::StrCat(r.field, ": ", r.message);
    if (r.remark) {
      add_to(remarks, text);
      continue;
    }
    if (c.status != Truth::kFalse) c.reason = !r.reason.empty() ? r.reason : r.foreseen ? "NotSent" : "Refused";
    c.status = Truth::kFalse;
    add_to(c.message, text);
  }
  if (c.status == Truth::kFalse) return c;
  const auto progress = verdicts.gateways.find(gateway);
  if (progress == verdicts.gateways.end() || progress->second.proxies == 0) {
    c.message = object.kind == "EnvoyResources" ? "no proxy that it is for is connected" : "no proxy of this Gateway is connected";
  } else if (!progress->second.synced) {
    c.message = "not every proxy has accepted it yet";
  } else {
    c = {"Programmed", Truth::kTrue, "Programmed", remarks.empty() ? "" : "every connected proxy has accepted it", generation};
  }
  if (!remarks.empty()) absl::StrAppend(&c.message, "; ", remarks);
  return c;
}

void put(ScopeStatus& status, Condition condition) {
  for (Condition& c : status.conditions) {
    if (c.type != condition.type) continue;
    c = std::move(condition);
    return;
  }
  status.conditions.push_back(std::move(condition));
}

}  // namespace

void join(StatusSink::Scopes& scopes, const ObjectKey& object, const std::vector<std::string>& listener_names, const GatewayOf& gateway_of, const Verdicts& verdicts) {
  for (auto& [scope, status] : scopes) {
    if (scope.parent.name.empty()) {  // the object's own, or a listener's
      const Condition* drafted = status.find("Programmed");
      if (drafted == nullptr || drafted->status != Truth::kUnknown) continue;
      std::optional<size_t> listener;
      for (size_t i = 0; i < listener_names.size() && !scope.section.empty(); ++i) {
        if (listener_names[i] == scope.section) listener = i;
      }
      put(status, programmed(object, gateway_of(object), listener, verdicts, drafted->observed_generation));
      continue;
    }
    const Condition* accepted = status.find("Accepted");
    if (accepted == nullptr || accepted->status != Truth::kTrue) continue;
    const bool mesh = scope.parent.group.empty() && scope.parent.kind == kMesh.kind;
    Condition said = programmed(object, mesh ? kMesh : gateway_of(scope.parent), std::nullopt, verdicts, accepted->observed_generation);
    if (!mesh || said.status == Truth::kFalse) put(status, std::move(said));
  }
}

}  // namespace fairlead::adapters::kubernetes
