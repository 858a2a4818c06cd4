// Network filters: see a downstream connection of one filter chain from its beginning. A chain is any number of NetworkFilters and one
// terminal filter, which takes the connection over: tcp_proxy, echo, direct_response, or the HTTP connection manager (built in).
// The connection passes on to the next filter when on_new_connection() and, for those that ask for it, on_data() have said kContinue.
// All of a connection's filters live until it has closed. One worker, no locks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>

#include "dataplane/accesslog/access_log.h"
#include "dataplane/config/registry.h"
#include "dataplane/net/connection.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/connection_info.h"

namespace fairlead::accesslog {
class LogFiles;
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
};

class NetworkFilter {
 public:
  enum class Status : uint8_t { kContinue, kWait };
  virtual ~NetworkFilter() = default;
  // Which may close the connection: then nothing further is called.
  virtual Status on_new_connection() { return Status::kContinue; }
  // Whether the filter wants the client's first bytes (true) before the next filter's turn.
  virtual bool wants_data() const { return false; }
  virtual Status on_data(net::Buffer&, bool /*end_stream*/) { return Status::kContinue; }
  // The connection has gone. Once the connection manager has it, the reason is Remote whoever closed it.
  virtual void on_closed(net::CloseReason) {}

 protected:
  NetworkConnection& connection() const { return *connection_; }

 private:
  friend class FilteredConnection;
  NetworkConnection* connection_ = nullptr;
};

// The last of a chain: start() takes the connection's events (net::Connection::set_events) for good and reports its end by on_end().
class TerminalFilter {
 public:
  virtual ~TerminalFilter() = default;
  // `on_end`: to be called once, when the connection has closed and nothing is left to do for it; the filter is destroyed soon after.
  virtual void start(NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) = 0;
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
  absl::flat_hash_map<std::string, Make> makers_;
};

}  // namespace fairlead::stream
