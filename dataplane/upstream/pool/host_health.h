// What is known of an endpoint's health beside the control plane's word, and what requests tell of it: one object per address of a cluster
// that has health checks or outlier detection, shared by all workers and the main thread.
// The flags are written on the main thread alone (health/) and read by workers when they are told that they have changed. The counts are
// added to by workers; consecutive ones are exact across workers, since each is one atomic, and whoever reaches a threshold tells the main
// thread, which decides. Everything is relaxed: no other memory hangs on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "dataplane/config/health.h"
#include "dataplane/upstream/lb/host.h"

namespace fairlead::upstream {

enum HealthFlag : uint32_t {
  kFailedCheck = 1,        // active checks say so, or none has passed yet
  kDegradedCheck = 2,      // x-envoy-degraded in the answer to the last check
  kEjected = 4,            // outlier detection
  kPendingCheck = 8,       // new, with ignore_new_hosts_until_first_hc
  kExcludedByAnswer = 16,  // x-envoy-immediate-health-check-fail
  kCheckTimedOut = 32,
  kPendingRemoval = 64,    // no longer named, and stays while its checks pass
};

inline Health health_in(Health said, uint32_t flags) {
  if ((flags & (kFailedCheck | kEjected)) != 0) return Health::kUnhealthy;
  return said == Health::kHealthy && (flags & kDegradedCheck) != 0 ? Health::kDegraded : said;
}

struct RequestCounts {
  std::atomic<uint32_t> total{0}, success{0};
};

struct HostHealth {
  explicit HostHealth(std::string address_in) : address(std::move(address_in)) {}
  const std::string address;
  std::atomic<uint32_t> flags{0};
  std::atomic<uint32_t> consecutive_5xx{0}, consecutive_gateway{0}, consecutive_local{0};
  RequestCounts external, local;                                         // of the running interval
  std::atomic<double> success_rate{-1}, local_success_rate{-1};          // of the last one; -1: too few requests
};

enum class HealthEvent : uint8_t { Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal, ImmediateFail };

// How an attempt ended, in the words of Envoy's outlier detection.
enum class LocalResult : uint8_t { Connected, ConnectFailed, TimedOut };

class ClusterHealth {
 public:
  using Report = std::function<void(const std::string& address, HealthEvent event)>;
  // `detection` may be null: then results are not counted. `report` may be called on any thread, and may be empty.
  ClusterHealth(const config::OutlierDetection* detection, uint32_t initial_flags, Report report)
      : detection_(detection), initial_flags_(initial_flags), report_(std::move(report)) {}

  // The address' state, made when it is new. `checked`: active checks reach it. Any thread.
  std::shared_ptr<HostHealth> host(const std::string& address, bool checked);
  // An address has left: if it comes back it begins anew. Main thread.
  void forget(const std::string& address);
  // One more for each time that flags have changed.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  void changed() { generation_.fetch_add(1, std::memory_order_acq_rel); }

  // What an attempt at the host has shown. Workers.
  void on_status(HostHealth& host, uint32_t status) const;
  void on_local(HostHealth& host, LocalResult result) const;
  void on_immediate_fail(HostHealth& host) const;

 private:
  void report(const HostHealth& host, HealthEvent event) const;

  const config::OutlierDetection* detection_;
  const uint32_t initial_flags_;
  Report report_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<HostHealth>, std::less<>> hosts_;
  std::atomic<uint64_t> generation_{0};
};

}  // namespace fairlead::upstream
