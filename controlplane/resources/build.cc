// Listeners, clusters and assignments, and the order they are handed out in.
#include "controlplane/resources/build.h"

#include <algorithm>
#include <map>
#include <utility>

#include "controlplane/resources/messages.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
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

void add_http(const std::string& route_table, envoy::config::listener::v3::FilterChain& to) {
  hcm_v3::HttpConnectionManager hcm;
  hcm.set_stat_prefix(route_table);
  over_ads(*hcm.mutable_rds()->mutable_config_source());
  hcm.mutable_rds()->set_route_config_name(route_table);
  // A Gateway is an edge: the peer's address is the client's, and paths are matched in their normal form.
  hcm.mutable_use_remote_address()->set_value(true);
  hcm.mutable_normalize_path()->set_value(true);
  hcm.add_upgrade_configs()->set_upgrade_type("websocket");
  auto* filter = hcm.add_http_filters();
  filter->set_name("envoy.filters.http.router");
  filter->mutable_typed_config()->PackFrom(envoy::extensions::filters::http::router::v3::Router());
  auto* network = to.add_filters();
  network->set_name("envoy.filters.network.http_connection_manager");
  network->mutable_typed_config()->PackFrom(hcm);
}

envoy::config::listener::v3::Listener listener(const plan::Listener& l) {
  envoy::config::listener::v3::Listener out;
  out.set_name(l.name);
  set_address(*out.mutable_address(), l.address, l.port);
  if (l.chains.empty()) {
    add_http(l.route_table, *out.add_filter_chains());
  } else {
    add_chains(l, out);
  }
  return out;
}

envoy::config::cluster::v3::Cluster cluster(const plan::Cluster& c) {
  envoy::config::cluster::v3::Cluster out;
  out.set_name(c.name);
  out.set_type(envoy::config::cluster::v3::Cluster::EDS);
  over_ads(*out.mutable_eds_cluster_config()->mutable_eds_config());
  if (const std::string assignment = plan::cluster_name(c.key); assignment != c.name) out.mutable_eds_cluster_config()->set_service_name(assignment);
  out.mutable_connect_timeout()->set_seconds(5);  // Envoy 1.40: 5 s, Cluster.connect_timeout
  if (c.protocol == intent::BackendProtocol::kHttp2) {
    envoy::extensions::upstreams::http::v3::HttpProtocolOptions options;
    options.mutable_explicit_http_config()->mutable_http2_protocol_options();
    (*out.mutable_typed_extension_protocol_options())["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].PackFrom(options);
  }
  if (c.tls) secure(c, out);
  return out;
}

std::vector<ResourcePtr> build(const plan::Plan& plan) {
  std::vector<ResourcePtr> out;
  for (const plan::Cluster& c : plan.clusters) out.push_back(make_resource(Type::kCluster, c.name, cluster(c), c.origins));
  for (const plan::Listener& l : plan.listeners) out.push_back(make_resource(Type::kListener, l.name, listener(l), l.origins));
  for (const plan::RouteTable& t : plan.route_tables) {
    out.push_back(make_resource(Type::kRoute, t.name, route_configuration(t), t.origins));
  }
  for (const intent::Secret& secret : plan.secrets) out.push_back(build_secret(secret));
  return out;
}

ResourcePtr build_assignment(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins) {
  envoy::config::endpoint::v3::ClusterLoadAssignment out;
  out.set_cluster_name(plan::cluster_name(key));
  const std::vector<topology::Endpoint> endpoints = topology.endpoints(key);
  const bool any_ready = std::any_of(endpoints.begin(), endpoints.end(), [](const auto& e) { return e.health == topology::Health::kReady; });
  const topology::Health taken = any_ready ? topology::Health::kReady : topology::Health::kServing;
  std::map<std::pair<std::string, std::string>, std::vector<const topology::Endpoint*>> localities;
  for (const topology::Endpoint& e : endpoints) {
    if (e.health == taken && e.weight > 0) localities[{e.region, e.zone}].push_back(&e);
  }
  for (const auto& [place, members] : localities) {
    auto* locality = out.add_endpoints();
    if (!place.first.empty()) locality->mutable_locality()->set_region(place.first);
    if (!place.second.empty()) locality->mutable_locality()->set_zone(place.second);
    uint64_t weight = 0;
    for (const topology::Endpoint* e : members) {
      auto* endpoint = locality->add_lb_endpoints();
      set_address(*endpoint->mutable_endpoint()->mutable_address(), e->address, e->port);
      if (e->weight != 1) endpoint->mutable_load_balancing_weight()->set_value(e->weight);
      weight += e->weight;
    }
    // gRPC clients ignore a locality without weight; Envoy asks for it only under locality-weighted balancing.
    locality->mutable_load_balancing_weight()->set_value(static_cast<uint32_t>(std::min<uint64_t>(weight, 1u << 24)));
  }
  if (origins.empty()) {
    intent::Origin service;
    service.kind = "Service";
    service.ns = key.ns;
    service.name = key.service;
    origins.push_back(std::move(service));
  }
  return make_resource(Type::kEndpoint, out.cluster_name(), out, std::move(origins));
}

ResourcePtr AssignmentCache::refresh(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins) {
  ResourcePtr fresh = build_assignment(key, topology, std::move(origins));
  ResourcePtr& kept = assignments_[key];
  if (!kept || kept->hash != fresh->hash || kept->origins != fresh->origins) kept = std::move(fresh);
  return kept;
}

ResourcePtr AssignmentCache::get(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins) {
  auto found = assignments_.find(key);
  return found != assignments_.end() ? found->second : refresh(key, topology, std::move(origins));
}

}  // namespace fairlead::resources
