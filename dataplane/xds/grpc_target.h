// An Envoy Cluster as the far end of xDS streams: what of it a gRPC channel can express, the rest refused by name. Pure.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/config/support.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace fairlead::xds {

struct GrpcTls {
  std::string roots, certificate, private_key;  // PEM
  std::string server_name;                      // SNI and name to verify; empty: the endpoint's host
};

struct GrpcEndpoints {
  std::vector<std::string> targets;  // in order of priority; each new stream goes to the next: "ipv4:10.0.0.1:18000", "ipv6:[::1]:1", "unix:/run/x.sock", "dns:///host:18000"
  std::optional<GrpcTls> tls;
  std::optional<std::chrono::milliseconds> keepalive_interval, keepalive_timeout;
  std::chrono::milliseconds connect_timeout{5000};  // Envoy 1.40: 5 s
  std::vector<config::IgnoredField> ignored;        // set, but nothing that a channel could follow; beside what the support table ignores
};

// `field`: path of the cluster in its document. Certificate files are read here. Errors "field.path: what".
absl::StatusOr<GrpcEndpoints> parse_grpc_cluster(const envoy::config::cluster::v3::Cluster& cluster, const std::string& field);

}  // namespace fairlead::xds
