// See directory_watch.h.
#include "dataplane/xds/directory_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace fairlead::xds {

DirectoryWatch::DirectoryWatch(net::EventLoop& loop, std::function<void(const std::set<std::string>&)> moved) : loop_(loop), moved_(std::move(moved)), watch_(loop, *this) {}

DirectoryWatch::~DirectoryWatch() {
  watch_.remove();
  if (fd_ >= 0) ::close(fd_);
}

std::set<std::string> DirectoryWatch::set(const std::set<std::string>& directories) {
  std::set<std::string> fresh;
  if (fd_ < 0 && directories.empty()) return fresh;
  if (fd_ < 0) {
    fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd_ < 0) {
      FL_LOG(error, "config", "inotify: ", std::strerror(errno), "; files of secrets are not watched");
      return fresh;
    }
    watch_.add(fd_, EPOLLIN | EPOLLET);
  }
  for (auto it = watched_.begin(); it != watched_.end();) {
    if (directories.contains(it->first)) {
      ++it;
      continue;
    }
    const int number = it->second;
    it = watched_.erase(it);
    if (std::none_of(watched_.begin(), watched_.end(), [&](const auto& other) { return other.second == number; })) inotify_rm_watch(fd_, number);
  }
  for (const std::string& directory : directories) {
    if (watched_.contains(directory)) continue;
    const int number = inotify_add_watch(fd_, directory.c_str(), IN_MOVED_TO);
    if (number < 0) {
      FL_LOG(warning, "config", "cannot watch ", directory, ": ", std::strerror(errno));
      continue;
    }
    watched_[directory] = number;
    fresh.insert(directory);
  }
  return fresh;
}

void DirectoryWatch::on_fd_ready(uint32_t) {
  alignas(inotify_event) char buffer[8192];
  for (ssize_t size; (size = ::read(fd_, buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < size;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      at += static_cast<ssize_t>(sizeof event + event.len);
      for (const auto& [directory, number] : watched_)
        if (number == event.wd || (event.mask & IN_Q_OVERFLOW) != 0) pending_.insert(directory);
    }
  }
  if (!pending_.empty()) loop_.run_soon(tell_task_);
}

void DirectoryWatch::tell() { moved_(std::exchange(pending_, {})); }

}  // namespace fairlead::xds
