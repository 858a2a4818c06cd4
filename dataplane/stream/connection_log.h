// ConnectionLog: the access log of a listener. It hears of each connection when that has ended, and of each socket that never became one.
// Made on the main thread, immutable, shared by the workers; a connection's hold on it is ConnectionInfo::log.
// DescribedConnection: what any format may print of a connection, whatever its protocol.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "dataplane/accesslog/access_log.h"
#include "dataplane/config/listener.h"
#include "dataplane/format/context.h"
#include "dataplane/net/connection.h"
#include "dataplane/stream/connection_info.h"

namespace fairlead::stream {

class WorkerContext;

// On the stack of whoever prints: `format` refers to the texts.
struct DescribedConnection {
  DescribedConnection(const net::EventLoop& loop, const ConnectionInfo& info, const net::Connection* connection);  // null: there is none
  DescribedConnection(const DescribedConnection&) = delete;
  format::FormatContext format;
  std::string failure, remote, local, direct_remote, direct_local;
};

// When the connection came, by its listener's word if that noted it.
net::TimePoint began(const ConnectionInfo& info, const net::Connection& connection);

class ConnectionLog {
 public:
  // Null where the listener has no access log. Errors: a file that cannot be opened.
  static absl::StatusOr<std::shared_ptr<const ConnectionLog>> open(std::shared_ptr<const config::ListenerConfig> listener, accesslog::LogFiles& files);

  // The connection has ended, and nobody knows more of it than this. `protocol`: of HTTP, else empty.
  void ended(WorkerContext& worker, const ConnectionInfo& info, const net::Connection& connection, net::CloseReason reason, std::string_view chain_name, std::string_view protocol = {}) const;
  // The socket was closed before it had a filter chain: by a listener filter, while one waited, or because no chain takes it.
  void refused(WorkerContext& worker, const ConnectionInfo& info) const;
  // What the connection's last filter knows.
  void write(WorkerContext& worker, format::FormatContext& connection) const;

 private:
  ConnectionLog() = default;
  accesslog::AccessLoggers loggers_;
  std::shared_ptr<const config::ListenerConfig> listener_;
};

}  // namespace fairlead::stream
