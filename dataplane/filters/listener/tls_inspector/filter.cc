// See filter.h.
#include "dataplane/filters/listener/tls_inspector/filter.h"

#include "dataplane/stream/connection_info.h"
#include "dataplane/stream/worker_context.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::filters::listener::tls_inspector {
namespace {

struct Factory final : stream::ListenerFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<TlsInspector>(shared); }
};

// For the access log: %DYNAMIC_METADATA(envoy.filters.listener.tls_inspector:failure_reason)%, Envoy's names.
void note_failure(stream::ConnectionInfo& info, const char* reason) {
  if (info.dynamic_metadata == nullptr) info.dynamic_metadata = std::make_unique<envoy::config::core::v3::Metadata>();
  auto& fields = *(*info.dynamic_metadata->mutable_filter_metadata())["envoy.filters.listener.tls_inspector"].mutable_fields();
  fields["failure_reason"].set_string_value(reason);
}

}  // namespace

void register_filter(stream::ListenerFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::ListenerFactoryContext& context) {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    shared->scope = context.stats.scope(stats::plain_scope("tls_inspector."));
    shared->stats = shared->scope->block<Stat>(kStats);
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::ListenerFilter::Status TlsInspector::on_data(std::string_view peeked, bool, stream::AcceptedSocket& socket) {
  if (peeked.empty()) return Status::kWait;
  Inspection seen = inspect(peeked, shared_->config->wanted);
  if (seen.verdict == Verdict::kMore) return Status::kWait;
  stats::Cells& cells = socket.worker().cells();
  cells.record(shared_->stats, Stat::bytes_processed, seen.bytes);
  if (seen.verdict == Verdict::kTls) return found(seen.hello, socket);
  if (seen.verdict == Verdict::kNotTls) return not_found(peeked.size(), socket);
  if (seen.verdict == Verdict::kRefused) {
    cells.add(shared_->stats, seen.hello.server_name.empty() ? Stat::sni_not_found : Stat::sni_found);
    cells.add(shared_->stats, Stat::tls_not_found);
    return Status::kClose;
  }
  cells.add(shared_->stats, Stat::client_hello_too_large);
  note_failure(socket.info(), "ClientHelloTooLarge");
  return Status::kClose;
}

stream::ListenerFilter::Status TlsInspector::found(ClientHello& hello, stream::AcceptedSocket& socket) {
  stats::Cells& cells = socket.worker().cells();
  stream::ConnectionInfo& info = socket.info();
  cells.add(shared_->stats, Stat::tls_found);
  cells.add(shared_->stats, hello.server_name.empty() ? Stat::sni_not_found : Stat::sni_found);
  cells.add(shared_->stats, hello.has_application_protocols ? Stat::alpn_found : Stat::alpn_not_found);
  info.transport_protocol = "tls";
  info.server_name = safe_name(std::move(hello.server_name));
  if (hello.has_application_protocols) info.application_protocols = std::move(hello.application_protocols);
  info.ja3 = std::move(hello.ja3);
  info.ja4 = std::move(hello.ja4);
  return Status::kContinue;
}

// Plain text, or something no TLS server could answer: without TLS the chain may know what to do with it.
stream::ListenerFilter::Status TlsInspector::not_found(size_t seen, stream::AcceptedSocket& socket) {
  stats::Cells& cells = socket.worker().cells();
  const bool close = shared_->config->close_on_errors;
  if (close && seen >= shared_->config->wanted.limit) {
    cells.add(shared_->stats, Stat::client_hello_too_large);
    note_failure(socket.info(), "ClientHelloTooLarge");
    return Status::kClose;
  }
  cells.add(shared_->stats, Stat::tls_not_found);
  if (close) return Status::kClose;
  note_failure(socket.info(), "ClientHelloNotDetected");
  return Status::kContinue;
}

}  // namespace fairlead::filters::listener::tls_inspector
