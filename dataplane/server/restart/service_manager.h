// systemd's two protocols: sockets that it has opened for this process (LISTEN_FDS), and what it wants to be told (NOTIFY_SOCKET, WATCHDOG_USEC).
// Works with whatever speaks them. Main thread; the environment is read and cleared at the start, before any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/server/restart/predecessor.h"

namespace fairlead::server::restart {

// The sockets of LISTEN_FDS, those of one address together; close-on-exec from here on. Descriptors that are no bound sockets are left alone and
// named in `warnings`. Nothing when LISTEN_PID is another process.
std::vector<HandedSockets> passed_sockets(std::vector<std::string>& warnings, int first = 3);

class ServiceManager {
 public:
  ServiceManager() = default;                  // nobody to tell
  static ServiceManager from_environment();    // of this process and those it starts: the variables stay
  explicit ServiceManager(std::string socket) : socket_(std::move(socket)) {}

  bool present() const { return !socket_.empty(); }
  // Lines such as READY=1. Best effort: a service manager that does not listen is none.
  void tell(std::string_view lines) const;
  void ready(std::string_view status) const;
  void reloading() const;                      // with the time that Type=notify-reload compares
  void stopping() const;
  // Half of what WATCHDOG_USEC allows; none: nobody waits for signs of life.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

 private:
  std::string socket_;
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace fairlead::server::restart
