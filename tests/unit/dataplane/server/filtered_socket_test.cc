// A socket's way through listener filters: order, waiting for bytes, taking some away, the time limit, and what is counted.
#include "dataplane/server/filtered_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <optional>

namespace filtered_socket_test {

using namespace fairlead;
using namespace fairlead::server;
using namespace std::chrono_literals;
using stats::ListenerStat;
using stream::ListenerFilter;

namespace {

using Status = ListenerFilter::Status;

// Does as it is told and writes down what it saw.
struct Script {
  std::string name;
  Status on_accept = Status::kWait;
  std::function<Status(std::string_view, bool, stream::AcceptedSocket&)> on_data = [](auto, bool, auto&) { return Status::kContinue; };
  size_t max_bytes = 100;
};

struct ScriptedFilter final : ListenerFilter {
  ScriptedFilter(const Script& script, std::vector<std::string>& seen) : script(script), seen(seen) {}
  Status on_accept(stream::AcceptedSocket&) override {
    seen.push_back(script.name);
    return script.on_accept;
  }
  Status on_data(std::string_view peeked, bool end, stream::AcceptedSocket& socket) override {
    seen.push_back(script.name + ":" + std::string(peeked) + (end ? "$" : ""));
    return script.on_data(peeked, end, socket);
  }
  size_t max_bytes() const override { return script.max_bytes; }
  const Script& script;
  std::vector<std::string>& seen;
};

struct ScriptedFactory final : stream::ListenerFilterFactory {
  ScriptedFactory(Script script, std::vector<std::string>& seen) : script(std::move(script)), seen(seen) {}
  std::unique_ptr<ListenerFilter> create() const override { return std::make_unique<ScriptedFilter>(script, seen); }
  Script script;
  std::vector<std::string>& seen;
};

struct World {
  explicit World(std::vector<Script> scripts, std::chrono::milliseconds timeout = 10s, bool continue_on_timeout = false) {
    auto config = std::make_shared<config::ListenerConfig>();
    config->listener_filters_timeout = timeout;
    config->continue_on_listener_filters_timeout = continue_on_timeout;
    listener.config = config;
    auto filters = std::make_shared<ListenerFilters>();
    for (Script& script : scripts) filters->push_back(std::make_shared<ScriptedFactory>(std::move(script), seen));
    listener.listener_filters = filters;
    listener.scope = registry.scope(stats::listener_scope("test"));
    listener.stats = listener.scope->block<ListenerStat>(stats::kListenerStats);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    socket = new FilteredSocket(worker, listener, buffer, ends[0], std::make_unique<stream::ConnectionInfo>(), [this](FilteredSocket&, int fd, std::unique_ptr<stream::ConnectionInfo> known) {
      passed = fd;
      info = std::move(known);
    });
  }
  ~World() {
    if (passed.value_or(-1) >= 0) ::close(*passed);
    if (ends[1] >= 0) ::close(ends[1]);
    if (!passed.has_value()) socket->close();
    loop.run_until([] { return true; }, 1ms);
  }
  void client_sends(std::string_view bytes) { REQUIRE(write(ends[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())); }
  void client_closes() { ::close(std::exchange(ends[1], -1)); }
  bool done() { return loop.run_until([this] { return passed.has_value(); }, 5s); }
  bool seen_so_far(size_t n) { return loop.run_until([&] { return seen.size() >= n; }, 5s); }
  uint64_t count(ListenerStat stat) { return registry.cells(1).read(listener.stats.at(stat)); }

  std::vector<std::string> seen;
  net::EventLoop loop{"test"};
  stats::Registry registry{2};
  upstream::SharedClusters shared{registry};
  stream::WorkerContext worker{loop, registry.cells(1), 1, shared, 42};
  ServingListener listener;
  std::string buffer;
  int ends[2] = {-1, -1};
  FilteredSocket* socket = nullptr;
  std::optional<int> passed;
  std::unique_ptr<stream::ConnectionInfo> info;
};

using Seen = std::vector<std::string>;

}  // namespace

TEST_CASE("filters take turns; whoever need not see bytes does not wait for them") {
  World w({{.name = "a", .on_accept = Status::kContinue}, {.name = "b", .on_accept = Status::kContinue}});
  w.socket->begin();
  REQUIRE(w.passed.has_value());
  CHECK(*w.passed == w.ends[0]);
  CHECK(w.info != nullptr);
  CHECK(w.seen == Seen{"a", "b"});
  CHECK(w.count(ListenerStat::downstream_pre_cx_active) == 0);
}

TEST_CASE("a filter sees everything unread, again and more until it has enough; the next sees the same bytes") {
  World w({{.name = "a", .on_data = [](std::string_view data, bool, auto&) { return data.size() < 4 ? Status::kWait : Status::kContinue; }}, {.name = "b"}});
  w.socket->begin();
  CHECK_FALSE(w.passed.has_value());
  CHECK(w.count(ListenerStat::downstream_pre_cx_active) == 1);
  w.client_sends("ab");
  REQUIRE(w.seen_so_far(2));
  w.client_sends("cd");
  REQUIRE(w.done());
  CHECK(w.seen == Seen{"a", "a:ab", "a:abcd", "b", "b:abcd"});
  char left[10];
  CHECK(read(*w.passed, left, sizeof left) == 4);  // nobody has taken them
}

TEST_CASE("what a filter consumes nobody sees again") {
  World w({{.name = "a", .on_data =
                [](std::string_view data, bool, stream::AcceptedSocket& socket) {
                  if (!data.starts_with("head")) return data.empty() ? Status::kWait : Status::kContinue;
                  socket.consume(4);
                  return Status::kWait;
                }},
           {.name = "b", .max_bytes = 2}});
  w.client_sends("headbody");
  w.socket->begin();
  REQUIRE(w.passed.has_value());
  CHECK(w.seen == Seen{"a", "a:headbody", "a:body", "b", "b:bo"});
}

TEST_CASE("a filter may close the socket; a client that goes while a filter waits is counted") {
  World refused({{.name = "a", .on_accept = Status::kClose}, {.name = "b"}});
  refused.socket->begin();
  CHECK(refused.passed == -1);
  CHECK(refused.seen == Seen{"a"});
  World gone({{.name = "a", .on_data = [](auto, bool, auto&) { return Status::kWait; }}});
  gone.socket->begin();
  gone.client_sends("x");
  REQUIRE(gone.seen_so_far(2));
  gone.client_closes();
  REQUIRE(gone.done());
  CHECK(gone.passed == -1);
  CHECK(gone.seen.back() == "a:x$");
  CHECK(gone.count(ListenerStat::downstream_listener_filter_remote_close) == 1);
  CHECK(gone.count(ListenerStat::downstream_pre_cx_active) == 0);
}

TEST_CASE("a client that is too slow is closed, or passes on without the filters that are left") {
  World closed({{.name = "a"}, {.name = "b"}}, 20ms);
  closed.socket->begin();
  REQUIRE(closed.done());
  CHECK(closed.passed == -1);
  CHECK(closed.count(ListenerStat::downstream_pre_cx_timeout) == 1);
  World goes_on({{.name = "a"}, {.name = "b"}}, 20ms, true);
  goes_on.socket->begin();
  REQUIRE(goes_on.done());
  CHECK(*goes_on.passed >= 0);
  CHECK(goes_on.seen == Seen{"a"});
  CHECK(goes_on.count(ListenerStat::downstream_pre_cx_timeout) == 1);
}

TEST_CASE("a listener that goes closes the sockets that still wait") {
  World w({{.name = "a"}});
  w.socket->begin();
  w.socket->close();
  CHECK(w.passed == -1);
  CHECK(w.count(ListenerStat::downstream_pre_cx_active) == 0);
}

}  // namespace filtered_socket_test
