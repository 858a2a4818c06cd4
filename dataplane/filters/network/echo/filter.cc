// See filter.h.
#include "dataplane/filters/network/echo/filter.h"

namespace fairlead::filters::network::echo {
namespace {

struct Factory final : stream::NetworkFilterFactory {
  std::unique_ptr<stream::TerminalFilter> create_terminal() const override { return std::make_unique<Echo>(); }
};

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig>, const stream::NetworkFactoryContext&) -> stream::NetworkFilterRegistry::Made { return std::make_shared<Factory>(); });
}

void Echo::start(stream::NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) {
  connection_ = &connection.connection();
  on_end_ = std::move(on_end);
  connection_->set_half_close(true);
  connection.take_events(*this);
}

void Echo::on_data(net::Buffer& data, bool end_stream) {
  connection_->write(data);
  if (end_stream) connection_->end_write();
}

}  // namespace fairlead::filters::network::echo
