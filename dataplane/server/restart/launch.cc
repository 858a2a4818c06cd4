// posix_spawn() rather than fork(): this process has threads.
#include "dataplane/server/restart/launch.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

extern char** environ;

namespace fairlead::server::restart {
namespace {

constexpr char kVariable[] = "FAIRLEAD_PREDECESSOR_FD";
constexpr int kDescriptor = 3;

std::string absolute(const std::string& path) {
  char here[PATH_MAX];
  if (absl::StartsWith(path, "/") || getcwd(here, sizeof here) == nullptr) return path;
  return absl::StrCat(here, "/", path);
}

std::string own_file() {
  char file[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", file, sizeof file);
  return n > 0 ? std::string(file, static_cast<size_t>(n)) : "";
}

// Without what belongs to this process alone.
std::vector<std::string> environment() {
  std::vector<std::string> out = {absl::StrCat(kVariable, "=", kDescriptor)};
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view name = std::string_view(*e).substr(0, std::strcspn(*e, "="));
    if (name != kVariable && name != "WATCHDOG_PID" && name != "LISTEN_PID" && name != "LISTEN_FDS" && name != "LISTEN_FDNAMES") out.emplace_back(*e);
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& t : texts) out.push_back(t.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

CommandLine CommandLine::of(int argc, char** argv) {
  CommandLine out;
  for (int i = 1; i < argc; ++i) out.arguments.emplace_back(argv[i]);
  const std::string name = argc > 0 ? argv[0] : "";
  if (absl::StrContains(name, '/')) {
    out.program = absolute(name);
  } else if (const char* path = getenv("PATH"); path != nullptr && !name.empty()) {
    for (const std::string_view folder : absl::StrSplit(path, ':')) {
      const std::string file = absolute(absl::StrCat(folder.empty() ? "." : folder, "/", name));
      if (access(file.c_str(), X_OK) != 0) continue;
      out.program = file;
      break;
    }
  }
  if (out.program.empty() || access(out.program.c_str(), X_OK) != 0) out.program = own_file();  // argv[0] may be any text
  return out;
}

absl::StatusOr<Launched> launch(const CommandLine& command) {
  FL_ASSIGN_OR_RETURN(auto ends, Channel::pair());
  std::vector<std::string> arguments = {command.program};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> variables = environment();
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  // onto itself is fine: the copy is not closed at exec
  posix_spawn_file_actions_adddup2(&files, ends.second.fd(), kDescriptor);
  posix_spawn_file_actions_addclosefrom_np(&files, kDescriptor + 1);
  posix_spawnattr_t how;
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
  Launched out;
  const int error = posix_spawn(&out.pid, command.program.c_str(), &files, &how, pointers(arguments).data(), pointers(variables).data());
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("hot restart: cannot start '", command.program, "'"));
  out.channel = std::move(ends.first);
  return out;
}

std::optional<Channel> launched_by() {
  const char* text = getenv(kVariable);
  if (text == nullptr) return std::nullopt;
  int fd = -1;
  const bool number = absl::SimpleAtoi(text, &fd);
  unsetenv(kVariable);
  int type = 0;
  socklen_t size = sizeof type;
  if (!number || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) return std::nullopt;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return Channel(Descriptor(fd));
}

}  // namespace fairlead::server::restart
