// A take-over between two sides in one process: the old one on a thread of its own. What each is told, and what a side that dies leaves behind.
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "dataplane/server/restart/draining_processes.h"
#include "dataplane/server/restart/predecessor.h"
#include "dataplane/server/restart/succession.h"

namespace fairlead::server::restart {
namespace {

using Catch::Matchers::Contains;
using namespace std::chrono_literals;

// The old process. Its callbacks run on its thread; do() asks there.
class Old {
 public:
  explicit Old(Channel channel, std::optional<std::string> objection = std::nullopt) : objection_(std::move(objection)) {
    thread_ = std::thread([this] {
      loop_.run();
      succession_.reset();
      older_.reset();
    });
    on_loop([&] {
      older_ = std::make_unique<DrainingProcesses>(loop_, registry_);
      succession_ = std::make_unique<Succession>(loop_, registry_, host());
      succession_->begin(std::move(channel), -1);
    });
  }
  ~Old() {
    loop_.stop();
    thread_.join();
  }
  void on_loop(const std::function<void()>& job) {
    std::promise<void> done;
    loop_.post([&] {
      job();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::vector<std::string> events() {
    std::vector<std::string> out;
    on_loop([&] { out = events_; });
    return out;
  }
  bool wait_for(const std::string& event) {
    for (int i = 0; i < 500; ++i) {
      for (const std::string& e : events())
        if (e == event) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  net::EventLoop& loop() { return loop_; }
  stats::Registry& registry() { return registry_; }
  Succession& succession() { return *succession_; }
  DrainingProcesses& older() { return *older_; }
  void has_sessions(std::vector<Succession::Sessions> sessions) { sessions_ = std::move(sessions); }

 private:
  Succession::Host host() {
    Succession::Host out;
    out.objection = [this] { return objection_; };
    out.welcome = [] { return Welcome{11, 5, 2, 1, 1000, "", "", 0}; };
    out.passed = [] { return std::vector<Succession::Passed>{{SocketType::stream, "127.0.0.1:7", {0}}}; };
    out.sockets = [](const SocketsWanted& w) { return w.address == "127.0.0.1:80" ? std::optional(Succession::Answer{w.address, {0, 1}}) : std::nullopt; };
    out.stop_accepting = [this] { events_.push_back("stop"); };
    out.stop_reading = [this] { return sessions_; };
    out.hand_over_draining = [this](const Channel& to) { return older_->hand_over(to); };
    out.failed = [this](const absl::Status& s) { events_.push_back("failed: " + std::string(s.message())); };
    out.handed_over = [this](const Hello& hello) {
      events_.push_back("handed over to " + std::to_string(hello.pid));
      older_->clear();
    };
    out.figures = [] { return Statistics{3, 4096}; };
    return out;
  }
  std::optional<std::string> objection_;
  net::EventLoop loop_{"old"};
  stats::Registry registry_{1};
  std::unique_ptr<DrainingProcesses> older_;
  std::unique_ptr<Succession> succession_;
  std::vector<std::string> events_;
  std::vector<Succession::Sessions> sessions_;
  std::thread thread_;
};

std::pair<Channel, Channel> ends() { return *Channel::pair(); }
const Hello kHello{22, "test", 5000};

TEST_CASE("a whole take-over: welcome, sockets, statistics, and what the old one counts afterwards") {
  auto [mine, theirs] = ends();
  Old old(std::move(theirs));
  auto scope = old.registry().scope(stats::plain_scope("x."));
  const stats::Counter n = scope->counter("n");
  old.on_loop([&] { old.registry().cells(0).add(n, 5); });
  auto before = Predecessor::greet(std::move(mine), kHello);
  REQUIRE(before.ok());
  CHECK((*before)->welcome().epoch == 2);
  const auto passed = (*before)->take_passed();
  REQUIRE(passed.size() == 1);
  CHECK(passed[0].address == "127.0.0.1:7");
  auto sockets = (*before)->sockets({SocketType::stream, "l", "127.0.0.1:80"});
  REQUIRE(sockets.ok());
  REQUIRE(sockets->has_value());
  CHECK((*sockets)->descriptors.size() == 2);
  auto none = (*before)->sockets({SocketType::stream, "l", "127.0.0.1:81"});
  REQUIRE(none.ok());
  CHECK_FALSE(none->has_value());
  CHECK(old.events().empty());

  net::EventLoop loop("new");
  stats::Registry registry(1);
  auto same = registry.scope(stats::plain_scope("x."));
  same->counter("n");
  DrainingProcesses draining(loop, registry);
  bool taken = false;
  (*before)->watch(loop, [](const absl::Status& status) { FAIL(status.message()); });
  (*before)->offer([&](Predecessor::Takeover takeover) {
    auto process = (*before)->confirm();
    REQUIRE(process.ok());
    draining.add(*std::move(process), takeover.statistics);
    taken = true;
  });
  REQUIRE(loop.run_until([&] { return taken; }, 5s));
  CHECK(registry.find("x.n") == 5);
  CHECK(old.wait_for("handed over to 22"));
  CHECK(old.events() == std::vector<std::string>{"stop", "handed over to 22"});
  old.on_loop([&] { old.registry().cells(0).add(n, 2); });
  REQUIRE(loop.run_until([&] { return draining.connections() == 3 && registry.find("x.n") == 7; }, 5s));
  CHECK(draining.memory() == 4096);
  old.on_loop([&] {
    old.registry().cells(0).add(n, 1);
    old.succession().say_goodbye();
    old.loop().post([&] { old.succession().cancel("no effect any more"); });
  });
  REQUIRE(loop.run_until([&] { return registry.find("x.n") == 8; }, 5s));
}

TEST_CASE("one that refuses says why") {
  auto [mine, theirs] = ends();
  Old old(std::move(theirs), "it is about to end");
  const auto before = Predecessor::greet(std::move(mine), kHello);
  CHECK_THAT(std::string(before.status().message()), Contains("refused: it is about to end"));
  CHECK(old.wait_for("failed: it is about to end"));
}

TEST_CASE("a new process that goes at any step leaves the old one as it was") {
  for (int step = 0; step < 4; ++step) {
    INFO("step " << step);
    auto [mine, theirs] = ends();
    Old old(std::move(theirs));
    net::EventLoop loop("new");
    bool taken = false;
    {
      if (step == 0) mine.close();
      auto before = step > 0 ? Predecessor::greet(std::move(mine), kHello) : absl::UnknownError("");
      if (step > 1) REQUIRE((*before)->sockets({SocketType::stream, "l", "127.0.0.1:80"}).ok());
      if (step > 2) {
        (*before)->watch(loop, [](const absl::Status&) {});
        (*before)->offer([&](Predecessor::Takeover) { taken = true; });
        REQUIRE(loop.run_until([&] { return taken; }, 5s));
      }
    }
    CHECK(old.wait_for("failed: hot restart: the other process has gone"));
    old.on_loop([&] { CHECK_FALSE(old.succession().pending()); });
  }
}

TEST_CASE("an old process that goes at any step is told to the new one") {
  for (int step = 0; step < 3; ++step) {
    INFO("step " << step);
    auto [mine, theirs] = ends();
    auto old = std::make_unique<Old>(std::move(theirs));
    if (step == 0) {
      old.reset();
      CHECK(absl::IsUnavailable(Predecessor::greet(std::move(mine), kHello).status()));
      continue;
    }
    auto before = Predecessor::greet(std::move(mine), kHello);
    REQUIRE(before.ok());
    old.reset();
    if (step == 1) CHECK(absl::IsUnavailable((*before)->sockets({SocketType::stream, "l", "a"}).status()));
    net::EventLoop loop("new");
    absl::Status lost;
    (*before)->watch(loop, [&](const absl::Status& s) { lost = s; });
    (*before)->offer([](Predecessor::Takeover) { FAIL("taken"); });
    REQUIRE(loop.run_until([&] { return !lost.ok(); }, 5s));
    CHECK(absl::IsUnavailable(lost));
  }
}

TEST_CASE("an old process that ends on purpose says so, and is not taken for dead") {
  auto [mine, theirs] = ends();
  Old old(std::move(theirs));
  auto before = Predecessor::greet(std::move(mine), kHello);
  REQUIRE(before.ok());
  old.on_loop([&] { old.succession().cancel("it is about to end"); });
  net::EventLoop loop("new");
  absl::Status lost;
  (*before)->watch(loop, [&](const absl::Status& s) { lost = s; });
  REQUIRE(loop.run_until([&] { return !lost.ok(); }, 5s));
  CHECK_FALSE(absl::IsUnavailable(lost));
  CHECK_THAT(std::string(lost.message()), Contains("about to end"));
}

TEST_CASE("nonsense from either side ends the take-over and nothing else") {
  {
    auto [mine, theirs] = ends();
    Old old(std::move(theirs));
    REQUIRE(send(mine.fd(), "nonsense", 8, 0) == 8);
    CHECK(old.wait_for("failed: this is no packet of a hot restart"));
  }
  {
    auto [mine, theirs] = ends();
    Old old(std::move(theirs));
    REQUIRE(mine.send(Confirmed{}).ok());
    CHECK(old.wait_for("failed: hot restart: the new process says something that has no place in a take-over"));
  }
  auto [mine, theirs] = ends();
  REQUIRE(theirs.send(Taken{}).ok());
  CHECK_FALSE(Predecessor::greet(std::move(mine), kHello).ok());
}

TEST_CASE("UDP sessions go to the new one with their sockets, however many there are") {
  auto [mine, theirs] = ends();
  Old old(std::move(theirs));
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  Succession::Sessions few{7, {"a", ""}, {pipe_ends[1], 0}}, many{8, {}, {}};
  for (int i = 0; i < 700; ++i) {
    many.states.push_back(std::to_string(i) + std::string(i % 3 == 0 ? 600 : 60, 'x'));
    many.descriptors.push_back(0);
  }
  old.has_sessions({few, many});
  auto before = Predecessor::greet(std::move(mine), kHello);
  REQUIRE(before.ok());
  net::EventLoop loop("new");
  bool taken = false;
  (*before)->watch(loop, [](const absl::Status& status) { FAIL(status.message()); });
  (*before)->offer([&](Predecessor::Takeover takeover) {
    taken = true;
    std::vector<std::string> states;
    for (const HandedSessions& part : takeover.sessions) {
      CHECK(part.states.size() == part.descriptors.size());
      if (part.socket == 8) states.insert(states.end(), part.states.begin(), part.states.end());
    }
    CHECK(states == many.states);
    REQUIRE(takeover.sessions[0].socket == 7);
    CHECK(takeover.sessions[0].states == few.states);
    CHECK(write(takeover.sessions[0].descriptors[0].get(), "x", 1) == 1);
  });
  REQUIRE(loop.run_until([&] { return taken; }, 5s));
  char c = 0;
  CHECK(read(pipe_ends[0], &c, 1) == 1);
  for (const int fd : pipe_ends) close(fd);
}

TEST_CASE("processes that still drain are handed on, with what they have told meanwhile") {
  auto [told, teller] = ends();
  auto [mine, theirs] = ends();
  Old old(std::move(theirs));
  old.on_loop([&, &told = told] { old.older().add({9, 1, std::move(told)}, ""); });
  auto before = Predecessor::greet(std::move(mine), kHello);
  REQUIRE(before.ok());
  net::EventLoop loop("new");
  stats::Registry registry(1);
  DrainingProcesses draining(loop, registry);
  bool taken = false;
  (*before)->watch(loop, [](const absl::Status& status) { FAIL(status.message()); });
  (*before)->offer([&](Predecessor::Takeover takeover) {
    REQUIRE(takeover.older.size() == 1);
    CHECK(takeover.older[0].pid == 9);
    draining.add(std::move(takeover.older[0]), "");
    REQUIRE((*before)->confirm().ok());
    taken = true;
  });
  REQUIRE(loop.run_until([&] { return taken; }, 5s));
  const auto nothing = *memory_file("");
  const int fd = nothing.get();
  REQUIRE(teller.send(Statistics{6, 7}, {&fd, 1}).ok());
  REQUIRE(loop.run_until([&] { return draining.connections() == 6; }, 5s));
  CHECK(old.wait_for("handed over to 22"));
  teller.close();
  REQUIRE(loop.run_until([&] { return draining.size() == 0; }, 5s));
}

}  // namespace
}  // namespace fairlead::server::restart
