// The store: change sets, last good versions, sources of different rank, foreign groups.
#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "adapters/object/store.h"

namespace fairlead::adapters {
namespace {

ObjectPtr make(const std::string& name, const std::string& value, const std::string& source = "one", const std::string& group = "ours") {
  const std::string yaml = "apiVersion: " + group + "/v1\nkind: Thing\nmetadata: {name: " + name + "}\nvalue: \"" + value + "\"\n";
  std::vector<Diagnostic> errors;
  ObjectPtr o = read_object((*doc::parse_yaml(yaml, source + ".yaml"))[0], source, source + ".yaml", errors);
  REQUIRE(o);
  return o;
}

ObjectKey key(const std::string& name) { return {"ours", "Thing", "default", name}; }

SourceUpdate update(const std::string& source, std::vector<ObjectPtr> objects, std::vector<ObjectKey> removed = {}) {
  SourceUpdate u;
  u.source = source;
  u.synced = true;
  u.upserted = std::move(objects);
  u.removed = std::move(removed);
  return u;
}

// "bad" values are errors, "ignored" ones nobody's, "odd" ones warned about.
bool check(const Object& o, std::vector<Diagnostic>& out) {
  const std::string value = o.body.find("value")->as_string();
  if (value == "bad") out.push_back({Severity::kError, o.key, o.file, o.line, "value", "is bad"});
  if (value == "odd") out.push_back({Severity::kWarning, o.key, o.file, o.line, "value", "is odd"});
  return value != "ignored";
}

std::string value_of(const Store& store, const std::string& name) {
  const ObjectPtr o = store.snapshot()->find(key(name));
  return o ? o->body.find("value")->as_string() : "-";
}

struct Fixture {
  Store store;
  Fixture() { store.register_group("ours", check); }
};

TEST_CASE("a change set says what was added, changed and removed") {
  Fixture f;
  const ObjectPtr a = make("a", "1"), b = make("b", "1");
  ChangeSet first = f.store.apply(update("one", {a, b}));
  CHECK(first.added.size() == 2);
  ObjectSnapshotPtr before = f.store.snapshot();
  ChangeSet second = f.store.apply(update("one", {make("b", "2"), make("c", "1")}, {key("a")}));
  CHECK(second.added.size() == 1);
  CHECK(second.changed.size() == 1);
  REQUIRE(second.removed.size() == 1);
  CHECK(second.removed[0] == a);
  CHECK(f.store.snapshot()->size() == 2);
  CHECK(f.store.apply(update("one", {})).empty());
  // Snapshots do not move under their readers.
  CHECK(before->size() == 2);
  CHECK(before->find(key("b")) == b);
  CHECK(before->revision() < f.store.snapshot()->revision());
}

TEST_CASE("after any changes the objects of a kind are those that are there, in the order of their keys, and earlier snapshots stay as they were") {
  Fixture f;
  std::mt19937 random(1);
  std::map<ObjectKey, ObjectPtr> there;
  std::vector<std::pair<ObjectSnapshotPtr, std::map<ObjectKey, ObjectPtr>>> history;
  for (int step = 0; step < 200; ++step) {
    std::vector<ObjectPtr> objects;
    std::vector<ObjectKey> removed;
    for (unsigned i = random() % 5; i > 0; --i) {
      const std::string name = "n" + std::to_string(random() % 30);
      if (random() % 3 == 0) {
        removed.push_back(key(name));
      } else {
        objects.push_back(make(name, std::to_string(step)));
      }
    }
    for (const ObjectPtr& o : objects) there[o->key] = o;
    for (const ObjectKey& k : removed) there.erase(k);
    f.store.apply(update("one", std::move(objects), std::move(removed)));
    history.emplace_back(f.store.snapshot(), there);
  }
  for (const auto& [snapshot, want] : history) {
    std::map<ObjectKey, ObjectPtr> got;
    std::vector<ObjectKey> order;
    for (const auto& [k, o] : snapshot->of("ours", "Thing")) {
      order.push_back(k);
      got.emplace(k, o);
    }
    CHECK(got == want);
    CHECK(order.size() == want.size());
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(snapshot->size() == want.size());
    for (int i = 0; i < 30; ++i) {
      const ObjectKey k = key("n" + std::to_string(i));
      CHECK(snapshot->find(k) == (want.contains(k) ? want.at(k) : nullptr));
    }
  }
  // What tells two of them apart makes the one of the other.
  for (size_t i = 0; i < history.size(); i += 7) {
    const auto& [from, was] = history[i];
    const auto& [to, is] = history[random() % history.size()];
    auto made = was;
    std::vector<ObjectKey> told;
    KindObjects::for_each_difference(from->of("ours", "Thing"), to->of("ours", "Thing"), [&](const ObjectPtr& before, const ObjectPtr& after) {
      REQUIRE(before != after);
      told.push_back((after ? after : before)->key);
      CHECK(before == (made.contains(told.back()) ? made.at(told.back()) : nullptr));
      if (after) made[after->key] = after;
      else made.erase(before->key);
    });
    CHECK(made == is);
    CHECK(std::is_sorted(told.begin(), told.end()));
  }
}

TEST_CASE("an object whose new version is bad keeps its last good one, and says so") {
  Fixture f;
  f.store.apply(update("one", {make("a", "1")}));
  ChangeSet bad = f.store.apply(update("one", {make("a", "bad"), make("b", "bad")}));
  CHECK(bad.added.empty());
  CHECK(bad.changed.empty());
  CHECK(bad.diagnostics_changed);
  CHECK(value_of(f.store, "a") == "1");
  CHECK(value_of(f.store, "b") == "-");
  const std::vector<Diagnostic>& told = f.store.snapshot()->diagnostics();
  REQUIRE(told.size() == 3);
  CHECK(told[1].message == "its last good version stays in use, read at one.yaml:1");
  f.store.apply(update("one", {make("a", "2"), make("b", "2")}));
  CHECK(value_of(f.store, "a") == "2");
  CHECK(value_of(f.store, "b") == "2");
  CHECK(f.store.snapshot()->diagnostics().empty());
}

TEST_CASE("the newest version of an object that failed its check is known until a better one comes or it is removed") {
  Fixture f;
  const ObjectPtr first = make("a", "bad"), other = make("b", "1");
  f.store.apply(update("one", {first, other}));
  CHECK(f.store.snapshot()->rejected() == ObjectSnapshot::ByName{{key("a"), first}});
  CHECK(f.store.snapshot()->find(key("a")) == nullptr);

  f.store.apply(update("one", {make("a", "2"), make("b", "bad")}));
  REQUIRE(f.store.snapshot()->rejected().size() == 1);
  CHECK(f.store.snapshot()->rejected().begin()->first == key("b"));
  CHECK(f.store.snapshot()->find(key("b")) == other);

  // The same mistake in the next generation is a change all the same: the condition names the generation.
  auto next = std::make_shared<Object>(*f.store.snapshot()->rejected().begin()->second);
  next->generation = 7;
  CHECK(f.store.apply(update("one", {next})).diagnostics_changed);
  CHECK(f.store.apply(update("one", {std::make_shared<Object>(*next)})).empty());
  f.store.apply(update("one", {}, {key("b")}));
  CHECK(f.store.snapshot()->rejected().empty());
}

TEST_CASE("a bad object that is removed takes its last good version and its error with it") {
  Fixture f;
  f.store.apply(update("one", {make("a", "1")}));
  f.store.apply(update("one", {make("a", "bad")}));
  const ChangeSet gone = f.store.apply(update("one", {}, {key("a")}));
  CHECK(gone.removed.size() == 1);
  CHECK(f.store.snapshot()->size() == 0);
  CHECK(f.store.snapshot()->diagnostics().empty());
}

TEST_CASE("a warning does not make an object bad, and an ignored kind is not kept") {
  Fixture f;
  f.store.apply(update("one", {make("a", "odd"), make("b", "ignored")}));
  CHECK(value_of(f.store, "a") == "odd");
  CHECK(value_of(f.store, "b") == "-");
  CHECK(f.store.snapshot()->diagnostics().size() == 1);
  f.store.apply(update("one", {make("a", "ignored")}));
  CHECK(value_of(f.store, "a") == "-");
}

TEST_CASE("of two sources with one object the first registered wins and the other is told") {
  Fixture f;
  f.store.register_source("one");
  f.store.register_source("two");
  f.store.apply(update("two", {make("a", "second", "two")}));
  CHECK(value_of(f.store, "a") == "second");
  const ChangeSet taken = f.store.apply(update("one", {make("a", "first")}));
  CHECK(taken.changed.size() == 1);
  CHECK(value_of(f.store, "a") == "first");
  REQUIRE(f.store.snapshot()->diagnostics().size() == 1);
  CHECK(f.store.snapshot()->diagnostics()[0].str() ==
        "two.yaml:1: Thing default/a: is also at one.yaml:1 in one, which comes first and is used");
  const ChangeSet back = f.store.apply(update("one", {}, {key("a")}));
  CHECK(back.changed.size() == 1);
  CHECK(value_of(f.store, "a") == "second");
  CHECK(f.store.snapshot()->diagnostics().empty());
}

TEST_CASE("nothing is synced before every registered source is, and a lost source stays synced") {
  Fixture f;
  f.store.register_source("one");
  f.store.register_source("two");
  CHECK_FALSE(f.store.snapshot()->synced());
  SourceUpdate good = update("one", {make("a", "1")});
  good.at = std::chrono::system_clock::time_point(std::chrono::seconds(100));
  f.store.apply(good);
  CHECK_FALSE(f.store.snapshot()->synced());
  f.store.apply(update("two", {}));
  CHECK(f.store.snapshot()->synced());
  SourceUpdate lost = update("one", {});
  lost.lost = "does not exist";
  lost.at = std::chrono::system_clock::time_point(std::chrono::seconds(200));
  f.store.apply(lost);
  CHECK(f.store.snapshot()->synced());
  CHECK(value_of(f.store, "a") == "1");
  CHECK(f.store.snapshot()->sources()[0].lost == "does not exist");
  CHECK(f.store.snapshot()->sources()[0].last_good == good.at);
}

TEST_CASE("groups nobody reads: Kubernetes' own quietly, misspelt ones as errors, others with a warning") {
  Fixture f;
  f.store.apply(update("one", {make("a", "1", "one", "apps"), make("b", "1", "one", "our"), make("c", "1", "one", "example.com")}));
  CHECK(f.store.snapshot()->size() == 0);
  std::map<std::string, Diagnostic> told;
  for (const Diagnostic& d : f.store.snapshot()->diagnostics()) told[d.object.name] = d;
  CHECK(told.at("a").severity == Severity::kNote);
  CHECK(told.at("b").severity == Severity::kError);
  CHECK(told.at("b").message == "unknown group 'our'; did you mean 'ours'?");
  CHECK(told.at("c").severity == Severity::kWarning);
}

}  // namespace
}  // namespace fairlead::adapters
