// Which client may say it is which node.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "controlplane/serve/authorization.h"

namespace authorization_test {

using namespace fairlead;
using serve::Authorization;

namespace {

Authorization rules(std::vector<std::string> texts) {
  std::vector<Authorization::Line> lines;
  for (std::string& text : texts) lines.push_back({std::move(text), "--xds-authorize"});
  auto parsed = Authorization::parse(lines);
  INFO(parsed.status().message());
  REQUIRE(parsed.ok());
  return *std::move(parsed);
}

bool may(const Authorization& rules, std::vector<std::string> names, const std::string& id, const std::string& cluster = "", const std::string& gateway = "") {
  rpc::Peer client;
  client.names = std::move(names);
  snapshot::Node node;
  node.id = id;
  node.cluster = cluster;
  node.gateway = gateway;
  return rules.check(client, node).ok();
}

std::string refused(const std::string& rule) { return std::string(Authorization::parse({{rule, "rules.txt:3"}}).status().message()); }

}  // namespace

TEST_CASE("without a rule everybody may be any node; with one nobody else may") {
  CHECK(may(Authorization(), {}, "n1", "edge"));
  const Authorization one = rules({"spiffe://a/edge = id:n1, cluster:edge"});
  CHECK(may(one, {"spiffe://a/edge"}, "n1", "edge"));
  CHECK(may(one, {"spiffe://a/other", "spiffe://a/edge"}, "n1", "edge"));
  CHECK_FALSE(may(one, {"spiffe://a/other"}, "n1", "edge"));
  CHECK_FALSE(may(one, {"spiffe://a/edge/more"}, "n1", "edge"));
  CHECK_FALSE(may(one, {}, "n1", "edge"));
}

TEST_CASE("what a rule does not speak of it does not allow, and what it has a node must give") {
  const Authorization one = rules({"a=id:*,gateway:prod/edge"});
  CHECK(may(one, {"a"}, "any", "", "prod/edge"));
  CHECK_FALSE(may(one, {"a"}, "any", "edge", "prod/edge"));
  CHECK_FALSE(may(one, {"a"}, "any", "", "dev/edge"));
  CHECK_FALSE(may(one, {"a"}, "any"));
}

TEST_CASE("several values of a kind are alternatives, and several rules are too, but parts of two rules are none") {
  const Authorization two = rules({"a=id:1,id:2,cluster:x", "a=id:3,cluster:y"});
  CHECK(may(two, {"a"}, "1", "x"));
  CHECK(may(two, {"a"}, "2", "x"));
  CHECK(may(two, {"a"}, "3", "y"));
  CHECK_FALSE(may(two, {"a"}, "3", "x"));
}

TEST_CASE("a star stays within a segment, two cross it, and neither ends early") {
  const Authorization one = rules({"spiffe://*/edge = id:edge-*", "spiffe://b/** = id:b*z"});
  CHECK(may(one, {"spiffe://a/edge"}, "edge-7f9c"));
  CHECK_FALSE(may(one, {"spiffe://a/x/edge"}, "edge-7f9c"));
  CHECK_FALSE(may(one, {"spiffe://a/edge"}, "edge"));
  CHECK_FALSE(may(one, {"spiffe://a/edge"}, "my-edge-1"));
  CHECK(may(one, {"spiffe://b/x/y"}, "bzzz"));
  CHECK_FALSE(may(one, {"spiffe://b/x/y"}, "bzzzy"));
}

TEST_CASE("what a capture stood for in the client's name it stands for in the node, as text") {
  const Authorization one = rules({"spiffe://org/ns/{ns}/sa/{name} = id:*, cluster:{name}, gateway:{ns}/{name}"});
  CHECK(may(one, {"spiffe://org/ns/prod/sa/edge"}, "edge-1", "edge", "prod/edge"));
  CHECK_FALSE(may(one, {"spiffe://org/ns/prod/sa/edge"}, "edge-1", "edge", "dev/edge"));
  CHECK_FALSE(may(one, {"spiffe://org/ns/prod/sa/edge"}, "edge-1", "other", "prod/edge"));
  CHECK_FALSE(may(one, {"spiffe://org/ns/prod/sa/*"}, "edge-1", "edge", "prod/edge"));
  CHECK_FALSE(may(one, {"spiffe://org/ns//sa/edge"}, "edge-1", "edge", "/edge"));
  const Authorization twice = rules({"x/{a}/{a} = id:{a}"});
  CHECK(may(twice, {"x/1/1"}, "1"));
  CHECK_FALSE(may(twice, {"x/1/2"}, "1"));
}

TEST_CASE("a client of the mesh is one of its own namespace, and of none without leave") {
  const Authorization one = rules({"spiffe://org/ns/{ns}/sa/* = id:*, mesh:{ns}", "plain = id:*"});
  rpc::Peer client;
  snapshot::Node node;
  node.id = "n";
  node.mesh = "shop";
  client.names = {"spiffe://org/ns/shop/sa/cart"};
  CHECK(one.check(client, node).ok());
  client.names = {"spiffe://org/ns/edge/sa/cart"};
  CHECK(one.check(client, node).message() ==
        "client spiffe://org/ns/edge/sa/cart may not be node id \"n\", cluster \"\", mesh \"shop\": rules for it: spiffe://org/ns/{ns}/sa/* = id:*, mesh:{ns}");
  client.names = {"plain"};
  CHECK_FALSE(one.check(client, node).ok());
  node.mesh.clear();
  CHECK(one.check(client, node).ok());
}

TEST_CASE("a refusal names the client, the node and the rules there are for it") {
  const Authorization two = rules({"a=id:1", "b=id:2"});
  rpc::Peer client;
  client.names = {"a", "also"};
  snapshot::Node node;
  node.id = "n";
  node.cluster = "c";
  CHECK(two.check(client, node).message() == "client a, also may not be node id \"n\", cluster \"c\": rules for it: a=id:1");
  CHECK(absl::IsPermissionDenied(two.check(client, node)));
  client.names = {"z"};
  node.gateway = "x/y";
  CHECK(two.check(client, node).message() == "client z may not be node id \"n\", cluster \"c\", gateway \"x/y\": no rule is for it");
  CHECK(two.check({}, node).message() == "client without a name in a verified certificate or token may not be node id \"n\", cluster \"c\", gateway \"x/y\": no rule is for it");
}

TEST_CASE("a rule that is wrong says where it stands and what is wrong") {
  CHECK(refused("nonsense") == "rules.txt:3: rule \"nonsense\": is not CLIENT=KIND:PATTERN,…");
  CHECK(refused("a=node:1") == "rules.txt:3: rule \"a=node:1\": \"node:1\" is not id:PATTERN, cluster:PATTERN, gateway:PATTERN or mesh:PATTERN");
  CHECK(refused("a=") == "rules.txt:3: rule \"a=\": \"\" is not id:PATTERN, cluster:PATTERN, gateway:PATTERN or mesh:PATTERN");
  CHECK(refused("=id:1") == "rules.txt:3: rule \"=id:1\": an empty name matches nothing");
  CHECK(refused("a=cluster:c") == "rules.txt:3: rule \"a=cluster:c\": it allows no id: add id:* for any");
  CHECK(refused("a=id:{x}") == "rules.txt:3: rule \"a=id:{x}\": {x} is not in the client's half");
  CHECK(refused("a-{x}=id:{x}") == "rules.txt:3: rule \"a-{x}=id:{x}\": \"a-{x}\": {x} must have a name and stand for a whole segment");
  CHECK(refused("a/{x=id:1") == "rules.txt:3: rule \"a/{x=id:1\": \"a/{x\": a { without its }");
}

TEST_CASE("a file of rules has one a line and comments") {
  const auto lines = Authorization::lines_of("# all\n\n a=id:1 # the first\r\n#b=id:2\nc=id:3", "f");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].text == "a=id:1");
  CHECK(lines[0].place == "f:3");
  CHECK(lines[1].place == "f:5");
}

}  // namespace authorization_test
