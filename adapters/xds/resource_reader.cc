// Strict reading and checking of one raw resource. See resource_reader.h.
#include "adapters/xds/resource_reader.h"

#include <google/protobuf/message.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/validate.h"

namespace fairlead::adapters::xds {

namespace {

constexpr std::string_view kTypeField = "@type";

std::vector<std::string_view> allowed_types() {
  std::vector<std::string_view> urls;
  for (resources::Type t : resources::all_types()) urls.push_back(resources::type_url(t));
  return urls;
}

std::optional<resources::Type> read_type(const doc::Reader& entry, ErrorList& errors) {
  const doc::Reader field = entry.get(kTypeField);
  const absl::StatusOr<std::string> url = field.string();
  if (!errors.check(url)) return std::nullopt;
  std::optional<resources::Type> type = resources::type_from_url(*url);
  if (type) return type;
  const std::vector<std::string_view> allowed = allowed_types();
  std::string text = absl::StrCat("\"", *url, "\" is not a type that proxies ask for");
  if (std::optional<std::string> meant = closest(*url, allowed)) {
    absl::StrAppend(&text, "; did you mean '", *meant, "'?");
  } else {
    absl::StrAppend(&text, "; those are:");
    for (std::string_view one : allowed) absl::StrAppend(&text, " ", type_name(one));
  }
  errors.add(field.error(text));
  return std::nullopt;
}

// The name as written, for a message that cannot be read.
std::string written_name(const doc::Value& entry, resources::Type type) {
  const bool assignment = type == resources::Type::kEndpoint;
  for (std::string_view key : {assignment ? "cluster_name" : "name", assignment ? "clusterName" : "name"}) {
    const doc::Value* v = entry.find(key);
    if (v && v->is_string()) return v->as_string();
  }
  return "";
}

intent::Origin origin_of(const doc::Reader& entry, const Object& owner) {
  intent::Origin origin;
  origin.source = owner.source;
  origin.file = owner.file;
  origin.line = static_cast<int>(entry.mark().line);
  origin.group = owner.key.group;
  origin.kind = owner.key.kind;
  origin.ns = owner.key.ns;
  origin.name = owner.key.name;
  origin.generation = owner.generation;
  origin.field = entry.path();
  return origin;
}

std::unique_ptr<google::protobuf::Message> read_message(const doc::Reader& entry, resources::Type type, const Object& owner,
                                                        ErrorList& errors, std::vector<Diagnostic>& out) {
  auto message = make_message(resources::type_url(type), entry.path());
  if (!errors.check(message)) return nullptr;
  doc::FieldMarks marks;
  doc::ToMessageOptions options;
  options.path = entry.path();
  options.marks = &marks;
  const absl::Status read = doc::to_message(doc::without(entry.value(), kTypeField), message->get(), options);
  if (!read.ok()) {
    for (absl::string_view line : absl::StrSplit(read.message(), '\n')) errors.add(absl::InvalidArgumentError(line));
    return nullptr;
  }
  ValidateOptions validate_options;
  validate_options.open_any = true;  // what an extension would refuse later is better told now
  bool good = true;
  for (const Violation& v : violations(**message, validate_options)) {
    const doc::Mark mark = marks.find(v.path);
    out.push_back(Diagnostic{Severity::kError, owner.key, owner.file, static_cast<int>(mark.line ? mark.line : entry.mark().line),
                             v.path.empty() ? entry.path() : absl::StrCat(entry.path(), ".", v.path), v.message});
    good = false;
  }
  return good ? *std::move(message) : nullptr;
}

}  // namespace

resources::ResourcePtr read_resource(const doc::Reader& entry, const Object& owner, const std::string& version,
                                     ResourceIdentity& identity, std::vector<Diagnostic>& out) {
  ErrorList errors;
  resources::ResourcePtr resource;
  if (!entry.value().is_map()) {
    errors.add(entry.expected("a resource: a map with @type"));
  } else if ((identity.type = read_type(entry, errors))) {
    identity.name = written_name(entry.value(), *identity.type);
    if (auto message = read_message(entry, *identity.type, owner, errors, out)) {
      identity.name = resources::name_of(*message);
      if (identity.name.empty()) {
        errors.add(entry.get("name").error("is required: it is what proxies ask for"));
      } else {
        resource = resources::make_resource(*identity.type, identity.name, *message, {origin_of(entry, owner)}, version);
      }
    }
  }
  add_errors(errors, owner, out);
  return resource;
}

}  // namespace fairlead::adapters::xds
