// FilteredSocket: an accepted socket on its way through its listener's filters, before a filter chain is chosen. Bytes are peeked into a buffer
// that all sockets of the worker share; they stay the kernel's until the connection reads them.
// Lives on one worker; owned by its listener there, gone (deferred) once it has passed on or was closed.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/net/event_loop.h"
#include "dataplane/net/timer.h"
#include "dataplane/server/serving_listener.h"
#include "dataplane/stream/connection_info.h"
#include "dataplane/stream/listener_filter.h"
#include "dataplane/stream/worker_context.h"

namespace fairlead::server {

class FilteredSocket final : public stream::AcceptedSocket, private net::FdHandler, public net::Deferred {
 public:
  // Called once, with the descriptor if the filters let it pass, with -1 if it was closed; never from the constructor. The socket is done then.
  using Done = std::function<void(FilteredSocket& socket, int fd, std::unique_ptr<stream::ConnectionInfo> info)>;

  FilteredSocket(stream::WorkerContext& worker, const ServingListener& listener, std::string& peek_buffer, int fd, std::unique_ptr<stream::ConnectionInfo> info, Done done);
  ~FilteredSocket() override;

  void begin() { go_on(); }
  void close();  // calls Done

  int fd() const override { return fd_; }
  stream::ConnectionInfo& info() override { return *info_; }
  stream::WorkerContext& worker() override { return worker_; }
  void consume(size_t bytes) override;

 private:
  using Status = stream::ListenerFilter::Status;
  void on_fd_ready(uint32_t epoll_events) override;
  void go_on();
  Status look(stream::ListenerFilter& filter);
  void wait();
  void on_timeout();
  void end(bool passed);

  stream::WorkerContext& worker_;
  std::shared_ptr<const ListenerFilters> factories_;  // filters may look into theirs
  stats::ScopePtr scope_;
  stats::Block<stats::ListenerStat> stats_;
  const std::chrono::milliseconds timeout_;
  const bool continue_on_timeout_;
  std::string& peeked_;
  int fd_;
  std::unique_ptr<stream::ConnectionInfo> info_;
  Done done_;
  std::vector<std::unique_ptr<stream::ListenerFilter>> filters_;
  size_t at_ = 0;          // whose turn it is
  bool begun_ = false;     // it has been told of the socket
  bool consumed_ = false;  // it has taken bytes away in this call
  bool peer_ended_ = false;
  net::FdWatch watch_;
  std::unique_ptr<net::Timer> timer_;
};

}  // namespace fairlead::server
