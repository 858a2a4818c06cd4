// Names of the resource types and of the services that carry them.
#include "dataplane/xds/types.h"

#include "absl/strings/str_cat.h"

namespace fairlead::xds {
namespace {

struct Row {
  std::string_view url, name, short_name, service, method;
};
constexpr Row kRows[] = {
    {"type.googleapis.com/envoy.config.cluster.v3.Cluster", "envoy.config.cluster.v3.Cluster", "cds", "envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters"},
    {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "envoy.config.endpoint.v3.ClusterLoadAssignment", "eds",
     "envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints"},
    {"type.googleapis.com/envoy.config.listener.v3.Listener", "envoy.config.listener.v3.Listener", "lds", "envoy.service.listener.v3.ListenerDiscoveryService", "Listeners"},
    {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "envoy.config.route.v3.RouteConfiguration", "rds", "envoy.service.route.v3.RouteDiscoveryService", "Routes"},
    {"type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "envoy.config.core.v3.TypedExtensionConfig", "ecds",
     "envoy.service.extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"},
    {"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "envoy.extensions.transport_sockets.tls.v3.Secret", "sds", "envoy.service.secret.v3.SecretDiscoveryService",
     "Secrets"},
    {"type.googleapis.com/envoy.service.runtime.v3.Runtime", "envoy.service.runtime.v3.Runtime", "rtds", "envoy.service.runtime.v3.RuntimeDiscoveryService", "Runtime"},
};
const Row& row(Type type) { return kRows[static_cast<size_t>(type)]; }

}  // namespace

std::string_view type_url(Type type) { return row(type).url; }
std::string_view type_name(Type type) { return row(type).name; }
std::string_view short_name(Type type) { return row(type).short_name; }

std::optional<Type> type_of(std::string_view url) {
  for (const Type type : kTypes)
    if (row(type).url == url) return type;
  return std::nullopt;
}

std::string grpc_method(Type type, bool delta) { return absl::StrCat("/", row(type).service, "/", delta ? "Delta" : "Stream", row(type).method); }

std::string ads_grpc_method(bool delta) {
  return absl::StrCat("/envoy.service.discovery.v3.AggregatedDiscoveryService/", delta ? "Delta" : "Stream", "AggregatedResources");
}

}  // namespace fairlead::xds
