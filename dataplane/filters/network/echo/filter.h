// Sends back what it reads, and the end of it. One per connection.
#pragma once

#include "dataplane/filters/network/echo/config.h"
#include "dataplane/net/read_pauses.h"
#include "dataplane/stream/network_filter.h"

namespace fairlead::filters::network::echo {

void register_filter(stream::NetworkFilterRegistry& registry);

class Echo final : public stream::TerminalFilter, private net::ConnectionEvents {
 public:
  void start(stream::NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) override;

 private:
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_write_high() override { pauses_.add(*connection_); }
  void on_write_low() override { pauses_.remove(*connection_); }
  void on_closed(net::CloseReason reason) override { on_end_(reason); }

  net::Connection* connection_ = nullptr;
  std::function<void(net::CloseReason)> on_end_;
  net::ReadPauses pauses_;  // while the client does not read its own words
};

}  // namespace fairlead::filters::network::echo
