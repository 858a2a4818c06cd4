// ListenerSets: which Gateway admits which, and which of their listeners keep their place among those that come first: the Gateway's own,
// then those of older sets, then by namespace and name. See world.h.
#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/world.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Null: it is not ours, and its author is told what can be.
GatewayState* parent_of(World& world, const Object& object, const ListenerSet& set) {
  if (set.target != GroupKind{std::string(kGroup), "Gateway"}) {
    world.problem(Severity::kWarning, object, set.spot, absl::StrCat("a parent of kind ", set.target.str(), " is not served"));
    return nullptr;
  }
  const ObjectKey key{std::string(kGroup), "Gateway", set.ns, set.name};
  if (const auto found = world.gateways.find(key); found != world.gateways.end()) return &found->second;
  if (world.snapshot.find(key)) return nullptr;  // another's
  std::vector<std::string_view> names;
  for (const auto& [known, state] : world.gateways) {
    if (known.ns == set.ns) names.push_back(known.name);
  }
  const std::optional<std::string> meant = closest(set.name, names);
  world.problem(Severity::kError, object, set.spot,
                absl::StrCat("Gateway ", set.ns, "/", set.name, " does not exist", meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
  return nullptr;
}

// A listener that came first keeps its port and hostname.
void yield_to_earlier(const std::vector<ListenerState>& earlier, std::vector<ListenerState>& listeners) {
  for (ListenerState& l : listeners) {
    if (!l.conflict.empty()) continue;
    for (const ListenerState& e : earlier) {
      if (!e.conflict.empty() || e.kinds.empty()) continue;  // it holds nothing itself
      const auto [conflict, what] = conflict_between(l.listener, e.listener);
      if (conflict.empty()) continue;
      refuse(l, conflict, absl::StrCat("listener ", e.listener.name, " of ", e.owner->key.str(), ", which comes first, ", what));
      break;
    }
  }
}

void refuse_set(World& world, SetState& set, std::string_view reason, std::string message) {
  set.refused = reason;
  set.message = std::move(message);
  world.problem(Severity::kError, *set.object, set.spec.spot, absl::StrCat(reason, ": ", set.message));
}

}  // namespace

bool admits(const World& world, const Namespaces& allowed, const std::string& home, const std::string& ns) {
  switch (allowed.from) {
    case RoutesFrom::kAll:
      return true;
    case RoutesFrom::kNone:
      return false;
    case RoutesFrom::kSame:
      return ns == home;
    case RoutesFrom::kSelector:
      return allowed.selector.matches(core::namespace_labels(world.snapshot, ns));
  }
  return false;
}

void take_listener_sets(World& world) {
  std::vector<ObjectPtr> objects;
  for (const auto& [key, object] : world.snapshot.of(kGroup, "ListenerSet")) objects.push_back(object);
  std::stable_sort(objects.begin(), objects.end(),
                   [](const ObjectPtr& a, const ObjectPtr& b) { return std::tie(a->created, a->key) < std::tie(b->created, b->key); });
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const ObjectPtr& object : objects) {
    SetState set;
    set.object = object;
    set.spec = read_listener_set(*object, unread);
    GatewayState* gateway = parent_of(world, *object, set.spec);
    if (gateway == nullptr) continue;
    set.gateway = gateway->object->key;
    if (!admits(world, gateway->gateway.listener_sets, set.gateway.ns, object->key.ns)) {
      refuse_set(world, set, "NotAllowed", absl::StrCat(set.gateway.str(), " admits no ListenerSets of namespace ", object->key.ns, " (spec.allowedListeners)"));
    } else if (!gateway->accepted()) {
      refuse_set(world, set, "ParentNotAccepted", absl::StrCat(set.gateway.str(), " is not accepted itself"));
    } else {
      std::vector<ListenerState> listeners;
      for (const Listener& l : set.spec.listeners) listeners.push_back(take_listener(world, *gateway, object, l));
      yield_to_earlier(gateway->listeners, listeners);
      find_conflicts(listeners);
      tell_refused(world, listeners);
      std::move(listeners.begin(), listeners.end(), std::back_inserter(gateway->listeners));
    }
    world.sets.emplace(object->key, std::move(set));
  }
}

void report_listener_sets(World& world) {
  for (auto& [key, gateway] : world.gateways) {
    if (gateway.gateway.listener_sets.from != RoutesFrom::kNone) world.result.status.at(key, {}).attached_listener_sets = 0;
  }
  for (const auto& [key, set] : world.sets) {
    const GatewayState& gateway = world.gateways.at(set.gateway);
    const int64_t generation = set.object->generation;
    if (!set.refused.empty()) {
      world.result.status.set(key, {}, {"Accepted", Truth::kFalse, set.refused, set.message, generation});
      const bool parent = set.refused == "ParentNotAccepted";
      world.result.status.set(key, {}, {"Programmed", Truth::kFalse, parent ? "ParentNotProgrammed" : set.refused, set.message, generation});
      continue;
    }
    size_t good = 0;
    for (const ListenerState& l : gateway.listeners) {
      if (l.owner != set.object) continue;
      good += l.usable() ? 1 : 0;
      report_listener(world, gateway, l);
    }
    const size_t bad = set.spec.listeners.size() - good;
    const std::string message = bad == 0 ? "" : absl::StrCat(bad, " of ", set.spec.listeners.size(), " listeners cannot be served");
    world.result.status.set(key, {}, {"Accepted", good > 0 ? Truth::kTrue : Truth::kFalse, bad == 0 ? "Accepted" : "ListenersNotValid", message, generation});
    if (good == 0) {
      world.result.status.set(key, {}, {"Programmed", Truth::kFalse, "ListenersNotValid", message, generation});
      continue;
    }
    world.result.status.set(key, {}, {"Programmed", Truth::kUnknown, "Pending", "no proxy has answered yet", generation});
    ++world.result.status.at(set.gateway, {}).attached_listener_sets;
  }
}

}  // namespace fairlead::adapters::gatewayapi
