// The processes that were before this one and still drain: takes in what they count, until their end.
// Main thread; owned by the server.
#pragma once

#include <list>
#include <memory>
#include <span>

#include "dataplane/net/event_loop.h"
#include "dataplane/server/restart/predecessor.h"
#include "dataplane/server/restart/statistics.h"

namespace fairlead::server::restart {

class DrainingProcesses {
 public:
  DrainingProcesses(net::EventLoop& loop, stats::Registry& registry);
  ~DrainingProcesses();

  // `statistics`: what it has told already; empty: nothing.
  void add(DrainingProcess process, std::string_view statistics);
  uint64_t connections() const;
  uint64_t memory() const;
  size_t size() const { return list_.size(); }

  // While another process is about to hear them in this one's place, nothing is read.
  void pause();
  void resume();
  // Sends them to the process that takes over.
  absl::Status hand_over(const Channel& to) const;
  void clear();

 private:
  struct One;
  void ended(One& one);
  net::EventLoop& loop_;
  stats::Registry& registry_;
  std::list<std::unique_ptr<One>> list_;
  bool paused_ = false;
};

}  // namespace fairlead::server::restart
