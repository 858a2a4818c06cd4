// Status of Kubernetes objects, written back to the API server that they come from: what the vocabularies say, joined with what the proxies of this
// replica said, by whichever replica holds the Lease. Owner: the process; said() comes from the pipeline's thread, questions from any.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/kubernetes/lease.h"
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
  };
  KubernetesStatus(Options options, serve::XdsServer& server, const Clock& clock);
  ~KubernetesStatus() { stop(); }

  void start();
  void stop();  // writes nothing more, and gives the Lease back
  void said(std::shared_ptr<const adapters::StatusSink> said, adapters::ObjectSnapshotPtr objects) { writer_->update(std::move(said), std::move(objects)); }

  std::string prometheus() const { return writer_->prometheus(); }
  // {"source", "writes": whether this replica does, "identity", "leader": who does, "lease": "NAMESPACE/NAME"}
  doc::Value to_doc() const;

 private:
  const Options options_;
  const std::string identity_;
  std::unique_ptr<adapters::kubernetes::LeaderElector> elector_;  // null without leader election
  std::unique_ptr<adapters::kubernetes::StatusWriter> writer_;
};

}  // namespace fairlead::control
