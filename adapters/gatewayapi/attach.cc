// Which routes attach to which listeners, under which hostnames. See world.h.
#include <algorithm>
#include <iterator>
#include <tuple>
#include <type_traits>
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

std::string_view hostname_or_any(std::string_view hostname) { return hostname == "*" ? "" : hostname; }

// `Route`: HttpRoute, TlsRoute or L4Route, of which only add(), rival() and resolve_rules() know more than parents and hostnames.
template <typename Route>
class Attacher {
 public:
  Attacher(World& world, const ObjectPtr& object, const Route& route, AttachedRoute* record = nullptr) : world_(world), object_(object), route_(route), record_(record) {}

  void run() {
    for (const ParentRef& parent : route_.parents) {
      const ObjectKey key{parent.target.group, parent.target.kind, parent.ns, parent.name};
      if (std::is_same_v<Route, HttpRoute> && is_mesh_parent(parent)) {
        resolve();
        report(parent, key, attach_mesh(parent, key));
        continue;
      }
      if (key.group != kGroup || (key.kind != "Gateway" && key.kind != "ListenerSet")) {
        world_.problem(Severity::kWarning, *object_, parent.spot, absl::StrCat("a parent of kind ", parent.target.str(), " is not served"));
        continue;
      }
      const auto set = world_.sets.find(key);
      const auto gateway = world_.gateways.find(set == world_.sets.end() ? key : set->second.gateway);
      if (gateway == world_.gateways.end()) {
        report_missing(parent, key);
        continue;
      }
      resolve();
      if (set != world_.sets.end() && !set->second.refused.empty()) {
        report(parent, key, {Truth::kFalse, "NoReadyListeners", absl::StrCat(key.str(), " is not attached to its Gateway: ", set->second.message)});
      } else {
        report(parent, key, attach(parent, key, gateway->second));
      }
    }
  }

 private:
  void resolve() {
    if (target_) return;
    target_ = resolve_rules(world_, *object_, route_);
    if (record_) record_->secured = !target_->policies.empty();
  }

  Verdict attach_mesh(const ParentRef& parent, const ObjectKey& key) {
    const MeshVerdict verdict = attach_to_service(world_, object_, parent, [this]() -> const std::vector<RankedPtr>& {
      if constexpr (std::is_same_v<Route, HttpRoute>) {
        if (ranked_.empty()) rank(route_);
      }
      return ranked_;
    }, *record_);
    if (!verdict.refused.empty()) return {Truth::kFalse, verdict.refused, verdict.message};
    for (const ObjectKey& policy : target_->policies) world_.policy_ancestors[policy].insert(key);
    return {Truth::kTrue, "Accepted", verdict.message};
  }

  void report_missing(const ParentRef& parent, const ObjectKey& key) {
    if (world_.snapshot.find(key)) return;  // another's
    std::vector<std::string_view> names;
    for (const auto& [known, state] : world_.gateways) {
      if (known.kind == key.kind && known.ns == parent.ns) names.push_back(known.name);
    }
    for (const auto& [known, state] : world_.sets) {
      if (known.kind == key.kind && known.ns == parent.ns) names.push_back(known.name);
    }
    const std::optional<std::string> meant = closest(parent.name, names);
    world_.problem(Severity::kError, *object_, parent.spot,
                   absl::StrCat(key.str(), " does not exist",
                                meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
  }

  bool allowed(const ListenerState& state) const {
    return std::any_of(state.kinds.begin(), state.kinds.end(), [&](const GroupKind& k) { return k.kind == object_->key.kind && k.group == object_->key.group; }) &&
           admits(world_, state.listener.namespaces, state.owner->key.ns, object_->key.ns);
  }

  Verdict attach(const ParentRef& parent, const ObjectKey& key, GatewayState& gateway) {
    std::vector<ListenerState*> selected;
    for (ListenerState& l : gateway.listeners) {
      if (l.owner->key != key) continue;
      if (!parent.section.empty() && l.listener.name != parent.section) continue;
      if (parent.port != 0 && l.listener.port != parent.port) continue;
      selected.push_back(&l);
    }
    if (selected.empty()) return {Truth::kFalse, "NoMatchingParent", no_match(parent, key, gateway)};
    std::erase_if(selected, [&](const ListenerState* l) { return !allowed(*l); });
    if (selected.empty()) {
      return {Truth::kFalse, "NotAllowedByListeners",
              absl::StrCat("no listener of the ", key.kind, " admits ", object_->key.kind, "s of namespace ", object_->key.ns)};
    }
    bool met = false, ready = false, lost = false;
    std::string rivals;
    for (ListenerState* l : selected) {
      const std::vector<std::string> names = hostnames_at(*l, route_);
      if (names.empty()) continue;
      met = true;
      bool whole = true;
      if (const std::string why = rival(*l, names, route_, whole); !why.empty()) {
        l->contested = true;
        ++world_.rivals;
        absl::StrAppend(&rivals, rivals.empty() ? "" : "; ", why);
        lost = lost || whole;
        if (whole) continue;
      }
      ready = ready || (l->usable() && gateway.served());
      // Two parentRefs may lead to one listener; the route is there once.
      if (!l->attached.insert(object_.get()).second) continue;
      if (record_) record_->places.push_back({&gateway, static_cast<size_t>(l - gateway.listeners.data()), l->usable() ? names : std::vector<std::string>()});
      if (l->usable()) add(*l, names, route_);
    }
    if (!met) return {Truth::kFalse, "NoMatchingListenerHostname", "no hostname of the route meets one of a listener"};
    if (!ready && lost) return {Truth::kFalse, "HostnameConflict", rivals};
    if (!ready) return {Truth::kFalse, "NoReadyListeners", "the listeners it would attach to cannot be served"};
    for (const ObjectKey& policy : target_->policies) world_.policy_ancestors[policy].insert(gateway.object->key);
    if (!rivals.empty()) world_.problem(Severity::kWarning, *object_, parent.spot, rivals);
    return {Truth::kTrue, "Accepted", rivals};
  }

  std::string no_match(const ParentRef& parent, const ObjectKey& key, const GatewayState& gateway) const {
    if (parent.section.empty()) return absl::StrCat("the ", key.kind, " has no listener on port ", parent.port);
    std::vector<std::string_view> names;
    for (const ListenerState& l : gateway.listeners) {
      if (l.owner->key == key) names.push_back(l.listener.name);
    }
    const std::optional<std::string> meant = closest(parent.section, names);
    const bool exists = meant && *meant == parent.section;
    return absl::StrCat("the ", key.kind, " has no listener ", parent.section, exists ? absl::StrCat(" on port ", parent.port) : "",
                        meant && !exists ? absl::StrCat("; did you mean '", *meant, "'?") : "");
  }

  template <typename R>
  static std::vector<std::string> hostnames_at(const ListenerState& l, const R& route) {
    return route_hostnames(l.listener.hostname, route.hostnames);
  }
  static std::vector<std::string> hostnames_at(const ListenerState& l, const L4Route&) { return route_hostnames(l.listener.hostname, {}); }

  // Who has what the route would have of the listener, and came first; "" when nobody has. `whole`: all of it, the route is not accepted.
  std::string rival(const ListenerState& l, const std::vector<std::string>& names, const HttpRoute&, bool& whole) const {
    whole = true;
    const std::string other = object_->key.kind == "GRPCRoute" ? "HTTPRoute" : "GRPCRoute";
    const auto claims = l.claims.find(other);
    if (claims == l.claims.end()) return "";
    for (const auto& [route, claimed] : claims->second) {
      for (const std::string& hostname : claimed) {
        for (const std::string& name : names) {
          if (!intersect(hostname_or_any(name), hostname_or_any(hostname))) continue;
          return absl::StrCat("hostname ", name, " of listener ", l.listener.name, " belongs to ", ObjectKey{std::string(kGroup), other, route.ns, route.name}.str(),
                              ", which comes first: HTTPRoutes and GRPCRoutes cannot share one");
        }
      }
    }
    return "";
  }
  std::string rival(const ListenerState& l, const std::vector<std::string>& names, const TlsRoute&, bool& whole) const {
    whole = false;  // the other hostnames, and other listeners, are its own
    for (const std::string& name : names) {
      const auto taken = l.tls_routes.find(name);
      if (taken == l.tls_routes.end() || taken->second.front().object->key == object_->key) continue;
      return absl::StrCat("hostname ", name, " of listener ", l.listener.name, " belongs to ", taken->second.front().object->key.str(), ", which comes first");
    }
    return "";
  }
  std::string rival(const ListenerState& l, const std::vector<std::string>&, const L4Route& route, bool& whole) const {
    whole = false;  // Gateway API: both are accepted, and counted; the oldest is used
    if (!l.l4_route || l.l4_route->object->key == object_->key) return "";
    return absl::StrCat(route.udp ? "datagrams" : "connections", " of listener ", l.listener.name, " go to ", l.l4_route->object->key.str(), ", which comes first");
  }

  void add(ListenerState& listener, const std::vector<std::string>&, const L4Route& route) {
    if (!listener.l4_route) listener.l4_route = RankedL4Route{{origin_of(*object_, route.rule), target_->backends}, object_};
  }

  void add(ListenerState& listener, const std::vector<std::string>& hostnames, const TlsRoute& route) {
    for (const std::string& hostname : hostnames) {
      listener.tls_routes[hostname].push_back({{hostname, origin_of(*object_, route.rule), target_->backends}, object_});
    }
  }

  void add(ListenerState& listener, const std::vector<std::string>& hostnames, const HttpRoute& route) {
    if (ranked_.empty()) rank(route);
    auto& claims = listener.claims[object_->key.kind];
    claims.insert_or_assign(claims.end(), order_of(*object_), hostnames);  // the last one, unless routes are followed one by one
    for (const std::string& hostname : hostnames) {
      std::vector<RankedPtr>& routes = listener.routes[hostname];
      routes.insert(routes.end(), ranked_.begin(), ranked_.end());
    }
  }

  // Each match of each rule, once for all listeners and hostnames.
  void rank(const HttpRoute& route) {
    const std::string name = absl::StrCat(object_->key.ns, "/", object_->key.name);
    for (size_t r = 0; r < route.rules.size(); ++r) {
      const Rule& rule = route.rules[r];
      for (size_t m = 0; m < rule.matches.size(); ++m) {
        auto ranked = std::make_shared<RankedRoute>();
        if (m + 1 == rule.matches.size()) {  // nobody asks for the rule after this
          ranked->route = std::move(target_->rules[r]);
        } else {
          ranked->route = target_->rules[r];
        }
        ranked->created = object_->created;
        ranked->object = name;
        ranked->rule = r;
        ranked->match = m;
        ranked->route.name = absl::StrCat(name, route.grpc ? "/grpc" : "", "/rule/", r, "/match/", m);
        ranked->route.origin = origin_of(*object_, rule.matches[m].spot);
        ranked->route.match = rule.matches[m].match;
        if (route.grpc) ranked->grpc = rule.matches[m].grpc;
        if (ranked->route.session && ranked->route.session->cookie) {
          // Paths that are known keep the sessions of different rules apart.
          const intent::PathMatch& path = ranked->route.match.path;
          ranked->route.session->path = path.type == intent::PathMatchType::kRegex ? "/" : path.value;
        }
        ranked_.push_back(std::move(ranked));
      }
    }
  }

  void report(const ParentRef& parent, const ObjectKey& key, const Verdict& verdict) {
    const StatusScope scope{key, parent.section, parent.port};
    const int64_t generation = object_->generation;
    ScopeStatus& status = world_.result.status.at(object_->key, scope);
    status.set({"Accepted", verdict.accepted, verdict.reason, verdict.message, generation});
    const bool resolved = target_->reason == "ResolvedRefs";
    status.set({"ResolvedRefs", resolved ? Truth::kTrue : Truth::kFalse, target_->reason, target_->message, generation});
    if (verdict.accepted != Truth::kTrue) {
      world_.problem(Severity::kError, *object_, parent.spot, absl::StrCat(verdict.reason, ": ", verdict.message));
    }
  }

  World& world_;
  const ObjectPtr& object_;
  const Route& route_;
  AttachedRoute* const record_;
  std::optional<RouteTarget> target_;
  std::vector<RankedPtr> ranked_;
};

constexpr std::string_view kRouteKinds[] = {"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"};

}  // namespace

RouteOrder order_of(const Object& route) {
  const auto kind = std::find(std::begin(kRouteKinds), std::end(kRouteKinds), route.key.kind);
  return {route.created, route.key.ns, route.key.name, static_cast<int>(kind - std::begin(kRouteKinds))};
}

void attach_route(World& world, const ObjectPtr& object) {
  const size_t told = world.result.diagnostics.size();
  const std::string& kind = object->key.kind;
  if (kind == "TLSRoute") {
    const std::shared_ptr<const TlsRoute> route = reading_of(*object, read_tls_route);
    Attacher(world, object, *route).run();
  } else if (kind == "TCPRoute" || kind == "UDPRoute") {
    const std::shared_ptr<const L4Route> route = reading_of(*object, read_l4_route);
    Attacher(world, object, *route).run();
  } else {
    AttachedRoute& record = world.routes[object->key];
    record = AttachedRoute{object, {}, {}, 0, false, false};
    const int suggestions = world.suggestions;
    const std::shared_ptr<const HttpRoute> route = world.route(object);
    Attacher(world, object, *route, &record).run();
    record.suggestions = world.suggestions - suggestions;
  }
  const std::vector<Diagnostic>& all = world.result.diagnostics;
  if (all.size() > told) world.problems_of[order_of(*object)].assign(all.begin() + static_cast<std::ptrdiff_t>(told), all.end());
}

void attach_routes(World& world) {
  take_mesh_claims(world);
  std::vector<ObjectPtr> objects;
  for (std::string_view kind : kRouteKinds) {
    for (const auto& [key, object] : world.snapshot.of(kGroup, kind)) objects.push_back(object);
  }
  // As RouteOrder says: what comes later finds who has what it wants.
  const auto before = [](const ObjectPtr& a, const ObjectPtr& b) { return std::tie(a->created, a->key.ns, a->key.name) < std::tie(b->created, b->key.ns, b->key.name); };
  if (!std::is_sorted(objects.begin(), objects.end(), before)) std::stable_sort(objects.begin(), objects.end(), before);
  world.routes.reserve(objects.size());
  for (const ObjectPtr& object : objects) attach_route(world, object);
}

}  // namespace fairlead::adapters::gatewayapi
