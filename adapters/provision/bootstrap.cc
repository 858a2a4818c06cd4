// See bootstrap.h.
#include "adapters/provision/bootstrap.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "adapters/provision/values.h"

namespace fairlead::adapters::provision {

namespace {

using doc::Value;

Value list(std::vector<Value> items) { return doc::list(std::move(items)); }

bool is_ip(const std::string& host) {
  in6_addr any;
  return inet_pton(AF_INET, host.c_str(), &any) == 1 || inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

absl::StatusOr<Value> address(std::string_view flag, const std::string& given) {
  if (given.starts_with("unix:")) return map({{"pipe", map({{"path", text(given.substr(5))}})}});
  const size_t colon = given.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(given.substr(colon + 1), &port) || port <= 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " \"", given, "\" is not HOST:PORT"));
  }
  std::string host = given.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return map({{"socket_address", map({{"address", text(host)}, {"port_value", doc::integer(port)}})}});
}

Value node(const BootstrapOptions& o, bool with_locality = false) {
  Fields fields{{"id", text(o.id)}, {"cluster", text(o.cluster)}};
  if (with_locality) fields.emplace_back("locality", map({}));
  if (!o.gateway.empty()) fields.emplace_back("metadata", map({{"fairlead.io/gateway", text(o.gateway)}}));
  if (!o.mesh.empty()) fields.emplace_back("metadata", map({{"fairlead.io/mesh", text(o.mesh)}}));
  return map(std::move(fields));
}

Value file(const std::string& path) { return map({{"filename", text(path)}}); }

// The transport socket that does what the options say.
Value tls_socket(const BootstrapOptions& o) {
  Fields common{{"alpn_protocols", list({text("h2")})}};
  if (!o.tls_cert.empty()) common.emplace_back("tls_certificates", list({map({{"certificate_chain", file(o.tls_cert)}, {"private_key", file(o.tls_key)}})}));
  common.emplace_back("validation_context", map({{"trusted_ca", file(o.tls_ca)}}));
  return map({{"name", text("tls")},
              {"typed_config", map({{"@type", text("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext")},
                                    {"sni", text(o.tls_server_name)},
                                    {"auto_sni_san_validation", doc::boolean(true)},
                                    {"common_tls_context", map(std::move(common))}})}});
}

Value grpc_credentials(const BootstrapOptions& o) {
  if (o.tls_ca.empty()) return map({{"type", text("insecure")}});
  Fields config{{"ca_certificate_file", text(o.tls_ca)}};
  if (!o.tls_cert.empty()) {
    config.emplace_back("certificate_file", text(o.tls_cert));
    config.emplace_back("private_key_file", text(o.tls_key));
  }
  return map({{"type", text("tls")}, {"config", map(std::move(config))}});
}

absl::Status check_tls(BootstrapOptions& o, const std::string& host) {
  if (o.tls_cert.empty() != o.tls_key.empty()) return absl::InvalidArgumentError(o.tls_key.empty() ? "--xds-tls-cert needs --xds-tls-key" : "--xds-tls-key needs --xds-tls-cert");
  if (o.tls_ca.empty()) {
    if (o.tls_cert.empty() && o.tls_server_name.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("TLS needs --xds-tls-ca: without authorities to trust, anybody could be the control plane");
  }
  if (o.client == "grpc") {
    if (o.tls_server_name.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("a gRPC client asks the server's certificate for the host of --xds-address: leave out --xds-tls-server-name");
  }
  if (!o.tls_server_name.empty()) return absl::OkStatus();
  if (host.empty() || is_ip(host)) return absl::InvalidArgumentError(absl::StrCat("which name has the certificate of ", o.xds_address, "? give --xds-tls-server-name"));
  o.tls_server_name = host;
  return absl::OkStatus();
}

absl::StatusOr<std::string> for_grpc(const BootstrapOptions& o) {
  // gRPC also takes URIs (dns:///host:port, unix:///path), which need no further look
  if (absl::StatusOr<Value> xds = address("--xds-address", o.xds_address); !xds.ok() && o.xds_address.find(":///") == std::string::npos) return xds.status();
  return doc::to_json(map({{"xds_servers", list({map({{"server_uri", text(o.xds_address)},
                                                      {"channel_creds", list({grpc_credentials(o)})},
                                                      {"server_features", list({text("xds_v3")})}})})},
                           {"node", node(o, true)}}),  // gRPC for Node asks for one, if only an empty one
                      true) +
         "\n";
}

// A listener that only the kubelet asks. It comes into being when what its process starts with is in use, as all listeners of a bootstrap do.
Value readiness_listener(int port) {
  const auto typed = [](std::string_view name, std::string_view type, Fields fields) {
    fields.insert(fields.begin(), {"@type", text(absl::StrCat("type.googleapis.com/envoy.extensions.filters.", type))});
    return map({{"name", text(name)}, {"typed_config", map(std::move(fields))}});
  };
  const Value ready = map({{"name", text(":path")}, {"string_match", map({{"exact", text("/ready")}})}});
  const Value health = typed("health_check", "http.health_check.v3.HealthCheck", {{"pass_through_mode", doc::boolean(false)}, {"headers", list({ready})}});
  const Value none = map({{"match", map({{"prefix", text("/")}})}, {"direct_response", map({{"status", doc::integer(404)}})}});
  const Value routes = map({{"name", text("readiness")}, {"virtual_hosts", list({map({{"name", text("readiness")}, {"domains", list({text("*")})}, {"routes", list({none})}})})}});
  const Value manager = typed("http", "network.http_connection_manager.v3.HttpConnectionManager",
                              {{"stat_prefix", text("readiness")}, {"http_filters", list({health, typed("router", "http.router.v3.Router", {})})}, {"route_config", routes}});
  return map({{"name", text("readiness")},
              {"address", map({{"socket_address", map({{"address", text("0.0.0.0")}, {"port_value", doc::integer(port)}})}})},
              {"filter_chains", list({map({{"filters", list({manager})}})})}});
}

// Envoy's and ours: the same file drives both.
absl::StatusOr<Value> for_envoy(BootstrapOptions o) {
  absl::StatusOr<Value> xds = address("--xds-address", o.xds_address), admin = address("--admin-address", o.admin_address);
  if (!xds.ok()) return xds.status();
  if (!admin.ok()) return admin.status();
  const Value* host = xds->find_path("socket_address.address");
  const bool by_name = host && !is_ip(host->as_string());
  if (absl::Status s = check_tls(o, host ? std::string(host->as_string()) : ""); !s.ok()) return s;
  Fields source{{"ads", map({})}, {"resource_api_version", text("V3")}};
  if (o.readiness_port != 0) source.emplace_back("initial_fetch_timeout", text("0s"));  // Envoy 1.40: 15 s, after which it goes on without
  const Value ads = map(std::move(source));
  const std::string options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  Fields cluster(
      {{"name", text("fairlead-control")},
       {"type", text(by_name ? "STRICT_DNS" : "STATIC")},
       {"connect_timeout", text("2s")},
       {"typed_extension_protocol_options",
        map({{options, map({{"@type", text(absl::StrCat("type.googleapis.com/", options))},
                            {"explicit_http_config",
                             map({{"http2_protocol_options", map({{"connection_keepalive", map({{"interval", text("30s")}, {"timeout", text("10s")}})}})}})}})}})},
       {"load_assignment", map({{"cluster_name", text("fairlead-control")},
                                {"endpoints", list({map({{"lb_endpoints", list({map({{"endpoint", map({{"address", *xds}})}})})}})})}})}});
  if (!o.tls_ca.empty()) cluster.emplace_back("transport_socket", tls_socket(o));
  Fields resources{{"clusters", list({map(std::move(cluster))})}};
  if (o.readiness_port != 0) resources.emplace_back("listeners", list({readiness_listener(o.readiness_port)}));
  const Value services = list({map({{"envoy_grpc", map({{"cluster_name", text("fairlead-control")}})}})});
  Fields bootstrap{{"node", node(o)},
                   {"admin", map({{"address", *admin}})},
                   {"dynamic_resources",
                    map({{"ads_config", map({{"api_type", text(o.delta ? "DELTA_GRPC" : "GRPC")},
                                             {"transport_api_version", text("V3")},
                                             {"set_node_on_first_message_only", doc::boolean(true)},
                                             {"grpc_services", services}})},
                         {"cds_config", ads},
                         {"lds_config", ads}})},
                   {"static_resources", map(std::move(resources))}};
  if (o.report_load) {
    const Value reports = map({{"api_type", text("GRPC")}, {"transport_api_version", text("V3")}, {"grpc_services", services}});
    bootstrap.emplace_back("cluster_manager", map({{"load_stats_config", reports}}));
  }
  return map(std::move(bootstrap));
}

// What the options leave to others, and whether they fit together.
absl::Status complete(BootstrapOptions& o) {
  if (o.cluster.empty() && o.gateway.empty() && o.mesh.empty() && o.id.empty()) {
    return absl::InvalidArgumentError("which configuration? give --cluster NAME (the Gateway's name), --gateway NAMESPACE/NAME, --mesh NAMESPACE or --id ID");
  }
  if (!o.gateway.empty() && !o.mesh.empty()) return absl::InvalidArgumentError("--gateway and --mesh: a Gateway's proxy is no client of the mesh");
  if (!o.gateway.empty() && o.gateway.find('/') == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--gateway \"", o.gateway, "\" is not NAMESPACE/NAME"));
  }
  if (o.cluster.empty() && !o.gateway.empty()) o.cluster = o.gateway.substr(o.gateway.find('/') + 1);
  if (o.cluster.empty()) o.cluster = o.mesh;
  if (o.id.empty()) {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    o.id = absl::StrCat(o.cluster, "-", host);
  }
  if (o.cluster.empty()) o.cluster = o.id;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Value> bootstrap_document(BootstrapOptions o) {
  if (absl::Status s = complete(o); !s.ok()) return s;
  return for_envoy(std::move(o));
}

absl::StatusOr<std::string> make_bootstrap(const BootstrapOptions& given) {
  BootstrapOptions o = given;
  if (absl::Status s = complete(o); !s.ok()) return s;
  if (o.client != "grpc") {
    absl::StatusOr<Value> document = for_envoy(std::move(o));
    if (!document.ok()) return document.status();
    return doc::to_yaml(*document);
  }
  if (absl::Status s = check_tls(o, ""); !s.ok()) return s;
  return for_grpc(o);
}

Value merged(const Value& document, const Value& more) {
  if (document.is_map() && more.is_map()) {
    Value out = document;
    for (const doc::Entry& e : more.entries()) {
      const Value* there = document.find(e.key);
      out = doc::with(out, e.key, there ? merged(*there, e.value) : e.value);
    }
    return out;
  }
  if (document.is_list() && more.is_list()) {
    std::vector<Value> items(document.items().begin(), document.items().end());
    items.insert(items.end(), more.items().begin(), more.items().end());
    return doc::list(std::move(items));
  }
  return more;
}

}  // namespace fairlead::adapters::provision
