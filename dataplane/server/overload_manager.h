// The overload manager: measures resources, finds out how much of each action that calls for, and tells the workers when it has changed
// (stream/overload_state.h). It frees memory itself. Main thread; owned by the server, which tells the workers for it.
// A resource that cannot be measured for a while keeps its last pressure, as in Envoy 1.40.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "dataplane/config/overload.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/server/resource_monitors.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/overload_state.h"

namespace fairlead::server {

class OverloadManager {
 public:
  struct Options {
    net::EventLoop& loop;
    stats::Registry& stats;
    std::function<uint64_t()> connections;                      // open ones, of listeners that do not ignore the limit over all
    std::function<void(const stream::OverloadState&)> publish;  // to every worker
    std::function<void(stats::Counter)> reset_streams;          // on every worker, which counts them there
  };
  // Errors name the monitor.
  static absl::StatusOr<std::unique_ptr<OverloadManager>> create(config::OverloadConfig config, Options options);

  void start();    // measures each refresh_interval, first after one
  void refresh();  // measures once
  const stream::OverloadState& state() const { return state_; }
  // Of the monitor of downstream connections; none: there is no such.
  struct ConnectionLimit {
    uint64_t limit;
    stats::Counter refused;  // Envoy 1.40: failed_updates counts them
  };
  std::optional<ConnectionLimit> connection_limit() const;

 private:
  struct Resource {
    Measure measure;
    std::optional<double> pressure;
    stats::Gauge shown;
    stats::Counter failed;
  };
  struct Action {  // or load shed point
    double level = 0;
    stats::Gauge active, percent;
  };
  OverloadManager(config::OverloadConfig config, Options options);
  void measure();
  double level_of(const std::vector<config::OverloadTrigger>& triggers) const;
  bool refresh_shed_points();
  void apply(const config::OverloadAction& action, double level);
  void shrink();

  const config::OverloadConfig config_;
  const Options options_;
  stats::ScopePtr scope_, root_scope_;  // overload., and none
  std::vector<Resource> resources_;  // as config_.monitors
  std::vector<Action> actions_;      // as config_.actions
  std::vector<Action> shed_points_;  // as config_.shed_points
  stream::OverloadState state_;
  bool shrinks_ = false;
  stats::Counter shrink_count_, reset_count_;
  stats::Histogram delay_;
  net::TimePoint last_{};
  net::Timer refresh_timer_, shrink_timer_;
};

}  // namespace fairlead::server
