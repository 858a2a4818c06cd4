// See status_shapes.h.
#include "adapters/kubernetes/status_shapes.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "base/doc_at.h"

namespace fairlead::adapters::kubernetes {

namespace {

constexpr std::string_view kGroup = "gateway.networking.k8s.io", kOurGroup = "fairlead.io", kIngressGroup = "networking.k8s.io";
constexpr size_t kMostParents = 32, kMostAncestors = 16;  // the CRDs' maxItems
constexpr size_t kMostMessage = 8'000;                    // bytes; the CRDs allow 32768 characters, people read fewer

// Types that we set on some kind or other: where they stand and nobody says them any more, they are to go.
constexpr std::array<std::string_view, 8> kOurTypes{"Accepted",          "Programmed",           "ResolvedRefs",
                                                    "Conflicted",        "PartiallyInvalid",     "OverlappingTLSConfig",
                                                    "AttachedListenerSets", "InsecureFrontendValidationMode"};
bool is_our_type(std::string_view type) { return std::find(kOurTypes.begin(), kOurTypes.end(), type) != kOurTypes.end(); }

int64_t number_at(const doc::Value& value, std::string_view key) {
  const doc::Value* v = value.find(key);
  return v && v->kind() == doc::Kind::integer ? v->as_integer() : 0;
}

Truth truth_of(std::string_view text) { return text == "True" ? Truth::kTrue : text == "False" ? Truth::kFalse : Truth::kUnknown; }

// What a condition without words of its own says to people.
std::string_view usual_message(const Condition& c) {
  if (c.type == "Accepted" && c.status == Truth::kTrue) return "it is valid and in use";
  if (c.type == "Programmed" && c.status == Truth::kTrue) return "every connected proxy has accepted it";
  if (c.type == "ResolvedRefs" && c.status == Truth::kTrue) return "all references are permitted and lead somewhere";
  if (c.type == "Conflicted" && c.status == Truth::kFalse) return "no listener is in its way";
  return "";
}

// One list of conditions: ours as they shall be beside those there are.
class Conditions {
 public:
  Conditions(const Shaping& shaping, Shaped& out) : shaping_(shaping), out_(out) {}

  // `keep`: the list is written as a whole, so that types of others are to be in it.
  doc::Value merge(std::span<const doc::Value> present, const std::vector<Condition>& said, bool keep, const std::string& where) {
    std::vector<doc::Value> list;
    for (const Condition& c : said) {
      const doc::Value* old = find(present, c.type);
      if (old && number_at(*old, "observedGeneration") > c.observed_generation) out_.stale = true;
      if (old && shaping_.hold_programmed && c.type == "Programmed" && c.status == Truth::kUnknown && text_at(*old, "status") == "True") {
        list.push_back(*old);
        out_.held = true;
        continue;
      }
      list.push_back(condition(c, old, where));
    }
    for (const doc::Value& old : present) {
      const std::string type = text_at(old, "type");
      if (std::any_of(said.begin(), said.end(), [&](const Condition& c) { return c.type == type; })) continue;
      if (is_our_type(type)) {
        out_.differs = true;
      } else if (keep) {
        list.push_back(old);
      }
    }
    return doc::list(std::move(list));
  }

 private:
  static const doc::Value* find(std::span<const doc::Value> list, std::string_view type) {
    for (const doc::Value& c : list) {
      if (text_at(c, "type") == type) return &c;
    }
    return nullptr;
  }

  doc::Value condition(const Condition& c, const doc::Value* old, const std::string& where) {
    const std::string message = message_of(c), status(truth_name(c.status));
    const bool same_status = old && text_at(*old, "status") == status;
    const std::string since = same_status ? text_at(*old, "lastTransitionTime") : "";
    if (!same_status || text_at(*old, "reason") != c.reason || text_at(*old, "message") != message || number_at(*old, "observedGeneration") != c.observed_generation) {
      out_.differs = true;
    }
    if (!same_status) {
      out_.transitions.push_back({c.type, c.reason, message, old ? truth_of(text_at(*old, "status")) : Truth::kUnknown, c.status, where});
    }
    std::vector<doc::Entry> e{{"type", doc::string(c.type), {}}, {"status", doc::string(status), {}}, {"reason", doc::string(c.reason), {}}, {"message", doc::string(message), {}}};
    if (c.observed_generation != 0) e.push_back({"observedGeneration", doc::integer(c.observed_generation), {}});
    e.push_back({"lastTransitionTime", doc::string(since.empty() ? shaping_.now : since), {}});
    return doc::map(std::move(e));
  }

  const Shaping& shaping_;
  Shaped& out_;
};

doc::Value kinds(const std::vector<std::string>& names) {
  std::vector<doc::Value> out;
  for (const std::string& name : names) {
    const size_t slash = name.rfind('/');
    out.push_back(doc::map({{"group", doc::string(slash == std::string::npos ? "" : name.substr(0, slash)), {}},
                            {"kind", doc::string(slash == std::string::npos ? name : name.substr(slash + 1)), {}}}));
  }
  return doc::list(std::move(out));
}

// --- the shapes -----------------------------------------------------------------------------------------------------------

void shape_class(const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping, Shaped& out) {
  const auto own = said.find({});
  if (own == said.end()) return;  // another controller's
  std::vector<doc::Value> features;
  std::vector<std::string> names = own->second.supported_features, before;
  names.insert(names.end(), shaping.features.begin(), shaping.features.end());
  std::sort(names.begin(), names.end());
  for (const std::string& f : names) features.push_back(doc::map({{"name", doc::string(f), {}}}));
  // a string each in releases before 1.3
  for (const doc::Value& f : items_at(present, "status.supportedFeatures")) before.push_back(f.is_string() ? f.as_string() : text_at(f, "name"));
  std::sort(before.begin(), before.end());
  out.differs = names != before;
  doc::Value conditions = Conditions(shaping, out).merge(items_at(present, "status.conditions"), own->second.conditions, false, "");
  out.status = doc::map({{"conditions", std::move(conditions), {}}, {"supportedFeatures", doc::list(std::move(features)), {}}});
}

// Those that its data plane has, as far as anybody says so, those that it asks for, those of all Gateways: whichever comes first.
std::vector<Address> addresses_of(const Object& gateway, const ScopeStatus& own, const Shaping& shaping) {
  const Condition* accepted = own.find("Accepted");
  if (accepted && accepted->status == Truth::kFalse && accepted->reason == "UnsupportedAddress") return {};
  if (shaping.plane) return shaping.plane->addresses;
  std::vector<Address> out = announced(gateway);
  if (!out.empty()) return out;
  for (const doc::Value& a : items_at(gateway.body, "spec.addresses")) {
    const std::string type = text_at(a, "type"), value = text_at(a, "value");
    if (!value.empty()) out.push_back({type.empty() ? "IPAddress" : type, value});
  }
  return out.empty() ? shaping.addresses : out;
}

void shape_gateway(const Object& object, const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping, Shaped& out) {
  const auto own = said.find({});
  if (own == said.end()) return;  // another controller's
  std::vector<doc::Entry> status;
  std::vector<doc::Value> addresses;
  std::vector<Address> before, wanted;
  for (const doc::Value& a : items_at(present, "status.addresses")) before.push_back({text_at(a, "type"), text_at(a, "value")});
  if (object.key.kind == "Gateway") {
    wanted = shaping.plane && shaping.plane->unknown ? before : addresses_of(object, own->second, shaping);  // a ListenerSet has none of its own
  }
  for (const Address& a : wanted) addresses.push_back(doc::map({{"type", doc::string(a.type), {}}, {"value", doc::string(a.value), {}}}));
  out.differs = wanted != before;
  if (!addresses.empty()) status.push_back({"addresses", doc::list(std::move(addresses)), {}});
  const doc::Value* sets = present.find_path("status.attachedListenerSets");
  const int64_t sets_before = sets && sets->kind() == doc::Kind::integer ? sets->as_integer() : -1;
  if (own->second.attached_listener_sets != sets_before) out.differs = true;
  if (own->second.attached_listener_sets >= 0) status.push_back({"attachedListenerSets", doc::integer(own->second.attached_listener_sets), {}});
  Conditions conditions(shaping, out);
  status.push_back({"conditions", conditions.merge(items_at(present, "status.conditions"), own->second.conditions, false, ""), {}});

  std::map<std::string, doc::Value> there;
  for (const doc::Value& l : items_at(present, "status.listeners")) there[text_at(l, "name")] = l;
  std::vector<doc::Value> listeners;
  for (const std::string& name : listener_names(object)) {
    const auto at = said.find({{}, name, 0});
    if (at == said.end()) continue;
    const doc::Value supported = kinds(at->second.supported_kinds);
    doc::Value old = there.contains(name) ? there[name] : doc::map({});
    const doc::Value* old_kinds = old.find("supportedKinds");
    if (old.size() == 0 || number_at(old, "attachedRoutes") != std::max(0, at->second.attached_routes) || !(old_kinds ? *old_kinds == supported : supported.size() == 0)) out.differs = true;
    there.erase(name);
    listeners.push_back(doc::map({{"name", doc::string(name), {}},
                                  {"supportedKinds", supported, {}},
                                  {"attachedRoutes", doc::integer(std::max(0, at->second.attached_routes)), {}},
                                  {"conditions", conditions.merge(items_at(old, "conditions"), at->second.conditions, false, absl::StrCat("listener ", name)), {}}}));
  }
  if (!there.empty()) out.differs = true;  // listeners that are gone
  status.push_back({"listeners", doc::list(std::move(listeners)), {}});
  out.status = doc::map(std::move(status));
}

// Nothing but where it is reached; where nobody says that, or nothing of it is in use (its references are not spoken of then), nothing of ours.
void shape_ingress(const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping, Shaped& out) {
  const bool in_use = std::any_of(said.begin(), said.end(), [](const auto& s) { return s.second.find("ResolvedRefs") != nullptr; });
  if (!in_use || shaping.addresses.empty()) return;
  std::vector<doc::Value> addresses;
  std::vector<Address> before;
  for (const Address& a : shaping.addresses) addresses.push_back(doc::map({{a.type == "IPAddress" ? "ip" : "hostname", doc::string(a.value), {}}}));
  for (const doc::Value& a : items_at(present, "status.loadBalancer.ingress")) {
    const std::string ip = text_at(a, "ip");
    before.push_back(ip.empty() ? Address{"Hostname", text_at(a, "hostname")} : Address{"IPAddress", ip});
  }
  out.differs = before != shaping.addresses;
  out.status = doc::map({{"loadBalancer", doc::map({{"ingress", doc::list(std::move(addresses)), {}}}), {}}});
}

void shape_conditions(const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping, Shaped& out) {
  const auto own = said.find({});
  if (own == said.end()) return;
  out.status = doc::map({{"conditions", Conditions(shaping, out).merge(items_at(present, "status.conditions"), own->second.conditions, false, ""), {}}});
}

// A reference as the scope that it means, in an object of that namespace.
StatusScope scope_of(const doc::Value& reference, const std::string& ns) {
  const doc::Value* group = reference.find("group");
  const std::string kind = text_at(reference, "kind"), other = text_at(reference, "namespace");
  StatusScope scope;
  scope.parent = {group && group->is_string() ? group->as_string() : std::string(kGroup), kind.empty() ? "Gateway" : kind, other.empty() ? ns : other, text_at(reference, "name")};
  scope.section = text_at(reference, "sectionName");
  scope.port = static_cast<int>(number_at(reference, "port"));
  return scope;
}

doc::Value reference_to(const StatusScope& scope) {
  std::vector<doc::Entry> e{{"group", doc::string(scope.parent.group), {}}, {"kind", doc::string(scope.parent.kind), {}}};
  if (!scope.parent.ns.empty()) e.push_back({"namespace", doc::string(scope.parent.ns), {}});
  e.push_back({"name", doc::string(scope.parent.name), {}});
  if (!scope.section.empty()) e.push_back({"sectionName", doc::string(scope.section), {}});
  if (scope.port != 0) e.push_back({"port", doc::integer(scope.port), {}});
  return doc::map(std::move(e));
}

// parents[] and ancestors[]: the list as it is, our entries exchanged. Those of others stay where and as they are, before ours.
class References {
 public:
  References(const Object& object, const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping, Shaped& out)
      : object_(object), said_(said), present_(present), shaping_(shaping), out_(out) {}

  void shape(std::string_view list, std::string_view reference, size_t most) {
    std::vector<doc::Value> entries;
    std::map<StatusScope, const doc::Value*> ours;
    std::vector<StatusScope> order_before, order_now;
    for (const doc::Value& entry : items_at(present_, absl::StrCat("status.", list))) {
      if (text_at(entry, "controllerName") != shaping_.controller) {
        entries.push_back(entry);
        continue;
      }
      const doc::Value* to = entry.find(reference);
      const StatusScope scope = scope_of(to ? *to : doc::map({}), object_.key.ns);
      ours[scope] = &entry;
      order_before.push_back(scope);
    }
    Conditions conditions(shaping_, out_);
    for (auto& [scope, to] : wanted(reference)) {
      if (entries.size() >= most) {
        ++out_.left_out;
        continue;
      }
      const auto old = ours.find(scope);
      order_now.push_back(scope);
      entries.push_back(doc::map({{std::string(reference), to, {}},
                                  {"controllerName", doc::string(shaping_.controller), {}},
                                  {"conditions", conditions.merge(old == ours.end() ? std::span<const doc::Value>() : items_at(*old->second, "conditions"), said_.at(scope).conditions, true, scope.parent.str()), {}}}));
    }
    if (order_now != order_before) out_.differs = true;
    out_.status = doc::map({{std::string(list), doc::list(std::move(entries)), {}}});
  }

 private:
  // For routes in the order of their spec and in its words, so that whoever compares finds what was written there.
  std::vector<std::pair<StatusScope, doc::Value>> wanted(std::string_view reference) const {
    std::vector<std::pair<StatusScope, doc::Value>> out;
    if (reference == "ancestorRef") {
      for (const auto& [scope, status] : said_) {
        if (!status.conditions.empty()) out.emplace_back(scope, reference_to(scope));
      }
      return out;
    }
    for (const doc::Value& to : items_at(object_.body, "spec.parentRefs")) {
      StatusScope scope = scope_of(to, object_.key.ns);
      const auto at = said_.find(scope);
      const bool twice = std::any_of(out.begin(), out.end(), [&](const auto& other) { return other.first == scope; });
      if (at != said_.end() && !at->second.conditions.empty() && !twice) out.emplace_back(std::move(scope), to);
    }
    return out;
  }

  const Object& object_;
  const StatusSink::Scopes& said_;
  const doc::Value& present_;
  const Shaping& shaping_;
  Shaped& out_;
};

}  // namespace

std::string message_of(const Condition& c) {
  std::string text = c.message.empty() ? std::string(usual_message(c)) : c.message;
  if (text.size() <= kMostMessage) return text;
  size_t end = kMostMessage;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not within a character
  text.resize(end);
  return text + "…";
}

const std::vector<StatusKind>& status_kinds() {
  using Shape = StatusKind::Shape;
  static const std::vector<StatusKind> kKinds{{kGroup, "GatewayClass", "gatewayclasses", Shape::kClass, true},
                                              {kGroup, "Gateway", "gateways", Shape::kGateway},
                                              {kGroup, "ListenerSet", "listenersets", Shape::kGateway},
                                              {kGroup, "HTTPRoute", "httproutes", Shape::kRoute},
                                              {kGroup, "GRPCRoute", "grpcroutes", Shape::kRoute},
                                              {kGroup, "TLSRoute", "tlsroutes", Shape::kRoute},
                                              {kGroup, "TCPRoute", "tcproutes", Shape::kRoute},
                                              {kGroup, "UDPRoute", "udproutes", Shape::kRoute},
                                              {kGroup, "BackendTLSPolicy", "backendtlspolicies", Shape::kPolicy},
                                              {kOurGroup, "EnvoyResources", "envoyresources", Shape::kConditions},
                                              {kOurGroup, "GatewayParameters", "gatewayparameters", Shape::kConditions},
                                              {kIngressGroup, "Ingress", "ingresses", Shape::kIngress},
                                              {kIngressGroup, "IngressClass", "ingressclasses", Shape::kNone, true}};
  return kKinds;
}

const StatusKind* status_kind(const ObjectKey& key) {
  for (const StatusKind& k : status_kinds()) {
    if (k.group == key.group && k.kind == key.kind) return &k;
  }
  return nullptr;
}

std::string object_path(const Object& object, const StatusKind& kind) {
  return absl::StrCat("/apis/", object.api_version, kind.cluster_scoped ? "" : absl::StrCat("/namespaces/", object.key.ns), "/", kind.plural, "/", object.key.name);
}

Address address_of(std::string text) {
  unsigned char buffer[sizeof(in6_addr)];
  const bool ip = inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
  return {ip ? "IPAddress" : "Hostname", std::move(text)};
}

std::vector<Address> announced(const Object& object) {
  std::vector<Address> out;
  const auto at = object.annotations.find(std::string(kAddressesAnnotation));
  if (at == object.annotations.end()) return out;
  for (const std::string_view part : absl::StrSplit(at->second, absl::ByAnyChar(", "), absl::SkipEmpty())) out.push_back(address_of(std::string(part)));
  return out;
}

namespace {

void set_unprogrammed(StatusSink::Scopes& said, std::string_view reason, const std::string& message) {
  const auto own = said.find({});
  if (own == said.end()) return;
  for (Condition& c : own->second.conditions) {
    if (c.type != "Programmed" || c.status == Truth::kFalse) continue;
    c.status = Truth::kFalse;
    c.reason = reason;
    c.message = message;
  }
}

// Which addresses the Gateway asks for that are not among those that it has.
std::string lacking_addresses(const Object& gateway, const std::vector<Address>& had) {
  std::string lacking;
  for (const doc::Value& a : items_at(gateway.body, "spec.addresses")) {
    const std::string value = text_at(a, "value");
    const bool there = value.empty() || std::any_of(had.begin(), had.end(), [&](const Address& h) { return h.value == value; });
    if (!there) absl::StrAppend(&lacking, lacking.empty() ? "" : ", ", value);
  }
  return lacking;
}

void check_asked(const Object& gateway, const std::vector<Address>& had, StatusSink::Scopes& said) {
  const std::string lacking = lacking_addresses(gateway, had);
  if (!lacking.empty()) set_unprogrammed(said, "AddressNotUsable", absl::StrCat("spec.addresses: its data plane does not have ", lacking));
}

}  // namespace

void check_addresses(const Object& gateway, StatusSink::Scopes& said) {
  const std::vector<Address> had = announced(gateway);
  if (!had.empty()) check_asked(gateway, had, said);
}

void check_plane(const Object& gateway, const Plane& plane, StatusSink::Scopes& said) {
  if (!plane.trouble.empty()) {
    set_unprogrammed(said, "DataPlaneFailed", plane.trouble);
  } else if (plane.unknown) {
    return;
  } else if (const std::string lacking = lacking_addresses(gateway, {}); plane.addresses.empty() && !lacking.empty()) {
    // As long as nobody gives it, it cannot be used: a load balancer does not say whether it ever will.
    set_unprogrammed(said, "AddressNotUsable", absl::StrCat("spec.addresses: its data plane does not have ", lacking, ": ", plane.missing));
  } else if (plane.addresses.empty()) {
    set_unprogrammed(said, "AddressNotAssigned", plane.missing);
  } else {
    check_asked(gateway, plane.addresses, said);
  }
}

void add_note(const Plane& plane, StatusSink::Scopes& said) {
  const auto own = said.find({});
  if (own == said.end() || plane.note.empty()) return;
  for (Condition& c : own->second.conditions) {
    if (c.type != "Programmed" || c.status == Truth::kFalse) continue;
    const std::string text = c.message.empty() ? std::string(usual_message(c)) : c.message;
    c.message = absl::StrCat(text, text.empty() ? "" : "; ", plane.note);
  }
}

ObjectKey gateway_of(const ObjectSnapshot& objects, const ObjectKey& parent) {
  const ObjectPtr set = parent.kind == "ListenerSet" ? objects.find(parent) : nullptr;
  const doc::Value* ref = set ? set->body.find_path("spec.parentRef") : nullptr;
  if (!ref) return parent;
  const std::string ns = text_at(*ref, "namespace");
  return {parent.group, "Gateway", ns.empty() ? parent.ns : ns, text_at(*ref, "name")};
}

std::vector<std::string> listener_names(const Object& gateway) {
  std::vector<std::string> out;
  for (const doc::Value& l : items_at(gateway.body, "spec.listeners")) out.push_back(text_at(l, "name"));
  return out;
}

Shaped shape_status(const Object& object, const StatusKind& kind, const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping) {
  Shaped out;
  References references(object, said, present, shaping, out);
  switch (kind.shape) {
    case StatusKind::Shape::kClass:
      shape_class(said, present, shaping, out);
      break;
    case StatusKind::Shape::kGateway:
      shape_gateway(object, said, present, shaping, out);
      break;
    case StatusKind::Shape::kRoute:
      references.shape("parents", "parentRef", kMostParents);
      break;
    case StatusKind::Shape::kPolicy:
      references.shape("ancestors", "ancestorRef", kMostAncestors);
      break;
    case StatusKind::Shape::kConditions: shape_conditions(said, present, shaping, out); break;
    case StatusKind::Shape::kIngress:
      shape_ingress(said, present, shaping, out);
      break;
    case StatusKind::Shape::kNone: break;
  }
  if (out.stale) out.differs = false;
  return out;
}

std::string apply_body(const Object& object, const StatusKind& kind, const doc::Value& present, const doc::Value& status) {
  const doc::Value* there = present.find("metadata");
  const std::string uid = there ? text_at(*there, "uid") : "", version = there ? text_at(*there, "resourceVersion") : "";
  std::vector<doc::Entry> metadata{{"name", doc::string(object.key.name), {}}};
  if (!kind.cluster_scoped) metadata.push_back({"namespace", doc::string(object.key.ns), {}});
  if (!uid.empty()) metadata.push_back({"uid", doc::string(uid), {}});  // never another object of that name
  const bool atomic = kind.shape == StatusKind::Shape::kRoute || kind.shape == StatusKind::Shape::kPolicy;
  if (atomic && !version.empty()) metadata.push_back({"resourceVersion", doc::string(version), {}});
  return doc::to_json(doc::map({{"apiVersion", doc::string(object.api_version), {}}, {"kind", doc::string(object.key.kind), {}}, {"metadata", doc::map(std::move(metadata)), {}}, {"status", status, {}}}));
}

}  // namespace fairlead::adapters::kubernetes
