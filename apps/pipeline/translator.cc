#include "apps/pipeline/translator.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "adapters/provision/parameters.h"

namespace fairlead::pipeline {

using adapters::ChangeSet;
using adapters::Diagnostic;

void register_vocabularies(adapters::Store& store) {
  adapters::gatewayapi::register_groups(store);
  adapters::ingress::register_groups(store);
  adapters::xds::register_groups(store);
  // Our own group has kinds of two adapters, of which neither knows the other.
  store.register_group(std::string(adapters::xds::kGroup), [](const adapters::Object& object, std::vector<Diagnostic>& out) {
    return object.key.kind == adapters::provision::kKind ? adapters::provision::check_parameters(object, out) : adapters::xds::check_fairlead(object, out);
  });
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

namespace {

const adapters::ObjectKey* service_or_slice(const adapters::Object& object) {
  const bool service = object.key.group.empty() && object.key.kind == "Service";
  const bool slice = object.key.group == adapters::core::kDiscoveryGroup && object.key.kind == "EndpointSlice";
  return service || slice ? &object.key : nullptr;
}

topology::ServiceKey owner_of(const adapters::Object& object) {
  if (object.key.kind == "Service") return {object.key.ns, object.key.name};
  const auto label = object.labels.find("kubernetes.io/service-name");
  return {object.key.ns, label == object.labels.end() ? "" : label->second};
}

intent::Origin origin_of(const adapters::Object& object) {
  return {object.source, object.file, object.line, object.key.group, object.key.kind, object.key.ns, object.key.name, object.generation, ""};
}

// An error in something that has no good version in use. What one entry of a raw set lacks cannot be told: any counts.
bool is_incomplete(const adapters::ObjectSnapshot& objects, const adapters::xds::Translation& raw) {
  auto is_error = [](const Diagnostic& d) { return d.severity == adapters::Severity::kError; };
  const std::vector<Diagnostic> entries = raw.diagnostics();
  return std::any_of(entries.begin(), entries.end(), is_error) ||
         std::any_of(objects.diagnostics().begin(), objects.diagnostics().end(),
                     [&](const Diagnostic& d) { return is_error(d) && (d.object.name.empty() || !objects.find(d.object)); });
}

}  // namespace

bool Translator::endpoints_only(const ChangeSet& changes) {
  return !changes.diagnostics_changed && adapters::core::EndpointIndex::is_endpoint_only(changes);
}

void Translator::note(const ChangeSet& changes) {
  note_touched(changes);
  note_places(changes);
  for (adapters::core::EndpointUpdate& u : index_.apply(changes)) {
    // one shard: the sources of one control plane describe one cluster
    note_weighed(u.service, u.by_load);
    topology::Change change = u.gone ? topology_.remove(u.service, "local") : topology_.set(u.service, "local", std::move(u.ports), u.by_load);
    changed_.insert(changed_.end(), change.ports.begin(), change.ports.end());
    services_changed_ |= change.known_changed;
  }
}

void Translator::note_touched(const ChangeSet& changes) {
  constexpr size_t kMost = 10'000;  // more than these, and to follow each is not cheaper
  anything_touched_ = anything_touched_ || changes.diagnostics_changed;
  for (const auto* objects : {&changes.added, &changes.changed, &changes.removed}) {
    anything_touched_ = anything_touched_ || touched_.size() + objects->size() > kMost;
    if (anything_touched_) return touched_.clear();
    for (const adapters::ObjectPtr& o : *objects) {
      if (o->key.group != adapters::core::kDiscoveryGroup) touched_.insert(o->key);
    }
  }
}

std::vector<intent::BackendKey> Translator::used_of(const topology::ServiceKey& service) const {
  std::vector<intent::BackendKey> out;
  for (auto at = used_.lower_bound({service.ns, service.name, 0}); at != used_.end() && at->first.ns == service.ns && at->first.service == service.name; ++at) out.push_back(at->first);
  return out;
}

void Translator::note_weighed(const topology::ServiceKey& service, bool by_load) {
  if (by_load) {
    weighed_.insert(service);
  } else if (weighed_.erase(service) > 0) {
    for (const intent::BackendKey& key : used_of(service)) {
      weights_.forget(key);
      assignments_.set_steps(key, {});
    }
  }
}

std::vector<topology::LoadWeights::Changed> Translator::loads(const std::vector<topology::LocalityLoad>& loads, MonotonicTime now) {
  std::vector<topology::LoadWeights::Backend> backends;
  for (const topology::ServiceKey& service : weighed_) {
    for (const intent::BackendKey& key : used_of(service)) {
      if (!key.udp) backends.push_back({key, resources::plain_weights(key, topology_.view())});
    }
  }
  std::vector<topology::LoadWeights::Changed> changed = weights_.take(backends, loads, now);
  for (const auto& [key, steps] : changed) {
    assignments_.set_steps(key, steps);
    changed_.push_back(key);
  }
  return changed;
}

void Translator::note_places(const ChangeSet& changes) {
  std::set<topology::ServiceKey> moved;
  auto forget = [&](const adapters::ObjectKey& key) {
    auto owner = owner_.find(key);
    if (owner == owner_.end()) return;
    auto places = places_.find(owner->second);
    places->second.erase(key);
    if (places->second.empty()) places_.erase(places);
    moved.insert(owner->second);
    owner_.erase(owner);
  };
  auto take = [&](const adapters::ObjectPtr& object) {
    const adapters::ObjectKey* key = service_or_slice(*object);
    if (!key) return;
    forget(*key);
    const topology::ServiceKey service = owner_of(*object);
    places_[service][*key] = origin_of(*object);
    owner_.emplace(*key, service);
    moved.insert(service);
  };
  for (const adapters::ObjectPtr& o : changes.added) take(o);
  for (const adapters::ObjectPtr& o : changes.changed) take(o);
  for (const adapters::ObjectPtr& o : changes.removed) forget(o->key);
  for (const topology::ServiceKey& service : moved) {
    for (const intent::BackendKey& key : used_of(service)) changed_.push_back(key);
    for (const auto& [name, shared] : shared_) {
      for (const auto& [key, weight] : shared.cluster.members) {
        if (key.ns == service.ns && key.service == service.name) changed_.push_back(key);
      }
    }
  }
}

intent::Origins Translator::places_of(const intent::BackendKey& key) const {
  intent::Origins out;
  if (auto places = places_.find({key.ns, key.service}); places != places_.end()) {
    for (const auto& [object, origin] : places->second) intent::add_origin(out, origin);
  }
  return out;
}

std::vector<resources::ResourcePtr> Translator::take_changed_assignments() {
  std::sort(changed_.begin(), changed_.end());
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  std::vector<resources::ResourcePtr> out;
  for (const intent::BackendKey& key : changed_) {
    if (used_.contains(key)) {
      const resources::ResourcePtr before = assignments_.get(key, topology_.view());
      resources::ResourcePtr now = assignments_.refresh(key, topology_.view(), places_of(key));
      if (now != before) out.push_back(std::move(now));
    } else {
      assignments_.forget(key);
    }
  }
  for (auto& [name, shared] : shared_) {
    const auto& members = shared.cluster.members;
    const bool touched = std::any_of(members.begin(), members.end(), [&](const auto& m) { return std::binary_search(changed_.begin(), changed_.end(), m.first); });
    if (!touched) continue;
    resources::ResourcePtr now = shared_assignment(shared.cluster);
    if (now->hash == shared.assignment->hash && now->origins == shared.assignment->origins) continue;
    shared.assignment = now;
    out.push_back(std::move(now));
  }
  changed_.clear();
  return out;
}

resources::ResourcePtr Translator::shared_assignment(const plan::Cluster& cluster) const {
  intent::Origins places;
  for (const auto& [key, weight] : cluster.members) {
    for (const intent::Origin& place : places_of(key)) intent::add_origin(places, place);
  }
  return resources::build_assignment(cluster, topology_.view(), std::move(places));
}

resources::ResourcePtr Translator::assignment_of(const plan::Cluster& cluster) {
  if (cluster.members.empty()) {
    const resources::ResourcePtr* made = assignments_.find(cluster.key);
    return made ? *made : assignments_.get(cluster.key, topology_.view(), places_of(cluster.key));
  }
  Shared& shared = shared_[cluster.name];
  shared.cluster = cluster;
  shared.assignment = shared_assignment(cluster);
  return shared.assignment;
}

snapshot::Update Translator::endpoints() {
  snapshot::Update update;
  update.assignments = take_changed_assignments();
  return update;
}

void Translator::count(const plan::Cluster& cluster, int by) {
  if (cluster.original) return;
  if (!cluster.members.empty()) {
    if (by < 0) shared_.erase(cluster.name);  // those of a new plan are made after
    return;
  }
  auto at = used_.try_emplace(cluster.key, 0).first;
  at->second += by;
  if (at->second > 0) return;
  assignments_.forget(cluster.key);
  weights_.forget(cluster.key);
  used_.erase(at);
}

// Clusters that are in both plans need not be looked at: both are sorted by name.
void Translator::count(const plan::Plan* before, const plan::Plan* after) {
  const std::vector<fairlead::Shared<plan::Cluster>> none;
  const std::vector<fairlead::Shared<plan::Cluster>>& old = before ? before->clusters : none;
  const std::vector<fairlead::Shared<plan::Cluster>>& now = after ? after->clusters : none;
  std::vector<const plan::Cluster*> gone, come;
  auto o = old.begin();
  for (auto n = now.begin(); n != now.end(); ++n) {
    const plan::Cluster& c = **n;
    if (o != old.end() && o->get() == &c && c.members.empty()) {
      ++o;
      continue;
    }
    for (; o != old.end() && (*o)->name < c.name; ++o) gone.push_back(o->get());
    if (o != old.end() && (*o)->name == c.name) {
      if ((*o)->key == c.key && (*o)->members.empty() && c.members.empty()) {
        ++o;
        continue;
      }
      gone.push_back((o++)->get());
    }
    come.push_back(&c);
  }
  for (; o != old.end(); ++o) gone.push_back(o->get());
  for (const plan::Cluster* c : come) count(*c, 1);
  for (const plan::Cluster* c : gone) count(*c, -1);
}

void Translator::plan_gateway(const intent::GatewayPtr& gateway, snapshot::Update& update) {
  Scope& scope = scopes_[gateway->key];
  if (scope.intent == gateway && !services_changed_) return;
  scope.intent = gateway;
  auto fresh = std::make_shared<plan::Plan>(scope.planner.plan(gateway, topology_.view()));
  if (scope.plan && *scope.plan == *fresh) return;
  if (!scope.plan || scope.plan->findings != fresh->findings) update.findings.emplace_back("plan:" + gateway->key.str(), fresh->findings);
  count(scope.plan.get(), fresh.get());
  scope.plan = fresh;
  snapshot::Update::Gateway out{gateway->key, scope.builder.build(fresh)};
  out.resources.reserve(out.resources.size() + fresh->clusters.size());
  for (const plan::Cluster& c : fresh->clusters) {
    if (!c.original) out.resources.push_back(assignment_of(c));
  }
  update.gateways.push_back(std::move(out));
}

snapshot::Update Translator::full(const adapters::ObjectSnapshot& objects) {
  snapshot::Update update;
  // first, so that assignments of new plans are made of the endpoints as they are now
  update.assignments = take_changed_assignments();
  gateway_api_.update(objects, anything_touched_ ? nullptr : &touched_);
  // No other vocabulary looks at routes of the Gateway API.
  const bool others = anything_touched_ || std::any_of(touched_.begin(), touched_.end(), [](const adapters::ObjectKey& key) { return !adapters::gatewayapi::is_request_route(key); });
  if (others) ingress_ = adapters::ingress::translate(objects, &ingress_);
  for (const intent::Model* model : std::initializer_list<const intent::Model*>{&gateway_api().model, &ingress_.model}) {
    for (const auto& [key, gateway] : model->gateways) {
      if (!key.mesh()) plan_gateway(gateway, update);
    }
  }
  const MeshScopes::Scopes& mesh = mesh_.refresh(gateway_api().model, topology_.view());
  for (const auto& [key, scope] : mesh) plan_gateway(scope, update);
  services_changed_ = false;
  for (auto it = scopes_.begin(); it != scopes_.end();) {
    if (it->first.mesh() ? mesh.contains(it->first) : gateway_api().model.gateways.contains(it->first) || ingress_.model.gateways.contains(it->first)) {
      ++it;
      continue;
    }
    count(it->second.plan.get(), nullptr);
    update.findings.emplace_back("plan:" + it->first.str(), std::vector<intent::Finding>());
    update.gone.push_back(it->first);
    it = scopes_.erase(it);
  }
  if (others) {
    raw_ = adapters::xds::translate(objects, &raw_);
    parameters_ = adapters::provision::report_parameters(objects);
  }
  if (std::vector<resources::RawSetPtr> sets = raw_sets(); sets != raw_sets_) update.raw = raw_sets_ = std::move(sets);
  touched_.clear();
  anything_touched_ = false;

  std::vector<intent::Finding> findings = to_findings(objects.diagnostics());
  for (std::vector<intent::Finding> more : {to_findings(gateway_api().diagnostics), to_findings(ingress_.diagnostics), to_findings(raw_.diagnostics()), raw_.findings()}) {
    findings.insert(findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  update.findings.emplace_back("objects", std::move(findings));
  if (const bool incomplete = is_incomplete(objects, raw_); incomplete != incomplete_) update.incomplete = incomplete_ = incomplete;
  return update;
}

void Translator::remember(const std::vector<resources::RawSetPtr>& sets) {
  for (const resources::RawSetPtr& set : sets) raw_.sets[set->name].set = set;
}

std::vector<resources::RawSetPtr> Translator::raw_sets() const {
  std::vector<resources::RawSetPtr> out;
  for (const auto& [name, entry] : raw_.sets) {
    if (entry.set) out.push_back(entry.set);
  }
  return out;
}

std::vector<plan::PlanPtr> Translator::plans() const {
  std::vector<plan::PlanPtr> out;
  for (const auto& [key, scope] : scopes_) out.push_back(scope.plan);
  return out;
}

}  // namespace fairlead::pipeline
