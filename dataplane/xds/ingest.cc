// Responses applied: ingest.h.
#include "dataplane/xds/ingest.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <set>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/status.h"
#include "base/validate.h"
#include "dataplane/config/support.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace fairlead::xds {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Envoy's words, so that people find what they know.
std::string_view noun(Type type) {
  switch (type) {
    case Type::cluster: return "cluster";
    case Type::endpoint: return "endpoints of cluster";
    case Type::listener: return "listener";
    case Type::route: return "route configuration";
    case Type::extension: return "filter config";
    case Type::secret: return "secret";
    case Type::runtime: return "runtime layer";
  }
  return "";
}

std::string name_of(Type type, const Message& m) {
  switch (type) {
    case Type::cluster: return static_cast<const envoy::config::cluster::v3::Cluster&>(m).name();
    case Type::endpoint: return static_cast<const envoy::config::endpoint::v3::ClusterLoadAssignment&>(m).cluster_name();
    case Type::listener: return static_cast<const envoy::config::listener::v3::Listener&>(m).name();
    case Type::route: return static_cast<const envoy::config::route::v3::RouteConfiguration&>(m).name();
    case Type::extension: return static_cast<const envoy::config::core::v3::TypedExtensionConfig&>(m).name();
    case Type::secret: return static_cast<const envoy::extensions::transport_sockets::tls::v3::Secret&>(m).name();
    case Type::runtime: return m.GetReflection()->GetString(m, m.GetDescriptor()->FindFieldByName("name"));  // has no generated class here
  }
  return "";
}

// For what may hold tens of thousands of messages: they go at once.
template <class M>
std::shared_ptr<Message> on_arena() {
  google::protobuf::ArenaOptions blocks;
  blocks.max_block_size = 64 << 10;  // 8 KB by default, which for ten thousand routes is a thousand of them
  auto arena = std::make_shared<google::protobuf::Arena>(blocks);
  M* message = google::protobuf::Arena::CreateMessage<M>(arena.get());
  return {std::move(arena), message};
}

std::shared_ptr<Message> make(Type type) {
  switch (type) {
    case Type::cluster: return std::make_shared<envoy::config::cluster::v3::Cluster>();
    case Type::endpoint: return std::make_shared<envoy::config::endpoint::v3::ClusterLoadAssignment>();
    case Type::listener: return std::make_shared<envoy::config::listener::v3::Listener>();
    case Type::route: return on_arena<envoy::config::route::v3::RouteConfiguration>();
    case Type::extension: return std::make_shared<envoy::config::core::v3::TypedExtensionConfig>();
    case Type::secret: return std::make_shared<envoy::extensions::transport_sockets::tls::v3::Secret>();
    case Type::runtime: return make_message(find_message(type_name(type)));
  }
  return nullptr;
}

std::string place(Type type, std::string_view name) { return absl::StrCat(noun(type), " '", name, "'"); }

// "cluster 'a': lb_policy: …" is not said twice.
std::string with_place(Type type, std::string_view name, std::string_view message) {
  const std::string p = place(type, name);
  return message.substr(0, p.size()) == p ? std::string(message) : absl::StrCat(p, ": ", message);
}

// Of a type of message, remembered: asking every field of every message for what it is takes longer than looking into those that hold messages.
struct MessageFields {
  bool any = false;  // google.protobuf.Any
  std::vector<const FieldDescriptor*> singular, repeated;
};
const MessageFields& message_fields(const google::protobuf::Descriptor* type) {
  static thread_local std::unordered_map<const google::protobuf::Descriptor*, MessageFields> known;
  const auto [it, fresh] = known.try_emplace(type);
  MessageFields& out = it->second;
  if (!fresh) return out;
  out.any = type == google::protobuf::Any::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* f = type->field(i);
    if (f->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) (f->is_repeated() ? out.repeated : out.singular).push_back(f);
  }
  return out;
}

bool whole_set(Type type) { return type == Type::cluster || type == Type::listener; }

}  // namespace

uint64_t count_unknown_fields(const Message& message) {
  const MessageFields& fields = message_fields(message.GetDescriptor());
  if (fields.any) {
    const auto opened = unpack(static_cast<const google::protobuf::Any&>(message));
    return opened.ok() ? count_unknown_fields(**opened) : 0;
  }
  const auto* reflection = message.GetReflection();
  uint64_t n = reflection->GetUnknownFields(message).field_count();
  for (const FieldDescriptor* f : fields.singular)
    if (reflection->HasField(message, f)) n += count_unknown_fields(reflection->GetMessage(message, f));
  for (const FieldDescriptor* f : fields.repeated)
    for (int i = 0, size = reflection->FieldSize(message, f); i < size; ++i) n += count_unknown_fields(reflection->GetRepeatedMessage(message, f, i));
  return n;
}

Ingest::Ingest(Options options) : options_(std::move(options)) {
  options_.hcm.knows_cluster = [epoch = options_.epoch](std::string_view name) { return epoch->knows_cluster(name); };
}

void Ingest::add_static_cluster(const std::shared_ptr<const config::ClusterConfig>& cluster, std::shared_ptr<const Message> proto) {
  known_[Type::cluster][cluster->name] = true;
  options_.ledger->add_static(Type::cluster, cluster->name, std::move(proto), options_.wall_now());
  options_.epoch->set_cluster(cluster, options_.now());
  if (options_.cluster_set) options_.cluster_set(cluster);
  ++counts_.clusters_added;
}

absl::Status Ingest::add_static_listener(const std::shared_ptr<const config::ListenerConfig>& listener, std::shared_ptr<const Message> proto) {
  if (options_.prepare_listener) FL_RETURN_IF_ERROR(options_.prepare_listener(listener));
  known_[Type::listener][listener->name] = true;
  options_.ledger->add_static(Type::listener, listener->name, std::move(proto), options_.wall_now());
  options_.epoch->set_listener(listener, options_.now());
  ++counts_.listeners_added;
  return absl::OkStatus();
}

absl::Status Ingest::parse_all(const Update& update, std::vector<Parsed>& out) {
  ErrorList errors(20);
  for (size_t i = 0; i < update.resources.size(); ++i) {
    const IncomingResource& in = update.resources[i];
    const std::string version = in.version.empty() ? update.version : in.version;
    const std::string at = in.name.empty() ? absl::StrCat("resources[", i, "]") : place(update.type, in.name);
    if (in.type_url != type_url(update.type)) {
      errors.add(at, absl::StrCat("type URL '", in.type_url, "', expected '", type_url(update.type), "'"));
      continue;
    }
    Parsed parsed{in.name, version, make(update.type)};
    if (!parsed.message->ParseFromString(in.bytes)) {
      errors.add(at, absl::StrCat("the bytes are not a valid ", type_name(update.type), " (", in.bytes.size(), " bytes)"));
      if (in.name.empty()) continue;
      options_.ledger->refuse(update.type, ledger_name(update, in.name), nullptr, version, "malformed bytes", options_.wall_now());
      give_up(update.type, in.name);
      continue;
    }
    const std::string own = name_of(update.type, *parsed.message);
    if (parsed.name.empty()) parsed.name = own;
    if (own != parsed.name && !own.empty()) {
      errors.add(at, absl::StrCat("holds a resource named '", own, "'"));
      continue;
    }
    if (parsed.name.empty()) {
      errors.add(at, "has no name");
      continue;
    }
    // where it has nothing to find, nobody looks further
    const Screen::Verdict plain = config::screen(parsed.message->GetDescriptor(), in.bytes);
    parsed.bytes = &in.bytes;
    parsed.supported = plain.allowed;
    if (absl::Status rules = plain.rules ? absl::OkStatus() : validate(*parsed.message, {.met_any = &parsed.holds_any}); !rules.ok()) {
      std::string text = absl::StrCat("proto constraint validation failed: ", rules.message());
      options_.ledger->refuse(update.type, ledger_name(update, parsed.name), parsed.message, version, text, options_.wall_now());
      give_up(update.type, parsed.name);
      errors.add(place(update.type, parsed.name), text);
      continue;
    }
    if (const uint64_t unknown = plain.known ? 0 : count_unknown_fields(*parsed.message); unknown > 0) {
      if (options_.count_unknown_fields) options_.count_unknown_fields(unknown);
      if (options_.reject_unknown_fields) {
        errors.add(place(update.type, parsed.name), absl::StrCat("has ", unknown, " unknown field(s)"));
        continue;
      }
    }
    out.push_back(std::move(parsed));
  }
  if (update.delta) check_delta_names(update, out, errors);
  return errors.status();
}

// Envoy 1.40: a name twice, or set and removed at once, refuses an incremental response before anything of it is applied.
void Ingest::check_delta_names(const Update& update, const std::vector<Parsed>& parsed, ErrorList& errors) {
  std::set<std::string_view> set, gone;
  for (const Parsed& resource : parsed)
    if (!set.insert(resource.name).second) errors.add(place(update.type, resource.name), "duplicate: the name occurs twice in one response");
  for (const std::string& name : update.removed) {
    if (set.contains(name)) errors.add(place(update.type, name), "the response both sets and removes it");
    if (!gone.insert(name).second) errors.add(place(update.type, name), "duplicate: removed twice in one response");
  }
}

// What the response takes away: named in delta, omitted in state-of-the-world.
std::vector<std::string> Ingest::removals(const Update& update, const std::vector<Parsed>& parsed) {
  if (update.delta || !whole_set(update.type)) return update.removed;
  std::set<std::string_view> named;
  for (const Parsed& resource : parsed) named.insert(resource.name);
  std::vector<std::string> gone;
  for (const auto& [name, is_static] : known_[update.type])
    if (!is_static && !named.contains(name)) gone.push_back(name);
  for (const auto& [name, entry] : options_.ledger->entries(update.type))  // refused ones that never were accepted
    if (entry.accepted == nullptr && !named.contains(name)) gone.push_back(name);
  return gone;
}

Outcome Ingest::apply(const Update& update) {
  reloads_.clear();
  source_ = update.source;
  Outcome out = judge(update);
  out.reloads = std::move(reloads_);
  // Envoy 1.40 tells every subscription of the type of a refusal, and each stops waiting
  if (!out.status.ok() && update.type == Type::extension) options_.epoch->give_up_extension();
  return out;
}

Outcome Ingest::judge(const Update& update) {
  Outcome out;
  std::vector<Parsed> parsed;
  if (out.status = parse_all(update, parsed); !out.status.ok()) return out;

  if (update.type == Type::extension)  // what nobody asked for is not looked at; Envoy 1.40: likewise
    std::erase_if(parsed, [&](const Parsed& resource) { return options_.epoch->discoveries(resource.name).empty(); });
  if (update.type == Type::secret)
    std::erase_if(parsed, [&](const Parsed& resource) { return !options_.epoch->wants_secret(config::secret_key(resource.name, update.source)); });
  if (update.type == Type::runtime)
    std::erase_if(parsed, [&](const Parsed& resource) { return !options_.wants_runtime || !options_.wants_runtime(resource.name); });
  // Envoy 1.40 likewise: first, so that a new listener may take the address of one that goes
  out.removed = removals(update, parsed);
  for (const std::string& name : out.removed) remove(update.type, name);
  std::string failures;
  auto fail = [&](std::string_view text) { absl::StrAppend(&failures, failures.empty() ? "" : "\n", text); };
  std::set<std::string> named;
  for (const Parsed& resource : parsed) {
    if (!named.insert(resource.name).second) {
      fail(absl::StrCat(place(update.type, resource.name), ": duplicate: the name occurs twice in one response; the first is kept"));
      continue;
    }
    const bool warming = (update.type == Type::cluster && options_.epoch->cluster_warming(resource.name)) ||
                         (update.type == Type::listener && options_.epoch->listener_warming(resource.name));
    if (absl::Status status = apply_one(update.type, resource); !status.ok()) {
      const std::string text = with_place(update.type, resource.name, status.message());
      options_.ledger->refuse(update.type, ledger_name(update, resource.name), resource.message, resource.version, text, options_.wall_now());
      give_up(update.type, resource.name);
      out.refused.push_back(resource.name);
      fail(text);
      continue;
    }
    options_.ledger->accept(update.type, ledger_name(update, resource.name), std::make_shared<const std::string>(*resource.bytes), resource.version, options_.wall_now(), warming);
    out.applied[resource.name] = resource.version;
  }
  if (failures.empty()) {
    options_.ledger->set_version(update.type, update.version);
  } else {
    // Envoy 1.40: "Error adding/updating cluster(s) a: …"
    const std::string lead = whole_set(update.type) ? absl::StrCat("Error adding/updating ", noun(update.type), "(s) ") : "";
    out.status = absl::InvalidArgumentError(absl::StrCat(lead, failures));
  }
  return out;
}

absl::Status Ingest::apply_one(Type type, const Parsed& resource) {
  // the rest has been looked at
  if (resource.holds_any) FL_RETURN_IF_ERROR(validate(*resource.message, {.open_any = true}));
  switch (type) {
    case Type::cluster: return apply_cluster(resource);
    case Type::endpoint: return apply_endpoints(resource);
    case Type::listener: return apply_listener(resource);
    case Type::route: return apply_routes(resource);
    case Type::extension: return apply_extension(resource);
    case Type::secret: return apply_secret(resource);
    case Type::runtime: return apply_runtime(resource);
  }
  return absl::OkStatus();
}

void Ingest::note_findings(Type type, const Parsed& resource) {
  if (resource.supported) return;
  config::SupportFindings findings;
  if (config::check_support(*resource.message, &findings).ok()) note_findings(findings, place(type, resource.name));
}

void Ingest::note_findings(const config::SupportFindings& findings, const std::string& what) {
  for (const config::IgnoredField& field : findings.ignored) {
    if (options_.count_ignored_field) options_.count_ignored_field(field.row);
    if (warned_rows_[field.row]++ == 0) FL_LOG(warning, "config", what, ": ", field.path, " is ignored: ", field.reason);
  }
}

absl::Status Ingest::apply_cluster(const Parsed& resource) {
  auto& known = known_[Type::cluster];
  if (auto it = known.find(resource.name); it != known.end() && it->second) {
    FL_LOG(warning, "config", place(Type::cluster, resource.name), " is static: the update is ignored");  // Envoy 1.40: likewise
    return absl::OkStatus();
  }
  if (!resource.supported) FL_RETURN_IF_ERROR(config::check_support(*resource.message));
  FL_ASSIGN_OR_RETURN(auto model, config::parse_cluster(static_cast<const envoy::config::cluster::v3::Cluster&>(*resource.message), nullptr,
                                                       {options_.hcm.read_file, options_.hcm.secrets, options_.hcm.discovered}));
  if (options_.prepare_cluster) FL_RETURN_IF_ERROR(options_.prepare_cluster(*model));
  note_findings(Type::cluster, resource);
  known.contains(resource.name) ? ++counts_.clusters_modified : ++counts_.clusters_added;
  known[resource.name] = false;
  options_.epoch->set_cluster(model, options_.now());
  if (options_.cluster_set) options_.cluster_set(model);
  return absl::OkStatus();
}

absl::Status Ingest::apply_endpoints(const Parsed& resource) {
  FL_ASSIGN_OR_RETURN(auto model, config::parse_endpoints(static_cast<const envoy::config::endpoint::v3::ClusterLoadAssignment&>(*resource.message)));
  note_findings(Type::endpoint, resource);
  options_.epoch->set_eds(resource.name, std::move(model));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const config::ListenerConfig>> Ingest::build_listener(const Parsed& resource, std::vector<std::string>& warnings) {
  if (!resource.supported) FL_RETURN_IF_ERROR(config::check_support(*resource.message));
  config::HcmOptions hcm = options_.hcm;
  hcm.warnings = &warnings;
  FL_ASSIGN_OR_RETURN(auto model, config::parse_listener(static_cast<const envoy::config::listener::v3::Listener&>(*resource.message), hcm));
  if (options_.prepare_listener) FL_RETURN_IF_ERROR(options_.prepare_listener(model));
  return model;
}

absl::Status Ingest::apply_listener(const Parsed& resource) {
  auto& known = known_[Type::listener];
  if (auto it = known.find(resource.name); it != known.end() && it->second) {
    FL_LOG(warning, "config", place(Type::listener, resource.name), " is static: the update is ignored");
    return absl::OkStatus();
  }
  std::vector<std::string> warnings;
  auto model = build_listener(resource, warnings);
  if (!model.ok()) {
    ++counts_.listeners_failed;
    return model.status();
  }
  for (const std::string& w : warnings) FL_LOG(warning, "config", w);
  note_findings(Type::listener, resource);
  known.contains(resource.name) ? ++counts_.listeners_modified : ++counts_.listeners_added;
  known[resource.name] = false;
  options_.epoch->set_listener(*std::move(model), options_.now());
  return absl::OkStatus();
}

absl::Status Ingest::apply_routes(const Parsed& resource) {
  config::SupportFindings findings;
  if (!resource.supported) FL_RETURN_IF_ERROR(config::check_support(*resource.message, &findings));
  std::vector<std::string> warnings;
  config::HcmOptions hcm = options_.hcm;
  hcm.warnings = &warnings;
  FL_ASSIGN_OR_RETURN(auto table, router::RouteTable::compile(static_cast<const envoy::config::route::v3::RouteConfiguration&>(*resource.message),
                                                              config::route_options(hcm, false)));
  for (const std::string& w : warnings) FL_LOG(warning, "config", w);
  note_findings(findings, place(Type::route, resource.name));
  if (options_.epoch->set_route_table(std::move(table), options_.now())) ++reloads_[resource.name];
  return absl::OkStatus();
}

// All filters of a subscription must admit it, or it keeps what it has. Filters of the same name may have another source or another idea of how
// long to wait: those are subscriptions of their own.
absl::Status Ingest::apply_extension(const Parsed& resource) {
  const config::Registry& registry = options_.hcm.registry != nullptr ? *options_.hcm.registry : config::Registry::global();
  FL_ASSIGN_OR_RETURN(auto model, config::parse_extension(static_cast<const envoy::config::core::v3::TypedExtensionConfig&>(*resource.message), registry));
  note_findings(Type::extension, resource);
  ErrorList errors;
  for (const auto& [key, filters] : options_.epoch->discoveries(resource.name)) {
    absl::Status admitted;
    for (const config::FilterDiscovery* filter : filters) admitted.Update(filter->admits(*model->type));
    if (!admitted.ok()) {
      errors.add(admitted);
    } else if (options_.epoch->set_extension(key, model)) {
      ++reloads_[resource.name];
    }
  }
  return errors.status();
}

std::string Ingest::ledger_name(const Update& update, const std::string& name) const { return update.type == Type::secret ? config::secret_key(name, update.source) : name; }

// No error names a part of the secret's content.
absl::Status Ingest::apply_secret(const Parsed& resource) {
  if (!resource.supported) FL_RETURN_IF_ERROR(config::check_support(*resource.message));
  note_findings(Type::secret, resource);
  const std::string key = config::secret_key(resource.name, source_);
  auto secret = std::static_pointer_cast<const envoy::extensions::transport_sockets::tls::v3::Secret>(resource.message);
  if (options_.hcm.discovered != nullptr) FL_RETURN_IF_ERROR(options_.hcm.discovered->set(key, std::move(secret)).status());
  options_.epoch->secret_answered(key);
  return absl::OkStatus();
}

absl::Status Ingest::apply_runtime(const Parsed& resource) {
  if (!resource.supported) FL_RETURN_IF_ERROR(config::check_support(*resource.message));
  note_findings(Type::runtime, resource);
  const Message& message = *resource.message;
  const auto& values = message.GetReflection()->GetMessage(message, message.GetDescriptor()->FindFieldByName("layer"));
  return options_.runtime_set(resource.name, static_cast<const google::protobuf::Struct&>(values));
}

void Ingest::remove(Type type, const std::string& name) {
  auto& known = known_[type];
  auto it = known.find(name);
  if (it != known.end() && it->second) return;
  const bool was_known = it != known.end();
  if (was_known) known.erase(it);
  switch (type) {
    case Type::cluster:
      if (was_known) ++counts_.clusters_removed;
      options_.epoch->remove_cluster(name);
      if (options_.cluster_removed) options_.cluster_removed(name);
      break;
    case Type::listener:
      if (was_known) ++counts_.listeners_removed;
      options_.epoch->remove_listener(name);
      if (options_.listener_removed) options_.listener_removed(name);
      break;
    case Type::secret:    // Envoy 1.40: likewise, so that no listener loses its certificate; who waits for it waits no longer
    case Type::endpoint:  // Envoy 1.40: what EDS and RDS take back stays until nobody names it; a cluster that waits for such endpoints waits no longer
      give_up(type, name);
      return;
    case Type::route:
      return;
    case Type::runtime:
      if (options_.runtime_removed) options_.runtime_removed(name);
      break;
    case Type::extension:
      if (const size_t n = options_.epoch->remove_extension(name); n > 0) reloads_[name] += n;
      break;
  }
  options_.ledger->remove(type, name);
}

void Ingest::give_up(Type type, const std::string& name) {
  if (type == Type::endpoint) options_.epoch->give_up_eds(name);
  if (type == Type::route) options_.epoch->give_up_route_table(name);
  if (type == Type::extension) options_.epoch->give_up_extension(name);
  if (type == Type::secret) options_.epoch->give_up_secret(name);
}

}  // namespace fairlead::xds
