// Which routes attach to which listeners, under which hostnames. See world.h.
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/hostnames.h"
#include "adapters/gatewayapi/world.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

struct Verdict {
  Truth accepted = Truth::kFalse;
  std::string reason;
  std::string message;
};

// `Route`: HttpRoute or TlsRoute, of which only add() and resolve_rules() know more than parents and hostnames.
template <typename Route>
class Attacher {
 public:
  Attacher(World& world, const ObjectPtr& object, const Route& route) : world_(world), object_(object), route_(route) {}

  void run() {
    for (const ParentRef& parent : route_.parents) {
      if (parent.target != GroupKind{std::string(kGroup), "Gateway"}) {
        world_.problem(Severity::kWarning, *object_, parent.spot, absl::StrCat("a parent of kind ", parent.target.str(), " is not served"));
        continue;
      }
      auto gateway = world_.gateways.find(ObjectKey{std::string(kGroup), "Gateway", parent.ns, parent.name});
      if (gateway == world_.gateways.end()) {
        report_missing(parent);
        continue;
      }
      if (!target_) target_ = resolve_rules(world_, *object_, route_);
      const Verdict verdict = attach(parent, gateway->second);
      report(parent, verdict);
    }
  }

 private:
  void report_missing(const ParentRef& parent) {
    if (world_.snapshot.find(ObjectKey{std::string(kGroup), "Gateway", parent.ns, parent.name})) return;  // another's
    std::vector<std::string_view> names;
    for (const auto& [key, state] : world_.gateways) {
      if (key.ns == parent.ns) names.push_back(key.name);
    }
    const std::optional<std::string> meant = closest(parent.name, names);
    world_.problem(Severity::kError, *object_, parent.spot,
                   absl::StrCat("Gateway ", parent.ns, "/", parent.name, " does not exist",
                                meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
  }

  bool allowed(const GatewayState& gateway, const ListenerState& state) const {
    bool kind = false;
    for (const GroupKind& k : state.kinds) kind = kind || k == GroupKind{std::string(kGroup), object_->key.kind};
    if (!kind) return false;
    switch (state.listener.from) {
      case RoutesFrom::kAll:
        return true;
      case RoutesFrom::kNone:
        return false;
      case RoutesFrom::kSame:
        return object_->key.ns == gateway.object->key.ns;
      case RoutesFrom::kSelector:
        return state.listener.selector.matches(core::namespace_labels(world_.snapshot, object_->key.ns));
    }
    return false;
  }

  Verdict attach(const ParentRef& parent, GatewayState& gateway) {
    std::vector<ListenerState*> selected;
    for (ListenerState& l : gateway.listeners) {
      if (!parent.section.empty() && l.listener.name != parent.section) continue;
      if (parent.port != 0 && l.listener.port != parent.port) continue;
      selected.push_back(&l);
    }
    if (selected.empty()) return {Truth::kFalse, "NoMatchingParent", no_match(parent, gateway)};
    std::erase_if(selected, [&](const ListenerState* l) { return !allowed(gateway, *l); });
    if (selected.empty()) {
      return {Truth::kFalse, "NotAllowedByListeners",
              absl::StrCat("no listener of the Gateway admits ", object_->key.kind, "s of namespace ", object_->key.ns)};
    }
    bool met = false, ready = false;
    for (ListenerState* l : selected) {
      const std::vector<std::string> names = route_hostnames(l->listener.hostname, route_.hostnames);
      if (names.empty()) continue;
      met = true;
      ready = ready || (l->usable() && gateway.address_problem.empty());
      // Two parentRefs may lead to one listener; the route is there once.
      if (l->attached.insert(object_->key).second && l->usable()) add(*l, names, route_);
    }
    if (!met) return {Truth::kFalse, "NoMatchingListenerHostname", "no hostname of the route meets one of a listener"};
    if (!ready) return {Truth::kFalse, "NoReadyListeners", "the listeners it would attach to cannot be served"};
    for (const ObjectKey& policy : target_->policies) world_.policy_ancestors[policy].insert(gateway.object->key);
    return {Truth::kTrue, "Accepted", ""};
  }

  std::string no_match(const ParentRef& parent, const GatewayState& gateway) const {
    if (parent.section.empty()) return absl::StrCat("the Gateway has no listener on port ", parent.port);
    std::vector<std::string_view> names;
    for (const ListenerState& l : gateway.listeners) names.push_back(l.listener.name);
    const std::optional<std::string> meant = closest(parent.section, names);
    const bool exists = meant && *meant == parent.section;
    return absl::StrCat("the Gateway has no listener ", parent.section, exists ? absl::StrCat(" on port ", parent.port) : "",
                        meant && !exists ? absl::StrCat("; did you mean '", *meant, "'?") : "");
  }

  void add(ListenerState& listener, const std::vector<std::string>& hostnames, const TlsRoute& route) {
    for (const std::string& hostname : hostnames) {
      listener.tls_routes[hostname].push_back({{hostname, origin_of(*object_, route.rule), target_->backends}, object_, route.rule});
    }
  }

  void add(ListenerState& listener, const std::vector<std::string>& hostnames, const HttpRoute& route) {
    for (const std::string& hostname : hostnames) {
      std::vector<RankedRoute>& routes = listener.routes[hostname];
      for (size_t r = 0; r < route.rules.size(); ++r) {
        const Rule& rule = route.rules[r];
        for (size_t m = 0; m < rule.matches.size(); ++m) {
          RankedRoute ranked{target_->rules[r], object_->created, absl::StrCat(object_->key.ns, "/", object_->key.name), r, m};
          ranked.route.name = absl::StrCat(ranked.object, "/rule/", r, "/match/", m);
          ranked.route.origin = origin_of(*object_, rule.matches[m].spot);
          ranked.route.match = rule.matches[m].match;
          routes.push_back(std::move(ranked));
        }
      }
    }
  }

  void report(const ParentRef& parent, const Verdict& verdict) {
    const StatusScope scope{ObjectKey{std::string(kGroup), "Gateway", parent.ns, parent.name}, parent.section, parent.port};
    const int64_t generation = object_->generation;
    world_.result.status.set(object_->key, scope, {"Accepted", verdict.accepted, verdict.reason, verdict.message, generation});
    const bool resolved = target_->reason == "ResolvedRefs";
    world_.result.status.set(object_->key, scope,
                      {"ResolvedRefs", resolved ? Truth::kTrue : Truth::kFalse, target_->reason, target_->message, generation});
    if (verdict.accepted != Truth::kTrue) {
      world_.problem(Severity::kError, *object_, parent.spot, absl::StrCat(verdict.reason, ": ", verdict.message));
    }
  }

  World& world_;
  const ObjectPtr& object_;
  const Route& route_;
  std::optional<RouteTarget> target_;
};

}  // namespace

void attach_routes(World& world) {
  for (const auto& [key, object] : world.snapshot.of(kGroup, "HTTPRoute")) {
    const std::shared_ptr<const HttpRoute> route = world.route(object);
    Attacher(world, object, *route).run();
  }
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const auto& [key, object] : world.snapshot.of(kGroup, "TLSRoute")) {
    const TlsRoute route = read_tls_route(*object, unread);
    Attacher(world, object, route).run();
  }
}

}  // namespace fairlead::adapters::gatewayapi
