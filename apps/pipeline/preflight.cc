// See preflight.h.
#include "apps/pipeline/preflight.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "apps/pipeline/bundled.h"
#include "apps/pipeline/capabilities.h"

namespace fairlead::pipeline {

using resources::ResourcePtr;

namespace {
constexpr const char* kRawPart = "raw";
}  // namespace

const Preflight::Unfit& Preflight::verdicts(const ResourcePtr& resource) {
  const auto [at, fresh] = judged_.try_emplace(std::pair(resource->type, resource->hash));
  at->second.in_use = resource;
  Unfit& unfit = at->second.unfit;
  if (!fresh) return unfit;
  const auto refused = [&](const absl::Status& verdict) {
    if (!verdict.ok()) unfit.push_back({nullptr, "fairlead-proxy", version_, "", std::string(verdict.message())});
  };
  if (resource->type != resources::Type::kRoute) {
    refused(bundled_verdict(*resource));
    return unfit;
  }
  const TableVerdicts::Verdict table = tables_.judge(resource->body(), resource->virtual_hosts.get());
  refused(table.status);
  for (snapshot::Unfit& lacking : lacking_clients(table.uses)) unfit.push_back(std::move(lacking));
  return unfit;
}

// Endpoints that flap bring a thousand contents a second, and each is gone with the next.
void Preflight::forget_unused() {
  if (judged_.size() <= most_judged_) return;
  absl::erase_if(judged_, [](const auto& judged) { return judged.second.in_use.expired(); });
  most_judged_ = 2 * judged_.size() + kSpare;
}

void Preflight::judge(snapshot::Update& update) {
  forget_unused();
  bool changed = false;
  const auto set = [&](const std::string& part, const std::vector<ResourcePtr>& resources) {
    Unfit now;
    for (const ResourcePtr& r : resources) {
      for (const snapshot::Unfit& u : verdicts(r)) {
        now.push_back(u);
        now.back().resource = r;
      }
    }
    const auto at = by_part_.find(part);
    if (at == by_part_.end() ? now.empty() : at->second == now) return;
    changed = true;
    if (now.empty()) {
      by_part_.erase(at);
    } else {
      by_part_[part] = std::move(now);
    }
  };
  const auto alone = [](const ResourcePtr& assignment) { return absl::StrCat("assignment:", assignment->name); };
  for (const ResourcePtr& a : update.assignments) set(alone(a), {a});
  for (const snapshot::Update::Gateway& g : update.gateways) {
    // What gRPC clients ask for goes to no proxy: nobody else is in such a scope.
    if (g.key.audience != intent::Audience::kMeshGrpc) set(g.key.scope(), g.resources);
    if (by_part_.empty()) continue;
    for (const ResourcePtr& r : g.resources) {
      if (r->type == resources::Type::kEndpoint) set(alone(r), {});  // told with the Gateway's
    }
  }
  for (const intent::ScopeKey& key : update.gone) set(key.scope(), {});
  if (update.raw) {
    std::vector<ResourcePtr> all;
    for (const resources::RawSetPtr& raw : *update.raw) all.insert(all.end(), raw->resources.begin(), raw->resources.end());
    set(kRawPart, all);
  }
  if (!changed) return;
  std::vector<intent::Finding> findings;
  update.unfit.emplace();
  for (const auto& [part, unfit] : by_part_) {
    for (const snapshot::Unfit& u : unfit) {
      update.unfit->push_back(u);
      if (u.version.empty()) continue;  // nobody need have so old a client
      intent::Finding f;
      f.severity = intent::Severity::kWarning;  // other clients may take it
      if (!u.resource->origins.empty()) f.origin = u.resource->origins.front();
      f.reason = "NotSupportedByProxy";
      f.message = absl::StrCat(u.implementation, " ", u.version, " would refuse it: ", u.message);
      findings.push_back(std::move(f));
    }
  }
  update.findings.emplace_back("preflight", std::move(findings));
}

}  // namespace fairlead::pipeline
