// LISTEN_FDS and sd_notify without a library: both are a few lines.
#include "dataplane/server/restart/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "dataplane/net/address.h"

namespace fairlead::server::restart {
namespace {

uint64_t number_of(const char* variable) {
  const char* text = getenv(variable);
  uint64_t n = 0;
  return text != nullptr && absl::SimpleAtoi(text, &n) ? n : 0;
}

}  // namespace

std::vector<HandedSockets> passed_sockets(std::vector<std::string>& warnings, int first) {
  std::vector<HandedSockets> out;
  const uint64_t count = std::min<uint64_t>(number_of("LISTEN_FDS"), 1024);
  const bool ours = number_of("LISTEN_PID") == static_cast<uint64_t>(getpid());
  for (const char* variable : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) unsetenv(variable);
  if (!ours) return out;
  for (int fd = first; fd < first + static_cast<int>(count); ++fd) {
    int type = 0;
    socklen_t size = sizeof type;
    const bool is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    const auto address = net::Address::local_of(fd);
    if (!is_socket || (type != SOCK_STREAM && type != SOCK_DGRAM) || !address.ok() || address->kind() == net::Address::Kind::None) {
      warnings.push_back(absl::StrCat("LISTEN_FDS: descriptor ", fd, " is no bound stream or datagram socket: ignored"));
      continue;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    const SocketType kind = type == SOCK_DGRAM ? SocketType::datagram : SocketType::stream;
    const std::string text = address->to_string();
    auto same = std::find_if(out.begin(), out.end(), [&](const HandedSockets& s) { return s.type == kind && s.address == text; });
    if (same == out.end()) same = out.insert(out.end(), HandedSockets{kind, text, {}});
    same->descriptors.emplace_back(fd);
  }
  return out;
}

ServiceManager ServiceManager::from_environment() {
  const char* socket = getenv("NOTIFY_SOCKET");
  if (socket == nullptr || (socket[0] != '/' && socket[0] != '@')) return {};
  ServiceManager out{std::string(socket)};
  const char* pid = getenv("WATCHDOG_PID");
  if (const uint64_t limit = number_of("WATCHDOG_USEC"); limit > 0 && (pid == nullptr || number_of("WATCHDOG_PID") == static_cast<uint64_t>(getpid())))
    out.watchdog_ = std::chrono::microseconds(limit / 2);
  return out;
}

void ServiceManager::tell(std::string_view lines) const {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (!present() || socket_.size() >= sizeof to.sun_path) return;
  std::memcpy(to.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') to.sun_path[0] = '\0';
  const Descriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size() + (socket_[0] == '@' ? 0 : 1));
  sendto(fd.get(), lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), size);
}

void ServiceManager::ready(std::string_view status) const { tell(absl::StrCat("READY=1\nSTATUS=", status, "\n")); }

void ServiceManager::reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  tell(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", now.tv_sec * 1000000 + now.tv_nsec / 1000, "\nSTATUS=starting the next process\n"));
}

void ServiceManager::stopping() const { tell("STOPPING=1\nSTATUS=draining\n"); }

}  // namespace fairlead::server::restart
