// The heart of the server: who is connected, what each scope shall have, and what is to be sent next. No socket and no thread
// of its own: a transport (xds_server.h, or a test) feeds it requests and takes the messages it makes.
// Owned by the serving thread; every call is made there. A change of endpoints is told to the streams that subscribe to them, and costs nothing for
// the others: their sessions go on with an older snapshot, in which nothing of theirs differs. Invariant: at most one push is on its way to a stream; until all of it is
// written, further changes cost one wish in the queue and nothing else, however slow the reader.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>

#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/inspect/inspect.h"
#include "controlplane/push/interest.h"
#include "controlplane/push/queue.h"
#include "controlplane/rpc/peer.h"
#include "controlplane/serve/authorization.h"
#include "controlplane/serve/client_status.h"
#include "controlplane/serve/id_table.h"
#include "controlplane/serve/interned.h"
#include "controlplane/serve/load_reports.h"
#include "controlplane/serve/mesh_clients.h"
#include "controlplane/serve/metrics.h"
#include "controlplane/serve/teller.h"
#include "controlplane/snapshot/catalog.h"
#include "controlplane/snapshot/update.h"
#include "controlplane/stream/encode.h"
#include "controlplane/stream/session.h"
#include "controlplane/verdict/foresight.h"
#include "controlplane/verdict/ledger.h"
#include "controlplane/verdict/progress.h"
#include "controlplane/verdict/quarantine.h"

namespace fairlead::serve {

using push::StreamId;

using snapshot::Update;

enum class StreamKind : uint8_t { kSotw, kDelta };

// What a transport does for the core.
class Wire {
 public:
  virtual ~Wire() = default;
  // In order per stream. The transport calls Core::written() once all messages sent so far are on their way.
  virtual void send(StreamId stream, cpstream::WireMessage message) = 0;
  virtual void end(StreamId stream, const absl::Status& status) = 0;
};

class Core {
 public:
  struct Options {
    std::string identifier;              // control_plane.identifier; empty leaves it out
    std::string version;                 // of this program, for istioctl
    size_t quarantine_threshold = 3;     // refusals by distinct nodes before a client class is frozen
    // Beyond these RESOURCE_EXHAUSTED. A client is who its certificate names or, without one, its host.
    size_t max_streams = 100'000;
    size_t max_streams_per_connection = 1'000;
    size_t max_streams_per_client = 20'000;
    size_t max_names_per_request = 100'000;
    size_t max_names_per_stream = 200'000;
    bool allow_inspection = false;  // of what other clients have, to clients that are not on this machine
    MeshClients::Tell mesh_asked = {};  // told what clients of the mesh ask for that none before did; empty: they have what routes make
    cpstream::SessionOptions session;
    inspect::Events* events = nullptr;  // where what happens is told; null: nowhere
  };
  Core(Options options, const Clock& clock, Wire& wire);
  ~Core();

  void apply(Update update);
  // Who may be which node, from now on: streams that no longer fit end. Null: everybody any.
  void set_authorization(std::shared_ptr<const Authorization> rules);
  bool ready() const { return ready_ && !leaving_; }
  bool leaving() const { return leaving_; }
  void set_leaving() { leaving_ = true; }  // whoever asks whether to send clients here is told not to

  // `only`: the one type of a per-type service. Unavailable before ready(), ResourceExhausted at a limit of streams. `peer`: one object a connection, or others that know it.
  absl::StatusOr<StreamId> open(StreamKind kind, std::optional<resources::Type> only, rpc::PeerPtr peer);
  void request(StreamId stream, std::string_view bytes);
  void written(StreamId stream, MonotonicTime now);
  void closed(StreamId stream);

  // Makes at most `limit` of the waiting pushes; true when there are more.
  bool pump(size_t limit);
  // When on_time() has something to do.
  std::optional<MonotonicTime> deadline() const;
  void on_time();

  // --- what is asked of it -------------------------------------------------------------------------------------------
  size_t streams() const { return streams_.size(); }
  size_t waiting() const { return queue_.waiting(); }  // streams in line for a push
  std::vector<inspect::StreamRecord> records() const;
  // The first stream of a node id, by connection time; NotFound names the ids there are.
  absl::StatusOr<snapshot::SnapshotPtr> snapshot_of(std::string_view node_id);
  absl::StatusOr<doc::Value> diff(std::string_view node_id) const;
  // Of every scope, with the scope's name. Print them on another thread: they may be large.
  std::vector<std::pair<std::string, snapshot::SnapshotPtr>> snapshots() const;
  doc::Value nacks() const { return inspect::nacks(quarantine_); }
  std::vector<verdict::Condition> conditions();
  // The same in short, and a number that is another when it may be another.
  verdict::Progress progress() const;
  uint64_t progress_epoch() const;
  std::vector<intent::Finding> findings() const;
  const Metrics& metrics() const { return metrics_; }
  Metrics& counters() { return metrics_; }  // for what the transport counts

  // Every stream that has said who it is. What clients may ask about others (CSDS, debug types): PermissionDenied to who is not on this machine.
  void each_stream(const std::function<void(const StreamView&)>& f) const;
  absl::Status may_inspect(const rpc::Peer& peer) const;
  absl::Status may_be(const rpc::Peer& peer, const snapshot::Node& node) const;
  // What clients report of their load, and what clusters such a client has.
  LoadReports& loads() { return loads_; }
  snapshot::TypeSetPtr clusters_of(const snapshot::Node& node) { return catalog_.find(catalog_.join(node).scope)->set(resources::Type::kCluster); }

  // The quarantine's memory, for --state-dir. `state_epoch` rises whenever it changes.
  doc::Value state() const { return quarantine_.to_doc(); }
  absl::Status restore(const doc::Value& value) { return quarantine_.restore(value); }
  uint64_t state_epoch() const { return state_epoch_; }

 private:
  struct Stream;
  struct Scope;
  absl::Status may_open(const rpc::Peer& peer);
  absl::Status start(Stream& stream, const cpstream::Request& request);
  absl::Status deny(Denial why, absl::Status status);
  absl::Status answer_debug(StreamId id, bool delta, const cpstream::Request& request);
  void deliver(Stream& stream, cpstream::Output output);
  void refuse(Stream& stream, const cpstream::Refusal& refusal);
  void end(Stream& stream, const absl::Status& status);
  void drop(Stream& stream);
  void join(Stream& stream, snapshot::Catalog::Joined where);
  void leave(Stream& stream);
  void rejoin_all();
  void report_conflicts();
  void settle_refusals(const std::string& scope);
  bool foresee(const Stream& stream);
  void foresee(const std::string& scope);
  void set_incomplete(bool incomplete);
  void scope_changed(const Scope& scope);  // in any way: every stream of it looks
  void scope_moved(const std::string& name);
  void note_interest(Stream& stream);
  void count_mesh_clients();
  void endpoints_changed(StreamId id, const resources::ResourcePtr& assignment, MonotonicTime now);
  void reschedule(Stream& stream);
  snapshot::SnapshotPtr view(const Stream& stream);
  void each_unsent_secret(absl::FunctionRef<void(const Stream&, const resources::Resource& secret)> f) const;
  std::vector<intent::Finding> unsent_secrets() const;
  std::vector<verdict::Progress::Fault> faults() const;
  std::vector<intent::Origin> users_of(std::string_view scope, const resources::Reference& to) const;
  void add_unsent_secrets(std::vector<verdict::Progress::Fault>& out) const;
  const Stream* find_node(std::string_view node_id) const;
  void tell_frozen(const Stream& stream, inspect::StreamRecord& record) const;

  const Options options_;
  const Clock& clock_;
  Wire& wire_;
  const cpstream::Encoder encoder_{options_.identifier};
  cpstream::NameTable names_;
  snapshot::Catalog catalog_;
  verdict::Quarantine quarantine_;
  verdict::Ledger ledger_;
  verdict::Foresight foresight_;
  push::Queue queue_;
  Metrics metrics_;
  Teller tell_;
  LoadReports loads_;
  MeshClients mesh_clients_;
  uint64_t debug_nonces_ = 0;
  struct ByContent {
    bool operator()(const snapshot::Node& a, const snapshot::Node& b) const;
  };
  using Nodes = Interned<snapshot::Node, ByContent>;
  Nodes nodes_;  // what streams say of themselves, but for the id
  Interned<snapshot::ClientClass> classes_;
  Interned<std::string> texts_;  // why a stream belongs to its scope
  IdTable<std::unique_ptr<Stream>> streams_;
  absl::flat_hash_map<const void*, size_t> by_connection_;  // streams, by rpc::Peer::connection_key()
  absl::flat_hash_map<std::string, size_t> by_client_;
  std::shared_ptr<const Authorization> authorization_;
  // A scope that streams belong to, and what it was when they were last told of it.
  struct Scope {
    std::vector<StreamId> streams;  // ascending
    push::Interest interest;  // in assignments
    snapshot::SnapshotPtr told;
  };
  using Scopes = std::map<std::string, Scope, std::less<>>;
  Scopes scopes_;
  std::set<std::pair<MonotonicTime, StreamId>> deadlines_;
  StreamId next_stream_ = 1;
  uint64_t state_epoch_ = 0;
  std::set<std::string> conflicts_;  // of the catalog, as of the last change
  uint64_t membership_ = 0;  // of the catalog, when every stream's node was last looked at
  bool sources_incomplete_ = false;
  bool incomplete_ = false;  // these, or a conflict
  bool ready_ = false;
  bool leaving_ = false;
};

}  // namespace fairlead::serve
