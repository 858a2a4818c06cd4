// The load reporting client (LRS): one stream to the management server of cluster_manager.load_stats_config, which says of which clusters it wants to
// hear and how often; every so often what all workers have counted is gathered and sent. A stream that ends is opened again after a back-off, and what
// was counted meanwhile is in the first report after it.
// Main thread; owned by the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "dataplane/config/address.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/net/timer.h"
#include "dataplane/stats/registry.h"
#include "dataplane/upstream/load_report.h"
#include "dataplane/xds/sources.h"

namespace fairlead::server {

class LoadReporter final : private xds::StreamEvents {
 public:
  // A report costs a turn of every worker, and a server may ask for nonsense. What is asked for beyond these is taken as these.
  static constexpr std::chrono::milliseconds kShortestInterval{100};
  static constexpr std::chrono::milliseconds kLongestInterval{3'600'000};

  struct Options {
    net::EventLoop* loop = nullptr;
    xds::Connector* connector = nullptr;
    std::shared_ptr<const envoy::config::core::v3::Node> node;
    config::GrpcTarget target;
    uint64_t seed = 1;
    stats::Registry* stats = nullptr;
    // Gathers what has been counted since the last call, and gives it to `done` on this thread, not before this call returns; in the order of the calls.
    std::function<void(std::function<void(upstream::Loads)> done)> gather;
    std::function<std::shared_ptr<const config::Snapshot>()> snapshot;
    std::function<MonotonicTime()> now = [] { return std::chrono::steady_clock::now(); };
  };
  explicit LoadReporter(Options options);
  ~LoadReporter() override;

 private:
  void on_open() override {}
  void on_message(std::string message) override;
  void on_closed(absl::Status status) override;
  void connect();
  void report();
  void send();
  void count(std::string_view leaf);
  // `done` unless this is gone by then.
  void gather(std::function<void(upstream::Loads)> done);

  const Options options_;
  stats::ScopePtr scope_;
  upstream::LoadReport books_;
  xds::BackOff back_off_;
  net::Timer retry_, due_;
  std::unique_ptr<xds::Stream> stream_;
  uint64_t streams_ = 0;  // opened so far
  std::chrono::milliseconds interval_{0};
  std::shared_ptr<const bool> lives_ = std::make_shared<const bool>(true);
};

}  // namespace fairlead::server
