// See filter.h.
#include "dataplane/filters/listener/http_inspector/filter.h"

#include "dataplane/stream/connection_info.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::filters::listener::http_inspector {
namespace {

struct Factory final : stream::ListenerFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<HttpInspector>(shared); }
};

}  // namespace

void register_filter(stream::ListenerFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig>, const stream::ListenerFactoryContext& context) {
    auto shared = std::make_shared<Shared>();
    shared->scope = context.stats.scope(stats::plain_scope("http_inspector."));
    shared->stats = shared->scope->block<Stat>(kStats);
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::ListenerFilter::Status HttpInspector::on_accept(stream::AcceptedSocket& socket) {
  const std::string& transport = socket.info().transport_protocol;
  return transport.empty() || transport == "raw_buffer" ? Status::kWait : Status::kContinue;  // nothing to read in what is encrypted
}

stream::ListenerFilter::Status HttpInspector::on_data(std::string_view peeked, bool, stream::AcceptedSocket& socket) {
  if (peeked.empty()) return Status::kWait;
  stats::Cells& cells = socket.worker().cells();
  const auto found = [&](Stat stat, const char* protocol) {
    cells.add(shared_->stats, stat);
    socket.info().application_protocols = {protocol};
    return Status::kContinue;
  };
  switch (inspect(peeked)) {
    case Verdict::kHttp10: return found(Stat::http10_found, "http/1.0");
    case Verdict::kHttp11: return found(Stat::http11_found, "http/1.1");
    case Verdict::kHttp2: return found(Stat::http2_found, "h2c");
    case Verdict::kNotHttp: cells.add(shared_->stats, Stat::http_not_found); return Status::kContinue;
    case Verdict::kMore: break;
  }
  if (peeked.size() < kMaxRequestLine) return Status::kWait;
  cells.add(shared_->stats, Stat::read_error);
  return Status::kClose;
}

}  // namespace fairlead::filters::listener::http_inspector
