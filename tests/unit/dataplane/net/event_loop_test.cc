// Posts from many threads, tasks, deferred deletes, descriptors and signals of the event loop.
#include "dataplane/net/event_loop.h"

#include <catch2/catch.hpp>

#include <csignal>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "dataplane/net/worker.h"

using namespace fairlead::net;
using namespace std::chrono_literals;

TEST_CASE("posts of many threads all run, each thread's in order", "[loop]") {
  Worker worker(0, "w0");
  worker.start();
  constexpr int kThreads = 4;
  constexpr int kPosts = 5000;
  std::vector<int> last(kThreads, -1);
  bool ordered = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        worker.post([&, t, i] {
          ordered = ordered && last[static_cast<size_t>(t)] == i - 1;
          last[static_cast<size_t>(t)] = i;
        });
      }
    });
  }
  for (auto& t : threads) t.join();
  bool on_worker = false;
  worker.run_and_wait([&] { on_worker = worker.loop().on_loop_thread(); });
  worker.stop();
  CHECK(on_worker);
  CHECK(ordered);
  for (int n : last) CHECK(n == kPosts - 1);
  CHECK(worker.loop().stats().posts.load() >= kThreads * kPosts);
}

TEST_CASE("a post wakes a sleeping loop and a stop ends it", "[loop]") {
  Worker worker(1, "w1");
  worker.start();
  for (int i = 0; i < 100; ++i) {
    int seen = 0;
    worker.run_and_wait([&] { seen = i + 1; });
    REQUIRE(seen == i + 1);
  }
  worker.stop();
  worker.stop();
}

TEST_CASE("timers fire on the loop", "[loop]") {
  EventLoop loop;
  auto start = std::chrono::steady_clock::now();
  bool fired = false;
  Timer timer(loop.timers(), [&] { fired = true; });
  timer.arm(20ms);
  REQUIRE(loop.run_until([&] { return fired; }, 5s));
  CHECK(std::chrono::steady_clock::now() - start >= 19ms);
}

TEST_CASE("tasks run before the flush, deletes after it", "[loop]") {
  EventLoop loop;
  std::vector<std::string> order;
  struct Probe : Deferred {
    std::vector<std::string>& order;
    explicit Probe(std::vector<std::string>& o) : order(o) {}
    ~Probe() override { order.push_back("delete"); }
  };
  struct Jobs {
    EventLoop& loop;
    std::vector<std::string>& order;
    LoopTask soon = LoopTask::of<&Jobs::run_soon>(this);
    LoopTask flush = LoopTask::of<&Jobs::run_flush>(this);
    void run_soon() {
      order.push_back("soon");
      DeferredPtr<Probe> probe(new Probe(order));
      loop.run_at_flush(flush);
      loop.run_at_flush(flush);
    }
    void run_flush() { order.push_back("flush"); }
  } jobs{loop, order};
  loop.run_soon(jobs.soon);
  loop.run_until([&] { return order.size() == 3; }, 5s);
  CHECK(order == std::vector<std::string>{"soon", "flush", "delete"});
}

TEST_CASE("a cancelled or destroyed task does not run", "[loop]") {
  EventLoop loop;
  static int runs;
  runs = 0;
  LoopTask a([](void*) { ++runs; }, nullptr);
  {
    LoopTask b([](void*) { ++runs; }, nullptr);
    loop.run_soon(b);
    loop.run_soon(a);
  }
  a.cancel();
  CHECK_FALSE(a.queued());
  bool posted = false;
  loop.post([&] { posted = true; });
  loop.run_until([&] { return posted; }, 5s);
  CHECK(runs == 0);
}

TEST_CASE("a watch removed by an earlier notice of the same batch stays silent", "[loop]") {
  EventLoop loop;
  int pipes[2][2];
  for (auto& p : pipes) REQUIRE(pipe2(p, O_NONBLOCK) == 0);
  struct Handler : FdHandler {
    FdWatch* other = nullptr;
    int notices = 0;
    void on_fd_ready(uint32_t) override {
      ++notices;
      other->remove();
    }
  } a, b;
  FdWatch watch_a(loop, a), watch_b(loop, b);
  a.other = &watch_b;
  b.other = &watch_a;
  watch_a.add(pipes[0][0], EPOLLIN | EPOLLET);
  watch_b.add(pipes[1][0], EPOLLIN | EPOLLET);
  for (auto& p : pipes) REQUIRE(write(p[1], "x", 1) == 1);
  loop.run_until([&] { return a.notices + b.notices > 0; }, 5s);
  bool posted = false;
  loop.post([&] { posted = true; });
  loop.run_until([&] { return posted; }, 5s);
  CHECK(a.notices + b.notices == 1);
  for (auto& p : pipes) {
    close(p[0]);
    close(p[1]);
  }
}

TEST_CASE("signals arrive on the main loop", "[loop]") {
  EventLoop loop;
  int count = 0;
  loop.on_signal(SIGUSR2, [&](int number) {
    CHECK(number == SIGUSR2);
    ++count;
  });
  raise(SIGUSR2);
  REQUIRE(loop.run_until([&] { return count == 1; }, 5s));
  raise(SIGUSR2);
  REQUIRE(loop.run_until([&] { return count == 2; }, 5s));
}

TEST_CASE("a job posted and never run is dropped with its captures", "[loop]") {
  auto token = std::make_shared<int>(1);
  {
    EventLoop loop;
    loop.post([token] {});
    CHECK(token.use_count() == 2);
  }
  CHECK(token.use_count() == 1);
}
