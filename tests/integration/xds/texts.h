// Resources of the xDS tests as YAML.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace fairlead::testing {

inline std::string static_cluster(const std::string& name, uint16_t port, const std::string& more = "") {
  return absl::StrCat("name: ", name, "\ntype: STATIC\nconnect_timeout: 1s\nload_assignment: {cluster_name: ", name,
                      ", endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", port, "}}}}]}]}\n", more);
}
inline std::string eds_cluster(const std::string& name) {
  return absl::StrCat("name: ", name, "\ntype: EDS\nconnect_timeout: 1s\neds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}\n");
}
inline std::string endpoints(const std::string& name, uint16_t port) {
  return absl::StrCat("cluster_name: ", name, "\nendpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", port, "}}}}]}]\n");
}
// `routes`: the field of the connection manager, "rds: {…}" or "route_config: {…}".
inline std::string listener(const std::string& name, const std::string& routes, int port = 0) {
  return absl::StrCat("name: ", name, "\naddress: {socket_address: {address: 127.0.0.1, port_value: ", port, R"(}}
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: )", name, "\n      ", routes, R"(
      http_filters:
      - name: envoy.filters.http.router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
)");
}
inline std::string rds_listener(const std::string& name, const std::string& table) {
  return listener(name, absl::StrCat("rds: {route_config_name: ", table, ", config_source: {ads: {}, resource_api_version: V3}}"));
}
inline std::string routes(const std::string& name, const std::string& cluster) {
  return absl::StrCat("name: ", name, "\nvirtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: ", cluster, "}}]}]\n");
}
// Indents every line but the first, to stand in a list.
inline std::string item(const std::string& yaml, int indent) {
  std::string out = std::string(indent, ' ') + "- ";
  for (const char c : yaml) {
    out.push_back(c);
    if (c == '\n') out.append(indent + 2, ' ');
  }
  return out + "\n";
}
inline std::string static_bootstrap(const std::vector<std::string>& clusters, const std::vector<std::string>& listeners) {
  std::string out = "static_resources:\n";
  if (!clusters.empty()) out += "  clusters:\n";
  for (const std::string& c : clusters) out += item(c, 2);
  if (!listeners.empty()) out += "  listeners:\n";
  for (const std::string& l : listeners) out += item(l, 2);
  return out;
}
inline std::string ads_bootstrap(int port, bool delta, const std::string& timeout = "15s", const std::string& more_clusters = "") {
  return absl::StrCat("node: {id: node-1, cluster: edge}\ndynamic_resources:\n  ads_config:\n    api_type: ", delta ? "DELTA_GRPC" : "GRPC", R"(
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: )", timeout, R"(}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: )", timeout, R"(}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: )", port, "}}}}]}]}\n", more_clusters);
}

}  // namespace fairlead::testing
