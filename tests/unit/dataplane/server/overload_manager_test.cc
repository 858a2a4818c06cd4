// From the pressure in a file to what workers are told: thresholds, scales, failures, and what is counted.
#include "dataplane/server/overload_manager.h"

#include <catch2/catch.hpp>

#include "base/file.h"

namespace overload_manager_test {

using namespace fairlead;
using namespace fairlead::server;
using namespace std::chrono_literals;
using config::OverloadAction;
using Kind = config::OverloadAction::Kind;

namespace {

config::OverloadTrigger at(double value) { return {.resource = "file", .to = value}; }
config::OverloadTrigger between(double from, double to) { return {.resource = "file", .scaled = true, .from = from, .to = to}; }

struct World {
  explicit World(std::vector<OverloadAction> actions, std::vector<config::LoadShedPoint> points = {}) {
    config::OverloadConfig config;
    config.monitors = {{.kind = config::ResourceMonitor::Kind::InjectedResource, .name = "file", .file_name = directory.path("pressure")}};
    config.actions = std::move(actions);
    config.shed_points = std::move(points);
    config.refresh_interval = 5ms;
    config.shrink_interval = 5ms;
    config.shrink_above = 0;
    OverloadManager::Options options{.loop = loop, .stats = stats, .connections = [] { return uint64_t{1}; }, .publish = [this](const stream::OverloadState& state) { published.push_back(state); },
                                     .reset_streams = [this](stats::Counter) { ++resets; }};
    auto made = OverloadManager::create(std::move(config), std::move(options));
    REQUIRE(made.ok());
    manager = *std::move(made);
  }
  void press(const std::string& text) {
    directory.write("pressure", text);
    manager->refresh();
  }
  uint64_t stat(const std::string& name) const { return stats.find("overload." + name); }

  TemporaryDirectory directory;
  net::EventLoop loop{"test"};
  stats::Registry stats{1};
  std::vector<stream::OverloadState> published;
  int resets = 0;
  std::unique_ptr<OverloadManager> manager;
};

}  // namespace

TEST_CASE("workers are told once each time an action changes, and statistics say how far it is in force") {
  World w({{.kind = Kind::StopAcceptingRequests, .name = "stop", .triggers = {at(0.9)}}, {.kind = Kind::ReduceTimeouts, .name = "reduce", .triggers = {between(0.5, 0.9)}}});
  w.press("0.2\n");
  CHECK(w.published.empty());
  CHECK(w.stat("file.pressure") == 20);
  w.press("0.7");
  REQUIRE(w.published.size() == 1);
  CHECK(w.published[0].shorter_timeouts == Approx(0.5));
  CHECK(w.published[0].stop_requests == 0);
  CHECK(w.stat("reduce.scale_percent") >= 49);
  CHECK(w.stat("reduce.active") == 0);
  w.press("0.7");
  CHECK(w.published.size() == 1);
  w.press("0.95");
  REQUIRE(w.published.size() == 2);
  CHECK(w.published[1].stop_requests == 1);
  CHECK(w.published[1].shorter_timeouts == 1);
  CHECK(w.stat("stop.active") == 1);
  CHECK(w.stat("stop.scale_percent") == 100);
  w.press("0");
  REQUIRE(w.published.size() == 3);
  CHECK(w.published[2].stop_requests == 0);
  CHECK(w.stat("stop.active") == 0);
}

TEST_CASE("load shed points: workers are told of the share, turn that much away and count it") {
  World w({}, {{.at = config::ShedAt::TcpAccept, .name = "accept", .triggers = {between(0.5, 0.9)}}, {.at = config::ShedAt::RequestHeaders, .name = "headers", .triggers = {at(0.9)}}});
  w.press("0.7");
  REQUIRE(w.published.size() == 1);
  CHECK(w.stat("accept.scale_percent") >= 49);
  CHECK(w.stat("headers.scale_percent") == 0);
  CHECK_FALSE(w.published[0].refuses_requests());
  upstream::Random random(1);
  int shed = 0;
  for (int i = 0; i < 1000; ++i) shed += w.published[0].sheds(config::ShedAt::TcpAccept, random, w.stats.cells(0)) ? 1 : 0;
  CHECK(shed > 400);
  CHECK(shed < 600);
  CHECK(w.stat("accept.shed_load_count") == static_cast<uint64_t>(shed));
  CHECK_FALSE(w.published[0].sheds(config::ShedAt::Http1Dispatch, random, w.stats.cells(0)));  // nobody asked for it
  w.press("1");
  REQUIRE(w.published.size() == 2);
  CHECK(w.published[1].refuses_requests());
  CHECK(w.published[1].sheds(config::ShedAt::RequestHeaders, random, w.stats.cells(0)));
  w.press("0");
  REQUIRE(w.published.size() == 3);
  CHECK_FALSE(w.published[2].sheds(config::ShedAt::TcpAccept, random, w.stats.cells(0)));
  CHECK(w.stat("accept.scale_percent") == 0);
}

TEST_CASE("a resource that cannot be measured keeps its last pressure and is counted") {
  World w({{.kind = Kind::StopAcceptingConnections, .name = "stop", .triggers = {at(0.9)}}});
  w.manager->refresh();  // there is no file yet
  CHECK(w.stat("file.failed_updates") == 1);
  CHECK(w.published.empty());
  w.press("1");
  CHECK(w.manager->state().stop_connections);
  for (const char* bad : {"1.5", "-1", "much", "", "nan"}) w.press(bad);
  CHECK(w.stat("file.failed_updates") == 6);
  CHECK(w.manager->state().stop_connections);
  CHECK(w.stat("file.pressure") == 100);
}

TEST_CASE("the strongest trigger counts; connections are stopped all or not at all") {
  World w({{.kind = Kind::StopAcceptingConnections, .name = "stop", .triggers = {between(0.2, 0.8)}},
           {.kind = Kind::RejectIncomingConnections, .name = "reject", .triggers = {between(0.2, 0.8), at(0.5)}}});
  w.press("0.4");
  CHECK_FALSE(w.manager->state().stop_connections);
  CHECK(w.manager->state().reject_connections == Approx(1.0 / 3));
  w.press("0.5");
  CHECK(w.manager->state().reject_connections == 1);
  CHECK_FALSE(w.manager->state().stop_connections);
}

TEST_CASE("measures by itself, gives memory back and has streams reset while it is called for") {
  World w({{.kind = Kind::ShrinkHeap, .name = "shrink", .triggers = {at(0.5)}}, {.kind = Kind::ResetHighMemoryStream, .name = "reset", .triggers = {at(0.5)}}});
  w.directory.write("pressure", "0.5");
  w.manager->start();
  CHECK(w.loop.run_until([&] { return w.resets >= 3 && w.stat("shrink.shrink_count") >= 2; }, 5s));
  CHECK(w.published.size() == 1);
  w.directory.write("pressure", "0");
  CHECK(w.loop.run_until([&] { return w.published.size() == 2; }, 5s));
  const int before = w.resets;
  w.manager->refresh();
  CHECK(w.resets == before);
}

TEST_CASE("memory monitors: the heap against its limit, and a control group of either version") {
  const auto heap = make_monitor({.kind = config::ResourceMonitor::Kind::FixedHeap, .limit = uint64_t{1} << 40});
  const double little = *(*heap)();
  CHECK(little < 1);
#ifndef __SANITIZE_ADDRESS__  // whose allocator is not the one that is asked
  CHECK(little > 0);
  CHECK(*(*make_monitor({.kind = config::ResourceMonitor::Kind::FixedHeap, .limit = 1}))() > 1);
#endif

  const config::ResourceMonitor own{.kind = config::ResourceMonitor::Kind::CgroupMemory, .limit = 100};
  const config::ResourceMonitor group{.kind = config::ResourceMonitor::Kind::CgroupMemory};
  TemporaryDirectory two, one, none;
  two.write("memory.current", "50\n");
  two.write("memory.max", "max\n");
  CHECK(*(*make_monitor(group, two.path()))() == 0);
  CHECK(*(*make_monitor(own, two.path()))() == 0.5);
  two.write("memory.max", "80\n");
  CHECK(*(*make_monitor(group, two.path()))() == 0.625);
  CHECK(*(*make_monitor(own, two.path()))() == 0.625);
  one.write("memory/memory.usage_in_bytes", "25\n");
  one.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(*(*make_monitor(own, one.path()))() == 0.25);
  CHECK_FALSE(make_monitor(own, none.path()).ok());
}

TEST_CASE("a timeout shrinks with the pressure down to its shortest, and one that is short already stays") {
  stream::OverloadState state;
  state.timers[static_cast<size_t>(config::ScaledTimer::ConnectionIdle)].min_timeout = 2s;
  state.timers[static_cast<size_t>(config::ScaledTimer::StreamIdle)].min_scale = 0.1;
  using config::ScaledTimer;
  CHECK(state.scaled(ScaledTimer::ConnectionIdle, 10s) == 10s);
  state.shorter_timeouts = 0.5;
  CHECK(state.scaled(ScaledTimer::ConnectionIdle, 10s) == 6s);
  CHECK(state.scaled(ScaledTimer::StreamIdle, 10s) == 5500ms);
  CHECK(state.scaled(ScaledTimer::ConnectionMax, 10s) == 10s);
  state.shorter_timeouts = 1;
  CHECK(state.scaled(ScaledTimer::ConnectionIdle, 10s) == 2s);
  CHECK(state.scaled(ScaledTimer::ConnectionIdle, 1s) == 1s);
  CHECK(state.scaled(ScaledTimer::StreamIdle, 0s) == 0s);
}

TEST_CASE("a share of those concerned is drawn by lot") {
  upstream::Random random(7);
  int drawn = 0;
  for (int i = 0; i < 10'000; ++i) drawn += stream::OverloadState::drawn(0.25, random) ? 1 : 0;
  CHECK(drawn > 2300);
  CHECK(drawn < 2700);
  CHECK(stream::OverloadState::drawn(1, random));
  CHECK_FALSE(stream::OverloadState::drawn(0, random));
}

}  // namespace overload_manager_test
