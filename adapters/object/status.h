// Conditions as data: what a vocabulary or a proxy's verdict has to say about an object, in the words of the
// Kubernetes status conventions. A StatusSink is filled by a translation (pure, any thread) and compared with the
// one before; writing it anywhere is the business of a source that can (kubernetes) or of the debug endpoints.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"

namespace fairlead::adapters {

enum class Truth { kTrue, kFalse, kUnknown };
std::string_view truth_name(Truth t);  // "True", "False", "Unknown"

struct Condition {
  std::string type;
  Truth status = Truth::kUnknown;
  std::string reason;
  std::string message;
  int64_t observed_generation = 0;
  bool operator==(const Condition&) const = default;
};

// Where in the object's status the conditions belong.
struct StatusScope {
  // Empty for status.conditions; for a route the Gateway it speaks of; see `section` for the listener.
  ObjectKey parent;
  std::string section;  // listener name: of the object itself for a Gateway, of the parent for a route
  int port = 0;         // parentRef.port, 0 when not given
  auto operator<=>(const StatusScope&) const = default;
  bool operator==(const StatusScope&) const = default;
};

struct ScopeStatus {
  std::vector<Condition> conditions;          // one per type, in the order first set
  int attached_routes = -1;                   // listeners only; -1 elsewhere
  int attached_listener_sets = -1;            // Gateways that admit ListenerSets only; -1 elsewhere
  std::vector<std::string> supported_kinds;   // listeners only, "group/Kind"
  std::vector<std::string> supported_features;  // GatewayClass only, sorted
  bool operator==(const ScopeStatus&) const = default;

  const Condition* find(std::string_view type) const;
  void set(Condition condition);  // or replaces the one of that type
};

class StatusSink {
 public:
  using Scopes = std::map<StatusScope, ScopeStatus>;

  // Sets or replaces the condition of that type.
  void set(const ObjectKey& object, const StatusScope& scope, Condition condition);
  // Objects mostly come in their order.
  ScopeStatus& at(const ObjectKey& object, const StatusScope& scope) { return objects_.try_emplace(objects_.end(), object)->second[scope]; }
  // All that is said of the object.
  void erase(const ObjectKey& object) { objects_.erase(object); }
  const Condition* find(const ObjectKey& object, const StatusScope& scope, std::string_view type) const;
  const std::map<ObjectKey, Scopes>& objects() const { return objects_; }

 private:
  std::map<ObjectKey, Scopes> objects_;
};

// A list with one map per object and scope, in order of their keys: for people, golden files and the CLI.
doc::Value to_doc(const StatusSink& sink);

}  // namespace fairlead::adapters
