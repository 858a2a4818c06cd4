// The listeners of one worker: accepts connections, lets listener filters look at them, and hands them to the filter chain that is theirs; what was
// replaced or removed drains.
// Every call on the worker's thread. Owned by the server, outlived by the worker's context and by the sockets.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/net/listener.h"
#include "dataplane/server/serving_listener.h"
#include "dataplane/stream/chain_connections.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::server {

// Sessions of one UDP socket on their way from one process to the next.
struct UdpSessions {
  uint64_t socket = 0;  // net::socket_cookie()
  std::vector<stream::HandedSession> sessions;
};

class WorkerListeners {
 public:
  // `global` null: connections of all listeners together are neither counted nor limited.
  explicit WorkerListeners(stream::WorkerContext& worker, uint32_t socket_index, GlobalConnections* global = nullptr);
  ~WorkerListeners();

  // Adds the listener, or replaces it: same sockets go on accepting. Connections of chains that both forms share stay as they are, all others
  // drain: gradually where the forms differ in their chains alone, else at once.
  void set(std::shared_ptr<const ServingListener> listener, std::chrono::milliseconds drain_time);
  // Stops accepting at once; connections drain.
  void remove(const std::string& name, std::chrono::milliseconds drain_time);
  // Goes on accepting. Every response is its connection's last; with a time by chance, ever more likely until it has passed.
  void drain(const std::string& name, std::chrono::milliseconds gradually = std::chrono::milliseconds(0));
  void drain_all();                            // every response is its connection's last
  void drain_all_gradually(std::chrono::milliseconds time);  // as likely as the part of `time` that has passed
  void step_back(bool back);                   // another process accepts in this one's place; false: no longer, and datagrams are read again
  // UDP sockets of these addresses: nothing of them is read from here on. Their sessions, for the process that goes on with them.
  std::vector<UdpSessions> hand_over(const std::set<std::string>& addresses);
  // UDP sockets wait for what the process before says of their sessions, until take().
  void await_sessions();
  // Of all of that process's sessions, those of this worker's sockets; the others are left. Sockets that wait are read from here on.
  void take(std::vector<UdpSessions>& sessions);
  void leave_sockets();                        // for good: they may be closed now
  void close_idle();
  void close_all();
  void overload_changed(const stream::OverloadState& before);  // the worker's own is the new one
  size_t connections() const;                  // live and draining, and sockets that listener filters look at
  void clusters_changed();                     // the worker's clusters follow another snapshot
  void refresh_gauges();                       // before a scrape: downstream_cx_active and _destroy
 private:
  struct Accepting;
  struct Active;
  struct Draining;
  void start_drain(const ServingListener& listener, std::shared_ptr<const ServingChain> chain, std::unique_ptr<stream::ChainConnections> connections,
                   std::chrono::milliseconds drain_time, bool gradual);
  void forget_addresses(const ServingListener& listener, const Active& owner);
  void set_datagrams(Active& active);
  Active* redirected_to(const net::Address& address, const Active& from);

  stream::WorkerContext& worker_;
  const uint32_t socket_index_;
  GlobalConnections* const global_;
  net::TimePoint next_warning_{};  // that descriptors run out
  bool stepped_back_ = false;
  bool datagrams_wait_ = false;    // of new UDP filters; another process reads, or is about to
  std::map<std::string, std::unique_ptr<Active>> active_;
  absl::flat_hash_map<net::Address, Active*> by_address_;
  std::list<Draining> draining_;
  std::string peek_buffer_;  // of all sockets under listener filters
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace fairlead::server
