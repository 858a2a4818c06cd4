// Objects whose newest version failed its check: they get Accepted=False with what is wrong, in the generation that is wrong, also where an older
// version of them stays in use or there never was one. See world.h.
#include <set>
#include <utility>

#include "adapters/gatewayapi/world.h"
#include "adapters/object/rejections.h"
#include "base/doc_at.h"

namespace fairlead::adapters::gatewayapi {

namespace {

class Rejected {
 public:
  explicit Rejected(World& world) : world_(world), rejections_(world.snapshot, kGroup) {}

  void report(const ObjectKey& key, const Object& object) {
    if (key.kind == "GatewayClass") return of_class(key, object);
    if (key.kind == "Gateway") return of_gateway(key, object);
    if (key.kind == "ListenerSet") return of_set(key, object);
    if (key.kind.ends_with("Route")) return of_route(key, object);
    if (key.kind == "BackendTLSPolicy") return of_policy(key, object);
  }

 private:
  void refuse(const ObjectKey& key, const Object& object, const StatusScope& scope, std::string reason) {
    world_.result.status.set(key, scope, {"Accepted", Truth::kFalse, std::move(reason), rejections_.message(key), object.generation});
  }

  bool is_our_class(const std::string& name) const {
    const Condition* c = world_.result.status.find({std::string(kGroup), "GatewayClass", "", name}, {}, "Accepted");
    return c && c->status == Truth::kTrue;
  }
  bool is_our_gateway(const ObjectKey& key) const { return world_.gateways.contains(key) || refused_gateways_.contains(key); }

  void of_class(const ObjectKey& key, const Object& object) {
    const doc::Value* controller = object.body.find_path("spec.controllerName");
    if (controller && controller->is_string() && controller->as_string() == kControllerName) refuse(key, object, {}, "Unsupported");
  }

  void of_gateway(const ObjectKey& key, const Object& object) {
    const doc::Value* spec = object.body.find("spec");
    if (!spec || !is_our_class(text_at(*spec, "gatewayClassName"))) return;
    refused_gateways_.insert(key);
    refuse(key, object, {}, "Invalid");
    if (!world_.gateways.contains(key)) world_.result.status.set(key, {}, {"Programmed", Truth::kFalse, "Invalid", "nothing of it is in use", object.generation});
  }

  void of_set(const ObjectKey& key, const Object& object) {
    const doc::Value* ref = object.body.find_path("spec.parentRef");
    if (!ref) return;
    const std::string ns = text_at(*ref, "namespace");
    if (!is_our_gateway({std::string(kGroup), "Gateway", ns.empty() ? key.ns : ns, text_at(*ref, "name")})) return;
    refuse(key, object, {}, "Invalid");
    if (!world_.sets.contains(key)) world_.result.status.set(key, {}, {"Programmed", Truth::kFalse, "Invalid", "nothing of it is in use", object.generation});
  }

  void of_route(const ObjectKey& key, const Object& object) {
    for (const doc::Value& ref : items_at(object.body, "spec.parentRefs")) {
      const doc::Value* group = ref.find("group");
      const std::string kind = text_at(ref, "kind"), ns = text_at(ref, "namespace");
      const std::string in_group = group && group->is_string() ? group->as_string() : std::string(kGroup);
      const bool service = in_group.empty() && kind == "Service" && is_request_route(key);
      if (!service && (in_group != kGroup || (!kind.empty() && kind != "Gateway" && kind != "ListenerSet"))) continue;
      const doc::Value* port = ref.find("port");
      const StatusScope scope{{in_group, kind.empty() ? "Gateway" : kind, ns.empty() ? key.ns : ns, text_at(ref, "name")},
                              text_at(ref, "sectionName"),
                              port && port->kind() == doc::Kind::integer ? static_cast<int>(port->as_integer()) : 0};
      if (service || is_our_gateway(scope.parent) || world_.sets.contains(scope.parent)) refuse(key, object, scope, "UnsupportedValue");
    }
  }

  // At the Gateways where its last good version is, and those whose routes lead to what it is about.
  void of_policy(const ObjectKey& key, const Object& object) {
    std::set<ObjectKey> ancestors;
    if (const auto good = world_.result.status.objects().find(key); good != world_.result.status.objects().end()) {
      for (const auto& [scope, status] : good->second) ancestors.insert(scope.parent);
    }
    std::set<std::string> targets;
    for (const doc::Value& t : items_at(object.body, "spec.targetRefs")) targets.insert(text_at(t, "name"));
    const auto is_target = [&](const std::optional<intent::BackendKey>& b) { return b && b->ns == key.ns && targets.contains(b->service); };
    for (const auto& [gateway, state] : world_.gateways) {
      for (const ListenerState& l : state.listeners) {
        for (const auto& [hostname, routes] : l.routes) {
          for (const RankedPtr& r : routes) {
            for (const intent::WeightedBackend& b : r->route.backends) {
              if (is_target(b.backend)) ancestors.insert(gateway);
            }
          }
        }
      }
    }
    for (const auto& [at, port] : world_.mesh) {
      for (const auto& [clients, side] : port.sides) {
        for (const RankedPtr& r : side.routes) {
          for (const intent::WeightedBackend& b : r->route.backends) {
            if (is_target(b.backend)) ancestors.insert({"", "Service", at.ns, at.service});
          }
        }
      }
    }
    for (const ObjectKey& gateway : ancestors) refuse(key, object, {gateway, "", 0}, "Invalid");
  }

  World& world_;
  const Rejections rejections_;
  std::set<ObjectKey> refused_gateways_;
};

}  // namespace

void report_rejected(World& world) {
  Rejected rejected(world);
  // Gateways first: routes ask whether they are ours.
  std::vector<ObjectPtr> rest;
  for (const auto& [key, object] : world.snapshot.rejected()) {
    if (key.group != kGroup) continue;
    if (key.kind == "GatewayClass" || key.kind == "Gateway") {
      rejected.report(key, *object);
    } else {
      rest.push_back(object);
    }
  }
  for (const ObjectPtr& object : rest) rejected.report(object->key, *object);
}

}  // namespace fairlead::adapters::gatewayapi
