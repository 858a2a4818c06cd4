// Closes connections that the rules do not allow: judged when the first byte comes, or at every byte. One per connection.
#pragma once

#include <memory>
#include <optional>

#include "dataplane/filters/network/rbac/config.h"
#include "dataplane/net/timer.h"
#include "dataplane/stream/network_filter.h"

namespace fairlead::filters::network::rbac {

void register_filter(stream::NetworkFilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope, shadow_scope;
  stats::Block<Stat> stats;
  stats::Block<ShadowStat> shadow_stats;
};

class Rbac final : public stream::NetworkFilter {
 public:
  explicit Rbac(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Looks looks() const override;
  Status on_data(net::Buffer& data, bool end_stream) override;
  void on_closed(net::CloseReason) override { delay_.reset(); }

 private:
  void watch(const Facts& facts);
  void set_metadata(const std::string& filter, const std::string& key, const std::string& value);
  void refuse();

  std::shared_ptr<const Shared> shared_;
  std::unique_ptr<net::Timer> delay_;
};

}  // namespace fairlead::filters::network::rbac
