// Private to resources: the parts of build(), each from plan to one generated message.
#pragma once

#include <string>

#include "controlplane/plan/plan.h"
#include "controlplane/resources/resource.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::resources {

envoy::config::route::v3::RouteConfiguration route_configuration(const plan::RouteTable& table);
envoy::config::listener::v3::Listener listener(const plan::Listener& l);
envoy::config::cluster::v3::Cluster cluster(const plan::Cluster& c);

void over_ads(envoy::config::core::v3::ConfigSource& source);
// The connection manager for a route table, at the end of a chain.
void add_http(const std::string& route_table, envoy::config::listener::v3::FilterChain& to);
// Of a listener that speaks TLS.
void add_chains(const plan::Listener& l, envoy::config::listener::v3::Listener& to);
// Of a cluster that speaks TLS.
void secure(const plan::Cluster& c, envoy::config::cluster::v3::Cluster& to);
ResourcePtr build_secret(const intent::Secret& secret);

}  // namespace fairlead::resources
