// Shards, unions, and what a change says.
#include <catch2/catch.hpp>

#include "controlplane/topology/topology.h"

using namespace fairlead::topology;
using fairlead::intent::BackendKey;

namespace {

const ServiceKey app{"default", "app"};
const BackendKey app80{"default", "app", 80};
const BackendKey app81{"default", "app", 81};

Endpoint at(std::string address, uint16_t port = 8080, Health health = Health::kReady) {
  Endpoint e;
  e.address = std::move(address);
  e.port = port;
  e.health = health;
  return e;
}

}  // namespace

TEST_CASE("a change names the ports whose endpoints changed, and no others") {
  Topology t;
  CHECK(t.set(app, "files", {{80, {at("10.0.0.1")}}, {81, {at("10.0.0.1", 8081)}}}).ports == std::vector{app80, app81});
  CHECK(t.set(app, "files", {{80, {at("10.0.0.1"), at("10.0.0.2")}}, {81, {at("10.0.0.1", 8081)}}}).ports == std::vector{app80});
  CHECK(t.view().endpoints(app80).size() == 2);
}

TEST_CASE("a TCP and a UDP port of one number are two ports") {
  Topology t;
  const BackendKey tcp{"default", "app", 53}, udp{"default", "app", 53, true};
  CHECK(udp.str() == "default/app/53/udp");
  CHECK(t.set(app, "files", {{53, {at("10.0.0.1")}}, {{53, true}, {at("10.0.0.2")}}}).ports == std::vector{tcp, udp});
  CHECK(t.view().endpoints(tcp).at(0).address == "10.0.0.1");
  CHECK(t.view().endpoints(udp).at(0).address == "10.0.0.2");
  const Change change = t.set(app, "files", {{53, {at("10.0.0.1")}}});
  CHECK(change.ports == std::vector{udp});
  CHECK(change.known_changed);
  CHECK(t.view().knows(tcp));
  CHECK_FALSE(t.view().knows(udp));
}

TEST_CASE("an update that changes nothing is empty and leaves the generation, whatever the order of endpoints") {
  Topology t;
  t.set(app, "files", {{80, {at("10.0.0.1"), at("10.0.0.2")}}});
  const uint64_t generation = t.view().generation();
  CHECK(t.set(app, "files", {{80, {at("10.0.0.2"), at("10.0.0.1")}}}).empty());
  CHECK(t.view().generation() == generation);
}

TEST_CASE("shards are independent: their endpoints are joined, sorted and without duplicates") {
  Topology t;
  t.set(app, "east", {{80, {at("10.0.0.2"), at("10.0.0.1")}}});
  t.set(app, "west", {{80, {at("10.1.0.1"), at("10.0.0.1")}}});
  const auto all = t.view().endpoints(app80);
  REQUIRE(all.size() == 3);
  const auto by_pointer = t.view().find(app)->look(80);
  REQUIRE(by_pointer.size() == 3);
  for (size_t i = 0; i < 3; ++i) CHECK(*by_pointer[i] == all[i]);
  CHECK(t.view().find(app)->look(81).empty());
  CHECK(all[0].address == "10.0.0.1");
  CHECK(t.remove(app, "east").ports == std::vector{app80});
  CHECK(t.view().endpoints(app80).size() == 2);
  CHECK(t.remove(app, "east").empty());
}

TEST_CASE("an endpoint that another shard has too may come and go without a change") {
  Topology t;
  t.set(app, "east", {{80, {at("10.0.0.1")}}});
  CHECK(t.set(app, "west", {{80, {at("10.0.0.1")}}}).empty());
  CHECK(t.remove(app, "west").empty());
}

TEST_CASE("a port without endpoints is known, a port nobody named is not") {
  Topology t;
  const Change appeared = t.set(app, "files", {{80, {}}});
  CHECK(appeared.ports == std::vector{app80});
  CHECK(appeared.known_changed);
  CHECK_FALSE(t.set(app, "files", {{80, {at("10.0.0.1")}}}).known_changed);
  CHECK(t.view().knows(app80));
  CHECK_FALSE(t.view().knows(app81));
  t.remove(app, "files");
  CHECK_FALSE(t.view().knows(app80));
  CHECK(t.view().size() == 0);
}

TEST_CASE("a change of health is a change") {
  Topology t;
  t.set(app, "files", {{80, {at("10.0.0.1")}}});
  CHECK(t.set(app, "files", {{80, {at("10.0.0.1", 8080, Health::kServing)}}}).ports == std::vector{app80});
}

TEST_CASE("a removed shard takes with it what it knew and nothing else") {
  Topology t;
  t.set(app, "east", {{80, {at("10.0.0.1")}}});
  t.set({"default", "db"}, "east", {{5432, {at("10.0.0.9")}}});
  t.set({"default", "web"}, "west", {{80, {at("10.0.0.3")}}});
  CHECK(t.remove_shard("east").ports.size() == 2);
  CHECK(t.view().size() == 1);
  CHECK(t.view().find({"default", "web"}) != nullptr);
}

TEST_CASE("a view stays what it was while the topology goes on") {
  Topology t;
  t.set(app, "files", {{80, {at("10.0.0.1")}}});
  const View before = t.view();
  t.set(app, "files", {{80, {}}});
  CHECK(before.endpoints(app80).size() == 1);
  CHECK(t.view().endpoints(app80).empty());
}
