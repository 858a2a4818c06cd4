// The command line of fairlead-control. Pure but for names that it resolves.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "adapters/kubernetes/provisioner.h"
#include "adapters/provision/data_plane.h"
#include "controlplane/serve/credentials.h"
#include "controlplane/serve/xds_server.h"

namespace fairlead::control {

struct Flags {
  std::vector<std::string> sources;
  std::string admin_address = "127.0.0.1:18001";
  bool admin_allow_plaintext = false;
  bool xds_allow_plaintext = false;
  serve::XdsServer::Options xds;    // but for what the credentials hold
  serve::Credentials::Files files;  // of the xDS port
  std::chrono::seconds drain_time{5};  // of clients, on a signal
  std::string state_dir;
  // With the source kubernetes: whether status is written at all, and by one of several replicas or by this one without asking; where the Lease is (empty: our own
  // namespace); what Gateways that ask for no address are reached at.
  bool write_status = true;
  bool leader_election = true;
  std::string leader_election_namespace;
  std::vector<std::string> gateway_addresses;
  // Whether the leader runs the data planes of Gateways, and how.
  bool managed_gateways = false;
  adapters::provision::Options planes;
  adapters::kubernetes::CredentialsIssuer::Files issuer;
  std::string log_level = "info";
  std::string log_path;
};

// An exit code when there is nothing to run: --help, --version (they have been printed).
struct Parsed {
  Flags flags;
  std::optional<int> exit;
};
// Errors name the flag.
absl::StatusOr<Parsed> parse_flags(int argc, char** argv);

}  // namespace fairlead::control
