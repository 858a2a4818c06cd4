// The watchdog over real threads: what it notices, when, and what it says of where they were.
#include "dataplane/server/stall_watch.h"

#include <catch2/catch.hpp>

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

#include "dataplane/net/worker.h"

namespace stall_watch_test {

using namespace fairlead;
using namespace fairlead::server;
using namespace std::chrono_literals;

namespace {

// Something to be found in a stack: burns time until it is told to end.
std::atomic<bool> release_worker{false};
std::atomic<bool> worker_is_away{false};
}  // namespace
__attribute__((noinline)) void fairlead_test_stays_away() {
  worker_is_away = true;
  while (!release_worker) std::this_thread::yield();
  worker_is_away = false;
}
namespace {

bool eventually(const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!what()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::string joined(const std::vector<std::string>& frames) {
  std::string out;
  for (const std::string& f : frames) out += f + "\n";
  return out;
}

config::WatchdogConfig limits(std::chrono::milliseconds miss, std::chrono::milliseconds mega) {
  config::WatchdogConfig out;
  out.miss = miss;
  out.megamiss = mega;
  return out;
}

}  // namespace

TEST_CASE("a worker that stays away is counted once per stall, with the function it is in; the others are not") {
  net::Worker idle(0, "idle"), busy(1, "busy");
  idle.start();
  busy.start();
  StallWatch watch;
  watch.watch("idle", idle.loop(), limits(1s, 5s));
  watch.watch("busy", busy.loop(), limits(30ms, 120ms));
  watch.start();
  busy.run_and_wait([] {});  // its thread is known
  release_worker = false;
  busy.post([] { fairlead_test_stays_away(); });
  REQUIRE(eventually([&] { return watch.counts(1).mega_misses == 1; }));
  CHECK(watch.counts(1).misses == 1);
  std::vector<StallWatch::Stall> stalls = watch.recent();
  REQUIRE(stalls.size() == 1);
  CHECK(stalls[0].thread == "busy");
  CHECK_FALSE(stalls[0].over);
  INFO(joined(stalls[0].frames));
  CHECK(joined(stalls[0].frames).find("fairlead_test_stays_away") != std::string::npos);
  CHECK(joined(stalls[0].frames).find("EventLoop::run") != std::string::npos);
  release_worker = true;
  REQUIRE(eventually([&] { return watch.recent()[0].over; }));
  CHECK(watch.recent()[0].lasted >= 120ms);
  CHECK(watch.counts(0).misses == 0);  // it slept all the while, and was woken to show that it lives
  const std::string json = watch.to_json();
  CHECK(json.find("\"mega_misses\": 1") != std::string::npos);
  CHECK(json.find("fairlead_test_stays_away") != std::string::npos);
  release_worker = false;
  busy.post([] { fairlead_test_stays_away(); });
  REQUIRE(eventually([&] { return watch.counts(1).misses == 2; }));
  release_worker = true;
  REQUIRE(eventually([] { return !worker_is_away; }));
  watch.stop();
}

TEST_CASE("a thread that does not answer has no stack, and is not waited for") {
  pthread_t blocked{};
  std::atomic<bool> known{false}, end{false};
  std::thread thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    blocked = pthread_self();
    known = true;
    while (!end) std::this_thread::yield();
  });
  REQUIRE(eventually([&] { return known.load(); }));
  CHECK(StallWatch::stack_of(blocked, 20ms).empty());
  end = true;
  thread.join();
  CHECK_FALSE(StallWatch::stack_of(pthread_self(), 1s).empty());
}

}  // namespace stall_watch_test
