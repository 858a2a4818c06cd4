// See filter.h.
#include "dataplane/filters/network/direct_response/filter.h"

namespace fairlead::filters::network::direct_response {
namespace {

struct Factory final : stream::NetworkFilterFactory {
  std::shared_ptr<const Config> config;
  std::unique_ptr<stream::TerminalFilter> create_terminal() const override { return std::make_unique<DirectResponse>(config); }
};

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::NetworkFactoryContext&) -> stream::NetworkFilterRegistry::Made {
    auto factory = std::make_shared<Factory>();
    factory->config = std::static_pointer_cast<const Config>(std::move(config));
    return factory;
  });
}

// FlushAndWait: bytes that the client has sent meanwhile would turn our FIN into a reset, which may overtake the answer.
void DirectResponse::start(stream::NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) {
  on_end_ = std::move(on_end);
  net::Connection& client = connection.connection();
  connection.take_events(*this);
  if (!config_->response->empty()) {
    client.output().append_external(config_->response);
    client.output_changed();
  }
  connection.info().code_details = "direct_response";
  client.close(net::CloseType::FlushAndWait);
}

}  // namespace fairlead::filters::network::direct_response
