// Runs the data planes of Gateways: makes, keeps and removes their objects while this process leads. The thread around adapters/provision (what there is
// to be) and ObjectKeeper (what differs). It watches the objects with our label itself, and only while it leads; each Gateway's proxies get a certificate
// that it issues, where it has an authority.
// Any thread hands over what there is and asks; the thread itself writes. Invariant: nothing is written unless `leading` says so just before.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/kubernetes_source.h"
#include "adapters/kubernetes/object_keeper.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "adapters/provision/data_plane.h"
#include "adapters/provision/nodes.h"
#include "base/clock.h"

namespace fairlead::adapters::kubernetes {

// Gives each Gateway's proxies proof of who they are. Owned by Provisioner's thread.
class CredentialsIssuer {
 public:
  struct Files {
    std::string certificate, key;  // of the authority, PEM; empty: there is none
    std::string server_authority;  // of the control plane's own certificate; empty: the same
  };
  static constexpr std::chrono::hours kLifetime{24 * 365};  // they are taken into service by new pods: seldom

  explicit CredentialsIssuer(Files files) : files_(std::move(files)) {}
  // The files anew, where that was a while ago.
  absl::Status refresh(MonotonicTime now);
  // Those in the Secret as it is, as long as they serve for a third of their time at least; else new ones, the same until they are in the Secret.
  absl::StatusOr<provision::Credentials> of(const provision::Plan& plan, const doc::Value& secret, SystemTime now);
  // What is known of other Gateways.
  void forget_all_but(const std::set<ObjectKey>& gateways);

 private:
  const Files files_;
  MonotonicTime read_at_{};
  std::string authority_, key_, server_authority_;
  std::map<ObjectKey, provision::Credentials> made_;  // by Gateway: not yet in a Secret
  // By Gateway, what it was found to be in its Secret last: looking costs as much as all else of a Gateway that has not changed.
  struct LookedAt {
    std::string certificate, key, authority;
    SystemTime from{}, renew{};
  };
  std::map<ObjectKey, LookedAt> looked_at_;
  bool serves(const ObjectKey& gateway, const provision::Credentials& credentials, SystemTime now);
};

class Provisioner {
 public:
  struct Options {
    std::string source;  // whose Gateways
    provision::Options planes;
    CredentialsIssuer::Files issuer;  // with Tls::kIssued
    ObjectKeeper::Options keeper;
    ApiClient::Options api;
    WatchOptions watch;
    std::function<void()> changed;  // what trouble() or nodes() says; the provisioner's thread
  };
  Provisioner(Options options, const Clock& clock, std::function<bool()> leading);
  ~Provisioner();  // stop()

  void start();
  void stop();
  // As StatusWriter's. Any thread.
  void update(std::shared_ptr<const StatusSink> said, ObjectSnapshotPtr objects);
  void wake();

  // What keeps a Gateway's data plane from being as it shall; empty: nothing. Any thread.
  std::string trouble(const ObjectKey& gateway) const;
  // Of the cluster's nodes, what there is to know for Services of type NodePort; null: nothing yet, or there is none. Any thread.
  std::shared_ptr<const provision::Nodes> nodes() const;
  std::string prometheus() const;

  // What it watches: all kinds that it makes, those with our label. And nodes (provision::Nodes::watched_kinds()), with Options::node_addresses and as long
  // as there is a Gateway whose Service is to be of type NodePort.
  static std::vector<WatchedKind> watched_kinds();

 private:
  void run();
  void begin();
  void end();
  void want(const StatusSink& said, const ObjectSnapshot& objects);
  absl::StatusOr<std::shared_ptr<const std::vector<doc::Value>>> objects_of(const provision::Plan& plan);
  void write_all();
  void tell(const ObjectKeeper::Outcome& outcome);
  void publish();
  void watch_nodes(bool wanted);
  void take_nodes(const std::deque<SourceUpdate>& updates);
  std::unique_ptr<KubernetesSource> start_watch(std::string name, std::vector<WatchedKind> kinds, std::deque<SourceUpdate>& to);

  const Options options_;
  const Clock& clock_;
  const std::function<bool()> leading_;
  ApiClient api_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<const StatusSink> said_;  // guarded, as the next ones
  ObjectSnapshotPtr objects_;
  std::deque<SourceUpdate> arrived_, nodes_arrived_;
  std::shared_ptr<const provision::Nodes> nodes_;
  std::map<ObjectKey, std::string> troubles_;
  bool fresh_ = false, woken_ = false, stopping_ = false;

  // The provisioner's thread alone.
  ObjectKeeper keeper_;
  CredentialsIssuer issuer_;
  std::unique_ptr<KubernetesSource> watch_;        // while this process leads
  std::unique_ptr<KubernetesSource> nodes_watch_;  // while it does, and a Gateway is reached by them
  provision::Nodes table_;                         // what that has brought
  // What was made for each Gateway last, and of what.
  struct Made {
    provision::Plan of;
    std::string certificate, authority;
    std::shared_ptr<const std::vector<doc::Value>> objects;
  };
  std::map<ObjectKey, Made> made_;
  std::map<ObjectKey, std::string> unmade_;  // Gateways whose objects could not even be thought of, and why
  MonotonicTime wanted_at_{};
  std::string last_error_, last_lost_;

  enum Result { kApplied, kDeleted, kConflict, kGone, kRefused, kFailed, kRead, kResults };
  std::array<std::atomic<uint64_t>, kResults> results_{};
  std::atomic<size_t> waiting_{0}, managed_{0};
  std::thread thread_;
};

}  // namespace fairlead::adapters::kubernetes
