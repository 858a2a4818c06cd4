// Classes, Gateways, listeners: what is ours and what can be served. See world.h.
#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/gatewayapi/features.h"
#include "adapters/gatewayapi/world.h"
#include "base/doc_at.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// What is wrong with a reference to parameters; empty: nothing. They are for whoever runs the data plane (adapters/provision); here it is looked only
// whether they can be had. `known`: of a kind of ours at least, so that what is served goes on being served.
std::string parameters_problem(const World& world, const ObjectKey& target, bool& known) {
  known = target.group == kOurGroup && target.kind == kParametersKind;
  const std::string kind = target.group.empty() ? target.kind : absl::StrCat(target.group, "/", target.kind);
  if (!known) return absl::StrCat(kind, " is not known here; ", kOurGroup, "/", kParametersKind, " is");
  if (world.snapshot.find(target)) return "";  // the last good version, at least
  const std::string broken = world.broken(target);
  return broken.empty() ? absl::StrCat(target.str(), " does not exist") : absl::StrCat(target.str(), " is not valid: ", broken);
}

// Names of the classes that are ours and accepted.
std::set<std::string> take_classes(World& world) {
  std::set<std::string> ours;
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const auto& [key, object] : world.snapshot.of(kGroup, "GatewayClass")) {
    const GatewayClass c = read_gateway_class(*object, unread);
    if (c.controller != kControllerName) continue;
    Condition accepted{"Accepted", Truth::kTrue, "Accepted", "", object->generation};
    bool known = true;
    if (const std::string problem = c.parameters ? parameters_problem(world, *c.parameters, known) : ""; !problem.empty()) {
      accepted = {"Accepted", Truth::kFalse, "InvalidParameters", absl::StrCat("parametersRef: ", problem), object->generation};
      world.problem(Severity::kError, *object, c.parameters_spot, accepted.message);
    }
    if (known) ours.insert(key.name);
    world.result.status.set(key, {}, std::move(accepted));
    world.result.status.at(key, {}).supported_features = supported_features();
  }
  return ours;
}

bool is_tcp_based(const std::string& protocol) { return protocol != "UDP"; }
// HTTPS and TLS are told apart by SNI and share a port; all others need it for themselves.
std::string protocol_family(const std::string& protocol) { return protocol == "HTTPS" ? "TLS" : protocol; }

// The kinds of routes that a listener takes; none: its protocol is not served.
std::vector<std::string_view> kinds_for(const Listener& listener) {
  if (listener.protocol == "HTTP" || listener.protocol == "HTTPS") return {"HTTPRoute", "GRPCRoute"};
  if (listener.protocol == "TLS" && listener.tls && !listener.tls->passthrough) return {"TLSRoute", "TCPRoute"};
  if (listener.protocol == "TLS") return {"TLSRoute"};
  if (listener.protocol == "TCP") return {"TCPRoute"};
  if (listener.protocol == "UDP") return {"UDPRoute"};
  return {};
}

void find_kinds(ListenerState& state) {
  std::vector<GroupKind> served;
  for (std::string_view kind : kinds_for(state.listener)) served.push_back({std::string(kGroup), std::string(kind)});
  if (!state.listener.kinds) {
    state.kinds = std::move(served);
    return;
  }
  std::vector<std::string> bad;
  for (const GroupKind& kind : *state.listener.kinds) {
    if (std::find(served.begin(), served.end(), kind) == served.end()) {
      bad.push_back(kind.str());
    } else if (std::find(state.kinds.begin(), state.kinds.end(), kind) == state.kinds.end()) {
      state.kinds.push_back(kind);
    }
  }
  state.bad_kinds = absl::StrJoin(bad, ", ");
}

// Whether the Gateway's proxies are behind a Service that the control plane has made for it. What spec.addresses asks for is then the load balancer's, and no
// pod has it. Only asked for Gateways that ask for addresses.
bool behind_service(const World& world, const Object& gateway) {
  const std::string uid = text_at(gateway.body, "metadata.uid");
  if (uid.empty()) return false;
  for (const auto& [key, service] : world.snapshot.of("", "Service")) {
    if (key.ns != gateway.key.ns) continue;
    const doc::Value* labels = service->body.find_path("metadata.labels");
    const doc::Value* by = labels ? labels->find("app.kubernetes.io/managed-by") : nullptr;
    if (!by || !by->is_string() || by->as_string() != "fairlead-control") continue;
    const auto owners = items_at(service->body, "metadata.ownerReferences");
    if (std::any_of(owners.begin(), owners.end(), [&](const doc::Value& o) { return text_at(o, "uid") == uid; })) return true;
  }
  return false;
}

void take_addresses(const World& world, GatewayState& state) {
  for (const GatewayAddress& a : state.gateway.addresses) {
    unsigned char buffer[sizeof(in6_addr)];
    if (a.type != "IPAddress") {
      state.address_problem = absl::StrCat("addresses of type ", a.type, " are not supported");
    } else if (a.value.empty()) {
      continue;  // any address will do
    } else if (inet_pton(AF_INET, a.value.c_str(), buffer) != 1 && inet_pton(AF_INET6, a.value.c_str(), buffer) != 1) {
      state.address_problem = absl::StrCat("\"", a.value, "\" is not an IP address");
    } else if (std::find(state.addresses.begin(), state.addresses.end(), a.value) == state.addresses.end()) {
      state.addresses.push_back(a.value);
    }
  }
  if (state.addresses.empty() || behind_service(world, *state.object)) state.addresses = {"0.0.0.0"};
}

void take_parameters(World& world, GatewayState& state) {
  const std::optional<ObjectRef>& ref = state.gateway.parameters;
  bool known = true;
  const std::string problem = ref ? parameters_problem(world, {ref->target.group, ref->target.kind, ref->ns, ref->name}, known) : "";
  if (problem.empty()) return;
  (known ? state.parameters_missing : state.parameters_problem) = absl::StrCat(ref->spot.field, ": ", problem);
  world.problem(Severity::kError, *state.object, ref->spot, absl::StrCat("InvalidParameters: ", problem));
}

GatewayState take_gateway(World& world, const ObjectPtr& object, Gateway gateway) {
  GatewayState state;
  state.object = object;
  state.gateway = std::move(gateway);
  take_addresses(world, state);
  if (!state.address_problem.empty()) {
    world.problem(Severity::kError, *object, state.gateway.addresses.front().spot, state.address_problem);
  }
  take_parameters(world, state);
  take_client_certificate(world, state);
  for (const Listener& listener : state.gateway.listeners) state.listeners.push_back(take_listener(world, state, object, listener));
  find_conflicts(state.listeners);
  tell_refused(world, state.listeners);
  return state;
}

Condition refs_condition(const ListenerState& l, int64_t generation) {
  if (!l.bad_kinds.empty()) return {"ResolvedRefs", Truth::kFalse, "InvalidRouteKinds", absl::StrCat("not supported here: ", l.bad_kinds), generation};
  if (!l.refs_reason.empty()) return {"ResolvedRefs", Truth::kFalse, l.refs_reason, l.refs_message, generation};
  return {"ResolvedRefs", Truth::kTrue, "ResolvedRefs", "", generation};
}

}  // namespace

std::pair<std::string, std::string> conflict_between(const Listener& x, const Listener& y) {
  if (x.port != y.port || is_tcp_based(x.protocol) != is_tcp_based(y.protocol)) return {};
  if (protocol_family(x.protocol) != protocol_family(y.protocol)) return {"ProtocolConflict", absl::StrCat("uses port ", y.port, " for ", y.protocol)};
  if (x.hostname != y.hostname) return {};
  return {"HostnameConflict", absl::StrCat("has the same port and ", x.hostname.empty() ? "no hostname either" : "hostname")};
}

ListenerState take_listener(World& world, const GatewayState& gateway, const ObjectPtr& owner, const Listener& listener) {
  ListenerState l;
  l.listener = listener;
  l.owner = owner;
  l.name = owner == gateway.object ? listener.name : absl::StrCat(owner->key.ns, "/", owner->key.name, "/", listener.name);
  find_kinds(l);
  if (kinds_for(listener).empty()) {
    l.accepted = false;
    l.reason = "UnsupportedProtocol";
    l.message = absl::StrCat("protocol ", listener.protocol, " is not supported in this version");
  }
  if (l.ends_tls()) take_certificates(world, gateway, l);
  return l;
}

void refuse(ListenerState& listener, const std::string& conflict, std::string message) {
  listener.accepted = false;
  listener.reason = listener.conflict = conflict;
  listener.message = std::move(message);
}

void find_conflicts(std::vector<ListenerState>& listeners) {
  std::vector<ListenerState*> in_place;
  for (ListenerState& l : listeners) {
    if (l.conflict.empty()) in_place.push_back(&l);
  }
  for (ListenerState* a : in_place) {
    for (const ListenerState* b : in_place) {
      if (a == b) continue;
      const auto [conflict, what] = conflict_between(a->listener, b->listener);
      if (conflict.empty()) continue;
      refuse(*a, conflict, absl::StrCat("listener ", b->listener.name, " ", what));
      break;
    }
  }
}

void tell_refused(World& world, const std::vector<ListenerState>& listeners) {
  for (const ListenerState& l : listeners) {
    if (!l.accepted) world.problem(Severity::kError, *l.owner, l.listener.spot, absl::StrCat(l.reason, ": ", l.message));
    if (!l.bad_kinds.empty()) {
      world.problem(Severity::kError, *l.owner, l.listener.spot,
                    absl::StrCat("allowedRoutes.kinds: ", l.bad_kinds, " cannot attach to a listener of protocol ", l.listener.protocol));
    }
  }
}

bool GatewayState::accepted() const {
  return served() && std::any_of(listeners.begin(), listeners.end(), [&](const ListenerState& l) { return own(l) && l.usable(); });
}

void report_listener(World& world, const GatewayState& gateway, const ListenerState& l) {
  const ObjectKey& key = l.owner->key;
  const StatusScope scope{{}, l.listener.name, 0};
  const int64_t generation = l.owner->generation;
  const bool usable = l.usable() && gateway.served();
  const std::string why = l.accepted && !l.usable() ? "it has no certificate to show" : l.conflict.empty() ? "" : l.message;
  world.result.status.set(key, scope, {"Accepted", l.accepted ? Truth::kTrue : Truth::kFalse, l.reason, l.accepted ? "" : l.message, generation});
  world.result.status.set(key, scope,
                   {"Conflicted", l.conflict.empty() ? Truth::kFalse : Truth::kTrue,
                    l.conflict.empty() ? "NoConflicts" : l.conflict, l.conflict.empty() ? "" : l.message, generation});
  world.result.status.set(key, scope, refs_condition(l, generation));
  world.result.status.set(key, scope,
                   {"Programmed", usable ? Truth::kUnknown : Truth::kFalse, usable ? "Pending" : l.conflict.empty() ? "Invalid" : l.conflict,
                    usable ? "no proxy has answered yet" : why, generation});
  ScopeStatus& status = world.result.status.at(key, scope);
  status.attached_routes = static_cast<int>(l.attached.size());
  for (const GroupKind& kind : l.kinds) status.supported_kinds.push_back(kind.str());
}

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
    size_t own = 0, good = 0;
    for (const ListenerState& l : gateway.listeners) {
      if (!gateway.own(l)) continue;
      ++own;
      good += l.usable() ? 1 : 0;
    }
    const int64_t generation = gateway.object->generation;
    Condition accepted{"Accepted", Truth::kTrue, "Accepted", "", generation};
    Condition programmed{"Programmed", Truth::kUnknown, "Pending", "no proxy has answered yet", generation};
    if (!gateway.address_problem.empty()) {
      accepted = {"Accepted", Truth::kFalse, "UnsupportedAddress", gateway.address_problem, generation};
      programmed = {"Programmed", Truth::kFalse, "AddressNotUsable", gateway.address_problem, generation};
    } else if (!gateway.parameters_problem.empty()) {
      accepted = {"Accepted", Truth::kFalse, "InvalidParameters", gateway.parameters_problem, generation};
      programmed = {"Programmed", Truth::kFalse, "Invalid", gateway.parameters_problem, generation};
    } else if (!gateway.parameters_missing.empty()) {
      accepted = {"Accepted", Truth::kFalse, "InvalidParameters", gateway.parameters_missing, generation};
    } else if (good < own) {
      accepted.reason = "ListenersNotValid";
      accepted.message = absl::StrCat(own - good, " of ", own, " listeners cannot be served");
      if (good == 0) {
        accepted.status = Truth::kFalse;
        programmed = {"Programmed", Truth::kFalse, "Invalid", accepted.message, generation};
      }
    }
    world.result.status.set(key, {}, std::move(accepted));
    world.result.status.set(key, {}, std::move(programmed));
    if (gateway.gateway.client_certificate) {
      const bool resolved = gateway.refs_reason.empty();
      world.result.status.set(key, {}, {"ResolvedRefs", resolved ? Truth::kTrue : Truth::kFalse, resolved ? "ResolvedRefs" : gateway.refs_reason, gateway.refs_message, generation});
    }
    if (std::any_of(gateway.listeners.begin(), gateway.listeners.end(), [](const ListenerState& l) { return l.insecure_clients; })) {
      world.result.status.set(key, {}, {"InsecureFrontendValidationMode", Truth::kTrue, "ConfigurationChanged", "clients with any certificate, and with none, are let in", generation});
    }
    for (const ListenerState& l : gateway.listeners) {
      if (gateway.own(l)) report_listener(world, gateway, l);
    }
  }
}

}  // namespace fairlead::adapters::gatewayapi
