// Reading identity and metadata out of a document; texts of keys and diagnostics. See object.h.
#include "adapters/object/object.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/doc_reader.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::adapters {

namespace {

// RFC 1123 as Kubernetes reads it: labels of [a-z0-9-], not at an end; dots between labels when `subdomain`.
bool valid_dns_name(std::string_view name, bool subdomain) {
  if (name.empty() || name.size() > (subdomain ? 253u : 63u)) return false;
  bool at_edge = true;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (alnum) {
      at_edge = false;
    } else if (c == '.' && subdomain) {
      if (at_edge || name[i - 1] == '-') return false;
      at_edge = true;
    } else if (c != '-' || at_edge) {
      return false;
    }
  }
  return !at_edge && name.back() != '-';
}

// Fields of ObjectMeta that say nothing to us, but that `kubectl get -o yaml` prints.
constexpr std::string_view kUnreadMetadata[] = {
    "uid", "resourceVersion", "managedFields", "ownerReferences", "finalizers", "deletionTimestamp",
    "deletionGracePeriodSeconds", "selfLink", "generateName"};

void read_metadata(doc::Object metadata, Object& object) {
  object.key.name = metadata.required_string("name");
  if (!object.key.name.empty() && !valid_dns_name(object.key.name, true)) {
    metadata.error("name", absl::StrCat("\"", object.key.name, "\" is not a name: lower-case letters, digits, '-' and '.'"));
    object.key.name.clear();
  }
  const bool cluster_scoped = is_cluster_scoped(object.key.group, object.key.kind);
  std::optional<std::string> ns = metadata.string("namespace");
  if (ns && !ns->empty() && !valid_dns_name(*ns, false)) {
    metadata.error("namespace", absl::StrCat("\"", *ns, "\" is not a namespace: lower-case letters, digits and '-'"));
  }
  if (!cluster_scoped) object.key.ns = ns && !ns->empty() ? *ns : "default";
  object.labels = metadata.string_map("labels");
  object.annotations = metadata.string_map("annotations");
  object.generation = metadata.integer_or("generation", 0, 0);
  if (std::optional<std::string> created = metadata.string("creationTimestamp")) {
    if (std::optional<SecondsNanos> time = parse_rfc3339(*created)) {
      object.created = std::chrono::sys_seconds(std::chrono::seconds(time->seconds));
    } else {
      metadata.error("creationTimestamp", absl::StrCat("expected a time like 2026-01-31T00:00:00Z, got \"", *created, "\""));
    }
  }
  for (std::string_view field : kUnreadMetadata) metadata.ignore(field);
  metadata.finish();
}

// What an object says, without what an API server counts and, but for the core group (addresses of Services), without what controllers say of it.
doc::Value content_of(const doc::Value& document, std::string_view group) {
  doc::Value content = document;
  const doc::Value* metadata = document.find("metadata");
  for (std::string_view counted : {"resourceVersion", "managedFields"}) {
    if (metadata->find(counted) != nullptr) content = doc::with(content, "metadata", doc::without(*content.find("metadata"), counted));
  }
  if (!group.empty() && content.find("status") != nullptr) content = doc::without(content, "status");
  return content;
}

}  // namespace

std::string ObjectKey::str() const {
  if (ns.empty()) return absl::StrCat(kind, " ", name);
  return absl::StrCat(kind, " ", ns, "/", name);
}

std::string Object::place() const {
  if (file.empty()) return absl::StrCat(key.str(), "@", generation);
  return absl::StrCat(file, ":", line);
}

std::string_view severity_name(Severity s) {
  switch (s) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNote:
      break;
  }
  return "note";
}

std::string Diagnostic::str() const {
  std::string out;
  if (!file.empty()) {
    absl::StrAppend(&out, file);
    if (line > 0) absl::StrAppend(&out, ":", line);
    absl::StrAppend(&out, ": ");
  }
  if (!object.name.empty()) absl::StrAppend(&out, object.str(), ": ");
  if (!field.empty()) absl::StrAppend(&out, field, ": ");
  absl::StrAppend(&out, message);
  return out;
}

bool is_cluster_scoped(std::string_view group, std::string_view kind) {
  if (group == "gateway.networking.k8s.io") return kind == "GatewayClass";
  if (group.empty()) return kind == "Namespace" || kind == "Node" || kind == "PersistentVolume";
  if (group == "networking.k8s.io") return kind == "IngressClass";
  if (group == "rbac.authorization.k8s.io") return absl::StartsWith(kind, "Cluster");
  return kind == "CustomResourceDefinition" || kind == "StorageClass" || kind == "PriorityClass" || kind == "APIService" ||
         kind == "ValidatingWebhookConfiguration" || kind == "MutatingWebhookConfiguration" ||
         kind == "ValidatingAdmissionPolicy" || kind == "ValidatingAdmissionPolicyBinding";
}

std::string_view group_of(std::string_view api_version) {
  const size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

std::string_view version_of(std::string_view api_version) {
  const size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
}

ObjectPtr read_object(const doc::Value& document, std::string source, std::string file, std::vector<Diagnostic>& errors,
                      ObjectKey* key_out) {
  auto object = std::make_shared<Object>();
  object->body = document;
  object->source = std::move(source);
  object->file = std::move(file);
  object->line = static_cast<int>(document.mark().line);
  ErrorList found;
  if (!document.is_map()) {
    found.add(doc::Reader(document).expected("an object with apiVersion, kind and metadata"));
  } else {
    doc::Object top(doc::Reader(document), found);
    top.allow_unknown();
    object->api_version = top.required_string("apiVersion");
    object->key.group = group_of(object->api_version);
    object->key.kind = top.required_string("kind");
    doc::Reader metadata = top.get("metadata");
    if (!metadata.present()) {
      found.add(metadata.error("is required"));
    } else {
      read_metadata(doc::Object(metadata, found), *object);
    }
  }
  if (key_out) *key_out = object->key;
  if (!found.empty()) {
    add_errors(found, *object, errors);
    return nullptr;
  }
  object->content_hash = xx_hash64(doc::to_json(content_of(document, object->key.group)));
  return object;
}

void add_errors(const ErrorList& errors, const Object& object, std::vector<Diagnostic>& out) {
  for (std::string_view text : errors.messages()) {
    Diagnostic d{Severity::kError, object.key, object.file, object.line, "", ""};
    // "file:line: path: message"; every part but the message may be missing.
    if (!object.file.empty() && absl::StartsWith(text, object.file) && text.size() > object.file.size() &&
        text[object.file.size()] == ':') {
      text.remove_prefix(object.file.size() + 1);
      int line = 0;
      auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), line);
      if (ec == std::errc() && line > 0) d.line = line;
      text.remove_prefix(static_cast<size_t>(end - text.data()));
      if (absl::StartsWith(text, ":")) text.remove_prefix(1);
      if (absl::StartsWith(text, " ")) text.remove_prefix(1);
    } else if (object.file.empty() && absl::StartsWith(text, "line ")) {  // of a text that nobody sees
      const size_t end = text.find(": ");
      if (end != std::string_view::npos) text.remove_prefix(end + 2);
    }
    const size_t colon = text.find(": ");
    if (colon != std::string_view::npos && colon > 0 && text.substr(0, colon).find(' ') == std::string_view::npos) {
      d.field = text.substr(0, colon);
      text.remove_prefix(colon + 2);
    }
    d.message = text;
    out.push_back(std::move(d));
  }
}

}  // namespace fairlead::adapters
