#include "apps/cli/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::cli {

namespace {

constexpr size_t kMostPrograms = 64;             // programs at a time: replicas of a control plane are few
constexpr size_t kMostBytes = size_t{64} << 20;  // of what one writes; what comes after is dropped
constexpr std::chrono::milliseconds kTick{20};   // an end without a word wakes nobody
constexpr std::chrono::milliseconds kAsks{500};  // who has said something and goes on for so long may be waiting for an answer

// What a signal that ends us ends first: ids of processes, negative ones of groups; 0 is free.
std::array<std::atomic<pid_t>, kMostPrograms> running;

void end_all(int number) {
  for (const std::atomic<pid_t>& id : running) {
    if (const pid_t p = id.load()) kill(p, SIGKILL);  // it has nothing to save, and must not decide to stay
  }
  raise(number);  // by SA_RESETHAND it has its usual effect, once this returns
}

void watch_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;  // ignored: nohup
    action.sa_handler = end_all;
    action.sa_flags = SA_RESETHAND;
    sigaction(number, &action, nullptr);
  }
}

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) == 0) read = fds[0], write = fds[1];
  }
  ~Pipe() {
    close_write();
    if (read >= 0) close(read);
  }
  void close_write() {
    if (write >= 0) close(write);
    write = -1;
  }
  int keep_read() { return std::exchange(read, -1); }
};

// In the new process, after fork: nothing but system calls. All signals are blocked.
[[noreturn]] void become(char** words, pid_t parent, bool group, const sigset_t& signals, const Pipe& out, const Pipe& err, const Pipe& failed) {
  if (group) setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == end_all) signal(number, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if ((!group || dup2(nothing, STDIN_FILENO) >= 0) && dup2(out.write, STDOUT_FILENO) >= 0 && dup2(err.write, STDERR_FILENO) >= 0) execvp(words[0], words);
  const int reason = errno;
  [[maybe_unused]] const ssize_t told = write(failed.write, &reason, sizeof reason);
  _exit(127);
}

// What is there, at once. False: there will be no more.
bool drain(int fd, std::string& to) {
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n > 0) {
      to.append(buffer, std::min(static_cast<size_t>(n), kMostBytes - std::min(kMostBytes, to.size())));
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::start(const std::vector<std::string>& words, Terminal terminal) {
  std::vector<std::string> copies = words;
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  Pipe out, err, failed;
  if (out.read < 0 || err.read < 0 || failed.read < 0) return absl::ResourceExhaustedError(absl::StrCat("no pipe for ", words[0], ": ", strerror(errno)));
  watch_signals();
  const auto slot = std::find_if(running.begin(), running.end(), [](const auto& id) { return id.load() == 0; });
  if (slot == running.end()) return absl::ResourceExhaustedError(absl::StrCat("more than ", kMostPrograms, " programs at a time"));
  std::unique_ptr<Process> p(new Process);
  p->group_ = terminal == Terminal::kNone;
  const pid_t self = getpid();
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);  // no signal comes between its start and its place on the list
  const pid_t pid = fork();
  if (pid == 0) become(arguments.data(), self, p->group_, before, out, err, failed);
  const int fork_error = errno;
  if (pid > 0) {
    if (p->group_) setpgid(pid, pid);  // by whoever comes first
    slot->store(p->group_ ? -pid : pid);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return absl::ResourceExhaustedError(absl::StrCat("cannot start ", words[0], ": ", strerror(fork_error)));
  p->pid_ = pid;
  p->slot_ = static_cast<size_t>(slot - running.begin());
  for (Pipe* pipe : {&out, &err, &failed}) pipe->close_write();
  int reason = 0;
  ssize_t told;
  while ((told = ::read(failed.read, &reason, sizeof reason)) < 0 && errno == EINTR) {
  }
  if (told == sizeof reason) {
    if (reason == ENOENT) return absl::NotFoundError(absl::StrCat(words[0], " is not on the PATH"));
    return absl::UnavailableError(absl::StrCat("cannot run ", words[0], ": ", strerror(reason)));
  }
  p->out_fd_ = out.keep_read();
  p->err_fd_ = err.keep_read();
  for (const int fd : {p->out_fd_, p->err_fd_}) fcntl(fd, F_SETFL, O_NONBLOCK);
  return p;
}

Process::~Process() {
  if (pid_ == 0) return;
  end();
  running[slot_].store(0);  // before its id may be another's
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  for (const int fd : {out_fd_, err_fd_}) {
    if (fd >= 0) close(fd);
  }
}

void Process::end() { kill(group_ ? -pid_ : pid_, SIGKILL); }

void Process::take() {
  siginfo_t info{};
  // before the last of what it wrote is read; it stays with the kernel, and its id with it
  const bool over = !ended_ && waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
  const size_t said = err_.size();
  for (auto [fd, to] : {std::pair(&out_fd_, &out_), std::pair(&err_fd_, &err_)}) {
    if (*fd >= 0 && !drain(*fd, *to)) {
      close(*fd);
      *fd = -1;
    }
  }
  if (err_.size() != said) said_at_ = std::chrono::steady_clock::now();
  if (!over) return;
  ended_ = true;
  if (info.si_code != CLD_EXITED) {
    how_ = absl::StrCat("signal ", info.si_status);
  } else if (info.si_status != 0) {
    how_ = absl::StrCat("exit ", info.si_status);
  }
}

// What it said and then waited; the rest is told when it has ended.
void Process::pass_on() {
  if (group_ || ended_ || err_.empty() || std::chrono::steady_clock::now() - said_at_ < kAsks) return;
  std::cerr << err_ << std::flush;
  err_.clear();
}

void Process::read(std::chrono::milliseconds time, const std::function<bool()>& enough) {
  const auto until = std::chrono::steady_clock::now() + time;
  for (;;) {
    take();
    pass_on();
    if (ended_ || enough()) return;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd fds[] = {{out_fd_, POLLIN, 0}, {err_fd_, POLLIN, 0}};  // negative ones are left out
    poll(fds, 2, static_cast<int>(std::min(left, kTick).count()));
  }
}

}  // namespace fairlead::cli
