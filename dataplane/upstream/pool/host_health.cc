// Results of requests, counted; see host_health.h.
#include "dataplane/upstream/pool/host_health.h"

namespace fairlead::upstream {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// True for exactly one of the callers that bring the count to the threshold.
bool reached(std::atomic<uint32_t>& count, uint32_t threshold) { return count.fetch_add(1, kRelaxed) + 1 == threshold; }

void clear(std::atomic<uint32_t>& count) {
  if (count.load(kRelaxed) != 0) count.store(0, kRelaxed);  // the line stays shared while all is well
}

void count(RequestCounts& counts, bool success) {
  counts.total.fetch_add(1, kRelaxed);
  if (success) counts.success.fetch_add(1, kRelaxed);
}

}  // namespace

std::shared_ptr<HostHealth> ClusterHealth::host(const std::string& address, bool checked) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<HostHealth>& known = hosts_[address];
  if (!known) {
    known = std::make_shared<HostHealth>(address);
    if (checked) known->flags.store(initial_flags_, kRelaxed);
  }
  return known;
}

void ClusterHealth::forget(const std::string& address) {
  std::lock_guard lock(mutex_);
  hosts_.erase(address);
}

void ClusterHealth::report(const HostHealth& host, HealthEvent event) const {
  if (report_) report_(host.address, event);
}

void ClusterHealth::on_status(HostHealth& host, uint32_t status) const {
  if (detection_ == nullptr) return;
  const bool failed = status >= 500 && status < 600;
  count(host.external, !failed);
  if (!failed) {
    clear(host.consecutive_5xx);
    clear(host.consecutive_gateway);
    return;
  }
  if (status >= 502 && status <= 504) {
    if (reached(host.consecutive_gateway, detection_->consecutive_gateway)) report(host, HealthEvent::ConsecutiveGateway);
  } else {
    clear(host.consecutive_gateway);
  }
  if (reached(host.consecutive_5xx, detection_->consecutive_5xx)) report(host, HealthEvent::Consecutive5xx);
}

void ClusterHealth::on_local(HostHealth& host, LocalResult result) const {
  if (detection_ == nullptr) return;
  if (!detection_->split_local_origin) {
    // Envoy 1.40: a failed connect is a 503, a timeout a 504; a connection alone says nothing
    if (result != LocalResult::Connected) on_status(host, result == LocalResult::TimedOut ? 504 : 503);
    return;
  }
  const bool good = result == LocalResult::Connected;
  count(host.local, good);
  if (good) {
    clear(host.consecutive_local);
  } else if (reached(host.consecutive_local, detection_->consecutive_local)) {
    report(host, HealthEvent::ConsecutiveLocal);
  }
}

void ClusterHealth::on_immediate_fail(HostHealth& host) const { report(host, HealthEvent::ImmediateFail); }

}  // namespace fairlead::upstream
