// Sets, versions, differences, substitution, references.
#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include "tests/unit/controlplane/make.h"

using namespace fairlead;
using namespace fairlead::test;
using snapshot::TypeSet;

TEST_CASE("nothing changed: the same snapshot") {
  World w;
  w.put({cluster("a"), assignment("a")});
  const snapshot::SnapshotPtr before = w.now();
  w.put({cluster("a")});
  CHECK(w.now() == before);
  CHECK(snapshot::amend(before, {assignment("a")}) == before);
}

TEST_CASE("one change makes a snapshot that shares every other type and knows its one step") {
  World w;
  w.put({cluster("a"), cluster("b"), assignment("a")});
  const snapshot::SnapshotPtr before = w.now();
  const snapshot::SnapshotPtr after = snapshot::amend(before, {assignment("a", 2)});
  CHECK(after->generation == before->generation + 1);
  CHECK(after->set(Type::kCluster) == before->set(Type::kCluster));
  const auto* steps = after->set(Type::kEndpoint)->steps_from(before->set(Type::kEndpoint));
  REQUIRE(steps);
  REQUIRE(steps->size() == 1);
  CHECK((*steps)[0].name() == "a");
  CHECK(before->find(Type::kEndpoint, "a")->hash == assignment("a", 1)->hash);
}

TEST_CASE("a difference over several steps names what differs now, in name order") {
  World w;
  w.put({cluster("a"), cluster("b"), cluster("c")});
  const auto before = w.now()->set(Type::kCluster);
  w.put({cluster("c", 2)}).put({cluster("d")}).drop(Type::kCluster, "a").put({cluster("b", 9)}).put({cluster("b", 1)});
  const auto steps = TypeSet::diff(before, w.now()->set(Type::kCluster));
  REQUIRE(steps.size() == 3);
  CHECK(steps[0].name() == "a");
  CHECK_FALSE(steps[0].after);
  CHECK(steps[1].name() == "c");
  CHECK(steps[2].name() == "d");
  CHECK_FALSE(steps[2].before);
}

TEST_CASE("a resource whose origin alone moved is replaced without a step and without a new version") {
  World w;
  w.put({cluster("a", 1, {}, {origin("HTTPRoute", "app", 3)})});
  const auto before = w.now();
  w.put({cluster("a", 1, {}, {origin("HTTPRoute", "app", 4)})});
  CHECK(w.now() != before);
  CHECK(w.now()->of(Type::kCluster).version() == before->of(Type::kCluster).version());
  CHECK(TypeSet::diff(before->set(Type::kCluster), w.now()->set(Type::kCluster)).empty());
  CHECK(w.now()->find(Type::kCluster, "a")->origins[0].line == 4);
}

TEST_CASE("a set that many names are asked of answers as before, from several threads at once, and so do the sets made of it") {
  std::vector<resources::ResourcePtr> clusters;
  for (int i = 0; i < 100; ++i) clusters.push_back(cluster("c" + std::to_string(i)));
  World w;
  w.put(clusters);
  const snapshot::TypeSetPtr set = w.now()->set(Type::kCluster);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      set->expect(50);
      for (const resources::ResourcePtr& c : clusters) {
        const resources::ResourcePtr* found = set->find(c->name);
        wrong += found == nullptr || (*found)->name != c->name;
      }
      wrong += set->find("c100") != nullptr || set->find("") != nullptr;
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  w.drop(Type::kCluster, "c7");
  const snapshot::TypeSetPtr after = w.now()->set(Type::kCluster);
  CHECK_FALSE(after->find("c7"));
  CHECK(set->find("c7"));
  CHECK(*after->find("c8") == *set->find("c8"));
}

TEST_CASE("a name that is asked of one set after another is answered from each, also where one has taken the place of one that is gone") {
  const auto hash_of = [](const snapshot::TypeSetPtr& set, const std::string& name) {
    const resources::ResourcePtr* found = set->find(name);
    return found ? (*found)->hash : ContentHash{};
  };
  std::vector<snapshot::TypeSetPtr> sets{TypeSet::update(TypeSet::empty_set(), {assignment("a", 1), assignment("b", 1)}, {})};
  for (int n = 2; n <= 7; ++n) sets.push_back(TypeSet::update(sets.back(), {assignment("a", n)}, {}));
  sets.push_back(TypeSet::update(sets.back(), {}, {"a"}));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < sets.size(); ++i) {
      const ContentHash expected = i < 7 ? assignment("a", static_cast<int>(i) + 1)->hash : ContentHash{};
      REQUIRE(hash_of(sets[i], "a") == expected);
      REQUIRE(hash_of(sets[i], "b") == assignment("b", 1)->hash);
      REQUIRE(hash_of(sets[i], "a") == expected);
    }
  }
  for (int n = 10; n < 40; ++n) {  // each is freed before the next is made
    const auto one = TypeSet::update(TypeSet::empty_set(), {assignment("a", n)}, {});
    REQUIRE(hash_of(one, "a") == assignment("a", n)->hash);
    REQUIRE(one->find("b") == nullptr);
  }
}

TEST_CASE("a type's version follows content alone, and an emptied type has that of an empty one") {
  World w;
  const std::string empty = w.now()->of(Type::kCluster).version();
  w.put({cluster("a")});
  const std::string one = w.now()->of(Type::kCluster).version();
  CHECK(one != empty);
  w.put({cluster("b")}).drop(Type::kCluster, "b");
  CHECK(w.now()->of(Type::kCluster).version() == one);
  w.drop(Type::kCluster, "a");
  CHECK(w.now()->of(Type::kCluster).version() == empty);
}

TEST_CASE("a substituted snapshot shows the last good resource or none, under another version") {
  World w;
  w.put({cluster("a", 666), cluster("b", 666), cluster("c")});
  const auto seen = snapshot::substitute(w.now(), {{Type::kCluster, "a", cluster("a", 1)}, {Type::kCluster, "b", nullptr}});
  CHECK(seen->find(Type::kCluster, "a")->hash == cluster("a", 1)->hash);
  CHECK_FALSE(seen->find(Type::kCluster, "b"));
  CHECK(seen->find(Type::kCluster, "c"));
  CHECK(seen->of(Type::kCluster).version() != w.now()->of(Type::kCluster).version());
  CHECK(snapshot::substitute(w.now(), {}) == w.now());
}

TEST_CASE("a set knows which names its members refer to") {
  World w;
  w.put({routes("r", {"a", "b"}), listener("l", "r"), cluster("a")});
  CHECK(w.now()->of(Type::kRoute).refers_to(Type::kCluster, "a"));
  CHECK_FALSE(w.now()->of(Type::kRoute).refers_to(Type::kCluster, "c"));
  CHECK(w.now()->of(Type::kListener).refers_to(Type::kRoute, "r"));
  CHECK(w.now()->of(Type::kCluster).refers_to(Type::kEndpoint, "a"));
  w.put({listener("l", "r", 1, {}, "x")});
  CHECK(w.now()->of(Type::kListener).refers_to(Type::kExtensionConfig, "x"));
}

TEST_CASE("references that lead nowhere are found: errors for assignments and route tables, warnings for clusters") {
  World w;
  w.put({cluster("a", 1, {}, {origin("HTTPRoute", "app")}), listener("l", "nowhere", 1, {origin("Gateway", "edge")}),
         routes("r", {"a", "gone"}, 1, {origin("HTTPRoute", "app")})});
  const auto findings = snapshot::check_references(*w.now());
  REQUIRE(findings.size() == 3);
  int errors = 0;
  for (const auto& f : findings) {
    CHECK(f.reason == "DanglingReference");
    errors += f.severity == intent::Severity::kError;
  }
  CHECK(errors == 2);
  w.put({assignment("a"), routes("nowhere", {"a"}), cluster("gone"), assignment("gone")});
  CHECK(snapshot::check_references(*w.now()).empty());
}
