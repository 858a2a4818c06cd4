// Closes connections beyond a number. The number is one atomic per configured filter, shared by all workers.
#pragma once

#include <atomic>
#include <memory>

#include "dataplane/filters/network/connection_limit/config.h"
#include "dataplane/net/timer.h"
#include "dataplane/stream/network_filter.h"

namespace fairlead::filters::network::connection_limit {

void register_filter(stream::NetworkFilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
  mutable std::atomic<uint64_t> connections{0};
};

class ConnectionLimit final : public stream::NetworkFilter {
 public:
  explicit ConnectionLimit(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Status on_new_connection() override;
  void on_closed(net::CloseReason) override;

 private:
  void refuse();

  std::shared_ptr<const Shared> shared_;
  stats::Cells* cells_ = nullptr;  // set while this connection is counted
  std::unique_ptr<net::Timer> delay_;
};

}  // namespace fairlead::filters::network::connection_limit
