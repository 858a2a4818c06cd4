// See world.h.
#include "apps/why/world.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "apps/pipeline/bundled.h"
#include "base/doc_proto.h"
#include "dataplane/config/endpoints.h"
#include "dataplane/config/route.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::why {

using resources::Type;

namespace {

template <typename Message, typename Model, typename Parse>
World::Read<Model> read(const ResourcePtr& resource, const Parse& parse) {
  World::Read<Model> out{resource, nullptr, ""};
  Message message;
  const std::string_view body = resource->body();
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    out.error = "the bytes are not a message of the type";
    return out;
  }
  absl::StatusOr<std::shared_ptr<const Model>> model = parse(message);
  if (model.ok()) {
    out.model = *std::move(model);
  } else {
    out.error = std::string(model.status().message());
  }
  return out;
}

// The entry of that name, made on first use; null where the snapshot has none.
template <typename Kept, typename Make>
const typename Kept::mapped_type* kept(Kept& kept, const snapshot::Snapshot& snapshot, Type type, const std::string& name, const Make& make) {
  if (const auto at = kept.find(name); at != kept.end()) return &at->second;
  const ResourcePtr resource = snapshot.find(type, name);
  return resource ? &kept.emplace(name, make(resource)).first->second : nullptr;
}

}  // namespace

World::World(snapshot::SnapshotPtr snapshot) : snapshot_(std::move(snapshot)) { pipeline::register_extensions(); }

namespace {

// What a gRPC client makes of a listener that it asked for by name: a connection manager with no address of its own.
envoy::config::listener::v3::Listener as_listener(const envoy::config::listener::v3::Listener& m) {
  if (!m.has_api_listener()) return m;
  envoy::config::listener::v3::Listener out;
  out.set_name(m.name());
  out.mutable_address()->mutable_socket_address()->set_address("0.0.0.0");
  out.mutable_address()->mutable_socket_address()->set_port_value(0);
  out.mutable_bind_to_port()->set_value(false);
  auto* manager = out.add_filter_chains()->add_filters();
  manager->set_name("envoy.filters.network.http_connection_manager");
  *manager->mutable_typed_config() = m.api_listener().api_listener();
  return out;
}

}  // namespace

const std::vector<World::Listener>& World::listeners() {
  if (!listeners_) {
    listeners_.emplace();
    const bool named = snapshot_->scope.starts_with("mesh-grpc:");  // no proxy is asked what it thinks of them
    snapshot_->of(Type::kListener).for_each([&](const ResourcePtr& r) {
      listeners_->push_back(read<envoy::config::listener::v3::Listener, config::ListenerConfig>(r, [&](const auto& m) { return config::parse_listener(named ? as_listener(m) : m); }));
    });
  }
  return *listeners_;
}

const World::Table* World::table(const std::string& name) {
  return kept(tables_, *snapshot_, Type::kRoute, name,
              [](const ResourcePtr& r) { return read<envoy::config::route::v3::RouteConfiguration, router::RouteTable>(r, [](const auto& m) { return config::parse_route_table(m); }); });
}

const World::Cluster* World::cluster(const std::string& name) {
  return kept(clusters_, *snapshot_, Type::kCluster, name,
              [](const ResourcePtr& r) { return read<envoy::config::cluster::v3::Cluster, config::ClusterConfig>(r, [](const auto& m) { return config::parse_cluster(m); }); });
}

const World::Endpoints* World::endpoints(const std::string& name) {
  return kept(endpoints_, *snapshot_, Type::kEndpoint, name,
              [](const ResourcePtr& r) { return read<envoy::config::endpoint::v3::ClusterLoadAssignment, config::EndpointSet>(r, [](const auto& m) { return config::parse_endpoints(m); }); });
}

std::string World::chain_criteria(const Listener& listener, size_t chain) {
  envoy::config::listener::v3::Listener message;
  const std::string_view body = listener.resource->body();
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size())) || chain >= static_cast<size_t>(message.filter_chains_size())) return "";
  const auto& match = message.filter_chains(static_cast<int>(chain)).filter_chain_match();
  return match.ByteSizeLong() == 0 ? "" : doc::to_json(doc::from_message(match));
}

const intent::Origin* World::route_origin(const ResourcePtr& table, std::string_view route_name) {
  const std::vector<std::string_view> parts = absl::StrSplit(route_name, '/');
  if (parts.size() != 6 || parts[2] != "rule" || parts[4] != "match") return nullptr;
  auto at = origins_.find(table);
  if (at == origins_.end()) {
    at = origins_.try_emplace(table).first;
    for (const intent::Origin& o : table->origins) {
      if (absl::EndsWith(o.kind, "Route")) at->second.emplace(absl::StrCat(o.ns, "/", o.name, " ", o.field), &o);
    }
  }
  const std::string object = absl::StrCat(parts[0], "/", parts[1], " "), rule = absl::StrCat("spec.rules[", parts[3], "]");
  for (const std::string& field : {absl::StrCat(rule, ".matches[", parts[5], "]"), rule, std::string("spec")}) {
    if (const auto found = at->second.find(object + field); found != at->second.end()) return found->second;
  }
  return nullptr;
}

}  // namespace fairlead::why
