// StatusSink as YAML, for golden files, `translate` and the debug endpoints. See status.h.
#include "absl/strings/str_cat.h"
#include "adapters/object/status.h"
#include "base/doc.h"

namespace fairlead::adapters {

namespace {

doc::Value strings(const std::vector<std::string>& list) {
  std::vector<doc::Value> items;
  for (const std::string& s : list) items.push_back(doc::string(s));
  return doc::list(std::move(items));
}

doc::Value to_doc(const Condition& c) {
  std::vector<doc::Entry> e;
  e.push_back({"type", doc::string(c.type), {}});
  e.push_back({"status", doc::string(std::string(truth_name(c.status))), {}});
  e.push_back({"reason", doc::string(c.reason), {}});
  if (!c.message.empty()) e.push_back({"message", doc::string(c.message), {}});
  if (c.observed_generation != 0) e.push_back({"observedGeneration", doc::integer(c.observed_generation), {}});
  return doc::map(std::move(e));
}

doc::Value to_doc(const ObjectKey& object, const StatusScope& scope, const ScopeStatus& status) {
  std::vector<doc::Entry> e;
  e.push_back({"object", doc::string(object.str()), {}});
  if (!scope.parent.name.empty()) e.push_back({"parent", doc::string(scope.parent.str()), {}});
  if (!scope.section.empty()) e.push_back({"listener", doc::string(scope.section), {}});
  if (scope.port != 0) e.push_back({"port", doc::integer(scope.port), {}});
  if (status.attached_routes >= 0) e.push_back({"attachedRoutes", doc::integer(status.attached_routes), {}});
  if (status.attached_listener_sets >= 0) e.push_back({"attachedListenerSets", doc::integer(status.attached_listener_sets), {}});
  if (!status.supported_kinds.empty()) e.push_back({"supportedKinds", strings(status.supported_kinds), {}});
  if (!status.supported_features.empty()) e.push_back({"supportedFeatures", strings(status.supported_features), {}});
  std::vector<doc::Value> conditions;
  for (const Condition& c : status.conditions) conditions.push_back(to_doc(c));
  e.push_back({"conditions", doc::list(std::move(conditions)), {}});
  return doc::map(std::move(e));
}

}  // namespace

doc::Value to_doc(const StatusSink& sink) {
  std::vector<doc::Value> all;
  for (const auto& [object, scopes] : sink.objects()) {
    for (const auto& [scope, status] : scopes) all.push_back(to_doc(object, scope, status));
  }
  return doc::list(std::move(all));
}

}  // namespace fairlead::adapters
