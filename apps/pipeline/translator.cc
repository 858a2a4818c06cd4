#include "apps/pipeline/translator.h"

#include <algorithm>
#include <set>
#include <utility>

namespace fairlead::pipeline {

using adapters::ChangeSet;
using adapters::Diagnostic;

void register_vocabularies(adapters::Store& store) {
  adapters::gatewayapi::register_groups(store);
  adapters::xds::register_groups(store);
}

std::vector<intent::Finding> to_findings(const std::vector<Diagnostic>& diagnostics) {
  std::vector<intent::Finding> out;
  for (const Diagnostic& d : diagnostics) {
    intent::Finding f;
    f.severity = d.severity == adapters::Severity::kError     ? intent::Severity::kError
                 : d.severity == adapters::Severity::kWarning ? intent::Severity::kWarning
                                                              : intent::Severity::kNote;
    f.origin.file = d.file;
    f.origin.line = d.line;
    f.origin.group = d.object.group;
    f.origin.kind = d.object.kind;
    f.origin.ns = d.object.ns;
    f.origin.name = d.object.name;
    f.origin.field = d.field;
    f.reason = "Invalid";
    f.message = d.message;
    out.push_back(std::move(f));
  }
  return out;
}

bool Translator::endpoints_only(const ChangeSet& changes) {
  return !changes.diagnostics_changed && adapters::core::EndpointIndex::is_endpoint_only(changes);
}

void Translator::note(const ChangeSet& changes) {
  if (!adapters::core::EndpointIndex::is_endpoint_only(changes)) services_changed_ = true;
  for (adapters::core::EndpointUpdate& u : index_.apply(changes)) {
    // one shard: the sources of one control plane describe one cluster
    topology::Change change = u.gone ? topology_.remove(u.service, "local") : topology_.set(u.service, "local", std::move(u.ports));
    changed_.insert(changed_.end(), change.ports.begin(), change.ports.end());
  }
}

std::vector<resources::ResourcePtr> Translator::take_changed_assignments() {
  std::sort(changed_.begin(), changed_.end());
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  std::vector<resources::ResourcePtr> out;
  for (const intent::BackendKey& key : changed_) {
    if (used_.contains(key)) {
      out.push_back(assignments_.refresh(key, topology_.view()));
    } else {
      assignments_.forget(key);
    }
  }
  changed_.clear();
  return out;
}

snapshot::Update Translator::endpoints() {
  snapshot::Update update;
  update.assignments = take_changed_assignments();
  return update;
}

void Translator::count(const plan::Plan& plan, int by) {
  for (const plan::Cluster& c : plan.clusters) {
    auto at = used_.try_emplace(c.key, 0).first;
    at->second += by;
    if (at->second == 0) used_.erase(at);
  }
}

void Translator::plan_gateway(const intent::GatewayPtr& gateway, snapshot::Update& update) {
  Scope& scope = scopes_[gateway->key];
  if (scope.intent == gateway && !services_changed_) return;
  scope.intent = gateway;
  auto fresh = std::make_shared<plan::Plan>(plan::make_plan(*gateway, topology_.view()));
  if (scope.plan && *scope.plan == *fresh) return;
  update.findings.emplace_back("plan:" + gateway->key.str(), fresh->findings);
  count(*fresh, 1);
  if (scope.plan) count(*scope.plan, -1);
  scope.plan = fresh;
  scope.built = resources::build(*fresh);
  snapshot::Update::Gateway out{gateway->key, scope.built};
  for (const plan::Cluster& c : fresh->clusters) out.resources.push_back(assignments_.get(c.key, topology_.view()));
  update.gateways.push_back(std::move(out));
}

snapshot::Update Translator::full(const adapters::ObjectSnapshot& objects) {
  snapshot::Update update;
  // first, so that assignments of new plans are made of the endpoints as they are now
  update.assignments = take_changed_assignments();
  gateway_api_ = adapters::gatewayapi::translate(objects, &gateway_api_);
  for (const auto& [key, gateway] : gateway_api_.model.gateways) plan_gateway(gateway, update);
  services_changed_ = false;
  for (auto it = scopes_.begin(); it != scopes_.end();) {
    if (gateway_api_.model.gateways.contains(it->first)) {
      ++it;
      continue;
    }
    if (it->second.plan) count(*it->second.plan, -1);
    update.findings.emplace_back("plan:" + it->first.str(), std::vector<intent::Finding>());
    update.gone.push_back(it->first);
    it = scopes_.erase(it);
  }
  adapters::xds::Translation raw = adapters::xds::translate(objects, &raw_);
  std::vector<resources::RawSetPtr> sets;
  for (const auto& [name, entry] : raw.sets) {
    if (entry.set) sets.push_back(entry.set);
  }
  if (sets != raw_sets_) update.raw = raw_sets_ = std::move(sets);
  raw_ = std::move(raw);

  std::vector<intent::Finding> findings = to_findings(objects.diagnostics());
  for (std::vector<intent::Finding> more : {to_findings(gateway_api_.diagnostics), to_findings(raw_.diagnostics()), raw_.findings()}) {
    findings.insert(findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  update.findings.emplace_back("objects", std::move(findings));
  return update;
}

std::vector<plan::PlanPtr> Translator::plans() const {
  std::vector<plan::PlanPtr> out;
  for (const auto& [key, scope] : scopes_) out.push_back(scope.plan);
  return out;
}

}  // namespace fairlead::pipeline
