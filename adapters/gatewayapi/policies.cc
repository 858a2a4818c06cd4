// BackendTLSPolicies: which port of which service each is about, whom it trusts, and what is wrong with it. See world.h.
#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/world.h"

namespace fairlead::adapters::gatewayapi {

void Policies::take() {
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const auto& [key, object] : world_.snapshot.of(kGroup, "BackendTLSPolicy")) {
    auto policy = std::make_unique<Policy>();
    policy->object = object;
    policy->spec = read_backend_tls_policy(*object, unread);
    policies_.push_back(std::move(policy));
  }
  std::stable_sort(policies_.begin(), policies_.end(),
                   [](const auto& a, const auto& b) { return std::tie(a->object->created, a->object->key) < std::tie(b->object->created, b->object->key); });
  for (const auto& policy : policies_) {
    take_authorities(*policy);
    claim(*policy);
    for (const std::string& key : policy->spec.foreign_options) {
      world_.problem(Severity::kWarning, *policy->object, {"spec.options", policy->object->line}, absl::StrCat("option ", key, " means nothing here"));
    }
  }
  // A policy for one port stands before one for all of them.
  for (const auto& [target, first] : claims_) {
    const core::Service* service = world_.service(target.first);
    for (const core::ServicePort& port : service->ports) {
      if (!port.tcp || (!target.second.empty() && target.second != port.name)) continue;
      const auto narrower = target.second.empty() && !port.name.empty() ? claims_.find({target.first, port.name}) : claims_.end();
      const Policy& policy = narrower == claims_.end() ? *first : *narrower->second;
      const intent::BackendKey backend{target.first.ns, target.first.name, port.port};
      SecuredBackend secured;
      secured.policy = policy.object->key;
      if (!policy.closed) {
        secured.tls = intent::BackendTls{backend, origin_of(*policy.object, policy.spec.validation), policy.spec.hostname, policy.trusted_ca, policy.spec.names};
      }
      world_.secured[backend] = std::move(secured);
    }
  }
}

// All that can be trusted makes one bundle: a proxy checks against one.
void Policies::take_authorities(Policy& policy) {
  if (!policy.spec.well_known.empty()) {
    if (policy.spec.well_known != "System") {
      policy.closed = true;
      fail(policy, "Invalid", policy.spec.validation, absl::StrCat("wellKnownCACertificates: \"", policy.spec.well_known, "\" is not known here; \"System\" is"));
    }
    return;
  }
  intent::Secret bundle;
  bool any = false;
  for (const ObjectRef& ref : policy.spec.authorities) {
    bool good = true;
    add_authority(world_, ref, bundle, [&](std::string_view reason, std::string message) {
      good = false;
      if (policy.refs_reason == "ResolvedRefs") {
        policy.refs_reason = reason;
        policy.refs_message = absl::StrCat(ref.spot.field, ": ", message);
      }
      world_.problem(Severity::kError, *policy.object, ref.spot, absl::StrCat(reason, ": ", message));
    });
    any = any || good;
  }
  policy.closed = bundle.origins.empty();
  if (!any) {
    fail(policy, "NoValidCACertificate", policy.spec.validation,
         policy.closed ? "none of caCertificateRefs can be used: nothing is sent to the backend" : "none of caCertificateRefs is valid now: the last good certificates are used");
  }
  if (policy.closed) return;
  policy.trusted_ca = keep_authorities(world_, std::move(bundle));
}

// The oldest policy has a target, and of those of one age the first by name.
void Policies::claim(Policy& policy) {
  for (const BackendTlsPolicy::Target& target : policy.spec.targets) {
    if (target.kind != GroupKind{"", "Service"}) {
      fail(policy, "TargetNotFound", target.spot, absl::StrCat(target.kind.str(), " cannot be secured; Service can"));
      continue;
    }
    const ObjectKey key{"", "Service", policy.object->key.ns, target.name};
    const core::Service* service = world_.service(key);
    if (service == nullptr) {
      fail(policy, "TargetNotFound", target.spot, absl::StrCat("Service ", key.ns, "/", key.name, " does not exist or is not valid"));
      continue;
    }
    const auto has_port = [&](const core::ServicePort& port) { return port.tcp && port.name == target.section; };
    if (!target.section.empty() && std::none_of(service->ports.begin(), service->ports.end(), has_port)) {
      fail(policy, "TargetNotFound", target.spot, absl::StrCat("Service ", key.ns, "/", key.name, " has no TCP port named ", target.section));
      continue;
    }
    const auto [claimed, fresh] = claims_.try_emplace({key, target.section}, &policy);
    if (fresh) continue;
    fail(policy, "Conflicted", target.spot,
         absl::StrCat("Service ", key.ns, "/", key.name, target.section.empty() ? "" : absl::StrCat(" port ", target.section), " is secured by ", claimed->second->object->key.str(),
                      ", which comes first"));
  }
}

void Policies::fail(Policy& policy, std::string_view reason, const Spot& spot, std::string message) {
  if (policy.reason == "Accepted") {
    policy.reason = reason;
    policy.message = absl::StrCat(spot.field, ": ", message);
  }
  world_.problem(Severity::kError, *policy.object, spot, absl::StrCat(reason, ": ", message));
}

// On every Gateway whose routes lead to a target: also where another policy has it.
void Policies::report() {
  for (const auto& policy : policies_) {
    std::set<ObjectKey> ancestors = world_.policy_ancestors[policy->object->key];
    for (const BackendTlsPolicy::Target& target : policy->spec.targets) {
      const auto claimed = claims_.find({ObjectKey{"", "Service", policy->object->key.ns, target.name}, target.section});
      if (claimed == claims_.end() || claimed->second == policy.get()) continue;
      const std::set<ObjectKey>& of_winner = world_.policy_ancestors[claimed->second->object->key];
      ancestors.insert(of_winner.begin(), of_winner.end());
    }
    const int64_t generation = policy->object->generation;
    for (const ObjectKey& gateway : ancestors) {
      const StatusScope scope{gateway, "", 0};
      const bool accepted = policy->reason == "Accepted", resolved = policy->refs_reason == "ResolvedRefs";
      world_.result.status.set(policy->object->key, scope, {"Accepted", accepted ? Truth::kTrue : Truth::kFalse, policy->reason, policy->message, generation});
      world_.result.status.set(policy->object->key, scope, {"ResolvedRefs", resolved ? Truth::kTrue : Truth::kFalse, policy->refs_reason, policy->refs_message, generation});
    }
  }
}

}  // namespace fairlead::adapters::gatewayapi
