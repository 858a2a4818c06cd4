// Main thread's half of listeners: binds addresses when a configuration is judged (so that a port in use refuses it), keeps sockets across updates,
// builds what serves their filter chains, and tells the workers what to serve once the epoch gate lets a listener go live. A form that differs in
// its chains alone takes over those that are the same.
// A listener that leaves gives its sockets to one that comes to the same address, in the same response or before the workers have let go of them:
// no connection is refused between the two. Sockets that nobody takes are closed here, on the main thread, so that their address is free
// when it is bound next; connections that drain hold none.
// Main thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/server/discovered_filters.h"
#include "dataplane/server/worker_listeners.h"

namespace fairlead::server {

class ListenerSet {
 public:
  struct Options {
    stats::Registry* stats = nullptr;
    accesslog::LogFiles* logs = nullptr;
    uint32_t workers = 1;
    bool gradual_drain = true;                  // of chains that are replaced in place
    std::string service_cluster, service_node;  // of the bootstrap's node
    // Brings a listener to, or takes it from, every worker. `released`: to be called on the main thread once no worker uses what it replaced.
    std::function<void(std::shared_ptr<const ServingListener>, std::function<void()> released)> serve;
    std::function<void(const std::string& name, std::function<void()> released)> withdraw;
    std::function<void(const std::string& name)> filter_conflict = {};  // DiscoveredFilters' constructor
    // Sockets that somebody else has bound to that address already and gives to this process. None: bind.
    std::function<std::optional<net::ListenSocket>(const std::string& listener, const config::Address& configured, const net::Address& address,
                                                   const net::ListenSocket::Options& how)> inherited = {};
  };
  explicit ListenerSet(Options options);
  ~ListenerSet();

  // Binds what is new and builds the filter chains. Errors: an address in use, a duplicate address, an access log that cannot be opened, what
  // filters have to say. Nothing changes for what is served now.
  absl::Status prepare(const std::shared_ptr<const config::ListenerConfig>& listener);
  // The listeners of a new snapshot: serves what is new or changed, withdraws what has gone. Errors of listen() are logged and returned.
  absl::Status apply(const config::Snapshot& snapshot);
  // The discovered filters of all connection managers, those about to be replaced by apply() included.
  void make_filters(config::Snapshot& snapshot);
  // The listener has left the configuration altogether: forget what prepare() kept for it; its address may be taken from now on.
  void forget(const std::string& name);
  // Closes its sockets for good: a later form of the listener under the same address gets none either (Envoy 1.40: likewise).
  void stop(const std::string& name);

  // Sockets for a process that takes over: those of that address, as configured or as bound. With port 0, of that listener. Null: none.
  std::shared_ptr<const net::ListenSocket> socket_of(const std::string& listener, const std::string& address, bool udp) const;
  // Every worker has let go of them. What comes from now on gets no sockets.
  void give_up_sockets();
  // Taken-over ones are this process's alone; those for which `keep` holds are still somebody else's.
  void own_paths(const std::function<bool(const net::Address&)>& keep);

  struct Row { std::string name; std::vector<net::Address> addresses; bool inbound; };
  std::vector<Row> rows() const;  // what is served, by name
  size_t serving() const { return serving_.size(); }
  uint64_t updated_in_place() const { return updated_in_place_; }
  size_t draining_chains();  // those replaced or removed in place that still have connections

 private:
  using Sockets = std::vector<std::shared_ptr<net::ListenSocket>>;
  struct Prepared {
    std::shared_ptr<const config::ListenerConfig> config;
    std::shared_ptr<ServingListener> listener;
  };
  absl::StatusOr<Sockets> sockets_for(const config::ListenerConfig& listener);
  const Sockets* kept_sockets(const config::ListenerConfig& listener) const;
  absl::Status check_duplicate(const config::ListenerConfig& listener) const;
  std::function<void()> retire(Prepared old);
  std::shared_ptr<ConnectionCount> count_of(const std::string& name) const;
  std::shared_ptr<ConnectionBalance> balance_of(const std::string& name) const;
  absl::Status make_filters_of(ServingListener& serving) const;
  absl::Status make_chains(ServingListener& serving, const std::string& address) const;
  absl::StatusOr<std::shared_ptr<const ServingChain>> make_chain(const ServingListener& serving, std::shared_ptr<const config::FilterChain> chain, const std::string& address) const;
  std::shared_ptr<const ServingChain> unchanged(const config::ListenerConfig& listener, size_t number) const;
  void note_in_place(const ServingListener& before, const ServingListener& after);

  Options options_;
  DiscoveredFilters filters_;
  std::map<std::string, Prepared> prepared_;  // judged good, not live yet: the newest form of each
  std::map<std::string, Prepared> serving_;
  std::set<std::string, std::less<>> leaving_;  // serving, but no longer configured: apply() withdraws them
  std::map<uint64_t, Prepared> retired_;        // withdrawn or replaced; some worker may still hold its sockets
  uint64_t next_retired_ = 0;
  uint64_t updated_in_place_ = 0;
  bool given_up_ = false;
  std::vector<std::weak_ptr<const ServingChain>> left_chains_;  // in place; alive while connections are
};

}  // namespace fairlead::server
