// What the access logs say of a session and of the proxy; see filter.h.
#include <absl/strings/str_cat.h>

#include "dataplane/filters/udp/udp_proxy/filter.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::filters::udp::udp_proxy {
namespace {

using Metadata = envoy::config::core::v3::Metadata;

// The fields of one name of the metadata.
class Fields {
 public:
  Fields(Metadata& metadata, std::string_view name) : fields_(*(*metadata.mutable_filter_metadata())[std::string(name)].mutable_fields()) {}
  void set(std::string_view name, std::string_view text) { fields_[std::string(name)].set_string_value(std::string(text)); }
  void set(std::string_view name, uint64_t number) { fields_[std::string(name)].set_number_value(static_cast<double>(number)); }

 private:
  google::protobuf::Map<std::string, google::protobuf::Value>& fields_;
};

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
  Fields fields(metadata, "udp.proxy.session");
  fields.set("cluster_name", facts.cluster);
  fields.set("bytes_sent", facts.counts.tx_bytes);
  fields.set("bytes_received", facts.counts.rx_bytes);
  fields.set("errors_sent", facts.counts.tx_errors);
  fields.set("datagrams_sent", facts.counts.tx_datagrams);
  fields.set("datagrams_received", facts.counts.rx_datagrams);
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
  Fields fields(metadata, "udp.proxy.proxy");
  const auto tell = [&](std::string_view field, Stat stat) { fields.set(field, shared_->registry->sum(shared_->stats.at(stat))); };
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
