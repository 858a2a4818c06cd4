// Events reach every reader in order; one that does not read loses its place, and nobody else notices.
#include "controlplane/inspect/events.h"

#include <catch2/catch.hpp>

#include <string>
#include <thread>
#include <vector>

using namespace fairlead;
using inspect::Events;
using Catch::Matchers::Contains;

namespace {

constexpr std::chrono::milliseconds kNow{0}, kSoon{10'000};

std::string take(Events::Reader& reader, std::chrono::milliseconds wait = kNow) { return reader.next(wait).value_or("-"); }
void publish(Events& events, const std::string& kind, int64_t number) { events.publish(kind, {{"number", doc::integer(number), {}}}); }

}  // namespace

TEST_CASE("each reader gets what it asked for, in order and with the time") {
  const SimulatedClock clock;
  Events events(clock);
  CHECK_FALSE(events.watched());
  publish(events, "push", 0);
  const auto all = events.open(), pushes = events.open({"push"});
  CHECK(events.watched());
  publish(events, "change", 1);
  publish(events, "push", 2);
  CHECK(take(*all) == R"({"at":"2020-01-01T00:00:00.000Z","kind":"change","number":1})");
  CHECK_THAT(take(*all), Contains("\"number\":2"));
  CHECK(take(*all) == "-");
  CHECK_THAT(take(*pushes), Contains("\"number\":2"));
  CHECK(take(*pushes) == "-");
}

TEST_CASE("a reader that does not read is told how much it lost, after all that was kept, and is over") {
  const SimulatedClock clock;
  Events events(clock);
  const auto slow = events.open(), quick = events.open();
  const auto most = static_cast<int64_t>(Events::kMostWaiting);
  for (int64_t i = 0; i < most + 10; ++i) {
    publish(events, "push", i);
    CHECK(take(*quick).ends_with("\"number\":" + std::to_string(i) + "}"));
  }
  for (int64_t i = 0; i < most; ++i) REQUIRE(take(*slow).ends_with("\"number\":" + std::to_string(i) + "}"));
  CHECK_FALSE(slow->over());
  CHECK_THAT(take(*slow), Contains("\"kind\":\"dropped\"") && Contains("10 events after this one were not kept"));
  CHECK(slow->over());
  CHECK(take(*slow) == "-");
  CHECK_FALSE(quick->over());
}

TEST_CASE("readers are few, their places free again when they go, and closing ends all of them") {
  const SimulatedClock clock;
  Events events(clock);
  std::vector<std::shared_ptr<Events::Reader>> readers;
  for (size_t i = 0; i < Events::kMostReaders; ++i) readers.push_back(events.open());
  CHECK(events.open() == nullptr);
  readers.pop_back();
  readers.push_back(events.open());
  REQUIRE(readers.back() != nullptr);
  std::string last;
  std::thread waiting([&] { last = take(*readers.back(), kSoon); });
  events.close();
  waiting.join();
  CHECK_THAT(last, Contains("\"kind\":\"ended\""));
  CHECK(readers.back()->over());
  readers.clear();
  publish(events, "push", 1);
  CHECK_FALSE(events.watched());
}
