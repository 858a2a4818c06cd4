// StatusSink. See status.h.
#include "adapters/object/status.h"

#include <utility>

namespace fairlead::adapters {

std::string_view truth_name(Truth t) {
  switch (t) {
    case Truth::kTrue:
      return "True";
    case Truth::kFalse:
      return "False";
    case Truth::kUnknown:
      break;
  }
  return "Unknown";
}

const Condition* ScopeStatus::find(std::string_view type) const {
  for (const Condition& c : conditions) {
    if (c.type == type) return &c;
  }
  return nullptr;
}

void ScopeStatus::set(Condition condition) {
  for (Condition& c : conditions) {
    if (c.type == condition.type) {
      c = std::move(condition);
      return;
    }
  }
  conditions.push_back(std::move(condition));
}

void StatusSink::set(const ObjectKey& object, const StatusScope& scope, Condition condition) { objects_[object][scope].set(std::move(condition)); }

const Condition* StatusSink::find(const ObjectKey& object, const StatusScope& scope, std::string_view type) const {
  auto scopes = objects_.find(object);
  if (scopes == objects_.end()) return nullptr;
  auto status = scopes->second.find(scope);
  return status == scopes->second.end() ? nullptr : status->second.find(type);
}

}  // namespace fairlead::adapters
