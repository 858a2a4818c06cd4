// TLS of listeners and clusters: transport socket messages → contexts that are ready to serve. Main thread; immutable then.
// Where configuration is only judged (control plane, command line) there is no file reader: what names files or discovered secrets is checked as far
// as it goes, and has no context.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/secrets.h"
#include "dataplane/router/data_source.h"
#include "dataplane/tls/context.h"

namespace envoy::extensions::transport_sockets::tls::v3 {
class DownstreamTlsContext;
class Secret;
class UpstreamTlsContext;
}

namespace fairlead::config {

// static_resources.secrets of a bootstrap, by name.
using StaticSecrets = std::map<std::string, SecretPtr, std::less<>>;

// Where the material comes from that a message names instead of holding it.
struct TlsSources {
  router::FileReader read_file;  // unset: files and the environment are not looked at
  std::shared_ptr<const StaticSecrets> secrets;  // null: none
  std::shared_ptr<DiscoveredSecrets> discovered = nullptr;  // null: what names one is only judged
};

struct DownstreamTls : LiveTls<tls::ServerContext> {};

struct UpstreamTls : LiveTls<tls::ClientContext> {
  std::vector<std::string> alpn;         // as configured; where empty each connection offers the protocol it is made for
  std::string server_name;               // the configured SNI
  bool auto_host_sni = false;            // the SNI is the endpoint's hostname, where it has one
  bool auto_sni_san_validation = false;  // the server's certificate must be for the SNI
};

// Errors: "field…: what".
absl::StatusOr<std::shared_ptr<const DownstreamTls>> parse_downstream_tls(const envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext& proto,
                                                                          const std::string& field, const TlsSources& sources);
absl::StatusOr<std::shared_ptr<const UpstreamTls>> parse_upstream_tls(const envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext& proto,
                                                                      const std::string& field, const TlsSources& sources);

// What can be said of a secret by itself: that a certificate can be read and its key is its own, that an authority and ticket keys can be read.
absl::Status check_secret(const envoy::extensions::transport_sockets::tls::v3::Secret& secret, const router::FileReader& read_file);

}  // namespace fairlead::config
