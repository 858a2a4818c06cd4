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
#include "controlplane/resources/xdstp.h"

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

// An entry that is a Resource as responses carry it: the message with a name of its own, aliases and a time to live.
struct Wrapped {
  doc::Reader message;
  std::string name;  // empty: the message's
  resources::Envelope envelope;
};

constexpr std::string_view kWrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource";

bool is_wrapped(const doc::Reader& entry) {
  const doc::Value* type = entry.value().find(kTypeField);
  return type && type->is_string() && type->as_string() == kWrapper;
}

Wrapped read_wrapper(const doc::Reader& entry, ErrorList& errors) {
  Wrapped out{entry.get("resource"), "", {}};
  doc::Object fields(entry, errors);
  fields.ignore(kTypeField);
  fields.ignore("resource");
  out.name = fields.string_or("name", "");
  out.envelope.aliases = fields.strings("aliases");
  if (const auto ttl = fields.duration("ttl")) {
    out.envelope.ttl = std::chrono::duration_cast<std::chrono::milliseconds>(*ttl);
    // It is renewed at half its time: below a second that would be all there is to do.
    if (out.envelope.ttl < std::chrono::seconds(1) || out.envelope.ttl > std::chrono::hours(24 * 365)) fields.error("ttl", "is not between 1s and a year");
  }
  if (fields.has("version")) {
    fields.ignore("version");
    fields.error("version", "is that of the whole object: give it as spec.version");
  }
  if (!out.message.value().is_map()) errors.add(out.message.expected("a resource: a map with @type"));
  return out;
}

// The name that proxies are to ask for; empty, and an error, when it cannot be one.
std::string checked_name(std::string name, resources::Type type, const doc::Reader& entry, ErrorList& errors) {
  if (name.empty()) {
    errors.add(entry.get("name").error("is required: it is what proxies ask for"));
    return "";
  }
  if (!resources::is_xdstp(name)) return name;
  const std::optional<std::string> canonical = resources::canonical_xdstp(name);
  if (!canonical || resources::is_glob(name)) {
    errors.add(entry.get("name").error(absl::StrCat("\"", name, "\" is not xdstp://AUTHORITY/TYPE/ID?KEY=VALUE&…")));
    return "";
  }
  if (resources::type_in_xdstp(name) != type_name(resources::type_url(type))) {
    errors.add(entry.get("name").error(absl::StrCat("\"", name, "\" is a name of type ", resources::type_in_xdstp(name), ", but this is ", type_name(resources::type_url(type)))));
    return "";
  }
  return *canonical;
}

}  // namespace

resources::ResourcePtr read_resource(const doc::Reader& entry, const Object& owner, const std::string& version,
                                     ResourceIdentity& identity, std::vector<Diagnostic>& out) {
  ErrorList errors;
  resources::ResourcePtr resource;
  Wrapped wrapped{entry, "", {}};
  if (!entry.value().is_map()) {
    errors.add(entry.expected("a resource: a map with @type"));
  } else if (is_wrapped(entry)) {
    wrapped = read_wrapper(entry, errors);
  }
  const bool shaped = errors.empty();
  if (wrapped.message.value().is_map() && (identity.type = read_type(wrapped.message, errors))) {
    const resources::Type type = *identity.type;
    const std::string written = wrapped.name.empty() ? written_name(wrapped.message.value(), type) : wrapped.name;
    identity.name = resources::canonical_xdstp(written).value_or(written);
    if (!wrapped.envelope.aliases.empty() && type != resources::Type::kVirtualHost) errors.add(entry.get("aliases").error("only virtual hosts have aliases"));
    if (auto message = read_message(wrapped.message, type, owner, errors, out)) {
      identity.name = checked_name(wrapped.name.empty() ? resources::name_of(*message) : wrapped.name, type, wrapped.name.empty() ? wrapped.message : entry, errors);
      if (shaped && errors.empty()) {
        resource = resources::make_resource(type, identity.name, *message, {origin_of(entry, owner)}, version, std::move(wrapped.envelope));
      }
    }
  }
  add_errors(errors, owner, out);
  return resource;
}

}  // namespace fairlead::adapters::xds
