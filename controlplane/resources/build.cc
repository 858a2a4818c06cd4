// Listeners, clusters and assignments, and the order they are handed out in.
#include "controlplane/resources/build.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <google/protobuf/arena.h>

#include "controlplane/resources/messages.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/network/direct_response/v3/config.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace fairlead::resources {
namespace {

namespace hcm_v3 = envoy::extensions::filters::network::http_connection_manager::v3;

void set_address(envoy::config::core::v3::Address& to, const std::string& address, uint16_t port) {
  to.mutable_socket_address()->set_address(address);
  to.mutable_socket_address()->set_port_value(port);
}

}  // namespace

void over_ads(envoy::config::core::v3::ConfigSource& source) {
  source.mutable_ads();
  source.set_resource_api_version(envoy::config::core::v3::V3);
}

namespace {

hcm_v3::HttpConnectionManager connection_manager(const std::string& route_table, const plan::HttpFilters& filters) {
  hcm_v3::HttpConnectionManager hcm;
  hcm.set_stat_prefix(route_table);
  over_ads(*hcm.mutable_rds()->mutable_config_source());
  hcm.mutable_rds()->set_route_config_name(route_table);
  const auto add = [&](const char* name, const google::protobuf::Message& config) {
    auto* filter = hcm.add_http_filters();
    filter->set_name(name);
    filter->mutable_typed_config()->PackFrom(config);
  };
  if (filters.cors) add("envoy.filters.http.cors", envoy::extensions::filters::http::cors::v3::Cors());
  if (filters.sessions) add("envoy.filters.http.stateful_session", envoy::extensions::filters::http::stateful_session::v3::StatefulSession());
  add("envoy.filters.http.router", envoy::extensions::filters::http::router::v3::Router());
  return hcm;
}

void add_manager(const hcm_v3::HttpConnectionManager& hcm, envoy::config::listener::v3::FilterChain& to) {
  auto* network = to.add_filters();
  network->set_name("envoy.filters.network.http_connection_manager");
  network->mutable_typed_config()->PackFrom(hcm);
}

// Beside a client: whom a request is from is the client's own to say, and nothing of it changes but what routes ask for.
void add_mesh_http(const plan::Listener& l, envoy::config::listener::v3::FilterChain& to) {
  hcm_v3::HttpConnectionManager hcm = connection_manager(l.route_table, l.filters);
  hcm.set_skip_xff_append(true);
  hcm.set_server_header_transformation(hcm_v3::HttpConnectionManager::PASS_THROUGH);
  hcm.mutable_normalize_path()->set_value(true);
  hcm.add_upgrade_configs()->set_upgrade_type("websocket");
  add_manager(hcm, to);
}

void add_outbound(const plan::Listener& l, envoy::config::listener::v3::Listener& to) {
  to.mutable_use_original_dst()->set_value(true);
  auto* filter = to.add_listener_filters();
  filter->set_name("envoy.filters.listener.original_dst");
  filter->mutable_typed_config()->PackFrom(envoy::extensions::filters::listener::original_dst::v3::OriginalDst());
  add_tcp_proxy(l.name, l.shares, *to.add_filter_chains());
  // What was meant for the listener itself would be passed on to it, again and again; for the same port elsewhere it is not. A connection is matched
  // by its port first, and there is no way back from there to a chain for any.
  auto& elsewhere = *to.add_filter_chains();
  add_tcp_proxy(l.name, l.shares, elsewhere);
  elsewhere.mutable_filter_chain_match()->mutable_destination_port()->set_value(l.port);
  auto& itself = *to.add_filter_chains();
  auto* range = itself.mutable_filter_chain_match()->add_prefix_ranges();
  range->set_address_prefix("127.0.0.0");
  range->mutable_prefix_len()->set_value(8);
  itself.mutable_filter_chain_match()->mutable_destination_port()->set_value(l.port);
  auto* close = itself.add_filters();
  close->set_name("envoy.filters.network.direct_response");
  close->mutable_typed_config()->PackFrom(envoy::extensions::filters::network::direct_response::v3::Config());
}

}  // namespace

void add_http(const std::string& route_table, const plan::HttpFilters& filters, envoy::config::listener::v3::FilterChain& to) {
  hcm_v3::HttpConnectionManager hcm = connection_manager(route_table, filters);
  // A Gateway is an edge: the peer's address is the client's, and paths are matched in their normal form.
  hcm.mutable_use_remote_address()->set_value(true);
  hcm.mutable_normalize_path()->set_value(true);
  hcm.add_upgrade_configs()->set_upgrade_type("websocket");
  add_manager(hcm, to);
}

envoy::config::listener::v3::Listener listener(const plan::Listener& l) {
  envoy::config::listener::v3::Listener out;
  out.set_name(l.name);
  if (l.use == plan::ListenerUse::kNamed) {
    out.mutable_api_listener()->mutable_api_listener()->PackFrom(connection_manager(l.route_table, {}));
    return out;
  }
  set_address(*out.mutable_address(), l.address, l.port);
  for (const std::string& address : l.more_addresses) set_address(*out.add_additional_addresses()->mutable_address(), address, l.port);
  if (l.use == plan::ListenerUse::kRedirected) out.mutable_bind_to_port()->set_value(false);
  if (l.udp) {
    add_udp_proxy(l, out);
  } else if (l.use == plan::ListenerUse::kOutbound) {
    add_outbound(l, out);
  } else if (l.use == plan::ListenerUse::kRedirected) {
    add_mesh_http(l, *out.add_filter_chains());
  } else if (!l.chains.empty()) {
    add_chains(l, out);
  } else if (l.route_table.empty()) {
    add_tcp_proxy(l.name, l.shares, *out.add_filter_chains());
  } else {
    add_http(l.route_table, l.filters, *out.add_filter_chains());
  }
  return out;
}

envoy::config::cluster::v3::Cluster cluster(const plan::Cluster& c) {
  envoy::config::cluster::v3::Cluster out;
  out.set_name(c.name);
  out.mutable_connect_timeout()->set_seconds(5);  // Envoy 1.40: 5 s, Cluster.connect_timeout
  if (c.original) {
    out.set_type(envoy::config::cluster::v3::Cluster::ORIGINAL_DST);
    out.set_lb_policy(envoy::config::cluster::v3::Cluster::CLUSTER_PROVIDED);
    return out;
  }
  out.set_type(envoy::config::cluster::v3::Cluster::EDS);
  over_ads(*out.mutable_eds_cluster_config()->mutable_eds_config());
  if (const std::string assignment = plan::cluster_name(c.key); c.members.empty() && assignment != c.name) out.mutable_eds_cluster_config()->set_service_name(assignment);
  if (!c.members.empty() || c.by_load) out.mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  if (c.by_load) {  // of what endpoints say of themselves in ORCA, what LRS shall tell
    for (const char* metric : {"application_utilization", "cpu_utilization"}) out.add_lrs_report_endpoint_metrics(metric);
  }
  if (c.protocol == intent::BackendProtocol::kHttp2) {
    envoy::extensions::upstreams::http::v3::HttpProtocolOptions options;
    options.mutable_explicit_http_config()->mutable_http2_protocol_options();
    (*out.mutable_typed_extension_protocol_options())["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].PackFrom(options);
  }
  if (c.tls) secure(c, out);
  return out;
}

struct Builder::Memory {
  plan::PlanPtr plan;
  std::vector<ResourcePtr> built;             // of it: in the order below
  std::map<std::string, EncodedTable> tables;
};

Builder::Builder() : memory_(std::make_unique<Memory>()) {}
Builder::~Builder() = default;
Builder::Builder(Builder&&) noexcept = default;
Builder& Builder::operator=(Builder&&) noexcept = default;

namespace {

template <typename Planned>
const Planned& planned_part(const Planned& part) {
  return part;
}
template <typename Planned>
const Planned& planned_part(const Shared<Planned>& part) {
  return *part;
}

// Appends a resource for each: the one it had, where it was planned alike, or a new one. `built` are those of `before`, or nothing.
template <typename Planned, typename Make>
void build_each(const std::vector<Planned>& now, const std::vector<Planned>* before, const ResourcePtr*& built, std::vector<ResourcePtr>& out, Make&& make) {
  absl::flat_hash_map<std::string_view, size_t> places;  // of `before`, once one is not where it is looked for
  size_t next = 0;
  const auto find = [&](const std::string& name) -> const size_t* {
    if (next < before->size() && planned_part((*before)[next]).name == name) return &next;
    if (places.empty()) {
      for (size_t i = 0; i < before->size(); ++i) places.emplace(planned_part((*before)[i]).name, i);
    }
    const auto at = places.find(name);
    if (at == places.end()) return nullptr;
    next = at->second;
    return &next;
  };
  for (const Planned& p : now) {
    const size_t* at = before && !before->empty() ? find(planned_part(p).name) : nullptr;
    out.push_back(at && (*before)[*at] == p ? built[*at] : make(p));
    if (at) ++next;
  }
  if (before) built += before->size();
}

}  // namespace

std::vector<ResourcePtr> Builder::build(const plan::PlanPtr& plan) {
  const plan::Plan* before = memory_->plan.get();
  const ResourcePtr* built = memory_->built.data();
  std::vector<ResourcePtr> out;
  out.reserve(plan->clusters.size() + plan->listeners.size() + plan->route_tables.size() + plan->secrets.size());
  build_each(plan->clusters, before ? &before->clusters : nullptr, built, out, [](const plan::Cluster& c) { return make_resource(Type::kCluster, c.name, cluster(c), c.origins); });
  build_each(plan->listeners, before ? &before->listeners : nullptr, built, out, [](const plan::Listener& l) { return make_resource(Type::kListener, l.name, listener(l), l.origins); });
  build_each(plan->route_tables, before ? &before->route_tables : nullptr, built, out, [&](const plan::RouteTable& t) { return memory_->tables[t.name].build(t); });
  build_each(plan->secrets, before ? &before->secrets : nullptr, built, out, [](const intent::Secret& s) { return build_secret(s); });
  std::erase_if(memory_->tables, [&](const auto& table) {
    return std::none_of(plan->route_tables.begin(), plan->route_tables.end(), [&](const plan::RouteTable& t) { return t.name == table.first; });
  });
  memory_->plan = plan;
  memory_->built = out;
  return out;
}

std::vector<ResourcePtr> build(const plan::Plan& plan) {
  return Builder().build(plan::PlanPtr(plan::PlanPtr(), &plan));  // which nobody looks at once its builder is gone
}

namespace {

// Those that get traffic: the ready ones; when there is none, those that still serve. As long as the topology lives.
std::vector<const topology::Endpoint*> endpoints_in_use(const intent::BackendKey& key, const topology::View& topology) {
  const topology::Service* service = topology.find({key.ns, key.service});
  if (!service) return {};
  std::vector<const topology::Endpoint*> endpoints = service->look({key.port, key.udp});
  const bool any_ready = std::any_of(endpoints.begin(), endpoints.end(), [](const auto* e) { return e->health == topology::Health::kReady; });
  const topology::Health taken = any_ready ? topology::Health::kReady : topology::Health::kServing;
  std::erase_if(endpoints, [&](const topology::Endpoint* e) { return e->health != taken || e->weight == 0; });
  return endpoints;
}

// A locality's endpoints, in their order.
using Localities = std::vector<std::pair<topology::Locality, std::vector<const topology::Endpoint*>>>;

// Sorted; most services have one.
Localities localities_of(std::vector<const topology::Endpoint*> endpoints) {
  const auto before = [](const topology::Endpoint* a, const topology::Endpoint* b) { return std::tie(a->region, a->zone) < std::tie(b->region, b->zone); };
  if (!std::is_sorted(endpoints.begin(), endpoints.end(), before)) std::stable_sort(endpoints.begin(), endpoints.end(), before);
  Localities out;
  for (auto at = endpoints.begin(); at != endpoints.end();) {
    const auto end = std::find_if(at, endpoints.end(), [&](const topology::Endpoint* e) { return before(*at, e); });
    out.emplace_back(topology::Locality((*at)->region, (*at)->zone), std::vector<const topology::Endpoint*>(at, end));
    at = end;
  }
  return out;
}

void add_endpoint(const topology::Endpoint& from, envoy::config::endpoint::v3::LocalityLbEndpoints& to) {
  auto* endpoint = to.add_lb_endpoints();
  set_address(*endpoint->mutable_endpoint()->mutable_address(), from.address, from.port);
  if (from.weight != 1) endpoint->mutable_load_balancing_weight()->set_value(from.weight);
}

// Of an assignment's hundreds of messages each is dropped as soon as it is encoded.
google::protobuf::ArenaOptions arena_for_many() {
  google::protobuf::ArenaOptions options;
  options.start_block_size = 32 << 10;
  options.max_block_size = 256 << 10;
  return options;
}

intent::Origin service_of(const intent::BackendKey& key) {
  intent::Origin service;
  service.kind = "Service";
  service.ns = key.ns;
  service.name = key.service;
  return service;
}

}  // namespace

std::map<topology::Locality, uint64_t> plain_weights(const intent::BackendKey& key, const topology::View& topology) {
  std::map<topology::Locality, uint64_t> out;
  for (const topology::Endpoint* e : endpoints_in_use(key, topology)) out[{e->region, e->zone}] += e->weight;
  return out;
}

ResourcePtr build_assignment(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins, const topology::LocalitySteps& steps) {
  google::protobuf::Arena arena(arena_for_many());
  auto& out = *google::protobuf::Arena::CreateMessage<envoy::config::endpoint::v3::ClusterLoadAssignment>(&arena);
  out.set_cluster_name(plan::cluster_name(key));
  const Localities localities = localities_of(endpoints_in_use(key, topology));
  const auto weighed = [&](const topology::Locality& place) {
    const auto step = steps.find(place);
    return step != steps.end() && step->second != 0;
  };
  const bool stepped = !steps.empty() && std::any_of(localities.begin(), localities.end(), [&](const auto& locality) { return weighed(locality.first); });
  for (const auto& [place, members] : localities) {
    auto* locality = out.add_endpoints();
    locality->mutable_locality();  // gRPC clients refuse an assignment in which one has none, if only an empty one
    if (!place.first.empty()) locality->mutable_locality()->set_region(place.first);
    if (!place.second.empty()) locality->mutable_locality()->set_zone(place.second);
    uint64_t weight = 0;
    for (const topology::Endpoint* e : members) {
      add_endpoint(*e, *locality);
      weight += e->weight;
    }
    // gRPC clients ignore a locality without weight; Envoy asks for it only under locality-weighted balancing.
    const auto step = steps.find(place);
    locality->mutable_load_balancing_weight()->set_value(stepped ? topology::weight_after(weight, step == steps.end() ? 0 : step->second)
                                                                 : static_cast<uint32_t>(std::min<uint64_t>(weight, 1u << 24)));
  }
  if (origins.empty()) origins.push_back(service_of(key));
  return make_resource(Type::kEndpoint, out.cluster_name(), out, std::move(origins));
}

ResourcePtr build_assignment(const plan::Cluster& cluster, const topology::View& topology, intent::Origins origins) {
  if (cluster.members.empty()) return build_assignment(cluster.key, topology, std::move(origins));
  google::protobuf::Arena arena(arena_for_many());
  auto& out = *google::protobuf::Arena::CreateMessage<envoy::config::endpoint::v3::ClusterLoadAssignment>(&arena);
  out.set_cluster_name(cluster.name);
  const bool unknown = origins.empty();
  for (const auto& [key, weight] : cluster.members) {
    const std::vector<const topology::Endpoint*> endpoints = endpoints_in_use(key, topology);
    if (unknown) origins.push_back(service_of(key));
    if (endpoints.empty()) continue;
    auto* locality = out.add_endpoints();
    locality->mutable_locality()->set_sub_zone(key.str());
    locality->mutable_load_balancing_weight()->set_value(weight);
    for (const topology::Endpoint* e : endpoints) add_endpoint(*e, *locality);
  }
  return make_resource(Type::kEndpoint, out.cluster_name(), out, std::move(origins));
}

ResourcePtr AssignmentCache::refresh(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins) {
  const auto steps = steps_.find(key);
  ResourcePtr fresh = build_assignment(key, topology, std::move(origins), steps == steps_.end() ? topology::LocalitySteps() : steps->second);
  ResourcePtr& kept = assignments_[key];
  if (!kept || kept->hash != fresh->hash || kept->origins != fresh->origins) kept = std::move(fresh);
  return kept;
}

void AssignmentCache::set_steps(const intent::BackendKey& key, topology::LocalitySteps steps) {
  if (steps.empty()) {
    steps_.erase(key);
  } else {
    steps_[key] = std::move(steps);
  }
}

void AssignmentCache::forget(const intent::BackendKey& key) {
  assignments_.erase(key);
  steps_.erase(key);
}

const ResourcePtr* AssignmentCache::find(const intent::BackendKey& key) const {
  const auto found = assignments_.find(key);
  return found == assignments_.end() ? nullptr : &found->second;
}

ResourcePtr AssignmentCache::get(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins) {
  auto found = assignments_.find(key);
  return found != assignments_.end() ? found->second : refresh(key, topology, std::move(origins));
}

}  // namespace fairlead::resources
