// Bootstrap → BootstrapConfig; see bootstrap.h.
#include "dataplane/config/bootstrap.h"

#include <set>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "dataplane/config/cluster_http.h"
#include "dataplane/config/fields.h"
#include "dataplane/config/support.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace fairlead::config {
namespace bootstrap_v3 = envoy::config::bootstrap::v3;
namespace {

void refuse_self(const std::optional<ConfigSource>& source, const std::string& field, ErrorList& errors) {
  if (source && source->kind == ConfigSource::Kind::Self) errors.add(field + ".self", "what the bootstrap holds has no config source of its own");
}

void read_runtime(const bootstrap_v3::LayeredRuntime& proto, BootstrapConfig& out, ErrorList& errors) {
  std::set<std::string> names;
  int admin_layers = 0;
  for (int i = 0; i < proto.layers_size(); ++i) {
    const auto& layer = proto.layers(i);
    const std::string field = absl::StrCat("layered_runtime.layers[", i, "]");
    if (!names.insert(layer.name()).second) errors.add(field + ".name", absl::StrCat("Duplicate layer name: ", layer.name()));
    switch (layer.layer_specifier_case()) {
      case bootstrap_v3::RuntimeLayer::kStaticLayer:
        out.runtime_layers.push_back({layer.name(), RuntimeLayer::Kind::Static, std::make_shared<matching::Runtime>(read_runtime_layer(layer.static_layer(), field + ".static_layer", errors))});
        break;
      case bootstrap_v3::RuntimeLayer::kAdminLayer:
        if (++admin_layers == 2) errors.add(field, "Too many admin layers specified in LayeredRuntime, at most one may be specified");
        out.runtime_layers.push_back({layer.name(), RuntimeLayer::Kind::Admin, std::make_shared<matching::Runtime>()});
        break;
      case bootstrap_v3::RuntimeLayer::kRtdsLayer: {
        const std::string place = field + ".rtds_layer.rtds_config";
        auto source = parse_config_source(layer.rtds_layer().rtds_config(), place);
        if (!errors.check(source)) break;
        refuse_self(*source, place, errors);
        out.runtime_layers.push_back({layer.name(), RuntimeLayer::Kind::Discovered, std::make_shared<matching::Runtime>(), layer.rtds_layer().name(), *std::move(source)});
        break;
      }
      default: errors.add(field + ".layer_specifier", "only static_layer, admin_layer and rtds_layer are supported");
    }
  }
}

// Tags are not taken from names of statistics, but a wrong expression is wrong all the same.
void check_stats_tags(const envoy::config::metrics::v3::StatsConfig& proto, ErrorList& errors) {
  for (int i = 0; i < proto.stats_tags_size(); ++i) {
    const auto& tag = proto.stats_tags(i);
    const std::string field = absl::StrCat("stats_config.stats_tags[", i, "]");
    if (!tag.regex().empty()) {
      errors.add(prefix(field + ".regex", matching::Regex::compile(tag.regex()).status()));
    } else if (tag.fixed_value().empty() && !absl::StartsWith(tag.tag_name(), "envoy.")) {  // tags of that name have expressions of their own
      errors.add(field, absl::StrCat("No regex specified for tag specifier and no default regex for name: '", tag.tag_name(), "'"));
    }
  }
}

void read_admin(const bootstrap_v3::Admin& proto, BootstrapConfig& out, ErrorList& errors) {
  if (proto.has_address()) {
    auto address = parse_address(proto.address(), "admin.address");
    if (errors.check(address)) {
      if (address->kind == Address::Kind::Socket && !address->is_ip()) {
        errors.add("admin.address.socket_address.address", absl::StrCat("malformed IP address: ", address->host));
      }
      out.admin.address = std::move(*address);
    }
  }
  for (int i = 0; i < proto.access_log_size(); ++i) {
    auto log = parse_access_log(proto.access_log(i), absl::StrCat("admin.access_log[", i, "]"));
    if (errors.check(log)) out.admin.access_logs.push_back(std::move(*log));
  }
}

// "self" is where the resource itself came from, and what stands in the bootstrap came from nowhere.
void read_dynamic(const bootstrap_v3::Bootstrap::DynamicResources& proto, BootstrapConfig& out, ErrorList& errors) {
  if (proto.has_ads_config()) {
    auto ads = parse_api_source(proto.ads_config(), "dynamic_resources.ads_config");
    if (errors.check(ads)) out.ads = std::move(*ads);
  }
  if (proto.has_lds_config()) {
    auto lds = parse_config_source(proto.lds_config(), "dynamic_resources.lds_config");
    if (errors.check(lds)) out.lds = std::move(*lds);
    refuse_self(out.lds, "dynamic_resources.lds_config", errors);
  }
  if (proto.has_cds_config()) {
    auto cds = parse_config_source(proto.cds_config(), "dynamic_resources.cds_config");
    if (errors.check(cds)) out.cds = std::move(*cds);
    refuse_self(out.cds, "dynamic_resources.cds_config", errors);
  }
  out.lds_resources_locator = proto.lds_resources_locator();
  out.cds_resources_locator = proto.cds_resources_locator();
}

// Every cluster that some envoy_grpc service of the bootstrap or of its resources' config sources names.
void collect_grpc_clusters(const google::protobuf::Message& message, absl::flat_hash_set<std::string>& names) {
  if (const auto* target = dynamic_cast<const envoy::config::core::v3::GrpcService::EnvoyGrpc*>(&message)) {
    names.insert(target->cluster_name());
    return;
  }
  if (const auto* any = dynamic_cast<const google::protobuf::Any*>(&message)) {
    if (auto opened = unpack(*any); opened.ok()) collect_grpc_clusters(**opened, names);
    return;
  }
  const auto* reflection = message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (!field->is_repeated()) {
      collect_grpc_clusters(reflection->GetMessage(message, field), names);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      collect_grpc_clusters(reflection->GetRepeatedMessage(message, field, i), names);
    }
  }
}

// A name for the second and further listeners that would get the same; empty where the usual one is still free.
std::string unnamed_listener(const envoy::config::listener::v3::Listener& proto, const absl::flat_hash_set<std::string>& taken) {
  const auto address = parse_address(proto.address(), "address");
  if (!address.ok()) return "";
  const std::string usual = absl::StrCat("listener_", address->text());
  if (!taken.contains(usual)) return "";
  for (int n = 2;; ++n) {
    if (std::string name = absl::StrCat(usual, "#", n); !taken.contains(name)) return name;
  }
}

void read_static(const bootstrap_v3::Bootstrap& proto, const BootstrapOptions& options, BootstrapConfig& out, ErrorList& errors) {
  auto secrets = std::make_shared<StaticSecrets>();
  for (const auto& secret : proto.static_resources().secrets()) {
    if (secret.type_case() == envoy::extensions::transport_sockets::tls::v3::Secret::TYPE_NOT_SET) errors.add("static_resources.secrets", "Secret type not implemented");
    auto kept = std::make_shared<const envoy::extensions::transport_sockets::tls::v3::Secret>(secret);
    if (!secrets->emplace(secret.name(), std::move(kept)).second) errors.add("static_resources.secrets", absl::StrCat("Duplicate static secret name ", secret.name()));
  }
  out.secrets = std::move(secrets);
  if (options.read_file) out.discovered = std::make_shared<DiscoveredSecrets>(options.read_file);
  absl::flat_hash_set<std::string> names, control_plane;
  collect_grpc_clusters(proto.dynamic_resources(), control_plane);
  collect_grpc_clusters(proto.static_resources(), control_plane);
  for (int i = 0; i < proto.static_resources().clusters_size(); ++i) {
    const auto& cluster = proto.static_resources().clusters(i);
    const std::string field = absl::StrCat("static_resources.clusters[", i, "]");
    if (!names.insert(cluster.name()).second) {
      errors.add(field, absl::StrCat("cluster manager: duplicate cluster '", cluster.name(), "'"));
      continue;
    }
    auto parsed = parse_cluster(cluster, nullptr, {options.read_file, out.secrets, out.discovered});
    if (!parsed.ok()) {
      errors.add(prefix(field, parsed.status()));
    } else {
      refuse_self((*parsed)->eds_source, field + ".eds_cluster_config.eds_config", errors);
      out.clusters.push_back(std::move(*parsed));
    }
  }
  for (const std::string& name : control_plane) {
    if (!names.contains(name)) errors.add("dynamic_resources", absl::StrCat("Unknown gRPC client cluster '", name, "'"));
  }
  for (const GrpcTarget& target : out.load_stats ? out.load_stats->services : std::vector<GrpcTarget>()) {
    if (!names.contains(target.cluster)) errors.add("cluster_manager.load_stats_config", absl::StrCat("Unknown gRPC client cluster '", target.cluster, "'"));
  }
  HcmOptions hcm;
  hcm.registry = options.registry;
  hcm.read_file = options.read_file;
  hcm.secrets = out.secrets;
  hcm.discovered = out.discovered;
  hcm.knows_cluster = [&names](std::string_view name) { return names.contains(name); };
  hcm.warnings = &out.warnings;
  absl::flat_hash_set<std::string> listeners;
  for (int i = 0; i < proto.static_resources().listeners_size(); ++i) {
    const std::string field = absl::StrCat("static_resources.listeners[", i, "]");
    // Names are made of addresses when there are none; with port 0 these repeat.
    auto listener = proto.static_resources().listeners(i);
    if (listener.name().empty()) listener.set_name(unnamed_listener(listener, listeners));
    auto parsed = parse_listener(listener, hcm);
    if (!parsed.ok()) {
      errors.add(prefix(field, parsed.status()));
      continue;
    }
    (*parsed)->for_each_hcm([&](const HcmConfig& hcm_config) { refuse_self(hcm_config.routes.rds_source, absl::StrCat(field, ": rds.config_source"), errors); });
    if (!listeners.insert((*parsed)->name).second) errors.add(field, absl::StrCat("duplicate listener '", (*parsed)->name, "'"));
    for (const auto& other : out.listeners) {
      for (const Address& mine : (*parsed)->addresses) {
        for (const Address& theirs : other->addresses) {
          if (mine == theirs && (mine.kind == Address::Kind::Pipe || mine.port != 0)) {
            errors.add(field, absl::StrCat("error adding listener: '", (*parsed)->name, "' has duplicate address '", mine.text(),
                                           "' as existing listener"));
          }
        }
      }
    }
    out.listeners.push_back(std::move(*parsed));
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const BootstrapConfig>> parse_bootstrap(const bootstrap_v3::Bootstrap& proto, const BootstrapOptions& options,
                                                                       SupportFindings* findings) {
  FL_RETURN_IF_ERROR(prefix("bootstrap", admit(proto, findings)));
  auto out = std::make_shared<BootstrapConfig>();
  ErrorList errors(20);
  out->node = std::make_shared<const envoy::config::core::v3::Node>(proto.node());
  out->content_hash = hash_of(proto);
  read_admin(proto.admin(), *out, errors);
  read_runtime(proto.layered_runtime(), *out, errors);
  // Envoy 1.40: a runtime without layers has one for the admin endpoint.
  if (proto.has_layered_runtime() && proto.layered_runtime().layers().empty()) out->runtime_layers.push_back({"", RuntimeLayer::Kind::Admin, std::make_shared<matching::Runtime>()});
  check_stats_tags(proto.stats_config(), errors);
  if (proto.has_watchdog() && proto.has_watchdogs()) errors.add("watchdog", "Only one of watchdog or watchdogs should be set!");
  out->watchdogs = parse_watchdogs(proto);
  if (proto.has_overload_manager()) out->overload = parse_overload(proto.overload_manager(), "overload_manager", errors);
  read_dynamic(proto.dynamic_resources(), *out, errors);
  if (proto.cluster_manager().has_load_stats_config()) {
    auto source = parse_api_source(proto.cluster_manager().load_stats_config(), "cluster_manager.load_stats_config");
    if (errors.check(source)) out->load_stats = std::move(*source);
  }
  read_static(proto, options, *out, errors);
  out->local_cluster_name = proto.cluster_manager().local_cluster_name();
  out->outlier_event_log = proto.cluster_manager().outlier_detection().event_log_path();
  const auto is_local = [&](const auto& cluster) { return cluster.name() == out->local_cluster_name; };
  if (!out->local_cluster_name.empty() && std::none_of(proto.static_resources().clusters().begin(), proto.static_resources().clusters().end(), is_local)) {
    errors.add("cluster_manager.local_cluster_name", absl::StrCat("local cluster '", out->local_cluster_name, "' must be defined"));
  }
  if (proto.has_typed_dns_resolver_config()) {
    const auto& resolver = proto.typed_dns_resolver_config();
    errors.add(check_resolver("typed_dns_resolver_config", resolver.name(), resolver.typed_config().type_url()));
  }
  if (!errors.empty()) return prefix("bootstrap", errors.status());
  return std::shared_ptr<const BootstrapConfig>(std::move(out));
}

}  // namespace fairlead::config
