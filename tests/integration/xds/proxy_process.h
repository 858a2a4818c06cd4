// fairlead-proxy as a process: started with a bootstrap text, asked through its admin, ended by signals. Every wait is bounded (10 s) and then throws.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/integration/support/raw_socket.h"

namespace fairlead::testing {

class ProxyProcess {
 public:
  // Writes `bootstrap` to a file and starts the binary on it, with an admin on a port of the kernel's choice. `waits` for the admin.
  explicit ProxyProcess(const std::string& bootstrap, const std::vector<std::string>& arguments = {}, bool wait_for_admin = true);
  ~ProxyProcess();

  RawResponse admin(const std::string& path, const std::string& method = "GET") const;
  void wait_for_state(const std::string& state);                        // "LIVE" at /ready
  void wait_for_stat(const std::string& name, const std::string& value);
  std::string stat(const std::string& name) const;                      // "" when there is none
  uint16_t port(const std::string& listener) const;                     // from /listeners; waits until it is there
  RawResponse get(const std::string& listener, const std::string& path) const;
  std::string body(const std::string& listener, const std::string& path) const { return get(listener, path).body; }
  void wait_for_body(const std::string& listener, const std::string& path, const std::string& body) const;

  void signal(int number);
  int wait_exit();          // exit code; -1 for a signal
  bool running();
  pid_t pid() const { return pid_; }
  double cpu_seconds() const;  // that it has used so far, all threads together
  double allocated() const;    // bytes; the sanitizers' allocators do not say
  size_t descriptors() const;  // that it has open, but for connections to its admin, which it waits for to close
  std::string log() const;  // what it has written to standard error so far
  const std::string& directory() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
  pid_t pid_ = -1;
  int exit_code_ = 0;
  mutable uint16_t admin_port_ = 0;
};

// Runs the binary to its end: exit code and everything it printed.
struct Ran {
  int code = 0;
  std::string output;
};
Ran run_proxy(const std::vector<std::string>& arguments);

}  // namespace fairlead::testing
