// Store: layers of sources, last good versions, snapshots. See store.h.
#include "adapters/object/store.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/strings.h"

namespace fairlead::adapters {

// What one source says. `good` holds only objects that passed their check; a key may be in `problems` and in
// `good` at once: then the new version is bad and the one before is still used.
struct Store::Layer {
  SourceStatus status;
  std::map<ObjectKey, ObjectPtr> good;
  std::map<ObjectKey, ObjectPtr> rejected;  // the version that failed, as long as it is the newest
  std::map<ObjectKey, std::vector<Diagnostic>> problems;
  std::map<ObjectKey, Diagnostic> shadowed;  // objects an earlier source has too
  std::vector<Diagnostic> source_diagnostics;
};

namespace {

// Groups of objects that live beside ours in any directory of manifests and are none of our business.
constexpr std::string_view kKubernetesGroups[] = {
    "", "apps", "batch", "autoscaling", "policy", "extensions", "rbac.authorization.k8s.io", "networking.k8s.io",
    "storage.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io",
    "coordination.k8s.io", "discovery.k8s.io", "node.k8s.io", "scheduling.k8s.io", "events.k8s.io",
    "certificates.k8s.io", "flowcontrol.apiserver.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
    "resource.k8s.io", "metrics.k8s.io", "kustomize.config.k8s.io"};

Diagnostic at_object(Severity severity, const Object& object, std::string field, std::string message) {
  return Diagnostic{severity, object.key, object.file, object.line, std::move(field), std::move(message)};
}

bool has_error(const std::vector<Diagnostic>& list) {
  return std::any_of(list.begin(), list.end(), [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

bool same_content(const ObjectSnapshot::ByName& a, const ObjectSnapshot::ByName& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && (x.second == y.second || (x.second->content_hash == y.second->content_hash && x.second->generation == y.second->generation));
  });
}

}  // namespace

KindObjects KindObjects::with(const std::vector<Change>& changes) const {
  KindObjects out;
  out.sorted_.reserve(sorted_.size() + changes.size());
  auto at = sorted_.begin();
  for (const auto& [key, object] : changes) {
    const auto until = std::lower_bound(at, sorted_.end(), key, [](const ObjectPtr& o, const ObjectKey& k) { return o->key < k; });
    out.sorted_.insert(out.sorted_.end(), at, until);
    at = until;
    if (at != sorted_.end() && (*at)->key == key) ++at;
    if (object) out.sorted_.push_back(object);
  }
  out.sorted_.insert(out.sorted_.end(), at, sorted_.end());
  return out;
}

ObjectPtr KindObjects::find(const ObjectKey& key) const {
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), key, [](const ObjectPtr& o, const ObjectKey& k) { return o->key < k; });
  return at != sorted_.end() && (*at)->key == key ? *at : nullptr;
}

const KindObjects& ObjectSnapshot::of(std::string_view group, std::string_view kind) const {
  static const KindObjects kNone;
  auto it = kinds_.find({std::string(group), std::string(kind)});
  return it == kinds_.end() ? kNone : *it->second;
}

ObjectPtr ObjectSnapshot::find(const ObjectKey& key) const {
  return of(key.group, key.kind).find(key);
}

bool ObjectSnapshot::synced() const {
  return std::all_of(sources_.begin(), sources_.end(), [](const SourceStatus& s) { return s.synced; });
}

size_t ObjectSnapshot::size() const {
  size_t n = 0;
  for (const auto& [kind, objects] : kinds_) n += objects->size();
  return n;
}

Store::Store() : current_(std::make_shared<ObjectSnapshot>()) {}
Store::~Store() = default;

void Store::register_group(std::string group, Check check) { checks_[std::move(group)] = std::move(check); }

void Store::register_source(std::string name) {
  layer(name);
  auto next = std::make_shared<ObjectSnapshot>(*current_);
  next->sources_.clear();
  for (const auto& l : layers_) next->sources_.push_back(l->status);
  current_ = std::move(next);
}

Store::Layer& Store::layer(const std::string& source) {
  for (auto& l : layers_) {
    if (l->status.name == source) return *l;
  }
  layers_.push_back(std::make_unique<Layer>());
  layers_.back()->status.name = source;
  return *layers_.back();
}

bool Store::check_foreign_group(const Object& object, std::vector<Diagnostic>& out) const {
  for (std::string_view group : kKubernetesGroups) {
    if (group == object.key.group) {
      out.push_back(at_object(Severity::kNote, object, "", absl::StrCat("kind ", object.key.kind, " is not read")));
      return false;
    }
  }
  std::vector<std::string_view> known;
  for (const auto& [group, check] : checks_) known.push_back(group);
  if (std::optional<std::string> close = closest(object.key.group, known)) {
    out.push_back(at_object(Severity::kError, object, "apiVersion",
                            absl::StrCat("unknown group '", object.key.group, "'; did you mean '", *close, "'?")));
  } else {
    out.push_back(at_object(Severity::kWarning, object, "apiVersion",
                            absl::StrCat("nothing here reads objects of group '", object.key.group, "'")));
  }
  return false;
}

void Store::accept(Layer& layer, const ObjectPtr& object) {
  std::vector<Diagnostic> found;
  auto check = checks_.find(object->key.group);
  const bool wanted = check == checks_.end() ? check_foreign_group(*object, found) : check->second(*object, found);
  if (wanted && has_error(found)) {
    layer.rejected[object->key] = object;
  } else {
    layer.rejected.erase(object->key);
  }
  if (!wanted) {
    layer.good.erase(object->key);
  } else if (!has_error(found)) {
    layer.good[object->key] = object;
  } else if (auto good = layer.good.find(object->key); good != layer.good.end()) {
    found.push_back(at_object(Severity::kWarning, *object, "",
                              absl::StrCat("its last good version stays in use, read at ", good->second->place())));
  }
  if (found.empty()) {
    layer.problems.erase(object->key);
  } else {
    layer.problems[object->key] = std::move(found);
  }
}

// Decides again which source's version of `key` is used. `kinds` holds what changes in this step.
void Store::refresh(const ObjectKey& key, KindChanges& kinds, ChangeSet& changes) {
  ObjectPtr winner;
  for (auto& l : layers_) {
    l->shadowed.erase(key);
    auto it = l->good.find(key);
    if (it == l->good.end()) continue;
    if (!winner) {
      winner = it->second;
      continue;
    }
    l->shadowed[key] = at_object(
        Severity::kError, *it->second, "",
        absl::StrCat("is also at ", winner->place(), " in ", winner->source, ", which comes first and is used"));
  }
  ObjectPtr before = current_->find(key);
  if (before == winner) return;
  kinds[{key.group, key.kind}].emplace_back(key, winner);
  if (!winner) {
    changes.removed.push_back(before);
  } else {
    (before ? changes.changed : changes.added).push_back(winner);
  }
}

std::vector<Diagnostic> Store::gather_diagnostics() const {
  std::vector<Diagnostic> all;
  for (const auto& l : layers_) {
    all.insert(all.end(), l->source_diagnostics.begin(), l->source_diagnostics.end());
    for (const auto& [key, list] : l->problems) all.insert(all.end(), list.begin(), list.end());
    for (const auto& [key, diagnostic] : l->shadowed) all.push_back(diagnostic);
  }
  // As a reader of the files goes through them.
  std::stable_sort(all.begin(), all.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.line) < std::tie(b.file, b.line);
  });
  return all;
}

// Of two sources the earlier one counts, as with objects that are good.
std::shared_ptr<const ObjectSnapshot::ByName> Store::gather_rejected() const {
  ObjectSnapshot::ByName all;
  for (const auto& l : layers_) all.insert(l->rejected.begin(), l->rejected.end());
  return all == current_->rejected() ? current_->rejected_ : std::make_shared<const ObjectSnapshot::ByName>(std::move(all));
}

ChangeSet Store::apply(const SourceUpdate& update) {
  Layer& l = layer(update.source);
  std::set<ObjectKey> touched;
  for (const ObjectPtr& object : update.upserted) {
    accept(l, object);
    touched.insert(object->key);
  }
  for (const ObjectKey& key : update.removed) {
    l.good.erase(key);
    l.rejected.erase(key);
    l.problems.erase(key);
    touched.insert(key);
  }
  l.source_diagnostics = update.diagnostics;
  l.status.synced = l.status.synced || update.synced;
  l.status.lost = update.lost;
  if (update.lost.empty()) l.status.last_good = update.at;
  l.status.objects = l.good.size();

  ChangeSet changes;
  KindChanges kinds;
  for (const ObjectKey& key : touched) refresh(key, kinds, changes);
  auto next = std::make_shared<ObjectSnapshot>(*current_);
  for (const auto& [kind, list] : kinds) next->kinds_[kind] = std::make_shared<const KindObjects>(current_->of(kind.first, kind.second).with(list));
  next->rejected_ = gather_rejected();
  next->diagnostics_ = gather_diagnostics();
  changes.diagnostics_changed = next->diagnostics_ != current_->diagnostics_ || !same_content(next->rejected(), current_->rejected());
  next->sources_.clear();
  for (const auto& layer : layers_) next->sources_.push_back(layer->status);
  next->revision_ = current_->revision_ + 1;
  current_ = std::move(next);
  return changes;
}

}  // namespace fairlead::adapters
