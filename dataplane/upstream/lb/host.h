// What load balancing knows of a host: weight, health and how much it has in flight. The worker's Host derives from it; tests use it bare.
// Owned by the worker's cluster; policies keep plain pointers and are rebuilt whenever the set of hosts or a weight or health changes.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"

namespace fairlead::upstream {

enum class Health : uint8_t { kHealthy, kDegraded, kUnhealthy };

// envoy.config.core.v3.HealthStatus, by number.
enum class HostStatusCode : uint8_t { kUnknown, kHealthy, kUnhealthy, kDraining, kTimeout, kDegraded };
using HostStatusSet = uint8_t;  // bit 1 << HostStatusCode
constexpr HostStatusSet status_bit(HostStatusCode status) { return static_cast<HostStatusSet>(1u << static_cast<unsigned>(status)); }

// Requests of one worker on one host. Where a policy asks for it, all hosts of a cluster also keep one total.
class ActiveRequests {
 public:
  ActiveRequests() = default;
  ActiveRequests(uint32_t count) : count_(count) {}  // NOLINT: tests assign plain numbers
  ActiveRequests(const ActiveRequests&) = delete;
  ActiveRequests& operator=(const ActiveRequests&) = delete;
  ActiveRequests& operator=(uint32_t count) {
    if (total_) *total_ += count - count_;
    count_ = count;
    return *this;
  }
  operator uint32_t() const { return count_; }  // NOLINT: reads as a number everywhere
  ActiveRequests& operator++() { return *this = count_ + 1; }
  ActiveRequests& operator--() { return *this = count_ - 1; }
  // Moves what is in flight now into `total`; it outlives the cluster, as hosts with requests do.
  void count_into(std::shared_ptr<uint32_t> total) {
    if (total_ == total) return;
    if (total_) *total_ -= count_;
    total_ = std::move(total);
    if (total_) *total_ += count_;
  }

 private:
  uint32_t count_ = 0;
  std::shared_ptr<uint32_t> total_;
};

struct LbHost {
  uint32_t weight = 1;           // >= 1
  uint32_t priority = 0;         // 0 is tried first
  uint32_t locality = 0;         // position among all localities of the cluster; within a priority in order, this proxy's own first
  Health health = Health::kHealthy;
  HostStatusCode status = HostStatusCode::kUnknown;  // what the control plane or the checks say in full
  bool excluded = false;         // counts for no share of a priority (new, not checked yet); never healthy
  bool canary = false;           // metadata envoy.lb: canary
  MonotonicTime healthy_since{};  // start of slow start; the epoch: not known, no slow start
  std::string_view name = {};    // "10.0.0.1:80"; what override hosts are found by. Lives in the host
  ActiveRequests active_requests;  // of this worker
};

}  // namespace fairlead::upstream
