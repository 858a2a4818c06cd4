// EnvoyResources objects. See envoy_resources.h.
#include "adapters/xds/envoy_resources.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/object/rejections.h"
#include "adapters/xds/resource_reader.h"
#include "base/doc_reader.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::adapters::xds {

namespace {

using TypeAndName = std::pair<resources::Type, std::string>;

struct Shape {
  resources::RawSet set;  // without resources
  std::vector<doc::Reader> entries;
};

Shape read_shape(const Object& object, std::vector<Diagnostic>& out) {
  Shape shape;
  shape.set.name = absl::StrCat(object.key.ns, "/", object.key.name);
  shape.set.origin.source = object.source;
  shape.set.origin.file = object.file;
  shape.set.origin.line = object.line;
  shape.set.origin.group = object.key.group;
  shape.set.origin.kind = object.key.kind;
  shape.set.origin.ns = object.key.ns;
  shape.set.origin.name = object.key.name;
  shape.set.origin.generation = object.generation;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    for (std::string_view field : {"apiVersion", "kind", "metadata", "status"}) top.ignore(field);
    doc::Object spec = top.object("spec");
    if (spec.has("nodes")) {
      doc::Object nodes = spec.object("nodes");
      shape.set.node_ids = nodes.strings("ids");
      shape.set.node_clusters = nodes.strings("clusters");
      if (shape.set.for_unclaimed()) nodes.error("names no proxy: give ids or clusters, or leave nodes out for every proxy that nothing else claims");
    } else {
      spec.ignore("nodes");
    }
    if (std::optional<std::string> version = spec.string("version")) {
      if (version->empty()) spec.error("version", "must not be empty; leave it out for content hashes");
      shape.set.version = *std::move(version);
    }
    shape.entries = spec.list("resources");
    if (!spec.has("resources")) spec.error("resources", "is required (an empty list serves an empty configuration)");
  }
  add_errors(errors, object, out);
  return shape;
}

// Resources of the last good state that the new text neither has nor plainly dropped.
void keep_last_good(const resources::RawSet& previous, const std::set<TypeAndName>& broken, bool anything_may_be_missing,
                    std::map<TypeAndName, resources::ResourcePtr>& now, const Object& object, std::vector<Diagnostic>& out) {
  for (const resources::ResourcePtr& old : previous.resources) {
    const TypeAndName key{old->type, old->name};
    if (now.contains(key) || !(anything_may_be_missing || broken.contains(key))) continue;
    now.emplace(key, old);
    out.push_back(Diagnostic{Severity::kWarning, object.key, object.file, object.line, "spec.resources",
                             absl::StrCat("the last good version of ", resources::short_name(old->type), " resource '", old->name,
                                          "' stays in use")});
  }
}

Translation::Entry translate_object(const ObjectPtr& object, const Translation::Entry* previous) {
  Translation::Entry entry;
  entry.object = object;
  std::vector<Diagnostic>& out = entry.diagnostics;
  Shape shape = read_shape(*object, out);
  std::map<TypeAndName, resources::ResourcePtr> now;
  std::map<TypeAndName, uint32_t> lines;
  std::set<TypeAndName> broken;
  bool anything_may_be_missing = false;
  for (const doc::Reader& reader : shape.entries) {
    ResourceIdentity identity;
    resources::ResourcePtr resource = read_resource(reader, *object, shape.set.version, identity, out);
    if (!identity.known()) {
      anything_may_be_missing = true;
      continue;
    }
    const TypeAndName key{*identity.type, identity.name};
    if (!resource) {
      broken.insert(key);
      continue;
    }
    auto [it, first] = lines.emplace(key, reader.mark().line);
    if (first) {
      now.emplace(key, std::move(resource));
      continue;
    }
    out.push_back(Diagnostic{Severity::kError, object->key, object->file, static_cast<int>(reader.mark().line), reader.path(),
                             absl::StrCat("'", key.second, "' is given at line ", it->second, " already, which is used")});
  }
  if (previous && previous->set) keep_last_good(*previous->set, broken, anything_may_be_missing, now, *object, out);
  for (auto& [key, resource] : now) shape.set.resources.push_back(std::move(resource));
  entry.set = resources::accept_raw_set(previous ? previous->set : nullptr,
                                        std::make_shared<const resources::RawSet>(std::move(shape.set)), entry.findings);
  return entry;
}

// But for what is no part of it, its status among that. What came from a file has lines, which may differ.
bool is_same(const Object& a, const Object& b) {
  return &a == &b || (a.file.empty() && b.file.empty() && a.content_hash == b.content_hash && a.generation == b.generation && a.source == b.source);
}

// Which resources and fields are wrong, and what comes of it.
void report(const Translation::Entry& entry, StatusSink& status) {
  const int64_t generation = entry.object->generation;
  Condition accepted{"Accepted", Truth::kTrue, "Accepted", "", generation};
  std::vector<const Diagnostic*> all;
  for (const Diagnostic& d : entry.diagnostics) all.push_back(&d);
  if (const std::string errors = errors_text(all); !errors.empty()) {
    const bool kept = std::any_of(all.begin(), all.end(), [](const Diagnostic* d) { return d->severity == Severity::kWarning; });
    accepted = {"Accepted", Truth::kFalse, "Invalid", absl::StrCat(errors, " (what is bad costs only itself", kept ? "; last good versions stay in use)" : ")"), generation};
  }
  for (const intent::Finding& f : entry.findings) {
    if (accepted.status == Truth::kTrue && f.severity == intent::Severity::kError) {
      accepted = {"Accepted", Truth::kFalse, f.reason, absl::StrCat("spec.version: ", f.message), generation};
    }
  }
  status.set(entry.object->key, {}, std::move(accepted));
  status.set(entry.object->key, {}, {"Programmed", Truth::kUnknown, "Pending", "no proxy has answered yet", generation});
}

}  // namespace

std::vector<Diagnostic> Translation::diagnostics() const {
  std::vector<Diagnostic> all;
  for (const auto& [name, entry] : sets) all.insert(all.end(), entry.diagnostics.begin(), entry.diagnostics.end());
  return all;
}

std::vector<intent::Finding> Translation::findings() const {
  std::vector<intent::Finding> all;
  for (const auto& [name, entry] : sets) all.insert(all.end(), entry.findings.begin(), entry.findings.end());
  return all;
}

Translation translate(const ObjectSnapshot& snapshot, const Translation* previous) {
  Translation result;
  for (const auto& [key, object] : snapshot.of(kGroup, kKind)) {
    const std::string name = absl::StrCat(key.ns, "/", key.name);
    const Translation::Entry* old = nullptr;
    if (previous) {
      auto it = previous->sets.find(name);
      if (it != previous->sets.end()) old = &it->second;
    }
    Translation::Entry entry = old && old->object && is_same(*old->object, *object) ? *old : translate_object(object, old);
    entry.object = object;
    report(entry, result.status);
    result.sets.emplace(name, std::move(entry));
  }
  Rejections(snapshot, kGroup).report(kKind, result.status);
  for (const auto& [key, object] : snapshot.rejected()) {
    if (key.group == kGroup && key.kind == kKind && !snapshot.find(key)) {
      result.status.set(key, {}, {"Programmed", Truth::kFalse, "Invalid", "nothing of it is in use", object->generation});
    }
  }
  return result;
}

bool check_fairlead(const Object& object, std::vector<Diagnostic>& out) {
  auto refuse = [&](std::string field, std::string message) {
    out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, std::move(field), std::move(message)});
  };
  if (object.key.kind != kKind) {
    const std::optional<std::string> meant = closest(object.key.kind, {kKind, "GatewayParameters"});
    refuse("kind", absl::StrCat("unknown kind '", object.key.kind, "'", meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
  } else if (version_of(object.api_version) != "v1alpha1") {
    refuse("apiVersion", absl::StrCat(kKind, " is read in version ", kGroup, "/v1alpha1 only, not ", object.api_version));
  } else {
    read_shape(object, out);
  }
  return true;
}

std::vector<WatchedKind> watched_kinds() {
  WatchedKind kind{std::string(kGroup), "envoyresources", std::string(kKind), {"v1alpha1"}};
  kind.optional = true;
  return {kind};
}

void register_groups(Store& store) { store.register_group(std::string(kGroup), check_fairlead); }

}  // namespace fairlead::adapters::xds
