// New streams at a bounded rate.
#include <catch2/catch.hpp>

#include <vector>

#include "controlplane/serve/admission.h"

namespace admission_test {

using namespace fairlead;
using serve::Admission;
using Entry = Admission::Entry;
using std::chrono::milliseconds;

namespace {

struct Door {
  explicit Door(uint32_t per_second, milliseconds patience = milliseconds(10'000)) : admission({per_second, patience}) {}
  MonotonicTime now{};
  Admission admission;
  Entry arrive(uint64_t id) { return admission.arrive(id, now); }
  // Who is let in, and, negative, who is sent away.
  std::vector<int64_t> called() {
    std::vector<int64_t> out;
    while (const auto next = admission.next(now)) out.push_back(next->too_late ? -static_cast<int64_t>(next->id) : static_cast<int64_t>(next->id));
    return out;
  }
};

using Ids = std::vector<int64_t>;

}  // namespace

TEST_CASE("as many as a second's worth come in at once, the others in line at the rate") {
  Door door(10);
  for (uint64_t id = 1; id <= 10; ++id) CHECK(door.arrive(id) == Entry::kNow);
  for (uint64_t id = 11; id <= 14; ++id) CHECK(door.arrive(id) == Entry::kWait);
  CHECK(door.called().empty());
  door.now += milliseconds(250);
  CHECK(door.called() == Ids{11, 12});
  CHECK(door.arrive(15) == Entry::kWait);  // not past those who wait
  door.now += milliseconds(1000);
  CHECK(door.called() == Ids{13, 14, 15});
  CHECK(door.arrive(16) == Entry::kNow);
  CHECK(door.admission.waiting() == 0);
}

TEST_CASE("who has waited for too long is sent away, at no cost to those behind") {
  Door door(1, milliseconds(2'500));
  CHECK(door.arrive(1) == Entry::kNow);
  CHECK(door.arrive(2) == Entry::kWait);
  CHECK(door.arrive(3) == Entry::kWait);
  door.now += milliseconds(2'600);  // nobody looked
  CHECK(door.arrive(4) == Entry::kWait);
  CHECK(door.called() == Ids{-2, -3, 4});
}

TEST_CASE("a line in which one would wait for too long takes nobody more") {
  Door door(2, milliseconds(2'000));
  CHECK(door.arrive(1) == Entry::kNow);
  CHECK(door.arrive(2) == Entry::kNow);
  for (uint64_t id = 3; id <= 6; ++id) CHECK(door.arrive(id) == Entry::kWait);
  CHECK(door.arrive(7) == Entry::kRefused);
  door.admission.leave(4);
  CHECK(door.arrive(8) == Entry::kWait);
  door.now += milliseconds(1'000);
  CHECK(door.called() == Ids{3, 5});
}

TEST_CASE("the deadline is when somebody is next, and there is none when nobody waits") {
  Door door(10, milliseconds(10'000));
  for (uint64_t id = 1; id <= 10; ++id) door.arrive(id);
  CHECK_FALSE(door.admission.deadline());
  door.arrive(11);
  door.arrive(12);
  for (int turns = 0; turns < 2; ++turns) {
    const auto deadline = door.admission.deadline();
    REQUIRE(deadline);
    CHECK(*deadline - door.now > milliseconds(90));
    CHECK(*deadline - door.now < milliseconds(110));
    door.now = *deadline;
    CHECK(door.called().size() == 1);
  }
  CHECK_FALSE(door.admission.deadline());
  door.arrive(13);
  door.admission.leave(13);
  CHECK_FALSE(door.admission.deadline());
}

TEST_CASE("without a rate everybody comes in") {
  Door door(0);
  for (uint64_t id = 1; id <= 10'000; ++id) REQUIRE(door.arrive(id) == Entry::kNow);
}

}  // namespace admission_test
