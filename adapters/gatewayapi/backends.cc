// What the rules of a route lead to: references, permissions, protocols. See world.h.
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/world.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

const GroupKind kServiceKind{"", "Service"};

// What is asked of a backend.
enum class Need { kHttp, kGrpc, kBytes, kDatagrams };

struct Resolved {
  std::optional<intent::BackendKey> key;
  intent::BackendProtocol protocol = intent::BackendProtocol::kHttp1;
};

class Resolver {
 public:
  Resolver(World& world, const Object& object, RouteTarget& target, Need need) : world_(world), object_(object), target_(target), need_(need) {}

  intent::WeightedBackend share(const BackendRef& ref) {
    intent::WeightedBackend share;
    share.backend = resolve(ref).key;
    share.weight = ref.weight;
    return share;
  }

  intent::Route rule(const Rule& rule) {
    intent::Route route;
    route.request_headers = rule.filters.request_headers;
    route.response_headers = rule.filters.response_headers;
    route.redirect = rule.filters.redirect;
    route.rewrite = rule.filters.rewrite;
    route.request_timeout = rule.request_timeout;
    route.backend_timeout = rule.backend_timeout;
    route.retry = rule.retry;
    route.cors = rule.filters.cors;
    route.session = rule.session;
    if (need_ == Need::kGrpc) {
      route.without_backend = 503;                            // Gateway API: UNAVAILABLE
      route.request_timeout = std::chrono::milliseconds(0);  // streams may be long, and clients have deadlines of their own
    }
    for (const Mirror& m : rule.filters.mirrors) {
      const Resolved to = resolve(m.to);
      if (to.key && m.numerator > 0) route.mirrors.push_back({*to.key, m.numerator, m.denominator, to.protocol});
    }
    for (const RuleBackend& b : rule.backends) route.backends.push_back(share(b));
    if (!rule.filters.extensions.empty()) {
      // An unknown filter must not be skipped: what it would have processed is answered with an error.
      for (const Spot& spot : rule.filters.extensions) fail("InvalidKind", spot, "no ExtensionRef is known here");
      route.redirect.reset();
      route.backends.clear();
      route.direct_response = intent::DirectResponse{route.without_backend, ""};
    }
    return route;
  }

 private:
  intent::WeightedBackend share(const RuleBackend& b) {
    intent::WeightedBackend share;
    const Resolved to = resolve(b.to);
    share.backend = to.key;
    share.protocol = to.protocol;
    share.weight = b.to.weight;
    share.request_headers = b.filters.request_headers;
    share.response_headers = b.filters.response_headers;
    for (const Spot& spot : b.filters.extensions) {
      fail("InvalidKind", spot, "no ExtensionRef is known here");
      share.backend.reset();
    }
    return share;
  }

  Resolved resolve(const BackendRef& ref) {
    Resolved none;
    if (ref.target != kServiceKind) {
      fail("InvalidKind", ref.spot, absl::StrCat(ref.target.str(), " cannot be a backend; Service can"));
      return none;
    }
    if (ref.ns != object_.key.ns && !world_.permitted({object_.key.group, object_.key.kind}, object_.key.ns, ref.target, ref.ns, ref.name)) {
      fail("RefNotPermitted", ref.spot,
           absl::StrCat("no ReferenceGrant in namespace ", ref.ns, " lets ", object_.key.kind, "s of ", object_.key.ns, " refer to Service ", ref.name));
      return none;
    }
    const core::Service* service = world_.service(ObjectKey{"", "Service", ref.ns, ref.name});
    if (service == nullptr) {
      fail("BackendNotFound", ref.spot, absl::StrCat("Service ", ref.ns, "/", ref.name, " does not exist or is not valid", meant(ref)));
      return none;
    }
    if (service->external_name) {
      fail("InvalidKind", ref.spot, absl::StrCat("Service ", ref.ns, "/", ref.name, " is of type ExternalName"));
      return none;
    }
    const bool udp = need_ == Need::kDatagrams;
    const core::ServicePort* port = service->port(ref.port, udp);
    if (port == nullptr) {
      fail("BackendNotFound", ref.spot, absl::StrCat("Service ", ref.ns, "/", ref.name, " has no ", udp ? "UDP" : "TCP", " port ", ref.port));
      return none;
    }
    Resolved to;
    const intent::BackendKey key{ref.ns, ref.name, static_cast<uint16_t>(ref.port), udp};
    const auto secured = world_.secured.find(key);
    if (secured != world_.secured.end()) target_.policies.insert(secured->second.policy);
    const std::string& app = port->app_protocol;
    if (need_ == Need::kBytes || udp) {
      to.key = key;
      return to;
    }
    if (secured != world_.secured.end() && !secured->second.tls) return none;  // what its author is told on the policy
    const bool tls = secured != world_.secured.end();
    if (need_ == Need::kGrpc && (app == "kubernetes.io/ws" || app == "kubernetes.io/wss")) {
      fail("UnsupportedProtocol", ref.spot, absl::StrCat("port ", ref.port, " of Service ", ref.ns, "/", ref.name, " speaks ", app, ", which carries no gRPC"));
      return none;
    }
    if (need_ == Need::kGrpc) to.protocol = intent::BackendProtocol::kHttp2;  // gRPC is always
    if (app == "kubernetes.io/h2c" || app == "h2c" || app == "http2" || app == "grpc") {
      to.protocol = intent::BackendProtocol::kHttp2;
    } else if (!tls && (app == "https" || app == "kubernetes.io/wss" || app == "tls")) {
      fail("UnsupportedProtocol", ref.spot,
           absl::StrCat("port ", ref.port, " of Service ", ref.ns, "/", ref.name, " speaks ", app, ": a BackendTLSPolicy must say whom to trust"));
      return none;
    }
    to.key = key;
    return to;
  }

  std::string meant(const BackendRef& ref) const {
    if (++world_.suggestions > kMaxSuggestions) return "";
    std::vector<std::string_view> names;
    for (const auto& [key, service] : world_.snapshot.of("", "Service")) {
      if (key.ns == ref.ns) names.push_back(key.name);
    }
    const std::optional<std::string> close = closest(ref.name, names);
    return close ? absl::StrCat("; did you mean '", *close, "'?") : "";
  }

  void fail(std::string_view reason, const Spot& spot, std::string message) {
    if (target_.reason == "ResolvedRefs") {
      target_.reason = reason;
      target_.message = absl::StrCat(spot.field, ": ", message);
    }
    world_.problem(Severity::kError, object_, spot, std::move(message));
  }

  World& world_;
  const Object& object_;
  RouteTarget& target_;
  const Need need_;
};

}  // namespace

namespace {

template <typename Route>
RouteTarget resolve_shares(World& world, const Object& object, const Route& route, Need need) {
  RouteTarget target;
  Resolver resolver(world, object, target, need);
  for (const BackendRef& ref : route.backends) target.backends.push_back(resolver.share(ref));
  return target;
}

}  // namespace

RouteTarget resolve_rules(World& world, const Object& object, const HttpRoute& route) {
  RouteTarget target;
  Resolver resolver(world, object, target, route.grpc ? Need::kGrpc : Need::kHttp);
  target.rules.reserve(route.rules.size());
  for (const Rule& rule : route.rules) target.rules.push_back(resolver.rule(rule));
  return target;
}

RouteTarget resolve_rules(World& world, const Object& object, const TlsRoute& route) { return resolve_shares(world, object, route, Need::kBytes); }

RouteTarget resolve_rules(World& world, const Object& object, const L4Route& route) {
  return resolve_shares(world, object, route, route.udp ? Need::kDatagrams : Need::kBytes);
}

}  // namespace fairlead::adapters::gatewayapi
