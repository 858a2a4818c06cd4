// Tells of moves into directories: an editor's rename, `mv`, the symlink swap of a mounted ConfigMap or Secret. A directory that is not there is not
// watched. Main thread only.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "dataplane/net/event_loop.h"

namespace fairlead::xds {

class DirectoryWatch final : private net::FdHandler {
 public:
  // `moved`: into which of them, at most once a turn of the loop.
  DirectoryWatch(net::EventLoop& loop, std::function<void(const std::set<std::string>&)> moved);
  ~DirectoryWatch() override;

  // All that there are to watch. Those that were not watched before and are now: what happened in there until now was not seen.
  std::set<std::string> set(const std::set<std::string>& directories);

 private:
  void on_fd_ready(uint32_t events) override;
  void tell();

  net::EventLoop& loop_;
  const std::function<void(const std::set<std::string>&)> moved_;
  int fd_ = -1;
  net::FdWatch watch_;
  std::map<std::string, int> watched_;  // by directory; two names of one directory have the same number
  std::set<std::string> pending_;
  net::LoopTask tell_task_ = net::LoopTask::of<&DirectoryWatch::tell>(this);
};

}  // namespace fairlead::xds
