// See flags.h.
#include "apps/control/flags.h"

#include <chrono>
#include <limits>
#include <utility>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "adapters/gatewayapi/schema.h"
#include "controlplane/rpc/server.h"

namespace fairlead::control {
namespace {

constexpr size_t kMost = 1'000'000'000;

// Whether whoever listens there is reached from this machine alone. An address that means nothing is for whoever binds it to refuse.
bool is_local(const std::string& address) {
  if (address.starts_with(':')) return false;  // every address there is
  const absl::StatusOr<net::Address> resolved = rpc::Server::resolve(address);
  return !resolved.ok() || !resolved->is_ip() || resolved->is_loopback();
}

absl::Status check(const Flags& f) {
  const serve::Credentials::Files& files = f.files;
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(files.key.empty() ? "--xds-tls-cert needs --xds-tls-key" : "--xds-tls-key needs --xds-tls-cert");
  }
  if (!files.client_ca.empty() && files.certificate.empty()) return absl::InvalidArgumentError("--xds-tls-client-ca needs --xds-tls-cert and --xds-tls-key");
  const bool tokens = !files.token_keys.empty();
  if ((!files.rules.empty() || !files.rules_file.empty()) && files.client_ca.empty() && !tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.rules.empty() ? "--xds-authorize-file" : "--xds-authorize", " needs --xds-tls-client-ca or --xds-token-keys: rules are for clients that certificates or tokens name"));
  }
  const serve::TokenVerifier::Policy& policy = files.token_policy;
  if (tokens != !policy.issuer.empty() || tokens == policy.audiences.empty()) {
    return absl::InvalidArgumentError("--xds-token-keys, --xds-token-issuer and --xds-token-audience need each other: a token is worth what its issuer and its audience are checked for");
  }
  if (policy.trust_domain.empty() || policy.trust_domain.find_first_of("/ *{}") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--xds-token-trust-domain ", policy.trust_domain, " is not the name of a trust domain"));
  }
  if (files.certificate.empty() && !f.xds_allow_plaintext && !is_local(f.xds.address)) {
    return absl::InvalidArgumentError(absl::StrCat("--xds-address ", f.xds.address, " can be reached from elsewhere, and without TLS whoever does reads and asks for everything: give --xds-tls-cert, ",
                                                   "--xds-tls-key and --xds-tls-client-ca, or --xds-allow-plaintext"));
  }
  if (!f.admin_allow_plaintext && !is_local(f.admin_address)) {
    return absl::InvalidArgumentError(absl::StrCat("--admin-address ", f.admin_address, " can be reached from elsewhere, and it shows all configuration to whoever asks: keep it on loopback, or give ",
                                                   "--admin-allow-plaintext"));
  }
  return absl::OkStatus();
}

// How proxies that are run here show who they are.
absl::Status check_planes(Flags& f) {
  using Tls = adapters::provision::Options::Tls;
  const bool issued = !f.issuer.certificate.empty(), tls = !f.files.certificate.empty();
  if (!f.managed_gateways) {
    const bool idle = !issued && f.issuer.key.empty() && f.issuer.server_authority.empty() && f.planes.tls_secret.empty() && f.planes.image.empty() &&
                      f.planes.xds_address.empty() && !f.planes.node_addresses;
    return idle ? absl::OkStatus() : absl::InvalidArgumentError("--managed-… means nothing without --managed-gateways");
  }
  if (!f.write_status) return absl::InvalidArgumentError("--managed-gateways needs --write-status: who may not write runs nothing");
  if (issued != !f.issuer.key.empty()) return absl::InvalidArgumentError(issued ? "--managed-authority-cert needs --managed-authority-key" : "--managed-authority-key needs --managed-authority-cert");
  if (issued && !f.planes.tls_secret.empty()) return absl::InvalidArgumentError("--managed-tls-secret and --managed-authority-cert: either the certificates are there, or they are issued");
  if (tls && !issued && f.planes.tls_secret.empty()) return absl::InvalidArgumentError("--managed-gateways: with what do proxies show who they are? give --managed-authority-cert and -key, or --managed-tls-secret");
  if (!tls && (issued || !f.planes.tls_secret.empty())) return absl::InvalidArgumentError("--managed-authority-cert and --managed-tls-secret need --xds-tls-cert: without it there is no TLS");
  f.planes.tls = issued ? Tls::kIssued : tls ? Tls::kSecret : Tls::kNone;
  f.planes.controller = adapters::gatewayapi::kControllerName;
  if (f.planes.image.empty()) return absl::InvalidArgumentError("--managed-gateways needs --managed-image: which image has fairlead-proxy?");
  if (f.planes.xds_address.empty()) return absl::InvalidArgumentError("--managed-gateways needs --managed-xds-address: where do pods reach the xDS port?");
  if (absl::Status s = adapters::provision::check_options(f.planes); !s.ok()) return absl::InvalidArgumentError(absl::StrCat("--managed-xds-address: ", s.message()));
  return absl::OkStatus();
}

void add_tls(CLI::App& app, Flags& f, std::vector<std::string>& rules) {
  const std::string group = "TLS of the xDS server (files are read anew when they change)";
  app.add_option("--xds-tls-cert", f.files.certificate, "the server's certificate chain, PEM")->group(group);
  app.add_option("--xds-tls-key", f.files.key, "its private key, PEM")->group(group);
  app.add_option("--xds-tls-client-ca", f.files.client_ca, "authorities of clients, PEM: every client must show a certificate of theirs")->group(group);
  app.add_option("--xds-authorize", rules,
                 "who may be which node: 'spiffe://a/ns/{ns}/sa/{name}=id:*,gateway:{ns}/{name}'; repeatable; others are none")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--xds-authorize-file", f.files.rules_file, "further such rules, one a line")->group(group);
  serve::TokenVerifier::Policy& policy = f.files.token_policy;
  app.add_option("--xds-token-keys", f.files.token_keys, "keys of clients' tokens (JWKS): every client must show a token that one of them signed, or a certificate")->group(group);
  app.add_option("--xds-token-issuer", policy.issuer, "iss of those tokens")->group(group);
  app.add_option("--xds-token-audience", policy.audiences, "aud of those tokens: one of these; repeatable")->allow_extra_args(false)->group(group);
  app.add_option("--xds-token-trust-domain", policy.trust_domain, "names of service accounts are spiffe://THIS/ns/NAMESPACE/sa/NAME")->capture_default_str()->group(group);
  app.add_flag("--xds-allow-plaintext", f.xds_allow_plaintext, "serve xDS without TLS on an address that is not loopback's")->group(group);
  app.add_flag("--xds-allow-inspection", f.xds.core.allow_inspection, "let clients elsewhere, too, ask what other clients have (CSDS, istioctl proxy-status)")->group(group);
}

void add_limits(CLI::App& app, Flags& f) {
  const std::string group = "Limits of the xDS server";
  serve::Core::Options& core = f.xds.core;
  const auto limit = [&](const char* name, size_t& value, const char* help) { app.add_option(name, value, help)->capture_default_str()->check(CLI::Range(size_t{1}, kMost))->group(group); };
  limit("--xds-max-streams", core.max_streams, "streams in all");
  limit("--xds-max-streams-per-connection", core.max_streams_per_connection, "streams of one connection");
  limit("--xds-max-streams-per-client", core.max_streams_per_client, "streams of all connections of a client: of its certificate's first name or, without one, its IP address");
  limit("--xds-max-names-per-request", core.max_names_per_request, "resource names in one request");
  limit("--xds-max-names-per-stream", core.max_names_per_stream, "resource names that a stream subscribes to, of all types");
  limit("--xds-max-message-bytes", f.xds.max_request_bytes, "size of one request");
  app.add_option("--xds-max-connects-per-s", f.xds.admission.per_second, "new streams that are let in a second; more wait in line for 10 s at most; 0: all at once")
      ->capture_default_str()->check(CLI::Range(0, 1'000'000))->group(group);
}

void add_kubernetes(CLI::App& app, Flags& f) {
  const std::string group = "Kubernetes (with --source kubernetes)";
  app.add_option("--gateway-address", f.gateway_addresses, "IP address or hostname at which Gateways are reached that ask for none, for their status; repeatable")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--write-status,!--no-write-status", f.write_status, "write what is found out about objects into their status, and Events; on unless =false")->group(group);
  app.add_flag("--leader-election,!--no-leader-election", f.leader_election, "let one of several replicas write status, the one that holds the Lease fairlead-control; on unless =false")
      ->group(group);
  app.add_option("--leader-election-namespace", f.leader_election_namespace, "namespace of that Lease; the default is that of the service account or kubeconfig context")->group(group);
}

void add_planes(CLI::App& app, Flags& f) {
  const std::string group = "Data planes of Gateways (with --source kubernetes)";
  app.add_flag("--managed-gateways", f.managed_gateways, "let the leader run proxies for each Gateway of our classes, as Deployments; GatewayParameters say otherwise")->group(group);
  app.add_option("--managed-image", f.planes.image, "image of fairlead-proxy, where GatewayParameters name none")->group(group);
  app.add_option("--managed-xds-address", f.planes.xds_address, "HOST:PORT at which pods reach the xDS port; its certificate is for that host")->group(group);
  app.add_option("--managed-authority-cert", f.issuer.certificate, "authority, PEM, that signs a certificate for each Gateway's proxies: spiffe://fairlead.io/ns/NS/gateway/NAME")->group(group);
  app.add_option("--managed-authority-key", f.issuer.key, "its private key, PEM")->group(group);
  app.add_option("--managed-xds-ca", f.issuer.server_authority, "authority of the xDS port's own certificate, PEM; the same when left out")->group(group);
  app.add_flag("--managed-node-addresses", f.planes.node_addresses,
               "tell nodes' addresses of Gateways whose Service is of type NodePort; needs to list and watch nodes")
      ->group(group);
  app.add_option("--managed-tls-secret", f.planes.tls_secret, "instead: a Secret of this name in the namespace of each Gateway has tls.crt, tls.key and ca.crt")->group(group);
}

}  // namespace

absl::StatusOr<Parsed> parse_flags(int argc, char** argv) {
  Parsed out;
  Flags& f = out.flags;
  f.xds.address = "127.0.0.1:18000";
  f.xds.core.identifier = "fairlead-control";
  f.xds.core.version = FAIRLEAD_VERSION;
  int64_t max_connection_age_s = 0, load_report_interval_s = f.xds.load.interval.count(), drain_time_s = f.drain_time.count();
  std::vector<std::string> rules;
  CLI::App app{"Fairlead's control plane: reads configuration, serves it over xDS to fairlead-proxy, Envoy and gRPC clients.", "fairlead-control"};
  app.set_version_flag("--version", "fairlead-control " FAIRLEAD_VERSION);
  app.add_option("--source", f.sources, "file:PATH (a directory tree or a file) or kubernetes[:KUBECONFIG[#CONTEXT]]; repeatable, earlier ones win")->required();
  app.add_option("--xds-address", f.xds.address, "address of the xDS server (HOST:PORT or unix:PATH)")->capture_default_str();
  app.add_option("--admin-address", f.admin_address, "address of health, metrics and debug endpoints (HOST:PORT)")->capture_default_str();
  app.add_flag("--admin-allow-plaintext", f.admin_allow_plaintext, "let that be an address that is not loopback's: it has neither TLS nor passwords");
  app.add_option("--state-dir", f.state_dir, "directory for what survives a restart: last good objects and what clients refused");
  app.add_option("--quarantine-after", f.xds.core.quarantine_threshold,
                 "refusals by this many distinct proxies of one version before all of that version get the last good resource")->capture_default_str()->check(CLI::Range(1, 1000000));
  app.add_option("--max-connection-age-s", max_connection_age_s,
                 "seconds after which a client is asked to connect again, so that replicas share them; 0: never")->capture_default_str()->check(CLI::Range(0, 31'536'000));
  app.add_option("--load-report-interval-s", load_report_interval_s, "seconds between the reports of load that clients are asked for (LRS)")
      ->capture_default_str()->check(CLI::Range(1, 86'400));
  app.add_option("--drain-time-s", drain_time_s, "seconds over which a signal sends the clients elsewhere, one connection after the other; 0: all at once")
      ->capture_default_str()->check(CLI::Range(0, 86'400));
  add_tls(app, f, rules);
  add_limits(app, f);
  add_kubernetes(app, f);
  add_planes(app, f);
  app.add_option("-l,--log-level", f.log_level, "trace, debug, info, warning, error, critical or off")->capture_default_str();
  app.add_option("--log-path", f.log_path, "log to this file instead of standard error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    out.exit = app.exit(done);  // --help, --version
    return out;
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> words = app.remaining();  // a word that nobody knows is worth more than what is missing too
    return absl::InvalidArgumentError(absl::StrCat(words.empty() ? error.what() : "unknown argument " + words.front(), " (see --help)"));
  }
  f.xds.max_connection_age = std::chrono::seconds(max_connection_age_s);
  f.xds.load.interval = std::chrono::seconds(load_report_interval_s);
  f.drain_time = std::chrono::seconds(drain_time_s);
  for (std::string& rule : rules) f.files.rules.push_back({std::move(rule), "--xds-authorize"});
  if (absl::Status s = check(f); !s.ok()) return s;
  if (absl::Status s = check_planes(f); !s.ok()) return s;
  return out;
}

}  // namespace fairlead::control
