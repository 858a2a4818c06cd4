// Objects as text for the pipeline's tests: a Gateway "edge", routes to services, services with one endpoint each.
#pragma once

#include <string>

#include <absl/strings/str_cat.h>

namespace fairlead::test {

inline std::string gateway_yaml(const std::string& name = "edge") {
  return absl::StrCat("---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: fairlead}\n",
                      "spec: {controllerName: fairlead.io/gateway-controller}\n---\n",
                      "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ", name, "}\n",
                      "spec:\n  gatewayClassName: fairlead\n  listeners:\n  - {name: http, protocol: HTTP, port: 8080}\n");
}

inline std::string route_yaml(const std::string& service, const std::string& prefix = "/", const std::string& gateway = "edge") {
  return absl::StrCat("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ", service, "}\nspec:\n  parentRefs:\n  - name: ",
                      gateway, "\n  rules:\n  - matches:\n    - path: {type: PathPrefix, value: ", prefix, "}\n    backendRefs:\n    - {name: ", service,
                      ", port: 80}\n");
}

inline std::string service_yaml(const std::string& name) {
  return absl::StrCat("---\napiVersion: v1\nkind: Service\nmetadata: {name: ", name, "}\nspec:\n  ports:\n  - {name: http, port: 80}\n");
}

inline std::string slice_yaml(const std::string& service, const std::string& address = "127.0.0.1", int port = 9001) {
  return absl::StrCat("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: ", service, "-1\n  labels: {kubernetes.io/service-name: ",
                      service, "}\naddressType: IPv4\nports:\n- {name: http, port: ", port, "}\nendpoints:\n- addresses: [", address, "]\n");
}

// Two zones with one endpoint each, of a Service weighed by load or not.
inline std::string zones_yaml(const std::string& service, bool by_load) {
  std::string of = service_yaml(service);
  if (by_load) of.replace(of.find("metadata: {"), 11, "metadata: {annotations: {fairlead.io/locality-weights: load}, ");
  return of + slice_yaml(service) + "  zone: a\n- addresses: [127.0.0.2]\n  zone: b\n";
}

inline std::string cluster_yaml(const std::string& name, const std::string& timeout = "1s") {
  return absl::StrCat("  - {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: ", name, ", connect_timeout: ", timeout, "}\n");
}

inline std::string raw_yaml(const std::string& name, const std::string& resources, const std::string& nodes = "clusters: [edge]", const std::string& version = "") {
  return absl::StrCat("---\napiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: ", name, "}\nspec:\n",
                      nodes.empty() ? "" : absl::StrCat("  nodes: {", nodes, "}\n"), version.empty() ? "" : absl::StrCat("  version: \"", version, "\"\n"),
                      "  resources:\n", resources);
}

}  // namespace fairlead::test
