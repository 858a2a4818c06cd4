// Snapshots live exactly as long as the last worker that uses them.
#include <catch2/catch.hpp>

#include "dataplane/server/publisher.h"

namespace fairlead::server::publisher_test {
namespace {

struct World {
  World()
      : publisher(
            2, [this](uint32_t w, Publisher::SnapshotPtr s) { inbox[w].push_back(std::move(s)); }, [this](std::function<void()> job) { posted.push_back(std::move(job)); }) {}
  void publish(uint64_t epoch) {
    auto s = std::make_shared<config::Snapshot>();
    s->epoch = epoch;
    alive[epoch] = s;
    publisher.publish(s);
  }
  void run_posts() {
    auto jobs = std::move(posted);
    posted.clear();
    for (auto& job : jobs) job();
  }
  std::map<uint64_t, std::weak_ptr<config::Snapshot>> alive;
  std::vector<std::function<void()>> posted;  // outlives the inboxes: a snapshot let go of posts
  std::vector<Publisher::SnapshotPtr> inbox[2];
  Publisher publisher;
};

TEST_CASE("a replaced snapshot is freed when both workers have let go of it, and not before") {
  World w;
  w.publish(1);
  w.publish(2);
  CHECK(w.publisher.held() == 2);
  w.inbox[0].erase(w.inbox[0].begin());
  w.run_posts();
  CHECK_FALSE(w.alive[1].expired());
  w.inbox[1].erase(w.inbox[1].begin());
  CHECK_FALSE(w.alive[1].expired());  // freed on the main thread only
  w.run_posts();
  CHECK(w.alive[1].expired());
  CHECK(w.publisher.held() == 1);
}

TEST_CASE("an old epoch that a stream still pins outlives newer ones") {
  World w;
  for (uint64_t e = 1; e <= 3; ++e) w.publish(e);
  auto pinned = w.inbox[0][0];
  for (auto& inbox : w.inbox) inbox.erase(inbox.begin(), inbox.begin() + 2);
  w.run_posts();
  CHECK_FALSE(w.alive[1].expired());
  CHECK(w.alive[2].expired());
  pinned.reset();
  w.run_posts();
  CHECK(w.alive[1].expired());
}

TEST_CASE("the current snapshot stays although no worker holds it, until the next one comes") {
  World w;
  w.publish(1);
  w.inbox[0].clear();
  w.inbox[1].clear();
  w.run_posts();
  CHECK_FALSE(w.alive[1].expired());
  w.publish(2);
  CHECK(w.alive[1].expired());
}

}  // namespace
}  // namespace fairlead::server::publisher_test
