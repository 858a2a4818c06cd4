// A response of resources → models in the Epoch, rows in the Ledger, and a verdict for the server. No gRPC, no sockets of its own.
// Main thread. Envoy's two classes of failure (reference/dataplane.md X2), which leave different things behind:
//  (a) a resource that cannot be parsed or breaks its validate.rules: nothing of the response is applied;
//  (b) a resource that breaks a deeper rule (unsupported field, bad value inside an Any, address in use): it keeps its old form, the good
//      ones are applied and, in state-of-the-world, the omitted ones removed; the response is refused as a whole.
// An empty state-of-the-world response removes everything; a name given twice keeps its first form and refuses the response; in delta it is class (a).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "dataplane/config/hcm.h"
#include "dataplane/xds/epoch.h"
#include "dataplane/xds/ledger.h"
#include "dataplane/xds/types.h"

namespace google::protobuf {
class Any;
class Struct;
}

namespace fairlead::xds {

struct IncomingResource {
  std::string name;      // delta and wrapped resources; else empty: the resource knows its own
  std::string version;   // delta; else empty: the response's
  std::string type_url;
  std::string bytes;
};

struct Update {
  Type type = Type::cluster;
  bool delta = false;
  std::string version;   // SotW version_info, delta system_version_info
  std::vector<IncomingResource> resources;
  std::vector<std::string> removed;  // delta
  std::string source = {};  // config::source_key of where it comes from
};

struct Outcome {
  absl::Status status;                           // not OK: NACK with this message
  std::map<std::string, std::string> applied;    // name → version
  std::vector<std::string> removed;
  std::vector<std::string> refused;              // broke a deeper rule
  std::map<std::string, uint64_t> reloads;       // routes and filter configs: how many tables or subscriptions got something else than they had
};

class Ingest {
 public:
  struct Options {
    Epoch* epoch = nullptr;
    Ledger* ledger = nullptr;
    config::HcmOptions hcm;                       // registry of filters
    bool reject_unknown_fields = false;           // --reject-unknown-dynamic-fields
    // Called with a good new or changed listener before it is accepted; an error (address in use) refuses the listener.
    std::function<absl::Status(const std::shared_ptr<const config::ListenerConfig>&)> prepare_listener;
    std::function<void(std::string_view name)> listener_removed;
    // The same for a new or changed cluster.
    std::function<absl::Status(const config::ClusterConfig&)> prepare_cluster;
    std::function<void(const std::shared_ptr<const config::ClusterConfig>&)> cluster_set;
    std::function<void(std::string_view name)> cluster_removed;
    // Layers of the runtime that are discovered: whether there is one of that name, its values, and that it has none any more.
    std::function<bool(std::string_view name)> wants_runtime;
    std::function<absl::Status(const std::string& name, const google::protobuf::Struct& values)> runtime_set;
    std::function<void(std::string_view name)> runtime_removed;
    std::function<void(uint64_t)> count_unknown_fields;
    std::function<void(const std::string& row)> count_ignored_field;
    std::function<std::chrono::steady_clock::time_point()> now;
    std::function<std::chrono::system_clock::time_point()> wall_now;
  };
  explicit Ingest(Options options);

  // From the bootstrap: never changed or removed by the control plane.
  void add_static_cluster(const std::shared_ptr<const config::ClusterConfig>& cluster, std::shared_ptr<const google::protobuf::Message> proto);
  absl::Status add_static_listener(const std::shared_ptr<const config::ListenerConfig>& listener, std::shared_ptr<const google::protobuf::Message> proto);

  Outcome apply(const Update& update);
  // Counters since start, for cluster_manager.* and listener_manager.*.
  struct Counts { uint64_t clusters_added = 0, clusters_modified = 0, clusters_removed = 0, listeners_added = 0, listeners_modified = 0, listeners_removed = 0, listeners_failed = 0; };
  const Counts& counts() const { return counts_; }
  // A subscription that will bring no (valid) answer does not hold up what waits for it: the wait would only end at its timeout.
  void give_up(Type type, const std::string& name);

 private:
  Outcome judge(const Update& update);
  struct Parsed {
    std::string name, version;
    std::shared_ptr<google::protobuf::Message> message;
    const std::string* bytes = nullptr;  // the update's, of the message
    bool holds_any = false;              // and so may break rules that have not been looked at
    bool supported = false;              // the support table has nothing to say
  };
  absl::Status parse_all(const Update& update, std::vector<Parsed>& out);
  static void check_delta_names(const Update& update, const std::vector<Parsed>& parsed, ErrorList& errors);
  std::vector<std::string> removals(const Update& update, const std::vector<Parsed>& parsed);
  absl::Status apply_one(Type type, const Parsed& resource);
  absl::Status apply_cluster(const Parsed& resource);
  absl::Status apply_endpoints(const Parsed& resource);
  absl::Status apply_listener(const Parsed& resource);
  absl::StatusOr<std::shared_ptr<const config::ListenerConfig>> build_listener(const Parsed& resource, std::vector<std::string>& warnings);
  absl::Status apply_routes(const Parsed& resource);
  absl::Status apply_extension(const Parsed& resource);
  absl::Status apply_secret(const Parsed& resource);
  absl::Status apply_runtime(const Parsed& resource);
  // Under which the ledger has it: secrets of one name may come from several sources.
  std::string ledger_name(const Update& update, const std::string& name) const;
  void remove(Type type, const std::string& name);
  void note_findings(Type type, const Parsed& resource);
  void note_findings(const config::SupportFindings& findings, const std::string& what);

  Options options_;
  Counts counts_;
  std::map<std::string, uint64_t> reloads_;  // of the update that is judged now
  std::string source_;                       // the same's
  std::map<Type, std::map<std::string, bool, std::less<>>> known_;  // name → static
  std::map<std::string, uint64_t> warned_rows_;
};

// Fields of `message` (and what is below it) that the binary does not know.
uint64_t count_unknown_fields(const google::protobuf::Message& message);

}  // namespace fairlead::xds
