// Building envoy.admin.v3.ConfigDump.
#include "dataplane/admin/config_dump.h"

#include <google/protobuf/any.pb.h>
#include <re2/re2.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/doc_proto.h"
#include "base/redact.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace fairlead::admin {
namespace {

using google::protobuf::Message;
using xds::LedgerEntry;
using xds::Type;
using Hcm = envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

void set_time(google::protobuf::Timestamp* out, std::chrono::system_clock::time_point at) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
  out->set_seconds(ms / 1000);
  out->set_nanos(static_cast<int32_t>(ms % 1000) * 1000000);
}

// A resource as the ledger keeps it is what an Any holds.
void fill(google::protobuf::Any* out, Type type, const LedgerEntry::Bytes& bytes) {
  out->set_type_url(std::string(xds::type_url(type)));
  out->set_value(*bytes);
}

template <class T>
T opened(const LedgerEntry::Bytes& bytes) {
  T out;
  if (!out.ParseFromString(*bytes)) out.Clear();
  return out;
}

void set_error(envoy::admin::v3::UpdateFailureState* out, Type type, const LedgerEntry::Error& error) {
  if (error.refused != nullptr) fill(out->mutable_failed_configuration(), type, error.refused);
  set_time(out->mutable_last_update_attempt(), error.at);
  out->set_details(error.details);
  out->set_version_info(error.version);
}

class Dump {
 public:
  Dump(const DumpInput& in, const DumpQuery& query, const re2::RE2* names) : in_(in), query_(query), names_(names) {}

  std::vector<std::unique_ptr<Message>> all() {
    std::vector<std::unique_ptr<Message>> out;
    if (names_ == nullptr) out.push_back(bootstrap());
    out.push_back(clusters());
    if (!in_.epoch->wanted().extensions.empty()) out.push_back(extensions());  // Envoy 1.40: once some filter is discovered
    if (query_.include_eds) out.push_back(endpoints());
    out.push_back(listeners());
    out.push_back(std::make_unique<envoy::admin::v3::ScopedRoutesConfigDump>());
    out.push_back(routes());
    out.push_back(secrets());
    return out;
  }

 private:
  bool wanted(const std::string& name) const { return names_ == nullptr || re2::RE2::PartialMatch(name, *names_); }

  std::unique_ptr<Message> bootstrap() {
    auto dump = std::make_unique<envoy::admin::v3::BootstrapConfigDump>();
    if (!dump->mutable_bootstrap()->ParseFromString(*in_.bootstrap)) dump->clear_bootstrap();
    set_time(dump->mutable_last_updated(), in_.bootstrap_at);
    return dump;
  }

  std::unique_ptr<Message> secrets() {
    auto dump = std::make_unique<envoy::admin::v3::SecretsConfigDump>();
    envoy::config::bootstrap::v3::Bootstrap bootstrap;
    if (!bootstrap.ParseFromString(*in_.bootstrap)) bootstrap.Clear();
    for (const auto& secret : bootstrap.static_resources().secrets()) {
      if (!wanted(secret.name())) continue;
      auto* row = dump->add_static_secrets();
      row->set_name(secret.name());
      set_time(row->mutable_last_updated(), in_.bootstrap_at);
      row->mutable_secret()->PackFrom(secret);
    }
    const auto& known = in_.ledger->entries(Type::secret);
    for (const config::SecretRef& secret : in_.epoch->wanted().secrets) {
      if (!wanted(secret.name)) continue;
      const auto it = known.find(secret.key);
      const bool active = it != known.end() && it->second.accepted != nullptr;
      auto* row = active ? dump->add_dynamic_active_secrets() : dump->add_dynamic_warming_secrets();
      row->set_name(secret.name);
      if (active) {
        row->set_version_info(it->second.version);
        fill(row->mutable_secret(), Type::secret, it->second.accepted);
        set_time(row->mutable_last_updated(), it->second.accepted_at);
      } else {
        row->set_version_info("uninitialized");  // Envoy 1.40
        envoy::extensions::transport_sockets::tls::v3::Secret unknown;
        unknown.set_name(secret.name);
        row->mutable_secret()->PackFrom(unknown);
      }
      if (it != known.end() && it->second.error != nullptr) set_error(row->mutable_error_state(), Type::secret, *it->second.error);
    }
    return dump;
  }

  std::unique_ptr<Message> clusters() {
    auto dump = std::make_unique<envoy::admin::v3::ClustersConfigDump>();
    dump->set_version_info(in_.ledger->version(Type::cluster));
    for (const auto& [name, entry] : in_.ledger->entries(Type::cluster)) {
      if (!wanted(name)) continue;
      if (entry.is_static) {
        auto* row = dump->add_static_clusters();
        if (entry.accepted != nullptr) fill(row->mutable_cluster(), Type::cluster, entry.accepted);
        set_time(row->mutable_last_updated(), entry.accepted_at);
        continue;
      }
      const bool warming = in_.epoch->cluster_warming(name);
      if (warming && entry.before != nullptr) {
        auto* row = dump->add_dynamic_active_clusters();
        row->set_version_info(entry.before->version);
        fill(row->mutable_cluster(), Type::cluster, entry.before->message);
        set_time(row->mutable_last_updated(), entry.before->at);
      }
      auto* row = warming ? dump->add_dynamic_warming_clusters() : dump->add_dynamic_active_clusters();
      if (entry.accepted != nullptr) {
        row->set_version_info(entry.version);
        fill(row->mutable_cluster(), Type::cluster, entry.accepted);
        set_time(row->mutable_last_updated(), entry.accepted_at);
      }
      if (entry.error != nullptr) set_error(row->mutable_error_state(), Type::cluster, *entry.error);
    }
    return dump;
  }

  std::unique_ptr<Message> endpoints() {
    auto dump = std::make_unique<envoy::admin::v3::EndpointsConfigDump>();
    for (const auto& [name, entry] : in_.ledger->entries(Type::endpoint)) {
      if (!wanted(name) || (entry.accepted == nullptr && entry.error == nullptr)) continue;
      auto* row = dump->add_dynamic_endpoint_configs();
      row->set_version_info(entry.version);
      if (entry.accepted != nullptr) {
        fill(row->mutable_endpoint_config(), Type::endpoint, entry.accepted);
        set_time(row->mutable_last_updated(), entry.accepted_at);
      }
      if (entry.error != nullptr) set_error(row->mutable_error_state(), Type::endpoint, *entry.error);
    }
    for (const auto& [name, entry] : in_.ledger->entries(Type::cluster)) {
      if (entry.accepted == nullptr || !wanted(name)) continue;
      const auto cluster = opened<envoy::config::cluster::v3::Cluster>(entry.accepted);
      if (cluster.has_load_assignment()) dump->add_static_endpoint_configs()->mutable_endpoint_config()->PackFrom(cluster.load_assignment());
    }
    return dump;
  }

  std::unique_ptr<Message> extensions() {
    auto dump = std::make_unique<envoy::admin::v3::EcdsConfigDump>();
    for (const auto& [name, entry] : in_.ledger->entries(Type::extension)) {
      if (!wanted(name)) continue;
      auto* row = dump->add_ecds_filters();
      if (entry.accepted != nullptr) {
        row->set_version_info(entry.version);
        fill(row->mutable_ecds_filter(), Type::extension, entry.accepted);
        set_time(row->mutable_last_updated(), entry.accepted_at);
      }
      if (entry.error != nullptr) set_error(row->mutable_error_state(), Type::extension, *entry.error);
    }
    return dump;
  }

  std::unique_ptr<Message> listeners() {
    auto dump = std::make_unique<envoy::admin::v3::ListenersConfigDump>();
    dump->set_version_info(in_.ledger->version(Type::listener));
    for (const auto& [name, entry] : in_.ledger->entries(Type::listener)) {
      if (!wanted(name)) continue;
      if (entry.is_static) {
        auto* row = dump->add_static_listeners();
        if (entry.accepted != nullptr) fill(row->mutable_listener(), Type::listener, entry.accepted);
        set_time(row->mutable_last_updated(), entry.accepted_at);
        continue;
      }
      auto* row = dump->add_dynamic_listeners();
      row->set_name(name);
      if (entry.accepted != nullptr) {
        const bool warming = in_.epoch->listener_warming(name);
        if (warming && entry.before != nullptr) {
          row->mutable_active_state()->set_version_info(entry.before->version);
          fill(row->mutable_active_state()->mutable_listener(), Type::listener, entry.before->message);
          set_time(row->mutable_active_state()->mutable_last_updated(), entry.before->at);
        }
        auto* state = warming ? row->mutable_warming_state() : row->mutable_active_state();
        state->set_version_info(entry.version);
        fill(state->mutable_listener(), Type::listener, entry.accepted);
        set_time(state->mutable_last_updated(), entry.accepted_at);
      }
      if (entry.error != nullptr) set_error(row->mutable_error_state(), Type::listener, *entry.error);
    }
    return dump;
  }

  // Inline tables of listeners are "static" to Envoy, wherever the listener came from.
  std::unique_ptr<Message> routes() {
    auto dump = std::make_unique<envoy::admin::v3::RoutesConfigDump>();
    for (const auto& [name, entry] : in_.ledger->entries(Type::listener)) {
      if (entry.accepted == nullptr) continue;
      const auto listener = opened<envoy::config::listener::v3::Listener>(entry.accepted);
      for (const auto& chain : listener.filter_chains())
        for (const auto& filter : chain.filters()) {
          Hcm hcm;
          if (!filter.typed_config().UnpackTo(&hcm) || !hcm.has_route_config() || !wanted(hcm.route_config().name())) continue;
          auto* row = dump->add_static_route_configs();
          row->mutable_route_config()->PackFrom(hcm.route_config());
          set_time(row->mutable_last_updated(), entry.accepted_at);
        }
    }
    for (const auto& [name, entry] : in_.ledger->entries(Type::route)) {
      if (!wanted(name)) continue;
      auto* row = dump->add_dynamic_route_configs();
      if (entry.accepted != nullptr) {
        row->set_version_info(entry.version);
        fill(row->mutable_route_config(), Type::route, entry.accepted);
        set_time(row->mutable_last_updated(), entry.accepted_at);
      }
      if (entry.error != nullptr) set_error(row->mutable_error_state(), Type::route, *entry.error);
    }
    return dump;
  }

  const DumpInput& in_;
  const DumpQuery& query_;
  const re2::RE2* names_;
};

// As an Any prints: "@type" first.
doc::Value typed(const Message& message) {
  google::protobuf::Any any;
  any.PackFrom(message);
  return doc::from_message(any);
}

doc::Value mask_path(const doc::Value& value, std::string_view path) {
  if (path.empty()) return value;
  if (value.is_list()) {
    std::vector<doc::Value> items;
    for (const doc::Value& item : value.items()) items.push_back(mask_path(item, path));
    return doc::list(std::move(items));
  }
  const size_t dot = path.find('.');
  const doc::Value* inner = value.find(path.substr(0, dot));
  if (inner == nullptr) return doc::null();
  const doc::Value kept = dot == std::string_view::npos ? *inner : mask_path(*inner, path.substr(dot + 1));
  if (kept.is_null()) return doc::null();
  doc::Value out = doc::map({});
  if (const doc::Value* type = value.find("@type")) out = doc::with(out, "@type", *type);
  return doc::with(out, path.substr(0, dot), kept);
}

doc::Value merge(const doc::Value& a, const doc::Value& b) {
  if (a.is_null()) return b;
  if (b.is_null()) return a;
  if (a.is_list() && b.is_list() && a.size() == b.size()) {
    std::vector<doc::Value> items;
    for (size_t i = 0; i < a.size(); ++i) items.push_back(merge(a.items()[i], b.items()[i]));
    return doc::list(std::move(items));
  }
  if (!a.is_map() || !b.is_map()) return b;
  doc::Value out = a;
  for (const doc::Entry& e : b.entries()) {
    const doc::Value* mine = a.find(e.key);
    out = doc::with(out, e.key, mine != nullptr ? merge(*mine, e.value) : e.value);
  }
  return out;
}

}  // namespace

doc::Value apply_mask(const doc::Value& value, const std::string& mask) {
  doc::Value out;
  for (const std::string_view path : absl::StrSplit(mask, ',', absl::SkipEmpty())) out = merge(out, mask_path(value, path));
  return out;
}

absl::StatusOr<std::string> config_dump(const DumpInput& input, const DumpQuery& query) {
  std::unique_ptr<re2::RE2> names;
  if (!query.name_regex.empty()) {
    re2::RE2::Options quiet;
    quiet.set_log_errors(false);
    names = std::make_unique<re2::RE2>(query.name_regex, quiet);
    if (!names->ok()) return absl::InvalidArgumentError(absl::StrCat("Error while parsing name_regex from ", query.name_regex, ": ", names->error()));
  }
  DumpQuery effective = query;
  effective.include_eds = query.include_eds || query.resource.find("endpoint") != std::string::npos;
  std::vector<doc::Value> configs;
  bool found = query.resource.empty(), masked = false;
  for (const auto& dump : Dump(input, effective, names.get()).all()) {
    redact(*dump);
    if (query.resource.empty()) {
      doc::Value value = typed(*dump);
      if (!query.mask.empty()) {
        value = apply_mask(value, query.mask);
        if (value.is_null()) continue;
        masked = true;
      }
      configs.push_back(std::move(value));
      continue;
    }
    const auto* field = dump->GetDescriptor()->FindFieldByName(query.resource);
    if (field == nullptr || field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    found = true;
    auto add = [&](const Message& m) {
      doc::Value value = typed(m);
      configs.push_back(query.mask.empty() ? value : apply_mask(value, query.mask));
    };
    if (field->is_repeated()) {
      for (int i = 0; i < dump->GetReflection()->FieldSize(*dump, field); ++i) add(dump->GetReflection()->GetRepeatedMessage(*dump, field, i));
    } else {
      add(dump->GetReflection()->GetMessage(*dump, field));
    }
  }
  if (!found) return absl::NotFoundError(absl::StrCat(query.resource, " not found in config dump"));
  if (query.resource.empty() && !query.mask.empty() && !masked)
    return absl::InvalidArgumentError(absl::StrCat("FieldMask ", query.mask, " could not be successfully applied to any configs."));
  return doc::to_json(doc::map({{"configs", doc::list(std::move(configs)), {}}}), true) + "\n";
}

}  // namespace fairlead::admin
