// Who is sent which secrets: those of its own scope, by name, and only where nobody can read along.
#include "tests/unit/controlplane/serve/harness.h"

namespace secrets_test {

using namespace fairlead;
using namespace fairlead::test;

namespace {

const Texts kNothing;

snapshot::Update two_gateways() {
  snapshot::Update u = gateway("edge", {listener("l", "r"), routes("r", {}), secret("default/a", "a's key", {origin("Secret", "a", 3)}), secret("default/b", "b's key")});
  u.gateways.push_back({{"default", "other"}, {secret("default/other", "the other's key")}});
  return u;
}

}  // namespace

TEST_CASE("a proxy gets the secrets it asks for by name, of its own Gateway alone") {
  for (StreamKind kind : {StreamKind::kSotw, StreamKind::kDelta}) {
    Server s;
    s.apply(two_gateways());
    Peer edge(s, kind, "n1", "edge");
    CHECK(edge.ack_all(edge.ask(Type::kSecret, {"default/a"})) == Texts{"sds[default/a]"});
    Peer stranger(s, kind, "n2", "other");
    for (const std::string& shape : stranger.ask(Type::kSecret, {"default/a", "default/b"})) CHECK(shape.find("sds[default/") == std::string::npos);
    CHECK((!stranger.last.contains(Type::kSecret) || stranger.last.at(Type::kSecret).bytes.empty()));
    // a new key reaches who has asked for it, and no one else
    snapshot::Update rotated = two_gateways();
    rotated.gateways[0].resources[2] = secret("default/a", "a's new key", {origin("Secret", "a", 3)});
    s.apply(std::move(rotated));
    CHECK(edge.received() == Texts{"sds[default/a]"});
    CHECK(edge.last.at(Type::kSecret).bytes.at("default/a").find("a's new key") != std::string::npos);
    CHECK(stranger.received() == kNothing);
  }
}

TEST_CASE("over a connection that others can read no secret goes out, and everything else does") {
  for (StreamKind kind : {StreamKind::kSotw, StreamKind::kDelta}) {
    Server s;
    s.apply(two_gateways());
    Peer far(s, kind, "n1", "edge", "envoy", std::nullopt, peer("10.1.2.3"));
    CHECK(far.ack_all(far.ask(Type::kListener)) == Texts{"lds[l]"});
    for (const std::string& shape : far.ask(Type::kSecret, {"default/a"})) CHECK(shape.find("sds[default/") == std::string::npos);
    snapshot::Update rotated = two_gateways();
    rotated.gateways[0].resources[2] = secret("default/a", "a's new key", {origin("Secret", "a", 3)});
    s.apply(std::move(rotated));
    for (const std::string& shape : far.received()) CHECK(shape.find("sds[default/") == std::string::npos);
    // what is not sent is told where it is written
    bool told = false;
    for (const intent::Finding& f : s.core.findings()) told |= f.reason == "SecretNotSent" && f.origin.place() == "test.yaml:3" && f.message.find("node n1 at 10.1.2.3:1") != std::string::npos;
    CHECK(told);
    for (const verdict::Condition& c : s.core.conditions()) {
      if (c.origin.kind != "Secret") continue;
      CHECK(c.status != verdict::Truth::kTrue);
      CHECK((c.type != "Accepted" || c.reason == "SecretNotSent"));
    }
    // the same proxy over TLS
    Peer secured(s, kind, "n1", "edge", "envoy", std::nullopt, peer("10.1.2.3", {"spiffe://example.org/edge"}));
    CHECK(secured.ask(Type::kSecret, {"default/a"}) == Texts{"sds[default/a]"});
  }
}

}  // namespace secrets_test
