// Classes, Gateways, listeners: what is ours and what can be served. See world.h.
#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/gatewayapi/world.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Names of the features of the Gateway API's conformance suite that the translation carries out, sorted.
const std::vector<std::string>& supported_features() {
  static const std::vector<std::string> kFeatures = {
      "BackendTLSPolicy", "BackendTLSPolicySANValidation", "Gateway", "GatewayFrontendClientCertificateValidation", "GatewayFrontendClientCertificateValidationInsecureFallback", "GatewayHTTPListenerIsolation", "GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayPort8080",
      "HTTPRoute", "HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode",
      "HTTPRouteBackendProtocolH2C", "HTTPRouteBackendProtocolWebSocket", "HTTPRouteBackendRequestHeaderModification",
      "HTTPRouteBackendTimeout", "HTTPRouteHostRewrite", "HTTPRouteMethodMatching", "HTTPRouteNamedRouteRule",
      "HTTPRouteParentRefPort", "HTTPRoutePathRedirect", "HTTPRoutePathRewrite", "HTTPRoutePortRedirect",
      "HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors",
      "HTTPRouteRequestPercentageMirror", "HTTPRouteRequestTimeout", "HTTPRouteResponseHeaderModification",
      "HTTPRouteSchemeRedirect", "ReferenceGrant", "TLSRoute", "TLSRouteModeTerminate"};
  return kFeatures;
}

// Names of the classes that are ours and accepted.
std::set<std::string> take_classes(World& world) {
  std::set<std::string> ours;
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const auto& [key, object] : world.snapshot.of(kGroup, "GatewayClass")) {
    const GatewayClass c = read_gateway_class(*object, unread);
    if (c.controller != kControllerName) continue;
    Condition accepted{"Accepted", Truth::kTrue, "Accepted", "", object->generation};
    if (c.has_parameters) {
      accepted.status = Truth::kFalse;
      accepted.reason = "InvalidParameters";
      accepted.message = "parametersRef is not supported in this version";
      world.problem(Severity::kError, *object, c.parameters, accepted.message);
    } else {
      ours.insert(key.name);
    }
    world.result.status.set(key, {}, std::move(accepted));
    world.result.status.at(key, {}).supported_features = supported_features();
  }
  return ours;
}

bool is_tcp_based(const std::string& protocol) { return protocol != "UDP"; }
// HTTPS and TLS are told apart by SNI and share a port; all others need it for themselves.
std::string protocol_family(const std::string& protocol) { return protocol == "HTTPS" ? "TLS" : protocol; }

// Listeners that are not distinct are all refused: none of them wins (Gateway.spec.listeners).
void find_conflicts(std::vector<ListenerState>& listeners) {
  for (ListenerState& a : listeners) {
    for (const ListenerState& b : listeners) {
      const Listener &x = a.listener, &y = b.listener;
      if (&a == &b || x.port != y.port || is_tcp_based(x.protocol) != is_tcp_based(y.protocol)) continue;
      if (protocol_family(x.protocol) != protocol_family(y.protocol)) {
        a.conflict = "ProtocolConflict";
        a.message = absl::StrCat("listener ", y.name, " uses port ", y.port, " for ", y.protocol);
      } else if (x.hostname == y.hostname) {
        a.conflict = "HostnameConflict";
        a.message = absl::StrCat("listener ", y.name, " has the same port and ",
                                 x.hostname.empty() ? "no hostname either" : "hostname");
      } else {
        continue;
      }
      a.accepted = false;
      a.reason = a.conflict;
      break;
    }
  }
}

// The kind of route that a listener of the protocol takes; "" for none.
std::string kind_for(const std::string& protocol) {
  if (protocol == "HTTP" || protocol == "HTTPS") return "HTTPRoute";
  return protocol == "TLS" ? "TLSRoute" : "";
}

void find_kinds(ListenerState& state) {
  const GroupKind route{std::string(kGroup), kind_for(state.listener.protocol)};
  if (!state.listener.kinds) {
    if (!route.kind.empty()) state.kinds = {route};
    return;
  }
  std::vector<std::string> bad;
  for (const GroupKind& kind : *state.listener.kinds) {
    if (kind == route) {
      state.kinds = {route};
    } else {
      bad.push_back(kind.str());
    }
  }
  state.bad_kinds = absl::StrJoin(bad, ", ");
}

void take_address(GatewayState& state) {
  state.address = "0.0.0.0";
  if (state.gateway.addresses.size() > 1) {
    state.address_problem = "more than one address is not supported in this version";
    return;
  }
  for (const GatewayAddress& a : state.gateway.addresses) {
    unsigned char buffer[sizeof(in6_addr)];
    if (a.type != "IPAddress") {
      state.address_problem = absl::StrCat("addresses of type ", a.type, " are not supported");
    } else if (a.value.empty()) {
      continue;  // any address will do
    } else if (inet_pton(AF_INET, a.value.c_str(), buffer) != 1 && inet_pton(AF_INET6, a.value.c_str(), buffer) != 1) {
      state.address_problem = absl::StrCat("\"", a.value, "\" is not an IP address");
    } else {
      state.address = a.value;
    }
  }
}

GatewayState take_gateway(World& world, const ObjectPtr& object, Gateway gateway) {
  GatewayState state;
  state.object = object;
  state.gateway = std::move(gateway);
  take_address(state);
  if (!state.address_problem.empty()) {
    world.problem(Severity::kError, *object, state.gateway.addresses.front().spot, state.address_problem);
  }
  for (const Listener& listener : state.gateway.listeners) {
    ListenerState l;
    l.listener = listener;
    find_kinds(l);
    if (kind_for(listener.protocol).empty()) {
      l.accepted = false;
      l.reason = "UnsupportedProtocol";
      l.message = absl::StrCat("protocol ", listener.protocol, " is not supported in this version");
    }
    if (l.ends_tls()) take_certificates(world, *object, state.gateway.clients_at(listener.port), l);
    state.listeners.push_back(std::move(l));
  }
  find_conflicts(state.listeners);
  for (const ListenerState& l : state.listeners) {
    if (!l.accepted) world.problem(Severity::kError, *object, l.listener.spot, absl::StrCat(l.reason, ": ", l.message));
    if (!l.bad_kinds.empty()) {
      world.problem(Severity::kError, *object, l.listener.spot,
                    absl::StrCat("allowedRoutes.kinds: ", l.bad_kinds, " cannot attach to a listener of protocol ", l.listener.protocol));
    }
  }
  return state;
}

Condition refs_condition(const ListenerState& l, int64_t generation) {
  if (!l.bad_kinds.empty()) return {"ResolvedRefs", Truth::kFalse, "InvalidRouteKinds", absl::StrCat("not supported here: ", l.bad_kinds), generation};
  if (!l.refs_reason.empty()) return {"ResolvedRefs", Truth::kFalse, l.refs_reason, l.refs_message, generation};
  return {"ResolvedRefs", Truth::kTrue, "ResolvedRefs", "", generation};
}

void report_listener(World& world, const GatewayState& gateway, const ListenerState& l) {
  const ObjectKey& key = gateway.object->key;
  const StatusScope scope{{}, l.listener.name, 0};
  const int64_t generation = gateway.object->generation;
  const bool usable = l.usable() && gateway.address_problem.empty();
  const std::string why = l.accepted && !l.usable() ? "it has no certificate to show" : "";
  world.result.status.set(key, scope, {"Accepted", l.accepted ? Truth::kTrue : Truth::kFalse, l.reason, l.accepted ? "" : l.message, generation});
  world.result.status.set(key, scope,
                   {"Conflicted", l.conflict.empty() ? Truth::kFalse : Truth::kTrue,
                    l.conflict.empty() ? "NoConflicts" : l.conflict, l.conflict.empty() ? "" : l.message, generation});
  world.result.status.set(key, scope, refs_condition(l, generation));
  world.result.status.set(key, scope,
                   {"Programmed", usable ? Truth::kUnknown : Truth::kFalse, usable ? "Pending" : "Invalid",
                    usable ? "no proxy has answered yet" : why, generation});
  ScopeStatus& status = world.result.status.at(key, scope);
  status.attached_routes = static_cast<int>(l.attached.size());
  for (const GroupKind& kind : l.kinds) status.supported_kinds.push_back(kind.str());
}

}  // namespace

void take_gateways(World& world) {
  const std::set<std::string> ours = take_classes(world);
  std::vector<Diagnostic> unread;
  for (const auto& [key, object] : world.snapshot.of(kGroup, "Gateway")) {
    Gateway gateway = read_gateway(*object, unread);
    if (ours.contains(gateway.class_name)) {
      world.gateways.emplace(key, take_gateway(world, object, std::move(gateway)));
      continue;
    }
    if (world.snapshot.find(ObjectKey{std::string(kGroup), "GatewayClass", "", gateway.class_name})) continue;  // another's
    std::vector<std::string_view> names(ours.begin(), ours.end());
    const std::optional<std::string> meant = closest(gateway.class_name, names);
    world.problem(Severity::kError, *object, {"spec.gatewayClassName", object->line},
                  absl::StrCat("GatewayClass ", gateway.class_name, " does not exist",
                               meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
  }
}

void report_gateways(World& world) {
  for (const auto& [key, gateway] : world.gateways) {
    size_t good = 0;
    for (const ListenerState& l : gateway.listeners) good += l.usable() ? 1 : 0;
    const int64_t generation = gateway.object->generation;
    Condition accepted{"Accepted", Truth::kTrue, "Accepted", "", generation};
    Condition programmed{"Programmed", Truth::kUnknown, "Pending", "no proxy has answered yet", generation};
    if (!gateway.address_problem.empty()) {
      accepted = {"Accepted", Truth::kFalse, "UnsupportedAddress", gateway.address_problem, generation};
      programmed = {"Programmed", Truth::kFalse, "AddressNotUsable", gateway.address_problem, generation};
    } else if (good < gateway.listeners.size()) {
      accepted.reason = "ListenersNotValid";
      accepted.message = absl::StrCat(gateway.listeners.size() - good, " of ", gateway.listeners.size(), " listeners cannot be served");
      if (good == 0) {
        accepted.status = Truth::kFalse;
        programmed = {"Programmed", Truth::kFalse, "Invalid", accepted.message, generation};
      }
    }
    world.result.status.set(key, {}, std::move(accepted));
    world.result.status.set(key, {}, std::move(programmed));
    if (std::any_of(gateway.listeners.begin(), gateway.listeners.end(), [](const ListenerState& l) { return l.insecure_clients; })) {
      world.result.status.set(key, {}, {"InsecureFrontendValidationMode", Truth::kTrue, "ConfigurationChanged", "clients with any certificate, and with none, are let in", generation});
    }
    for (const ListenerState& l : gateway.listeners) report_listener(world, gateway, l);
  }
}

}  // namespace fairlead::adapters::gatewayapi
