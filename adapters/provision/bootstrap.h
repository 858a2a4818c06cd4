// Ready bootstraps for what fairlead-control can drive: of `fairlead bootstrap` and of the proxies that the control plane runs itself. Pure.
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/statusor.h>

#include "base/doc.h"

namespace fairlead::adapters::provision {

struct BootstrapOptions {
  std::string client = "proxy";  // proxy, envoy, grpc
  std::string cluster;           // node cluster
  std::string id;                // node id; empty: "CLUSTER-HOSTNAME"
  std::string gateway;           // NS/NAME for metadata fairlead.io/gateway; empty leaves it out
  std::string mesh;              // the namespace for metadata fairlead.io/mesh; empty leaves it out
  std::string xds_address = "127.0.0.1:18000";
  std::string admin_address = "127.0.0.1:9901";
  bool delta = true;
  bool report_load = false;      // by LRS, to the control plane; not grpc, which does so where a cluster says lrs_server
  // TLS to fairlead-control; no authority: plaintext. Files, as the client is to read them.
  std::string tls_ca, tls_cert, tls_key;
  std::string tls_server_name;   // what the server's certificate must be for; empty: the host of xds_address
  // For pods: answers /ready at this port of every address, where nothing listens before the first configuration is in use, however long that takes. 0: none.
  uint16_t readiness_port = 0;
};

// YAML for proxy and envoy, JSON for grpc. InvalidArgument names the flag that is wrong.
absl::StatusOr<std::string> make_bootstrap(const BootstrapOptions& options);

// The same for proxy and envoy as a document.
absl::StatusOr<doc::Value> bootstrap_document(BootstrapOptions options);

// `more` added to a document: maps key by key, lists at the end; anything else takes the place of what is there.
doc::Value merged(const doc::Value& document, const doc::Value& more);

}  // namespace fairlead::adapters::provision
