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

 private:
  friend class NetworkConnections;
  struct Filters;  // of one connection, and its end as far as they are told
  enum class Stage : uint8_t { kFilters, kTerminal, kHandedOver, kEnded };

  void start();
  // net::ConnectionEvents: while it is the filters' turn
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_closed(net::CloseReason reason) override;
  void run(net::Buffer* data, bool end_stream);
  void take_over();
  void drain();
  void close_if_idle();
  void pause(bool paused);
  void ended(net::CloseReason reason);
  void remove();

  NetworkConnections* owner_;
  WorkerContext& worker_;
  std::shared_ptr<const NetworkChain> chain_;
  net::ConnectionPtr connection_;
  std::unique_ptr<ConnectionInfo> info_;
  std::shared_ptr<Filters> filters_;          // null: the chain has the terminal one alone
  std::unique_ptr<TerminalFilter> terminal_;  // from its turn on
  Stage stage_ = Stage::kFilters;
  bool draining_ = false;
  bool paused_ = false;   // reading, until a filter goes on
  bool running_ = false;  // run() is on the stack
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
  void keep_epoch() override;
  void close_idle() override;
  void close_all(net::CloseType type) override;

 private:
  friend class FilteredConnection;
  void remove(FilteredConnection& connection);
  void hand_over(net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info);
  void check_empty();

  WorkerContext& worker_;
  std::shared_ptr<const NetworkChain> chain_;
  std::unique_ptr<HttpConnections> http_;  // null where the chain does not end in the connection manager
  FilteredConnection* first_ = nullptr;
  size_t size_ = 0;
  bool draining_ = false;
};

}  // namespace fairlead::stream
