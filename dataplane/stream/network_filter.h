// Network filters: see a downstream connection of one filter chain from its beginning. A chain is any number of NetworkFilters and one
// terminal filter, which takes the connection over: tcp_proxy, echo, direct_response, or the HTTP connection manager (built in).
// The terminal filter's turn comes when every filter's on_new_connection() has said kContinue: it may speak before the client does. The client's
// bytes reach it when those that want to see them first (looks()) have let them pass. The connection manager gets the connection only then.
// All of a connection's filters live until it has closed. One worker, no locks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>


#include "dataplane/accesslog/access_log.h"
#include "dataplane/config/registry.h"
#include "dataplane/net/connection.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/connection_info.h"

namespace fairlead::accesslog {
class LogFiles;
}
namespace fairlead::format {
struct FormatContext;
}

namespace fairlead::stream {

class WorkerContext;
struct NetworkChain;

// A filter's hold on its connection.
class NetworkConnection {
 public:
  virtual ~NetworkConnection() = default;
  virtual net::Connection& connection() = 0;
  virtual ConnectionInfo& info() = 0;
  virtual WorkerContext& worker() = 0;
  virtual const NetworkChain& chain() const = 0;  // network_connections.h
  virtual bool draining() const = 0;
  // Goes on after a kWait of the filter whose turn it is. May be called from timers and other connections' events.
  virtual void continue_reading() = 0;
  // Terminal filter: the connection's events are its from now on, the client's bytes as soon as the filters before it let them pass.
  virtual void take_events(net::ConnectionEvents& events) = 0;
  // A filter looks at every byte: nothing may go around it.
  virtual bool looked_at() const = 0;
  // Terminal filter: the listener has an access log, and this filter says by log_end(), once and before its on_end(), what is to stand there.
  // One that does not leaves it at what is known of any connection.
  virtual bool end_is_logged() const { return false; }
  virtual void log_end(format::FormatContext& /*connection*/) {}
};

class NetworkFilter {
 public:
  enum class Status : uint8_t { kContinue, kWait };
  enum class Looks : uint8_t { kNever, kAtFirstBytes, kAlways };
  virtual ~NetworkFilter() = default;
  // Which may close the connection: then nothing further is called.
  virtual Status on_new_connection() { return Status::kContinue; }
  virtual Looks looks() const { return Looks::kNever; }
  // The client's bytes, or its end before any; they are not drained here. kWait holds them back until continue_reading(), then they go on.
  virtual Status on_data(net::Buffer&, bool /*end_stream*/) { return Status::kContinue; }
  // The connection has gone, and connection() with it. Once the connection manager has it, the reason is Remote whoever closed it.
  virtual void on_closed(net::CloseReason) {}

 protected:
  NetworkConnection& connection() const { return *connection_; }

 private:
  friend class FilteredConnection;
  NetworkConnection* connection_ = nullptr;
};

// The last of a chain.
class TerminalFilter {
 public:
  virtual ~TerminalFilter() = default;
  // Takes the connection's events (NetworkConnection::take_events) and reports the connection's end by on_end().
  // `on_end`: to be called once, when the connection has closed and nothing is left to do for it; the filter is destroyed soon after.
  virtual void start(NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) = 0;
  // Instead of start(): the connection has ended before this filter's turn.
  virtual void not_reached(NetworkConnection&) {}
  // The listener drains. Most protocols know no good moment: nothing happens.
  virtual void drain() {}
  virtual bool idle() const { return false; }  // may be closed at any time without loss
};

// Made once per configured filter on the main thread, immutable, shared by all workers. Exactly one of the two calls is implemented.
class NetworkFilterFactory {
 public:
  virtual ~NetworkFilterFactory() = default;
  virtual std::unique_ptr<NetworkFilter> create() const { return nullptr; }
  virtual std::unique_ptr<TerminalFilter> create_terminal() const { return nullptr; }
};

struct NetworkFactoryContext {
  stats::Registry& stats;
  accesslog::LogFiles& logs;
  stats::ScopePtr listener_scope;  // listener.<address>.
  std::string listener_name, chain_name;
};

// Which factory a parsed configuration gets, by type URL. Filled at start-up, read-only afterwards. Factories are made on the main thread.
class NetworkFilterRegistry {
 public:
  using Made = absl::StatusOr<std::shared_ptr<const NetworkFilterFactory>>;
  using Make = std::function<Made(std::shared_ptr<const config::FilterConfig>, const NetworkFactoryContext&)>;
  void add(std::string type_url, Make make) { makers_[std::move(type_url)] = std::move(make); }
  const Make* find(std::string_view type_url) const {
    const auto it = makers_.find(type_url);
    return it == makers_.end() ? nullptr : &it->second;
  }
  static NetworkFilterRegistry& global();

 private:
  std::map<std::string, Make, std::less<>> makers_;
};

}  // namespace fairlead::stream
