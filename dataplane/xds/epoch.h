// The gate between what the control plane has said and what the workers serve. Inputs: accepted models and elapsed time;
// output: config::Snapshot. Pure: the time is told, nothing is sent. Main thread.
//
// Rules ("one epoch"):
//  * a cluster is warm when its endpoints are known (static: at once; EDS, DNS: when they came) or its time is up; a changed cluster
//    serves in its old form until the new one is warm;
//  * a cluster with health checks is warm when, besides, each of its hosts has had a first result, however long that takes;
//  * a route table goes live when every cluster it names is warm, or unknown for `fetch_timeout`, counted for each name from the first of the
//    tables that waited for it in turn; a name that the live table of the same name already lacks does not hold it up. The old table serves meanwhile;
//  * a removed cluster stays until no live route table and no live listener names it;
//  * a listener goes live when its route table is live or its time is up; the old one serves meanwhile; inline tables count as route tables;
//  * a listener waits, besides, for an answer for each of its discovered filters (but those that may start with their default), or its time; one
//    subscription serves all filters of a name and source, and what comes for it goes live at once, with the next snapshot;
//  * a cluster and a listener wait, besides, for an answer for each of the secrets of their TLS, or its time; where the old form has all of its
//    own, for the secret itself, however long that takes: of a listener, chain by chain (the same: by name, or without one by place);
//  * a table that no listener names any more goes one snapshot later than the listener: connections that drain keep what it said;
//  * what becomes ready together is one snapshot.
// Invariant: no snapshot has a live table that names a cold or absent cluster which an earlier snapshot served.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/config/snapshot.h"

namespace fairlead::xds {

class Epoch {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::milliseconds;
  struct Options {
    // Nothing more can come than what is set before the first commit: an unknown cluster holds nothing up.
    bool clusters_may_come = true;
    Duration fetch_timeout{15'000};  // Envoy 1.40: 15 s, ConfigSource.initial_fetch_timeout
    std::shared_ptr<const matching::Runtime> runtime;
    // Endpoints or a route table that nobody names any more were let go.
    std::function<void(const std::string& service_name)> endpoints_dropped;
    std::function<void(const std::string& name)> table_dropped;
    // What to serve of the endpoints that a cluster with health checks has now; null: those.
    std::function<std::shared_ptr<const config::EndpointSet>(const config::ClusterConfig&, const std::shared_ptr<const config::EndpointSet>&)> with_leaving = {};
    // No filter names it any more.
    std::function<void(const std::string& name)> extension_dropped = {};
    // No TLS of a listener or cluster names it any more; by SecretRef::key.
    std::function<void(const std::string& key)> secret_dropped = {};
    // Fills Snapshot::filters of each snapshot before it is published.
    std::function<void(config::Snapshot&)> make_filters = {};
  };
  explicit Epoch(Options options);

  void set_cluster(std::shared_ptr<const config::ClusterConfig> cluster, Time now);
  void remove_cluster(std::string_view name);
  // Of EDS clusters, by service name. Kept until no cluster wants it any more; a name nobody wanted yet is kept for who will, `fetch_timeout` long.
  void set_eds(std::string_view service_name, std::shared_ptr<const config::EndpointSet> endpoints);
  // What the names of a DNS cluster resolved to; belongs to exactly these names, not to a later form of the cluster.
  void set_dns(const config::ClusterConfig& cluster, std::shared_ptr<const config::EndpointSet> endpoints);
  // The server had no (valid) answer: the wait is over, as if the time were up.
  void give_up_eds(std::string_view service_name);

  // Clusters that wait for the first round of health checks, with the endpoints to check; checks_done() tells of its end.
  std::vector<config::ClusterEntry> awaiting_checks() const;
  void checks_done(const config::ClusterConfig& cluster);
  // Options::with_leaving has another answer.
  void leaving_changed() { changed_ = any_may_differ_ = true; }
  // Of all snapshots from the next on.
  void set_runtime(std::shared_ptr<const matching::Runtime> runtime) {
    options_.runtime = std::move(runtime);
    changed_ = true;
  }

  void set_listener(std::shared_ptr<const config::ListenerConfig> listener, Time now);
  void remove_listener(std::string_view name);
  bool set_route_table(std::shared_ptr<const router::RouteTable> table, Time now);  // false: it is what came last
  void give_up_route_table(std::string_view name);

  // Discovered filters of listeners, live or warming, by the key of their subscription.
  using Discoveries = std::map<std::string, std::vector<const config::FilterDiscovery*>, std::less<>>;
  Discoveries discoveries(std::string_view name) const;
  // False when the subscription has that configuration already.
  bool set_extension(std::string_view key, std::shared_ptr<const config::ExtensionConfig> extension);
  // Back to defaults, for all subscriptions of that name; how many there were.
  size_t remove_extension(std::string_view name);
  // No listener waits any longer for that filter configuration; without a name for any: Envoy 1.40 does so when it refuses an update.
  void give_up_extension(std::string_view name = {});

  // Some TLS context, live or warming, takes it; by SecretRef::key.
  bool wants_secret(std::string_view key) const { return secrets_.contains(key); }
  // There is an answer, or none will come: nobody waits for it any longer. By key, or for all of that name.
  void secret_answered(std::string_view key);
  void give_up_secret(std::string_view name);

  // Moves everything that is ready. A new snapshot, or null when nothing changed since the last.
  std::shared_ptr<const config::Snapshot> commit(Time now);
  // When commit() may have more to do without new input; nothing when it waits for nobody.
  std::optional<Time> next_deadline() const;

  // What has to be subscribed to: by EDS clusters, by RDS listeners and by discovered filters, those still warming included.
  struct Wanted {
    std::map<std::string, config::ConfigSource, std::less<>> eds, rds;
    std::map<std::string, std::string, std::less<>> rds_users;                // stat_prefix of a connection manager that names the table
    std::vector<std::pair<std::string, config::ConfigSource>> extensions;
    std::vector<config::SecretRef> secrets;
  };
  Wanted wanted() const;
  uint64_t wanted_generation() const { return wanted_generation_; }  // another number when wanted() may have changed

  // For /init_dump, /config_dump and logs.
  struct Waiting { std::string kind, name, reason; };  // {"cluster","a","endpoints of 'svc'"}
  std::vector<Waiting> waiting() const;
  bool clusters_settled() const;   // no cluster is warming
  bool listeners_settled() const;  // no listener is waiting
  size_t warming_clusters() const;
  size_t warming_listeners() const;
  bool knows_cluster(std::string_view name) const;  // live or warming
  bool cluster_warming(std::string_view name) const;
  bool listener_warming(std::string_view name) const;
  const std::shared_ptr<const config::Snapshot>& current() const { return current_; }

 private:
  struct Candidate { std::shared_ptr<const config::ClusterConfig> config; Time deadline; bool checked = false; };
  struct ClusterState {
    std::shared_ptr<const config::ClusterConfig> live;
    std::optional<Candidate> next;
    bool removed = false;
  };
  struct Endpoints {
    std::shared_ptr<const config::EndpointSet> set;
    bool given_up = false;
    bool used = false;      // some cluster has named it
    std::optional<Time> unasked_until;
  };
  // Clusters that are named and unknown, and until when each is waited for.
  using Lacking = std::map<std::string, Time, std::less<>>;
  struct TableState {
    std::shared_ptr<const router::RouteTable> live, next;
    Lacking lacking;        // of `next`
    bool given_up = false;
    bool used = false;      // some listener has named it
    bool leaving = false;   // none does now: goes with the next commit
    std::optional<Time> unasked_until;
  };
  struct ListenerState {
    std::shared_ptr<const config::ListenerConfig> live, next;
    Time next_deadline{};   // for its route table to arrive
    Lacking lacking;        // of the inline tables of `next`
  };

  struct ExtensionState {
    std::string name;
    std::shared_ptr<const config::ExtensionConfig> live;
    Time deadline{};
    bool answered = false;  // or refused, or too late: nobody waits for it
  };

  struct SecretState {
    std::string name;
    config::ConfigSource source;
    Time deadline{};
    bool answered = false;
    bool there = false;     // some version of it has come
  };

  const Endpoints* endpoints_of(const config::ClusterConfig& cluster) const;
  bool warm(const config::ClusterConfig& cluster) const;
  std::shared_ptr<const config::EndpointSet> endpoint_set(const config::ClusterConfig& cluster) const;  // null: none known
  bool to_be_checked(const Candidate& candidate) const;
  void keep_waiting_for(const std::vector<std::string>& clusters, Lacking& lacking, Time now) const;
  bool gate_open(const std::vector<std::string>& clusters, const std::vector<std::string>* already, Lacking& lacking, Time now) const;
  bool promote_clusters(Time now);
  bool promote_tables(Time now);
  bool promote_listeners(Time now);
  bool listener_ready(ListenerState& state, Time now) const;
  const config::FilterDiscovery* awaited_filter(const config::ListenerConfig& listener) const;
  void end_extension_waits(Time now);
  void want_secrets(const std::vector<config::SecretRef>& secrets, Time now);
  const config::SecretRef* awaited_secret(const config::ClusterConfig& next, const config::ClusterConfig* live) const;
  const config::SecretRef* awaited_secret(const ListenerState& state) const;
  enum class Lack : uint8_t { answer, secret };
  const config::SecretRef* first_lacking(const std::vector<config::SecretRef>& secrets, Lack what) const;
  const config::SecretRef* first_lacking(const config::ClusterConfig& cluster, Lack what) const;
  template <class Visit>
  void each_secret(const Visit& visit) const;
  void drop_unused_secrets();
  void drop_unused_extensions();
  template <class State>
  bool keep_unnamed(State& state, Time now) const;
  bool drop_unused_tables(Time now);
  bool drop_removed_clusters();
  void drop_unused_endpoints(Time now);
  void wish_changed(const config::ClusterConfig* form);
  void touch_users_of_services();
  config::ClusterEntry entry_of(const ClusterState& state) const;
  std::shared_ptr<const config::Snapshot> build();

  Options options_;
  bool changed_ = true;   // endpoints or removals since the last snapshot
  bool tables_leave_ = false;
  Time last_commit_{};
  uint64_t next_epoch_ = 1;
  uint64_t wanted_generation_ = 1;
  std::map<std::string, ClusterState, std::less<>> clusters_;
  // So that a change among ten thousand clusters looks at few of them.
  std::set<std::string, std::less<>> warming_;           // those with a `next`
  std::set<std::string, std::less<>> removed_;           // those that are marked so
  std::set<std::string, std::less<>> touched_;           // live form or endpoints differ from the last snapshot's
  std::set<std::string, std::less<>> touched_services_;  // of EDS; whose clusters are touched
  bool any_may_differ_ = true;
  bool endpoints_may_be_unused_ = true;
  std::map<std::string, Endpoints, std::less<>> eds_, dns_;
  std::map<std::string, TableState, std::less<>> tables_;
  std::map<std::string, ListenerState, std::less<>> listeners_;
  std::map<std::string, ExtensionState, std::less<>> extensions_;  // by FilterDiscovery::key
  std::map<std::string, SecretState, std::less<>> secrets_;        // by SecretRef::key
  bool secrets_may_be_unused_ = false;
  std::shared_ptr<const config::Snapshot> current_;
};

}  // namespace fairlead::xds
