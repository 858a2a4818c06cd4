#include "apps/pipeline/state_dir.h"

#include <algorithm>
#include <set>
#include <utility>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "base/doc_at.h"
#include "base/file.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::pipeline {

using adapters::ObjectPtr;

namespace {

constexpr size_t kMaxNodes = 50'000'000;
constexpr int kOwnerOnly = 0600;  // private keys are among what is kept

absl::StatusOr<resources::ResourcePtr> read_resource(const doc::Value& v) {
  const auto type = resources::type_from_short_name(text_at(v, "type"));
  const auto body = decode_base64(text_at(v, "body"));
  if (!type || !body) return absl::InvalidArgumentError(absl::StrCat(v.mark().to_string(), ": not a resource that was saved here"));
  auto resource = resources::make_resource_from_bytes(*type, text_at(v, "name"), *body, intent::origins_from_doc(v.find("origins")), text_at(v, "version"));
  if (!resource.ok()) return prefix(v.mark().to_string(), resource.status());
  return resource;
}

}  // namespace

absl::StatusOr<StateDir> StateDir::open(const std::string& path) {
  if (absl::Status s = make_directories(path); !s.ok()) return prefix("state directory", s);
  return StateDir(path);
}

absl::StatusOr<std::vector<ObjectPtr>> StateDir::load_objects() const {
  const std::string file = absl::StrCat(path_, "/objects.json");
  absl::StatusOr<std::string> text = read_file(file);
  if (absl::IsNotFound(text.status())) return std::vector<ObjectPtr>();
  if (!text.ok()) return text.status();
  FL_ASSIGN_OR_RETURN(const doc::Value root, doc::parse_json(*text, file, {.max_bytes = default_file_limit, .max_nodes = kMaxNodes}));
  const doc::Value* objects = root.find("objects");
  if (!objects || !objects->is_list()) return absl::InvalidArgumentError(absl::StrCat(file, ": expected {\"objects\": [...]}"));
  std::vector<ObjectPtr> out;
  for (const doc::Value& item : objects->items()) {
    const doc::Value *source = item.find("source"), *path = item.find("file"), *line = item.find("line"), *body = item.find("body");
    std::vector<adapters::Diagnostic> errors;
    ObjectPtr object;
    if (source && path && line && body) object = adapters::read_object(*body, source->as_string(), path->as_string(), errors);
    if (!object) return absl::InvalidArgumentError(absl::StrCat(item.mark().to_string(), ": not an object that was saved here"));
    auto placed = std::make_shared<adapters::Object>(*object);
    placed->line = static_cast<int>(line->as_integer());
    out.push_back(std::move(placed));
  }
  return out;
}

absl::Status StateDir::save_objects(const adapters::ObjectSnapshot& objects) const {
  std::vector<doc::Value> list;
  objects.for_each([&](const ObjectPtr& o) {
    list.push_back(doc::map({{"source", doc::string(o->source), {}},
                             {"file", doc::string(o->file), {}},
                             {"line", doc::integer(o->line), {}},
                             {"body", o->body, {}}}));
  });
  return replace_file(absl::StrCat(path_, "/objects.json"), doc::to_json(doc::map({{"objects", doc::list(std::move(list)), {}}})), kOwnerOnly);
}

absl::StatusOr<std::vector<resources::RawSetPtr>> StateDir::load_raw() const {
  const std::string file = absl::StrCat(path_, "/raw.json");
  absl::StatusOr<std::string> text = read_file(file);
  std::vector<resources::RawSetPtr> out;
  if (absl::IsNotFound(text.status())) return out;
  if (!text.ok()) return text.status();
  FL_ASSIGN_OR_RETURN(const doc::Value root, doc::parse_json(*text, file, {.max_bytes = default_file_limit, .max_nodes = kMaxNodes}));
  const doc::Value* sets = root.find("sets");
  if (!sets || !sets->is_list()) return absl::InvalidArgumentError(absl::StrCat(file, ": expected {\"sets\": [...]}"));
  for (const doc::Value& item : sets->items()) {
    auto set = std::make_shared<resources::RawSet>();
    set->name = text_at(item, "name");
    set->version = text_at(item, "version");
    if (const intent::Origins origins = intent::origins_from_doc(item.find("origins")); !origins.empty()) set->origin = origins.front();
    if (const doc::Value* list = item.find("resources")) {
      for (const doc::Value& r : list->items()) {
        FL_ASSIGN_OR_RETURN(resources::ResourcePtr resource, read_resource(r));
        set->resources.push_back(std::move(resource));
      }
    }
    out.push_back(std::move(set));
  }
  return out;
}

absl::Status StateDir::save_raw(const std::vector<resources::RawSetPtr>& sets) const {
  std::vector<doc::Value> list;
  for (const resources::RawSetPtr& set : sets) {
    std::vector<doc::Value> members;
    for (const resources::ResourcePtr& r : set->resources) {
      members.push_back(doc::map({{"type", doc::string(std::string(resources::short_name(r->type))), {}},
                                  {"name", doc::string(r->name), {}},
                                  {"version", doc::string(r->version), {}},
                                  {"origins", intent::to_doc(r->origins), {}},
                                  {"body", doc::string(absl::Base64Escape(r->body())), {}}}));
    }
    list.push_back(doc::map({{"name", doc::string(set->name), {}},
                             {"version", doc::string(set->version), {}},
                             {"origins", intent::to_doc({set->origin}), {}},
                             {"resources", doc::list(std::move(members)), {}}}));
  }
  return replace_file(absl::StrCat(path_, "/raw.json"), doc::to_json(doc::map({{"sets", doc::list(std::move(list)), {}}})), kOwnerOnly);
}

absl::StatusOr<doc::Value> StateDir::load_quarantine() const {
  const std::string file = absl::StrCat(path_, "/quarantine.json");
  absl::StatusOr<std::string> text = read_file(file);
  if (absl::IsNotFound(text.status())) return doc::null();
  if (!text.ok()) return text.status();
  return doc::parse_json(*text, file, {.max_bytes = default_file_limit, .max_nodes = kMaxNodes});
}

absl::Status StateDir::save_quarantine(const doc::Value& value) const {
  return replace_file(absl::StrCat(path_, "/quarantine.json"), doc::to_json(value), kOwnerOnly);
}

std::vector<adapters::ObjectKey> forgotten(std::vector<ObjectPtr>& remembered, const adapters::SourceUpdate& update) {
  std::vector<adapters::ObjectKey> out;
  if (remembered.empty()) return out;
  std::set<adapters::ObjectKey> present;
  for (const ObjectPtr& o : update.upserted) present.insert(o->key);
  const auto unreadable = [&](const adapters::Object& o) {
    return std::any_of(update.diagnostics.begin(), update.diagnostics.end(), [&](const adapters::Diagnostic& d) {
      if (d.severity != adapters::Severity::kError) return false;
      if (!o.file.empty()) return d.file == o.file || (!d.file.empty() && o.file.starts_with(d.file + "/"));
      // of an API server: this object, or its kind (in one namespace, or in all)
      return d.object.group == o.key.group && d.object.kind == o.key.kind && (d.object.name.empty() ? d.object.ns.empty() || d.object.ns == o.key.ns : d.object == o.key);
    });
  };
  std::erase_if(remembered, [&](const ObjectPtr& o) {
    if (o->source != update.source) return false;
    if (present.contains(o->key)) return true;
    if (!update.synced || !update.lost.empty() || unreadable(*o)) return false;
    out.push_back(o->key);
    return true;
  });
  return out;
}

}  // namespace fairlead::pipeline
