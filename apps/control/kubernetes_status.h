// Status of Kubernetes objects, written back to the API server that they come from: what the vocabularies say, joined with what the proxies of this
// replica said, by whichever replica holds the Lease. The same one runs the data planes of Gateways, where that is asked for. Owner: the process; said() comes from the pipeline's thread, questions from any.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "adapters/kubernetes/lease.h"
#include "adapters/kubernetes/provisioner.h"
#include "adapters/kubernetes/status_writer.h"
#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/serve/xds_server.h"

namespace fairlead::control {

class KubernetesStatus {
 public:
  struct Options {
    std::string source;  // whose objects: the source's name
    adapters::kubernetes::Credentials credentials;
    bool leader_election = true;       // else this process writes without asking
    std::string lease_namespace;       // empty: the credentials'
    std::vector<std::string> addresses;  // of Gateways that do not ask for one
    struct Planes {
      adapters::provision::Options options;
      adapters::kubernetes::CredentialsIssuer::Files issuer;
    };
    std::optional<Planes> planes;  // nothing: others run them
  };
  KubernetesStatus(Options options, serve::XdsServer& server, const Clock& clock);
  ~KubernetesStatus() { stop(); }

  void start();
  void stop();  // writes nothing more, and gives the Lease back
  void said(std::shared_ptr<const adapters::StatusSink> said, adapters::ObjectSnapshotPtr objects);

  std::string prometheus() const { return provisioner_ ? writer_->prometheus() + provisioner_->prometheus() : writer_->prometheus(); }
  // {"source", "writes": whether this replica does, "identity", "leader": who does, "lease": "NAMESPACE/NAME"}
  doc::Value to_doc() const;

 private:
  void say_again();
  adapters::kubernetes::Provisioner::Options provisioner_options(const adapters::kubernetes::ApiClient::Options& api);

  const Options options_;
  const std::string identity_;
  std::mutex mutex_;
  std::shared_ptr<const adapters::StatusSink> said_;  // guarded
  adapters::ObjectSnapshotPtr objects_;               // guarded
  std::unique_ptr<adapters::kubernetes::LeaderElector> elector_;  // null without leader election
  std::unique_ptr<adapters::kubernetes::Provisioner> provisioner_;  // null without planes
  std::unique_ptr<adapters::kubernetes::StatusWriter> writer_;
};

}  // namespace fairlead::control
