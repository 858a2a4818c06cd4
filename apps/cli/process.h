// A program that we run and that ends with us, whatever ends us: its owner, an error, a signal, the kernel. One thread starts all of them (the kernel
// ends them with that thread); each is used by one thread at a time.
// From start() until it is destroyed its process id is nobody else's: only there is it taken off the kernel.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace fairlead::cli {

class Process {
 public:
  // kShared: it is in our process group, reads our terminal, and what it says there while it waits is passed on, so that it can ask for a password.
  // kNone: it reads nothing, and is ended with all that it has started itself.
  enum class Terminal { kNone, kShared };
  // NotFound: there is no such program on the PATH.
  static absl::StatusOr<std::unique_ptr<Process>> start(const std::vector<std::string>& words, Terminal terminal);
  ~Process();

  // Reads what it writes until `enough`, or it has ended, or the time is over.
  void read(std::chrono::milliseconds time, const std::function<bool()>& enough);
  void end();  // by force
  bool ended() const { return ended_; }
  bool succeeded() const { return ended_ && how_.empty(); }
  const std::string& how() const { return how_; }  // "exit 1", "signal 9"; empty: not yet, or well
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }  // but what was passed on

 private:
  Process() = default;
  void take();
  void pass_on();

  pid_t pid_ = 0;
  bool group_ = false;
  size_t slot_ = 0;  // of the list of those that a signal ends
  int out_fd_ = -1, err_fd_ = -1;
  bool ended_ = false;
  std::string how_, out_, err_;
  std::chrono::steady_clock::time_point said_at_{};  // when err_ last grew
};

}  // namespace fairlead::cli
