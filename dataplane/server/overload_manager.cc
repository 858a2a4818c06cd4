// See overload_manager.h. Names of statistics are Envoy 1.40's.
#include "dataplane/server/overload_manager.h"

#include <malloc.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace fairlead::server {

using ActionKind = config::OverloadAction::Kind;

absl::StatusOr<std::unique_ptr<OverloadManager>> OverloadManager::create(config::OverloadConfig config, Options options) {
  std::unique_ptr<OverloadManager> manager(new OverloadManager(std::move(config), std::move(options)));
  for (size_t i = 0; i < manager->config_.monitors.size(); ++i) {
    absl::StatusOr<Measure> measure = make_monitor(manager->config_.monitors[i]);
    if (!measure.ok()) return prefix(absl::StrCat("overload_manager.resource_monitors[", i, "]"), measure.status());
    manager->resources_[i].measure = *std::move(measure);
    if (const config::ResourceMonitor& monitor = manager->config_.monitors[i]; monitor.kind == config::ResourceMonitor::Kind::DownstreamConnections)
      manager->resources_[i].measure = [open = manager->options_.connections, limit = monitor.limit]() -> absl::StatusOr<double> { return static_cast<double>(open()) / static_cast<double>(limit); };
  }
  return manager;
}

OverloadManager::OverloadManager(config::OverloadConfig config, Options options)
    : config_(std::move(config)),
      options_(std::move(options)),
      scope_(options_.stats.scope(stats::plain_scope("overload."))),
      root_scope_(options_.stats.scope(stats::plain_scope(""))),
      delay_(scope_->histogram("refresh_interval_delay")),
      refresh_timer_(options_.loop.timers(), [this] {
        refresh_timer_.arm(config_.refresh_interval);
        refresh();
      }),
      shrink_timer_(options_.loop.timers(), [this] { shrink(); }) {
  for (const config::ResourceMonitor& monitor : config_.monitors) {
    Resource resource;
    resource.failed = scope_->counter(absl::StrCat(monitor.name, ".failed_updates"));
    resource.shown = scope_->gauge(absl::StrCat(monitor.name, ".pressure"));
    // nothing is measured twice at once: stays 0
    if (monitor.kind != config::ResourceMonitor::Kind::DownstreamConnections) scope_->counter(absl::StrCat(monitor.name, ".skipped_updates"));
    resources_.push_back(std::move(resource));
  }
  for (const config::OverloadAction& action : config_.actions) {
    actions_.push_back({0, scope_->gauge(absl::StrCat(action.name, ".active")), scope_->gauge(absl::StrCat(action.name, ".scale_percent"))});
    if (action.kind == ActionKind::ShrinkHeap) shrink_count_ = scope_->counter(absl::StrCat(action.name, ".shrink_count"));
    if (action.kind == ActionKind::ResetHighMemoryStream) reset_count_ = root_scope_->counter(absl::StrCat(action.name, ".count"));  // Envoy 1.40: likewise
  }
  for (const config::LoadShedPoint& point : config_.shed_points) {
    shed_points_.push_back({0, {}, scope_->gauge(absl::StrCat(point.name, ".scale_percent"))});
    state_.shed[static_cast<size_t>(point.at)].count = scope_->counter(absl::StrCat(point.name, ".shed_load_count"));
  }
  state_.timers = config_.timers;
  state_.smallest_account = config_.smallest_account;
}

std::optional<OverloadManager::ConnectionLimit> OverloadManager::connection_limit() const {
  for (size_t i = 0; i < resources_.size(); ++i)
    if (config_.monitors[i].kind == config::ResourceMonitor::Kind::DownstreamConnections) return ConnectionLimit{config_.monitors[i].limit, resources_[i].failed};
  return std::nullopt;
}

void OverloadManager::start() {
  refresh_timer_.arm(config_.refresh_interval);
  if (config_.find(ActionKind::ShrinkHeap) != nullptr) shrink_timer_.arm(config_.shrink_interval);
}

void OverloadManager::measure() {
  stats::Cells& cells = options_.stats.cells(0);
  for (size_t i = 0; i < resources_.size(); ++i) {
    Resource& resource = resources_[i];
    const absl::StatusOr<double> pressure = resource.measure();
    if (!pressure.ok()) {
      FL_LOG(info, "main", "Failed to update resource ", config_.monitors[i].name, ": ", pressure.status().message());
      cells.add(resource.failed);
      continue;
    }
    resource.pressure = *pressure;
    cells.set(resource.shown, static_cast<uint64_t>(*pressure * 100));
  }
}

double OverloadManager::level_of(const std::vector<config::OverloadTrigger>& triggers) const {
  double level = 0;
  for (const config::OverloadTrigger& trigger : triggers)
    for (size_t i = 0; i < resources_.size(); ++i)
      if (config_.monitors[i].name == trigger.resource && resources_[i].pressure) level = std::max(level, trigger.level(*resources_[i].pressure));
  return level;
}

void OverloadManager::apply(const config::OverloadAction& action, double level) {
  switch (action.kind) {
    case ActionKind::StopAcceptingRequests: state_.stop_requests = level; break;
    case ActionKind::DisableHttpKeepalive: state_.no_keepalive = level; break;
    case ActionKind::StopAcceptingConnections: state_.stop_connections = level >= 1; break;  // Envoy 1.40: all or none
    case ActionKind::RejectIncomingConnections: state_.reject_connections = level; break;
    case ActionKind::ShrinkHeap: shrinks_ = level >= 1; break;
    case ActionKind::ReduceTimeouts: state_.shorter_timeouts = level; break;
    case ActionKind::ResetHighMemoryStream: state_.reset_streams = level; break;
  }
}

void OverloadManager::refresh() {
  stats::Cells& cells = options_.stats.cells(0);
  const net::TimePoint now = options_.loop.now();
  if (last_ != net::TimePoint{}) cells.record(delay_, static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now - last_).count()));
  last_ = now;
  measure();
  bool changed = false;
  for (size_t i = 0; i < actions_.size(); ++i) {
    const config::OverloadAction& action = config_.actions[i];
    const double level = level_of(action.triggers), before = std::exchange(actions_[i].level, level);
    if (level == before) continue;
    changed = true;
    if ((level >= 1) != (before >= 1)) FL_LOG(info, "main", "Overload action ", action.name, " became ", level >= 1 ? "active" : "inactive");
    cells.set(actions_[i].active, level >= 1 ? 1 : 0);
    cells.set(actions_[i].percent, static_cast<uint64_t>(level * 100));
    apply(action, level);
  }
  changed |= refresh_shed_points();
  if (changed) options_.publish(state_);
  if (state_.reset_streams > 0) options_.reset_streams(reset_count_);
}

bool OverloadManager::refresh_shed_points() {
  bool changed = false;
  for (size_t i = 0; i < shed_points_.size(); ++i) {
    const config::LoadShedPoint& point = config_.shed_points[i];
    const double level = level_of(point.triggers);
    if (std::exchange(shed_points_[i].level, level) == level) continue;
    changed = true;
    options_.stats.cells(0).set(shed_points_[i].percent, static_cast<uint64_t>(level * 100));
    state_.shed[static_cast<size_t>(point.at)].share = level;
  }
  return changed;
}

// Envoy 1.40 counts each time, whether or not there was enough to give back.
void OverloadManager::shrink() {
  shrink_timer_.arm(config_.shrink_interval);
  if (!shrinks_) return;
  options_.stats.cells(0).add(shrink_count_);
  if (mallinfo2().fordblks > config_.shrink_above) malloc_trim(0);
}

}  // namespace fairlead::server
