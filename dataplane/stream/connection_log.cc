// See connection_log.h.
#include "dataplane/stream/connection_log.h"

#include <absl/strings/str_replace.h>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/worker_context.h"
#include "dataplane/tls/session.h"

namespace fairlead::stream {

using format::TimePoint;

net::TimePoint began(const ConnectionInfo& info, const net::Connection& connection) {
  return info.accepted != net::TimePoint{} ? info.accepted : connection.created_at();
}

DescribedConnection::DescribedConnection(const net::EventLoop& loop, const ConnectionInfo& info, const net::Connection* connection) {
  const net::Duration age = loop.now() - (connection != nullptr ? began(info, *connection) : info.accepted);
  format.start = loop.wall_now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(age);
  format.times.set(TimePoint::DownstreamRxBegin, std::chrono::nanoseconds(0));
  format.times.set(TimePoint::StreamEnd, age);
  format.flags = info.flags;
  format.response_code_details = info.code_details;
  format.connection_termination_details = info.termination_details;
  format.downstream_local_close_reason = info.local_close_reason;
  format.requested_server_name = info.server_name;
  format.tls_ja3 = info.ja3;
  format.tls_ja4 = info.ja4;
  format.dynamic_metadata = info.dynamic_metadata.get();
  if (!info.filter_state.empty()) format.filter_state = &info.filter_state;
  remote = info.remote.to_string();
  local = info.local.to_string();
  direct_remote = info.direct_remote.to_string();
  direct_local = info.direct_local.to_string();
  format.downstream_remote_address = remote;
  format.downstream_local_address = local;
  format.downstream_direct_remote_address = direct_remote;
  format.downstream_direct_local_address = direct_local;
  if (connection == nullptr) return;
  format.connection_id = connection->id();
  format.bytes.body_received = connection->bytes_received();
  format.bytes.body_sent = connection->bytes_sent();
  if (const tls::Session* tls = tls::session_of(*connection); tls != nullptr) format.downstream_tls = tls->facts().get();
  failure = absl::StrReplaceAll(connection->transport_failure_reason(), {{" ", "_"}});
  format.downstream_transport_failure_reason = failure;
}

absl::StatusOr<std::shared_ptr<const ConnectionLog>> ConnectionLog::open(std::shared_ptr<const config::ListenerConfig> listener, accesslog::LogFiles& files) {
  if (listener->access_logs.empty()) return nullptr;
  auto loggers = accesslog::AccessLoggers::open(listener->access_logs, files);
  if (!loggers.ok()) return loggers.status();
  std::shared_ptr<ConnectionLog> log(new ConnectionLog());
  log->loggers_ = *std::move(loggers);
  log->listener_ = std::move(listener);
  return std::shared_ptr<const ConnectionLog>(std::move(log));
}

void ConnectionLog::ended(WorkerContext& worker, const ConnectionInfo& info, const net::Connection& connection, net::CloseReason reason, std::string_view chain_name, std::string_view protocol) const {
  DescribedConnection described(worker.loop(), info, &connection);
  described.format.filter_chain_name = chain_name;
  described.format.protocol = protocol;
  if (reason == net::CloseReason::RemoteReset) described.format.downstream_detected_close_type = "RemoteReset";
  if (reason == net::CloseReason::DelayedCloseTimeout && info.local_close_reason.empty()) described.format.downstream_local_close_reason = "triggered_delayed_close_timeout";
  write(worker, described.format);
}

void ConnectionLog::refused(WorkerContext& worker, const ConnectionInfo& info) const {
  DescribedConnection described(worker.loop(), info, nullptr);
  write(worker, described.format);
}

void ConnectionLog::write(WorkerContext& worker, format::FormatContext& connection) const {
  connection.log_type = format::LogType::NotSet;  // Envoy 1.40
  connection.listener_name = listener_->name;
  connection.listener_metadata = listener_->metadata.get();
  loggers_.log(worker.index(), {.context = &connection, .random = worker.random().next(), .runtime = worker.runtime()});
}

}  // namespace fairlead::stream
