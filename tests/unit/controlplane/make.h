// Small resources and worlds for the control plane's tests. `variant` changes bytes and nothing else.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/resources/resource.h"
#include "controlplane/snapshot/snapshot.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace fairlead::test {

using resources::ResourcePtr;
using resources::Type;

inline intent::Origin origin(const std::string& kind, const std::string& name, int line = 1) {
  intent::Origin o;
  o.file = "test.yaml";
  o.line = line;
  o.kind = kind;
  o.ns = "default";
  o.name = name;
  return o;
}

inline ResourcePtr cluster(const std::string& name, int variant = 1, std::string_view version = {}, intent::Origins origins = {}) {
  envoy::config::cluster::v3::Cluster m;
  m.set_name(name);
  m.set_type(envoy::config::cluster::v3::Cluster::EDS);
  m.mutable_eds_cluster_config()->mutable_eds_config()->mutable_ads();
  m.mutable_connect_timeout()->set_seconds(variant);
  return resources::make_resource(Type::kCluster, name, m, std::move(origins), version);
}

inline ResourcePtr assignment(const std::string& name, int variant = 1) {
  envoy::config::endpoint::v3::ClusterLoadAssignment m;
  m.set_cluster_name(name);
  auto* address = m.add_endpoints()->add_lb_endpoints()->mutable_endpoint()->mutable_address()->mutable_socket_address();
  address->set_address("10.0.0.1");
  address->set_port_value(static_cast<uint32_t>(variant));
  return resources::make_resource(Type::kEndpoint, name, m, {});
}

// `filter`: an HTTP filter that is discovered under that name; empty: none.
inline ResourcePtr listener(const std::string& name, const std::string& routes, int variant = 1, intent::Origins origins = {}, const std::string& filter = {}) {
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager hcm;
  hcm.set_stat_prefix("s" + std::to_string(variant));
  hcm.mutable_rds()->set_route_config_name(routes);
  hcm.mutable_rds()->mutable_config_source()->mutable_ads();
  if (!filter.empty()) {
    auto* discovered = hcm.add_http_filters();
    discovered->set_name(filter);
    discovered->mutable_config_discovery()->mutable_config_source()->mutable_ads();
  }
  envoy::config::listener::v3::Listener m;
  m.set_name(name);
  m.add_filter_chains()->add_filters()->mutable_typed_config()->PackFrom(hcm);
  return resources::make_resource(Type::kListener, name, m, std::move(origins));
}

inline ResourcePtr routes(const std::string& name, const std::vector<std::string>& clusters, int variant = 1, intent::Origins origins = {}) {
  envoy::config::route::v3::RouteConfiguration m;
  m.set_name(name);
  auto* host = m.add_virtual_hosts();
  host->set_name("v" + std::to_string(variant));
  host->add_domains("*");
  for (const std::string& c : clusters) {
    auto* route = host->add_routes();
    route->mutable_match()->set_prefix("/" + c);
    route->mutable_route()->set_cluster(c);
  }
  return resources::make_resource(Type::kRoute, name, m, std::move(origins));
}

inline ResourcePtr filter_config(const std::string& name, int variant = 1) {
  envoy::config::core::v3::TypedExtensionConfig m;
  m.set_name(name);
  m.mutable_typed_config()->set_type_url("type.googleapis.com/acme.Filter" + std::to_string(variant));
  return resources::make_resource(Type::kExtensionConfig, name, m, {});
}

inline ResourcePtr secret(const std::string& name, const std::string& key = "key", intent::Origins origins = {}) {
  envoy::extensions::transport_sockets::tls::v3::Secret m;
  m.set_name(name);
  m.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string("chain");
  m.mutable_tls_certificate()->mutable_private_key()->set_inline_string(key);
  return resources::make_resource(Type::kSecret, name, m, std::move(origins));
}

// A scope that is edited step by step; each edit makes a new snapshot.
class World {
 public:
  explicit World(std::string scope = "gateway:default/edge") : scope_(std::move(scope)) { remake(); }
  World& put(const std::vector<ResourcePtr>& all) {
    for (const ResourcePtr& r : all) resources_[{r->type, r->name}] = r;
    return remake();
  }
  World& drop(Type type, const std::string& name) {
    resources_.erase({type, name});
    return remake();
  }
  World& verbatim(Type type, std::string version) {
    verbatim_[resources::index(type)] = std::move(version);
    return remake();
  }
  const snapshot::SnapshotPtr& now() const { return snapshot_; }

 private:
  World& remake() {
    std::vector<ResourcePtr> all;
    for (const auto& [key, r] : resources_) all.push_back(r);
    snapshot_ = snapshot::replace(snapshot_, scope_, all, verbatim_);
    return *this;
  }
  std::string scope_;
  std::map<std::pair<Type, std::string>, ResourcePtr> resources_;
  std::array<std::string, resources::kTypeCount> verbatim_;
  snapshot::SnapshotPtr snapshot_;
};

}  // namespace fairlead::test
