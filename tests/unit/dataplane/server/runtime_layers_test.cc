// The runtime's layers while the server runs: what /runtime shows, what /runtime_modify does, what is counted.
#include <google/protobuf/struct.pb.h>

#include <catch2/catch.hpp>

#include "dataplane/server/runtime_layers.h"

namespace fairlead::server::runtime_layers_test {
namespace {

using config::RuntimeLayer;

RuntimeLayer layer(const std::string& name, const std::vector<std::pair<std::string, std::string>>& values, RuntimeLayer::Kind kind = RuntimeLayer::Kind::Static) {
  auto runtime = std::make_shared<matching::Runtime>();
  for (const auto& [key, value] : values) runtime->set(key, config::runtime_value(value));
  return {name, kind, std::move(runtime)};
}

}  // namespace

TEST_CASE("a later layer wins, the admin layer by its place among them") {
  stats::Registry stats(1);
  RuntimeLayers first({layer("admin", {}, RuntimeLayer::Kind::Admin), layer("base", {{"a", "1"}, {"b", "true"}})}, stats);
  CHECK(first.modify({{"a", "2"}, {"c", "3"}}));
  CHECK(first.current()->number("a", 0) == 1);
  CHECK(first.current()->number("c", 0) == 3);
  RuntimeLayers last({layer("base", {{"a", "1"}, {"b", "true"}}), layer("admin", {}, RuntimeLayer::Kind::Admin)}, stats);
  const auto before = last.current();
  CHECK(last.modify({{"a", "2"}, {"b", "false"}, {"t", "text"}}));
  CHECK(before->number("a", 0) == 1);  // what is served stays as it is
  CHECK(last.current()->number("a", 0) == 2);
  CHECK_FALSE(last.current()->boolean("b", true));
  CHECK(last.current()->number("t", 7) == 7);
  CHECK(last.modify({{"a", ""}, {"nobody", ""}}));
  CHECK(last.current()->number("a", 0) == 1);
}

TEST_CASE("what is discovered takes its layer's place, is left as it was by what cannot be read, and is taken back") {
  stats::Registry stats(1);
  RuntimeLayer found = layer("found", {}, RuntimeLayer::Kind::Discovered);
  found.resource = "one";
  RuntimeLayers layers({layer("base", {{"a", "1"}, {"b", "1"}}), found, layer("last", {{"b", "3"}})}, stats);
  CHECK(layers.discovers("one"));
  CHECK_FALSE(layers.discovers("found"));
  google::protobuf::Struct values;
  (*values.mutable_fields())["a"].set_number_value(2);
  (*values.mutable_fields())["b"].set_number_value(2);
  CHECK(layers.set("one", values).ok());
  CHECK(layers.current()->number("a", 0) == 2);
  CHECK(layers.current()->number("b", 0) == 3);
  (*values.mutable_fields())["c"].mutable_list_value();
  CHECK_FALSE(layers.set("one", values).ok());
  CHECK(stats.find("runtime.load_error") == 1);
  CHECK(layers.current()->number("a", 0) == 2);
  layers.clear("one");
  CHECK(layers.current()->number("a", 0) == 1);
}

TEST_CASE("without an admin layer nothing is modified") {
  stats::Registry stats(1);
  RuntimeLayers layers({layer("base", {{"a", "1"}})}, stats);
  CHECK_FALSE(layers.modify({{"a", "2"}}));
  CHECK(layers.current()->number("a", 0) == 1);
}

TEST_CASE("the runtime is shown by layers and counted") {
  stats::Registry stats(1);
  RuntimeLayers layers({layer("base", {{"a", "1"}}), layer("admin", {}, RuntimeLayer::Kind::Admin)}, stats);
  CHECK(stats.find("runtime.num_layers") == 2);
  CHECK(stats.find("runtime.num_keys") == 1);
  CHECK(stats.find("runtime.admin_overrides_active") == 0);
  CHECK(layers.modify({{"a", "2"}, {"b", "x"}}));
  CHECK(stats.find("runtime.num_keys") == 2);
  CHECK(stats.find("runtime.admin_overrides_active") == 1);
  CHECK(stats.find("runtime.load_success") == 2);
  std::string shown = layers.to_json();
  std::erase_if(shown, [](char c) { return c == ' ' || c == '\n'; });
  CHECK(shown == R"({"layers":["base","admin"],"entries":{"a":{"layer_values":["1","2"],"final_value":"2"},"b":{"layer_values":["","x"],"final_value":"x"}}})");
}

}  // namespace fairlead::server::runtime_layers_test
