// What the access logs say of a session and of the proxy; see filter.h.
#include <absl/strings/str_cat.h>

#include "dataplane/filters/udp/udp_proxy/filter.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::filters::udp::udp_proxy {
namespace {

using Metadata = envoy::config::core::v3::Metadata;

void write(const accesslog::AccessLoggers& logs, stream::WorkerContext& worker, const format::FormatContext& context) {
  config::AccessLogFilter::Input input;
  input.context = &context;
  input.random = worker.random().next();
  input.runtime = worker.epoch() ? worker.epoch()->snapshot().runtime.get() : nullptr;
  logs.log(worker.index(), input);
}

}  // namespace

void UdpProxy::log_session(const Session& session, format::LogType type) const {
  if (shared_->session_logs.empty()) return;
  log_facts({session.key_.path, session.slot_->name, session.id_, session.began_, session.began_at_, session.counts_, session.host_.get(), session.fd_}, type);
}

void UdpProxy::log_facts(const SessionFacts& facts, format::LogType type) const {
  if (shared_->session_logs.empty()) return;
  format::FormatContext out;
  out.log_type = type;
  out.start = facts.began;
  out.times.set(format::TimePoint::DownstreamRxBegin, std::chrono::nanoseconds(0));
  out.times.set(format::TimePoint::StreamEnd, worker_.loop().now() - facts.began_at);
  out.connection_id = facts.id;
  const std::string remote = facts.path.peer_address().to_string(), local = facts.path.local_address(port_.local_address().port()).to_string();
  out.downstream_remote_address = out.downstream_direct_remote_address = remote;
  out.downstream_local_address = out.downstream_direct_local_address = local;
  std::string upstream_local;
  if (facts.host != nullptr) {
    out.upstream_host = out.upstream_remote_address = facts.host->address_text();
    if (const auto own = net::Address::local_of(facts.fd); own.ok()) upstream_local = own->to_string();
    out.upstream_local_address = upstream_local;
  }
  if (facts.overflow) out.flags.set(format::ResponseFlag::UpstreamOverflow);
  out.bytes.body_received = facts.counts.rx_bytes;
  out.bytes.body_sent = facts.counts.tx_bytes;
  // Envoy 1.40: DYNAMIC_METADATA(udp.proxy.session:…)
  Metadata metadata;
  auto& fields = *(*metadata.mutable_filter_metadata())["udp.proxy.session"].mutable_fields();
  fields["cluster_name"].set_string_value(facts.cluster);
  fields["bytes_sent"].set_number_value(static_cast<double>(facts.counts.tx_bytes));
  fields["bytes_received"].set_number_value(static_cast<double>(facts.counts.rx_bytes));
  fields["errors_sent"].set_number_value(static_cast<double>(facts.counts.tx_errors));
  fields["datagrams_sent"].set_number_value(static_cast<double>(facts.counts.tx_datagrams));
  fields["datagrams_received"].set_number_value(static_cast<double>(facts.counts.rx_datagrams));
  out.dynamic_metadata = &metadata;
  write(shared_->session_logs, worker_, out);
}

// Of all workers together, as Envoy 1.40 has it: the proxy's counters.
void UdpProxy::log_proxy() const {
  if (shared_->proxy_logs.empty()) return;
  format::FormatContext out;
  out.start = worker_.loop().wall_now();
  out.connection_id = 0;  // Envoy 1.40: so printed
  out.bytes.body_received = received_;
  out.bytes.body_sent = sent_;
  Metadata metadata;
  auto& fields = *(*metadata.mutable_filter_metadata())["udp.proxy.proxy"].mutable_fields();
  const auto tell = [&](const char* field, Stat stat) { fields[field].set_number_value(static_cast<double>(shared_->registry->sum(shared_->stats.at(stat)))); };
  tell("bytes_sent", Stat::downstream_sess_tx_bytes);
  tell("bytes_received", Stat::downstream_sess_rx_bytes);
  tell("errors_sent", Stat::downstream_sess_tx_errors);
  tell("errors_received", Stat::downstream_sess_rx_errors);
  tell("datagrams_sent", Stat::downstream_sess_tx_datagrams);
  tell("datagrams_received", Stat::downstream_sess_rx_datagrams);
  tell("no_route", Stat::downstream_sess_no_route);
  tell("session_total", Stat::downstream_sess_total);
  tell("idle_timeout", Stat::idle_timeout);
  out.dynamic_metadata = &metadata;
  write(shared_->proxy_logs, worker_, out);
}

}  // namespace fairlead::filters::udp::udp_proxy
