// See teller.h. Field names here are the interface of /debug/watch.
#include "controlplane/serve/teller.h"

#include <map>
#include <utility>

namespace fairlead::serve {

using resources::ResourcePtr;
using resources::Type;

namespace {

constexpr size_t kMostNames = 50;  // of one event; `resources` counts all

doc::Entry text(std::string key, std::string_view value) { return {std::move(key), doc::string(std::string(value)), {}}; }
doc::Entry number(std::string key, size_t value) { return {std::move(key), doc::integer(static_cast<int64_t>(value)), {}}; }

class Names {
 public:
  void add(std::string_view name) {
    if (items_.size() < kMostNames) items_.push_back(doc::string(std::string(name)));
  }
  doc::Entry done(std::string key) { return {std::move(key), doc::list(std::move(items_)), {}}; }

 private:
  std::vector<doc::Value> items_;
};

}  // namespace

void Teller::changes(const Scopes& before, const Scopes& after, const std::set<std::string>& changed) {
  std::map<std::string_view, snapshot::SnapshotPtr> was(before.begin(), before.end()), is(after.begin(), after.end());
  const auto of = [](const auto& map, std::string_view scope) {
    const auto at = map.find(scope);
    return at == map.end() ? snapshot::empty_snapshot() : at->second;
  };
  for (const std::string& scope : changed) {
    const snapshot::SnapshotPtr old = of(was, scope), now = of(is, scope);
    for (Type type : resources::all_types()) {
      if (old->set(type) == now->set(type)) continue;
      Names set, removed;
      const std::vector<snapshot::Step> steps = snapshot::TypeSet::diff(old->set(type), now->set(type));
      for (const snapshot::Step& step : steps) (step.after ? set : removed).add(step.name());
      if (steps.empty()) continue;
      const ResourcePtr& first = steps.front().after ? steps.front().after : steps.front().before;
      events_->publish("change", {text("scope", scope), text("type", resources::short_name(type)), number("resources", steps.size()), set.done("set"), removed.done("removed"),
                                  text("from", first->origins.empty() ? "" : first->origins.front().place())});
    }
  }
}

void Teller::findings(const std::vector<intent::Finding>& before, const Findings& now) {
  std::set<std::string> told;
  for (const intent::Finding& f : before) told.insert(f.str());
  for (const auto& [stage, findings] : now) {
    for (const intent::Finding& f : findings) {
      if (f.severity == intent::Severity::kNote || !told.insert(f.str()).second) continue;
      events_->publish("finding", {text("severity", intent::severity_name(f.severity)), text("object", f.origin.object()), text("from", f.origin.place()), text("field", f.origin.field), text("reason", f.reason),
                                   text("message", f.message)});
    }
  }
}

void Teller::connected(const snapshot::Node& node, std::string_view scope, std::string_view kind, std::string_view peer, std::string_view reason) {
  events_->publish("connected", {text("node", node.id), text("cluster", node.cluster), text("scope", scope), text("class", snapshot::class_of(node).name), text("stream", kind), text("peer", peer), text("reason", reason)});
}

void Teller::disconnected(const snapshot::Node& node, std::string_view reason) { events_->publish("disconnected", {text("node", node.id), text("reason", reason)}); }

void Teller::push(const snapshot::Node& node, const cpstream::Response& response) {
  Names set, removed;
  for (const ResourcePtr& r : response.resources) set.add(r->name);
  for (const std::string& name : response.removed) removed.add(name);
  events_->publish("push", {text("node", node.id), text("type", resources::short_name(response.type)), number("resources", response.resources.size()), set.done("set"), removed.done("removed"), text("version", response.version),
                            text("nonce", response.nonce)});
}

void Teller::accepted(const snapshot::Node& node, const cpstream::Acceptance& acceptance) {
  events_->publish("accepted", {text("node", node.id), text("type", resources::short_name(acceptance.type)), text("version", *acceptance.version)});
}

void Teller::refused(const snapshot::Node& node, const cpstream::Refusal& refusal) {
  Names at_fault;
  std::string from;
  for (const ResourcePtr& r : refusal.at_fault) {
    at_fault.add(r->name);
    if (from.empty() && !r->origins.empty()) from = r->origins.front().place();
  }
  events_->publish("refused", {text("node", node.id), text("type", resources::short_name(refusal.type)), number("resources", refusal.at_fault.size()), at_fault.done("set"), text("from", from), text("version", refusal.version),
                               text("message", refusal.message)});
}

}  // namespace fairlead::serve
