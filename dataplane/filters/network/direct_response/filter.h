// Says one thing to whoever connects, and closes. One per connection.
#pragma once

#include "dataplane/filters/network/direct_response/config.h"
#include "dataplane/stream/network_filter.h"

namespace fairlead::filters::network::direct_response {

void register_filter(stream::NetworkFilterRegistry& registry);

class DirectResponse final : public stream::TerminalFilter, private net::ConnectionEvents {
 public:
  explicit DirectResponse(std::shared_ptr<const Config> config) : config_(std::move(config)) {}
  void start(stream::NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) override;

 private:
  void on_data(net::Buffer& data, bool) override { data.clear(); }
  void on_closed(net::CloseReason reason) override { on_end_(reason); }

  std::shared_ptr<const Config> config_;
  std::function<void(net::CloseReason)> on_end_;
};

}  // namespace fairlead::filters::network::direct_response
