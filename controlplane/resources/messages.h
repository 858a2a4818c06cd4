// Private to resources: the parts of build(), each from plan to one generated message.
#pragma once

#include "controlplane/plan/plan.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::resources {

envoy::config::route::v3::RouteConfiguration route_configuration(const plan::RouteTable& table);
envoy::config::listener::v3::Listener listener(const plan::Listener& l);
envoy::config::cluster::v3::Cluster cluster(const plan::Cluster& c);

}  // namespace fairlead::resources
