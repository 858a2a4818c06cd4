// The life of the process among those before and after it: takes over from the one before (restart/predecessor.h), lets the next one take over
// (restart/succession.h), passes statistics on, and tells the service manager how it stands (restart/service_manager.h).
// Owned by the server; main thread.
//   start: the process before is found and greeted → its sockets are asked for while configuration is read → this one accepts → the one before
//          stops accepting and says what it has counted → the admin address moves → the one before drains
//   A process before that dies on the way changes nothing but that there is nobody to take over from; one that refuses ends this process.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/config/address.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/timer.h"
#include "dataplane/server/restart/draining_processes.h"
#include "dataplane/server/restart/predecessor.h"
#include "dataplane/server/restart/service_manager.h"
#include "dataplane/server/restart/succession.h"

namespace fairlead::server {

class Server;

class Handover {
 public:
  explicit Handover(Server& server);
  ~Handover();

  // Before anything is bound. Errors: there should be a process before and is not, it refuses, the base id is taken.
  absl::Status start();
  // What the process before or the service manager has bound there.
  std::optional<net::ListenSocket> inherited(const std::string& listener, const config::Address& configured, const net::Address& address,
                                             const net::ListenSocket::Options& how);
  // The process before has, or had, the admin address until it has stepped back; where it is bound. None: nobody has.
  std::optional<net::Address> admin_address_waits(const config::Address& configured) const;

  void served();     // all that was configured at the start is served
  void restart();    // start the next process from the file that this one was started from
  void stopping();   // the end has been asked for
  void goodbye();    // the last moment

  uint32_t base_id() const { return base_id_; }
  uint32_t epoch() const { return epoch_; }
  uint32_t generation() const { return generation_; }
  bool taking_over() const { return predecessor_ != nullptr; }
  bool handed_over() const { return succession_.handed_over(); }
  std::string version() const;                       // of the protocol, or "disabled"
  std::chrono::seconds uptime_of_all() const;
  uint64_t others_connections() const { return draining_.connections(); }
  uint64_t others_memory() const { return draining_.memory(); }

 private:
  restart::Succession::Host host();
  restart::Welcome welcome() const;
  std::optional<std::string> objection() const;
  std::optional<restart::Succession::Answer> socket_for(const restart::SocketsWanted& wanted);
  std::vector<restart::Succession::Sessions> udp_sessions();
  absl::Status find_predecessor();
  absl::Status wait_for_successors();
  void taken(restart::Predecessor::Takeover takeover);
  void lost(const absl::Status& status);
  void alone();
  void open_admin(int tries);
  void successor_failed(const absl::Status& status);
  void handed_over_to(const restart::Hello& hello);
  void reap();
  void watchdog_tick();

  Server& server_;
  restart::ServiceManager manager_;
  std::vector<restart::HandedSockets> passed_;       // the service manager's; kept, for a listener may come back
  std::unique_ptr<restart::Predecessor> predecessor_;
  restart::DrainingProcesses draining_;
  restart::Succession succession_;
  net::Timer watchdog_timer_;
  std::unique_ptr<net::Timer> admin_timer_;
  std::optional<net::Address> admin_address_;        // of a process before that has died
  std::set<pid_t> children_;
  std::set<std::string> asked_for_, udp_asked_for_;  // addresses, by the successor
  std::chrono::system_clock::time_point first_start_;
  uint32_t base_id_, epoch_, generation_ = 0;
  bool launched_ = false;                            // by the process before
  bool follows_signals_ = false;                     // of children
};

}  // namespace fairlead::server
