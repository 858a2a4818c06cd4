// Subscriptions as values: rules 26-31 and 35-40.
#include <catch2/catch.hpp>

#include "controlplane/stream/subscription.h"

using namespace fairlead::cpstream;
using Texts = std::vector<std::string>;

TEST_CASE("rule 26: an empty list means everything as long as no name was ever sent, for LDS and CDS only") {
  NameTable table;
  Subscription root(true);
  CHECK(root.set({}, table).wildcard_added);
  CHECK(root.contains("anything"));
  Subscription other(false);
  CHECK_FALSE(other.set({}, table).any());
  CHECK(other.empty());
}

TEST_CASE("rule 27: star, star and names, names only, nothing") {
  NameTable table;
  Subscription s(true);
  CHECK(s.set({"*"}, table).wildcard_added);
  const SubscriptionChange named = s.set({"*", "a"}, table);
  CHECK(named.added == Texts{"a"});
  CHECK(s.wildcard());
  const SubscriptionChange only = s.set({"a"}, table);
  CHECK(only.wildcard_removed);
  CHECK(s.contains("a"));
  CHECK_FALSE(s.contains("b"));
  CHECK(s.set({}, table).removed == Texts{"a"});
  CHECK(s.empty());
}

TEST_CASE("rule 28: after any explicit name an empty list is no wildcard again") {
  NameTable table;
  Subscription s(true);
  s.set({"a"}, table);
  CHECK_FALSE(s.set({}, table).wildcard_added);
  CHECK_FALSE(s.contains("a"));
}

TEST_CASE("rule 30: the empty string is a name") {
  NameTable table;
  Subscription s(true);
  s.set({""}, table);
  CHECK_FALSE(s.wildcard());
  CHECK(s.contains(""));
  CHECK_FALSE(s.contains("a"));
}

TEST_CASE("rule 31: without legacy wildcards an empty list is nothing") {
  NameTable table;
  Subscription sotw(false), delta(false);
  sotw.set({}, table);
  delta.update({}, {}, true, table);
  CHECK(sotw.empty());
  CHECK(delta.empty());
}

TEST_CASE("rule 37: unsubscribing from star keeps explicit names") {
  NameTable table;
  Subscription s(true);
  s.update({"*", "a"}, {}, true, table);
  CHECK(s.update({}, {"*"}, false, table).wildcard_removed);
  CHECK(s.contains("a"));
  CHECK_FALSE(s.contains("b"));
}

TEST_CASE("rule 38: in delta a legacy wildcard stays when a name is added") {
  NameTable table;
  Subscription s(true);
  s.update({}, {}, true, table);
  s.update({"a"}, {}, false, table);
  CHECK(s.wildcard());
}

TEST_CASE("rule 40: subscribing to and from star at once is a live empty subscription") {
  NameTable table;
  Subscription s(true);
  s.update({"*"}, {"*"}, true, table);
  CHECK(s.empty());
  CHECK(s.update({"a"}, {}, false, table).added == Texts{"a"});
}

TEST_CASE("rule 33: unsubscribing from what was never subscribed changes nothing") {
  NameTable table;
  Subscription s(false);
  s.update({"a"}, {}, true, table);
  CHECK_FALSE(s.update({}, {"b"}, false, table).any());
}

TEST_CASE("rule 35: subscribing again to a subscribed name counts as added") {
  NameTable table;
  Subscription s(false);
  s.update({"a"}, {}, true, table);
  CHECK(s.update({"a"}, {}, false, table).added == Texts{"a"});
}

TEST_CASE("equal subscriptions of many streams share one set of names") {
  NameTable table;
  Texts names;
  for (int i = 0; i < 1000; ++i) names.push_back("cluster-" + std::to_string(i));
  std::vector<Subscription> streams(100);
  for (Subscription& s : streams) s.set(names, table);
  CHECK(table.size() == 1);
  CHECK(streams[0].names() == streams[99].names());
  CHECK(streams[42].contains("cluster-999"));
  streams.clear();
  CHECK(table.size() == 0);
}

TEST_CASE("a name is kept once, for as long as somebody wants it") {
  NameTable table;
  {
    std::vector<Subscription> streams(100);
    for (size_t i = 0; i < streams.size(); ++i) {
      Texts names;
      for (size_t n = 0; n < 50; ++n) names.push_back("cluster-" + std::to_string((i + n) % 100));
      streams[i].update(names, {}, true, table);
    }
    CHECK(table.size() == 100);
    CHECK(table.names() == 100);
    CHECK(streams[70].names()->texts().front() == "cluster-0");
    streams[70].update({"other"}, {"cluster-0", "cluster-99"}, false, table);
    CHECK(table.names() == 101);
    CHECK(streams[70].names()->size() == 49);
    CHECK_FALSE(streams[70].contains("cluster-99"));
    CHECK(streams[70].contains("other"));
    CHECK(streams[69].contains("cluster-99"));
    CHECK(streams[70].update({}, {"other"}, false, table).removed == Texts{"other"});
    CHECK(table.names() == 100);
  }
  CHECK(table.size() == 0);
  CHECK(table.names() == 0);
}

TEST_CASE("a hundred thousand names in one request take one pass") {
  NameTable table;
  Texts names;
  for (int i = 0; i < 100'000; ++i) names.push_back("n" + std::to_string(99'999 - i));
  Subscription s(false);
  CHECK(s.update(names, {}, true, table).added.size() == 100'000);
  CHECK(s.names()->size() == 100'000);
}
