// The overload manager and the watchdogs of a bootstrap. Immutable once parsed; parsing is pure, on the main thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "dataplane/config/address.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}
namespace envoy::config::overload::v3 {
class OverloadManager;
}

namespace fairlead::config {

// What is measured. A pressure of 1 means that there is nothing left.
struct ResourceMonitor {
  enum class Kind : uint8_t { FixedHeap, CgroupMemory, InjectedResource, DownstreamConnections } kind = Kind::FixedHeap;
  std::string name;       // "envoy.resource_monitors.fixed_heap": triggers and statistics name it by this
  uint64_t limit = 0;     // bytes, or connections; 0 (of CgroupMemory alone): the control group's own
  std::string file_name;  // of InjectedResource
};

// What a pressure means for an action: 0 nothing, 1 all of it.
struct OverloadTrigger {
  std::string resource;
  bool scaled = false;
  double from = 0, to = 0;  // scaled: nothing up to `from`, all from `to` on, in proportion between; else all from `to` on
  double level(double pressure) const {
    if (pressure >= to) return 1;
    return scaled && pressure > from ? (pressure - from) / (to - from) : 0;
  }
};

enum class ScaledTimer : uint8_t { ConnectionIdle, StreamIdle, ConnectionMax };
inline constexpr size_t kScaledTimers = 3;

// How short a timeout may become.
struct TimerScale {
  std::optional<milliseconds> min_timeout;
  double min_scale = 1;  // of the configured timeout; where there is no min_timeout. 1: it stays as it is
};

struct OverloadAction {
  enum class Kind : uint8_t { StopAcceptingRequests, DisableHttpKeepalive, StopAcceptingConnections, RejectIncomingConnections, ShrinkHeap, ReduceTimeouts, ResetHighMemoryStream };
  Kind kind = Kind::StopAcceptingRequests;
  std::string name;  // "envoy.overload_actions.stop_accepting_requests"
  std::vector<OverloadTrigger> triggers;  // the strongest counts
};

// Where work is turned away at its beginning, a share of it by lot.
enum class ShedAt : uint8_t { TcpAccept, CodecCreation, RequestHeaders, Http1Dispatch, Http2Dispatch };
inline constexpr size_t kShedPoints = 5;

struct LoadShedPoint {
  ShedAt at = ShedAt::TcpAccept;
  std::string name;  // "envoy.load_shed_points.tcp_listener_accept"
  std::vector<OverloadTrigger> triggers;  // the strongest counts
};

struct OverloadConfig {
  milliseconds refresh_interval{1000};  // Envoy 1.40: 1 s, OverloadManager.refresh_interval
  std::vector<ResourceMonitor> monitors;
  std::vector<OverloadAction> actions;
  std::vector<LoadShedPoint> shed_points;
  std::array<TimerScale, kScaledTimers> timers;        // of ReduceTimeouts
  milliseconds shrink_interval{10'000};                // Envoy 1.40: 10 s, ShrinkHeapConfig.timer_interval
  uint64_t shrink_above = uint64_t{100} << 20;         // Envoy 1.40: 100 MiB, ShrinkHeapConfig.max_unfreed_memory_bytes
  uint32_t smallest_account = 0;                       // power of two: streams that hold fewer bytes are not reset

  const OverloadAction* find(OverloadAction::Kind kind) const {
    for (const OverloadAction& action : actions)
      if (action.kind == kind) return &action;
    return nullptr;
  }
};

// How long a thread may stay away from its event loop.
struct WatchdogConfig {
  milliseconds miss{200};             // Envoy 1.40: 200 ms, Watchdog.miss_timeout
  milliseconds megamiss{1000};        // Envoy 1.40: 1 s, megamiss_timeout
  milliseconds kill{0};               // Envoy 1.40: 0, kill_timeout: the process is not ended
  milliseconds max_kill_jitter{0};
  milliseconds multikill{0};          // Envoy 1.40: 0, multikill_timeout
  double multikill_percent = 0;       // of the threads, at least two: Envoy 1.40, multikill_threshold
};

struct Watchdogs {
  WatchdogConfig main, workers;
};

// Errors are collected, with Envoy 1.40's words where it has any.
OverloadConfig parse_overload(const envoy::config::overload::v3::OverloadManager& proto, const std::string& field, ErrorList& errors);
Watchdogs parse_watchdogs(const envoy::config::bootstrap::v3::Bootstrap& proto);

}  // namespace fairlead::config
