// Rings and Maglev tables: shapes, minimal disruption, weights, priorities, bounded load. Equality with Envoy's picks is held from recorded
// ones in tests/unit/dataplane/upstream/envoy_picks_test.cc.
#include <catch2/catch.hpp>

#include <map>

#include "base/hash.h"
#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"
#include "tests/unit/dataplane/upstream/lb/hosts.h"

using namespace fairlead::upstream;

namespace {

using Kind = HashOptions::Kind;

struct Keys {
  std::vector<HashHost> list;
  explicit Keys(const Hosts& hosts) {
    for (size_t i = 0; i < hosts.hosts.size(); ++i) {
      const LbHost& host = hosts.hosts[i];
      list.push_back({.key = hosts.names[i], .weight = host.weight, .priority = host.priority, .locality = host.locality, .health = host.health});
    }
  }
};

std::shared_ptr<const HashTables> build(const Hosts& hosts, const HashOptions& options, std::vector<uint32_t> locality_weights = {}) {
  return HashTables::build(Keys(hosts).list, options, {.locality_weights = locality_weights});
}

uint64_t hash_of(int i) { return fairlead::xx_hash64("request " + std::to_string(i)); }

}  // namespace

TEST_CASE("murmur hash 2 is the one of libstdc++'s std::hash") {
  for (const std::string text : {"", "a", "1234567", "12345678", "123456789", "10.0.0.1:80_17"}) CHECK(murmur_hash2(text) == std::hash<std::string>()(text));
}

TEST_CASE("a ring gives the lightest host a whole number of entries and others their multiple") {
  Hosts hosts({1, 2, 5});
  const HashTable::Size size = build(hosts, {})->table(0).size();
  CHECK(size.entries == 1024);
  CHECK(size.fewest_per_host == 128);
  CHECK(size.most_per_host == 640);
  const HashTable::Size bounded = build(hosts, {.minimum_ring_size = 1, .maximum_ring_size = 4})->table(0).size();
  CHECK(bounded.entries == 4);
}

TEST_CASE("a host that is alone gets every key, and the statistics of the table it would be") {
  Hosts hosts({3});
  for (const Kind kind : {Kind::Ring, Kind::Maglev}) {
    const auto tables = build(hosts, {.kind = kind});
    for (uint64_t hash : {uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0}}) CHECK(tables->table(0).pick(hash, 1) == 0);
    const HashTable::Size size = tables->table(0).size();
    CHECK(size.entries == (kind == Kind::Ring ? 1024 : 65537));
    CHECK(size.fewest_per_host == size.entries);
    CHECK(size.most_per_host == size.entries);
  }
}

TEST_CASE("a Maglev table is full, and shares follow weights within a percent") {
  Hosts hosts({1, 2, 5});
  const auto tables = build(hosts, {.kind = Kind::Maglev});
  const HashTable& table = tables->table(0);
  CHECK(table.size().entries == 65537);
  std::map<uint32_t, int> seen;
  for (uint64_t slot = 0; slot < 65537; ++slot) ++seen[table.pick(slot, 0)];
  CHECK(seen[0] == Approx(65537 / 8.0).epsilon(0.01));
  CHECK(seen[1] == Approx(65537 / 4.0).epsilon(0.01));
  CHECK(seen[2] == Approx(65537 * 5 / 8.0).epsilon(0.01));
}

TEST_CASE("when a host leaves, nearly all keys of the others stay") {
  constexpr int kKeys = 20'000;
  for (const Kind kind : {Kind::Ring, Kind::Maglev}) {
    Hosts hosts(std::vector<uint32_t>(20, 1));
    const auto before = build(hosts, {.kind = kind});
    hosts.hosts[7].health = Health::kUnhealthy;
    const auto after = build(hosts, {.kind = kind});
    int moved = 0, of_the_lost = 0;
    for (int i = 0; i < kKeys; ++i) {
      const uint32_t old = before->table(0).pick(hash_of(i), 0), now = after->table(0).pick(hash_of(i), 0);
      CHECK(now != 7);
      if (old == 7) {
        ++of_the_lost;
      } else {
        moved += old != now;
      }
    }
    CHECK(of_the_lost == Approx(kKeys / 20).epsilon(0.35));
    // A ring of 1,024 gives 20 hosts 52 entries each and 19 hosts 54: the new ones take a few keys.
    CHECK(moved < kKeys / 20);
  }
}

TEST_CASE("keys are spread evenly enough over equal hosts") {
  Hosts hosts(std::vector<uint32_t>(10, 1));
  const auto tables = build(hosts, {.kind = Kind::Maglev});
  std::map<size_t, int> seen;
  std::map<size_t, double> expected;
  for (int i = 0; i < 50'000; ++i) ++seen[tables->table(0).pick(hash_of(i), 0)];
  for (size_t i = 0; i < 10; ++i) expected[i] = 5'000;
  CHECK(chi_square(seen, expected) < 27.9);  // p = 0.001, 9 degrees of freedom
}

TEST_CASE("the hash decides the priority, so a key keeps its host") {
  Random random(1);
  Hosts hosts({1, 1, 1, 1});
  hosts.hosts[1].health = Health::kUnhealthy;
  hosts.hosts[2].priority = hosts.hosts[3].priority = 1;
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {.tables = build(hosts, {})});
  int second = 0;
  for (int i = 0; i < 1000; ++i) {
    PickContext context;
    context.hash = hash_of(i);
    const LbHost* host = selector.pick(context).host;
    second += host->priority == 1;
    CHECK((host->priority == 1) == (*context.hash % 100 >= 70));
    for (int again = 0; again < 3; ++again) CHECK(selector.pick(context).host == host);
  }
  CHECK(second == Approx(300).margin(60));
}

TEST_CASE("without a hash any host is picked; without hosts none") {
  Random random(1);
  Hosts hosts({1, 1, 1});
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {.tables = build(hosts, {})});
  std::map<size_t, int> seen;
  for (int i = 0; i < 100; ++i) ++seen[hosts.index(selector.pick({}).host)];
  CHECK(seen.size() == 3);
  Hosts none({});
  selector.rebuild({}, {.tables = build(none, {})});
  CHECK(selector.pick({}).host == nullptr);
}

TEST_CASE("a rejected host is followed by others of the same key, in an order of its own") {
  Random random(1);
  Hosts hosts(std::vector<uint32_t>(5, 1));
  for (const Kind kind : {Kind::Ring, Kind::Maglev}) {
    HostSelector selector(PolicyOptions{}, random);
    selector.rebuild(hosts.list(), {.tables = build(hosts, {.kind = kind})});
    for (int i = 0; i < 50; ++i) {
      PickContext context;
      context.hash = hash_of(i);
      std::vector<const LbHost*> tried{selector.pick(context).host};
      const PreviousHosts previous(tried);
      const std::vector<const HostPredicate*> predicates{&previous};
      context.predicates = predicates;
      context.selection_retries = 30;
      const LbHost* next = selector.pick(context).host;
      CHECK(next != tried[0]);
      CHECK(selector.pick(context).host == next);
    }
  }
}

TEST_CASE("localities' weights are folded in, whatever the number of their hosts") {
  Hosts hosts({1, 1, 1, 1, 1});
  for (size_t i = 1; i < 5; ++i) hosts.hosts[i].locality = 1;
  const auto tables = build(hosts, {.kind = Kind::Maglev, .locality_weighted = true}, {3, 1});
  const auto& members = tables->table(0).members();
  REQUIRE(members.size() == 5);
  CHECK(members[0].weight == Approx(0.75));
  CHECK(members[4].weight == Approx(0.0625));
  CHECK(build(hosts, {.locality_weighted = true}, {0, 0})->table(0).members().empty());
}

TEST_CASE("bounded load sends a key elsewhere while its host is full, always to the same one") {
  Random random(1);
  Hosts hosts(std::vector<uint32_t>(4, 1));
  auto total = std::make_shared<uint32_t>(0);
  for (LbHost& host : hosts.hosts) host.active_requests.count_into(total);
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {.tables = build(hosts, {.balance_percent = 120}), .total_active = total});
  PickContext context;
  context.hash = hash_of(3);
  LbHost* first = selector.pick(context).host;
  first->active_requests = 10;  // alone: 120 % of an average of 2.75 is 4
  CHECK(*total == 10);
  LbHost* second = selector.pick(context).host;
  CHECK(second != first);
  for (int i = 0; i < 5; ++i) CHECK(selector.pick(context).host == second);
  for (LbHost& host : hosts.hosts) host.active_requests = 10;  // all alike: none is above 120 %
  CHECK(selector.pick(context).host == first);
}

TEST_CASE("under bounded load no host exceeds its share of what is in flight") {
  Random random(1);
  Hosts hosts(std::vector<uint32_t>(10, 1));
  auto total = std::make_shared<uint32_t>(0);
  for (LbHost& host : hosts.hosts) host.active_requests.count_into(total);
  HostSelector selector(PolicyOptions{}, random);
  selector.rebuild(hosts.list(), {.tables = build(hosts, {.kind = Kind::Maglev, .balance_percent = 125}), .total_active = total});
  PickContext context;
  for (int i = 0; i < 1000; ++i) {
    context.hash = hash_of(i % 7);  // few keys: unbounded, seven hosts would carry all
    ++selector.pick(context).host->active_requests;
  }
  for (const LbHost& host : hosts.hosts) CHECK(host.active_requests <= 1000 * 125 / 100 / 10 + 1);
}
