// NetworkConnections: the connections of a filter chain that has network filters of its own, on one worker. A FilteredConnection runs each
// connection through the chain's filters; then its terminal filter takes over, or the connection manager: then the connection goes on as one of
// an HttpConnections, with its info, and the filters live as long as that does (ConnectionInfo::kept).
// Lives on one worker; a FilteredConnection is owned by its NetworkConnections and gone (deferred) once its terminal filter has ended.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "dataplane/net/timer.h"
#include "dataplane/stream/chain_connections.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/network_filter.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::stream {

class HttpConnections;
class NetworkConnections;

// The filters of one filter chain, ready to serve. Built on the main thread, then immutable and shared by all workers and connections.
// A chain without a terminal filter and without a manager closes what connects.
struct NetworkChain {
  std::vector<std::shared_ptr<const NetworkFilterFactory>> filters;  // in order, without the terminal one
  std::shared_ptr<const NetworkFilterFactory> terminal;              // the last, unless it is
  std::shared_ptr<const ConnectionManager> manager;                  // the connection manager
  std::string listener_name, chain_name;

  // Makes the next filter of the chain; `filter_name` is the configured one. Errors: a type that this build cannot run, what its factory says,
  // a filter after the terminal one.
  absl::Status add(std::string_view filter_name, const config::NetworkFilterType& type, std::shared_ptr<const config::FilterConfig> config,
                   const NetworkFactoryContext& context, const NetworkFilterRegistry& registry = NetworkFilterRegistry::global());
};

class FilteredConnection final : public NetworkConnection, private net::ConnectionEvents, public net::Deferred {
 public:
  FilteredConnection(NetworkConnections& owner, net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info);
  ~FilteredConnection() override;

  net::Connection& connection() override { return *connection_; }
  ConnectionInfo& info() override { return *info_; }
  WorkerContext& worker() override { return worker_; }
  const NetworkChain& chain() const override { return *chain_; }
  bool draining() const override { return draining_; }
  void continue_reading() override;
  void take_events(net::ConnectionEvents& events) override;
  bool looked_at() const override;
  bool end_is_logged() const override { return info_->log != nullptr; }
  void log_end(format::FormatContext& connection) override;

 private:
  friend class NetworkConnections;
  struct Filters;
  enum class Stage : uint8_t { kFilters, kTerminal, kEnded };

  // net::ConnectionEvents: until the filters have seen what they asked for
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_write_high() override;
  void on_write_low() override;
  void on_closed(net::CloseReason reason) override;
  void begin();
  bool usable() const { return stage_ != Stage::kEnded && (connection_->open() || connection_->connecting()); }
  bool look(net::Buffer& data, bool end_stream);
  void take_over();
  void hand_over();
  void hold();
  void drain();
  void close_if_idle();
  void close(net::CloseType type) { connection_->close(type); }
  void on_idle_timeout();
  void ended(net::CloseReason reason);
  void remove();

  NetworkConnections* owner_;
  WorkerContext& worker_;
  std::shared_ptr<const NetworkChain> chain_;
  net::ConnectionPtr connection_;
  std::unique_ptr<ConnectionInfo> info_;
  std::shared_ptr<Filters> filters_;          // null: the chain has the terminal one alone
  std::unique_ptr<TerminalFilter> terminal_;  // from its turn on
  net::ConnectionEvents* events_ = nullptr;   // the terminal filter's
  std::unique_ptr<net::Timer> idle_timer_;    // while a connection of the connection manager waits for its first byte
  Stage stage_ = Stage::kFilters;
  bool draining_ = false;
  bool held_ = false;        // reading is, by a filter
  bool handed_over_ = false; // to the connection manager
  bool logged_ = false;      // its end
  bool taken_over_ = false;  // every filter's on_new_connection() has said kContinue
  FilteredConnection* prev_ = nullptr;
  FilteredConnection* next_ = nullptr;
};

class NetworkConnections final : public ChainConnections {
 public:
  NetworkConnections(WorkerContext& worker, std::shared_ptr<const NetworkChain> chain);
  ~NetworkConnections() override;

  void accept(net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info) override;
  size_t size() const override;
  void drain() override;
  void drain_gradually(std::chrono::milliseconds time) override;
  void keep_epoch() override;
  void close_idle() override;
  void close_all(net::CloseType type) override;
  void rescale_timeouts(const OverloadState& before) override;

 private:
  friend class FilteredConnection;
  void add(FilteredConnection& connection);
  void remove(FilteredConnection& connection);
  void report_empty();

  WorkerContext& worker_;
  std::shared_ptr<const NetworkChain> chain_;
  std::unique_ptr<HttpConnections> http_;  // null where the chain does not end in the connection manager
  FilteredConnection* first_ = nullptr;
  size_t size_ = 0;
  bool draining_ = false;
};

}  // namespace fairlead::stream
