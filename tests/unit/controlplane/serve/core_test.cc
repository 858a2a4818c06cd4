// What the core does with streams, changes and refusals, played without sockets.
#include "tests/unit/controlplane/serve/harness.h"

#include "tests/slowness.h"

namespace core_test {

using namespace fairlead;
using namespace fairlead::test;
using serve::Core;

namespace {

const Texts kNothing;
std::string bytes_of(const ResourcePtr& r) { return std::string(r->body()); }

std::vector<ResourcePtr> edge(int variant = 1) {
  return {cluster("a", variant, {}, {origin("HTTPRoute", "app", 7)}), assignment("a"), listener("l", "r"), routes("r", {"a"})};
}

snapshot::Update incomplete(bool is) {
  snapshot::Update u;
  u.incomplete = is;
  return u;
}

}  // namespace

TEST_CASE("rule 10: before the sources are read, streams are refused with Unavailable") {
  Server s;
  CHECK(absl::IsUnavailable(s.core.open(StreamKind::kDelta, std::nullopt, peer()).status()));
  CHECK_FALSE(s.core.ready());
  s.apply(gateway("edge", edge()));
  CHECK(s.core.ready());
  CHECK(s.core.open(StreamKind::kDelta, std::nullopt, peer()).ok());
  CHECK(s.core.metrics().streams_refused == 1);
}

TEST_CASE("a first request without a node ends its stream and no other") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer good(s, StreamKind::kDelta, "n1"), bad(s, StreamKind::kDelta, "");
  good.ack_all(good.ask(Type::kCluster));
  CHECK(bad.ask(Type::kCluster) == kNothing);
  REQUIRE(s.ended.contains(bad.id));
  CHECK(absl::IsInvalidArgument(s.ended[bad.id]));
  CHECK(s.ended[bad.id].message() == "the first request of a stream must name its node: node.id is empty");
  CHECK(s.core.streams() == 1);
  s.apply(gateway("edge", edge(2)));
  CHECK(good.received() == Texts{"cds[a]"});
}

TEST_CASE("malformed bytes end only their stream") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer good(s, StreamKind::kSotw, "n1");
  good.ack_all(good.ask(Type::kCluster));
  for (int i = 0; i < 20; ++i) {
    Peer bad(s, i % 2 ? StreamKind::kSotw : StreamKind::kDelta, "x");
    bad.raw(std::string(1 + i, static_cast<char>(0xff - i)));
    REQUIRE(s.ended.contains(bad.id));
    CHECK(absl::IsInvalidArgument(s.ended[bad.id]));
    bad.raw("more after the end is passed over");
  }
  CHECK(s.core.streams() == 1);
  CHECK(s.core.metrics().bad_requests == 20);
  s.apply(gateway("edge", edge(2)));
  CHECK(good.received() == Texts{"cds[a]"});
}

TEST_CASE("an unknown type is passed over; a foreign type on a per-type service ends the stream") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer cds(s, StreamKind::kSotw, "n1", "edge", "envoy", Type::kCluster);
  CHECK(cds.ask(Type::kCluster) == Texts{"cds[a]"});
  cds.ask(Type::kListener);
  REQUIRE(s.ended.contains(cds.id));
  CHECK(s.ended[cds.id].message().find("not type.googleapis.com/envoy.config.listener.v3.Listener") != std::string::npos);
  Peer ads(s, StreamKind::kSotw, "n1");
  envoy::service::discovery::v3::DiscoveryRequest r;
  r.mutable_node()->set_id("n1");
  r.set_type_url("type.googleapis.com/some.other.Type");
  ads.raw(r.SerializeAsString());
  CHECK(ads.received() == kNothing);
  CHECK_FALSE(s.ended.contains(ads.id));
}

TEST_CASE("a stream beyond the limit is refused, and admitted once another has gone") {
  Core::Options o;
  o.max_streams = 2;
  Server s(o);
  s.apply(gateway("edge", edge()));
  Peer a(s, StreamKind::kDelta, "a"), b(s, StreamKind::kDelta, "b");
  const absl::Status refused = s.core.open(StreamKind::kDelta, std::nullopt, peer()).status();
  CHECK(absl::IsResourceExhausted(refused));
  CHECK(refused.message() == "more than 2 streams");
  s.core.closed(a.id);
  s.core.closed(a.id);  // twice is once
  CHECK(s.core.open(StreamKind::kDelta, std::nullopt, peer()).ok());
}

TEST_CASE("one changed assignment goes to each subscriber, and nothing else") {
  Server s;
  s.apply(gateway("edge", {cluster("a"), cluster("b"), assignment("a"), assignment("b")}));
  Peer delta(s, StreamKind::kDelta, "d"), sotw(s, StreamKind::kSotw, "s"), other(s, StreamKind::kDelta, "o");
  for (Peer* p : {&delta, &sotw}) {
    p->ack_all(p->ask(Type::kCluster));
    p->ack_all(p->ask(Type::kEndpoint, {"a", "b"}));
  }
  other.ack_all(other.ask(Type::kEndpoint, {"b"}));
  snapshot::Update u;
  u.assignments.push_back(assignment("a", 2));
  s.apply(std::move(u));
  CHECK(delta.received() == Texts{"eds[a]"});
  CHECK(sotw.received() == Texts{"eds[a]"});
  CHECK(other.received() == kNothing);
  CHECK(s.core.metrics().pushes == 2);  // and nobody else was even asked
  CHECK(s.core.metrics().empty_pushes == 0);
}

TEST_CASE("a slow reader has one push on its way and one merged entry, then gets the latest") {
  Server s;
  s.apply(gateway("edge", edge(1)));
  Peer slow(s, StreamKind::kDelta, "slow"), quick(s, StreamKind::kDelta, "quick");
  slow.ack_all(slow.ask(Type::kCluster));
  quick.ack_all(quick.ask(Type::kCluster));
  s.slow.insert(slow.id);
  for (int variant = 2; variant <= 6; ++variant) {
    s.apply(gateway("edge", edge(variant)));
    quick.ack_all(quick.received());
  }
  CHECK(slow.received() == Texts{"cds[a]"});
  CHECK(slow.last[Type::kCluster].bytes["a"] == bytes_of(edge(2)[0]));
  CHECK(quick.last[Type::kCluster].bytes["a"] == bytes_of(edge(6)[0]));
  s.slow.clear();
  s.core.written(slow.id, s.clock.monotonic());
  s.settle();
  CHECK(slow.received() == Texts{"cds[a]"});
  CHECK(slow.last[Type::kCluster].bytes["a"] == bytes_of(edge(6)[0]));
}

TEST_CASE("refused bytes never go to the stream again; a class as a whole gets the last good only after three nodes refused") {
  Server s;
  s.apply(gateway("edge", edge(1)));
  std::vector<std::unique_ptr<Peer>> peers;
  for (const char* name : {"n1", "n2", "n3", "n4"}) {
    peers.push_back(std::make_unique<Peer>(s, StreamKind::kDelta, name));
    peers.back()->ack_all(peers.back()->ask(Type::kCluster));
  }
  s.apply(gateway("edge", edge(2)));
  for (auto& p : peers) CHECK(p->received() == Texts{"cds[a]"});
  CHECK(peers[0]->nack(Type::kCluster, "a: no") == kNothing);
  s.settle();
  CHECK(peers[0]->received() == kNothing);
  CHECK(peers[0]->ask(Type::kCluster, {"a"}) == Texts{"cds[a]"});  // asked for again: the last good one
  CHECK(peers[0]->last[Type::kCluster].bytes["a"] == bytes_of(edge(1)[0]));

  Peer before(s, StreamKind::kDelta, "n5");
  CHECK(before.ask(Type::kCluster) == Texts{"cds[a]"});
  CHECK(before.last[Type::kCluster].bytes["a"] == bytes_of(edge(2)[0]));  // one refusal is no verdict

  peers[1]->nack(Type::kCluster, "a: no");
  const uint64_t epoch = s.core.state_epoch();
  peers[2]->nack(Type::kCluster, "a: no");
  CHECK(s.core.state_epoch() > epoch);
  s.settle();
  CHECK(peers[3]->received() == Texts{"cds[a]"});
  CHECK(peers[3]->last[Type::kCluster].bytes["a"] == bytes_of(edge(1)[0]));
  Peer after(s, StreamKind::kDelta, "n6"), stranger(s, StreamKind::kDelta, "g1", "edge", "grpc");
  after.ask(Type::kCluster);
  CHECK(after.last[Type::kCluster].bytes["a"] == bytes_of(edge(1)[0]));
  stranger.ask(Type::kCluster);
  CHECK(stranger.last[Type::kCluster].bytes["a"] == bytes_of(edge(2)[0]));

  const doc::Value listed = s.core.nacks();
  REQUIRE(listed.find("nacks")->size() == 1);
  const doc::Value& nack = listed.find("nacks")->items()[0];
  CHECK(nack.find("nodes")->size() == 3);
  CHECK(nack.find_path("message")->as_string() == "a: no");
  CHECK(nack.find("origins")->items()[0].find("place")->as_string() == "test.yaml:7");

  s.apply(gateway("edge", edge(3)));  // the author acted
  for (auto& p : peers) {
    CHECK(p->received() == Texts{"cds[a]"});
    CHECK(p->last[Type::kCluster].bytes["a"] == bytes_of(edge(3)[0]));
  }
  CHECK(s.core.nacks().find("nacks")->size() == 0);
}

TEST_CASE("when those who did not refuse leave, the refusal stands for the class") {
  Server s;
  s.apply(gateway("edge", edge(1)));
  Peer a(s, StreamKind::kDelta, "a"), b(s, StreamKind::kDelta, "b");
  for (Peer* p : {&a, &b}) p->ack_all(p->ask(Type::kCluster));
  s.apply(gateway("edge", edge(2)));
  a.received();
  b.received();
  a.nack(Type::kCluster, "a: no");
  s.core.closed(b.id);
  s.settle();
  Peer c(s, StreamKind::kDelta, "c");
  c.ask(Type::kCluster);
  CHECK(c.last[Type::kCluster].bytes["a"] == bytes_of(edge(1)[0]));
}

TEST_CASE("what was refused survives in the state, and is dropped with its Gateway") {
  doc::Value state;
  {
    Server s;
    s.apply(gateway("edge", edge(1)));
    Peer a(s, StreamKind::kDelta, "a");
    a.ack_all(a.ask(Type::kCluster));
    s.apply(gateway("edge", edge(2)));
    a.received();
    a.nack(Type::kCluster, "a: no");
    state = s.core.state();
  }
  Server s;
  REQUIRE(s.core.restore(state).ok());
  s.apply(gateway("edge", edge(2)));
  Peer a(s, StreamKind::kDelta, "a");
  a.ask(Type::kCluster);
  CHECK(a.last[Type::kCluster].bytes["a"] == bytes_of(edge(1)[0]));
  const uint64_t epoch = s.core.state_epoch();
  snapshot::Update gone;
  gone.gone.push_back({"default", "edge"});
  s.apply(std::move(gone));
  CHECK(s.core.nacks().find("nacks")->size() == 0);
  CHECK(s.core.state_epoch() > epoch);
}

TEST_CASE("a removed cluster goes after the route change that drops it is acknowledged") {
  Server s;
  s.apply(gateway("edge", {cluster("a"), assignment("a"), listener("l", "r"), routes("r", {"a"})}));
  Peer p(s, StreamKind::kDelta, "n");
  p.ack_all(p.ask(Type::kCluster));
  p.ack_all(p.ask(Type::kEndpoint, {"a"}));
  p.ack_all(p.ask(Type::kListener));
  p.ack_all(p.ask(Type::kRoute, {"r"}));
  s.apply(gateway("edge", {cluster("b"), assignment("b"), listener("l", "r"), routes("r", {"b"})}));
  CHECK(p.received() == Texts{"cds[b]"});
  REQUIRE(s.core.deadline());
  CHECK(p.ack(Type::kCluster) == kNothing);
  CHECK(p.ask(Type::kEndpoint, {"b"}) == Texts{"eds[b]", "rds[r]"});
  REQUIRE(s.core.deadline());
  const Texts released = p.ack(Type::kRoute);
  REQUIRE(released.size() == 2);
  CHECK(released[0] == "cds[-a]");
  CHECK(released[1] == "eds[-a]");
  CHECK_FALSE(s.core.deadline());
}

TEST_CASE("a removed cluster goes after 30 s when the route change is never acknowledged") {
  Server s;
  s.apply(gateway("edge", {cluster("a"), assignment("a"), listener("l", "r"), routes("r", {"a"})}));
  Peer p(s, StreamKind::kDelta, "n");
  p.ack_all(p.ask(Type::kCluster));
  p.ack_all(p.ask(Type::kEndpoint, {"a", "b"}));
  p.ack_all(p.ask(Type::kListener));
  p.ack_all(p.ask(Type::kRoute, {"r"}));
  s.apply(gateway("edge", {cluster("b"), assignment("b"), listener("l", "r"), routes("r", {"b"})}));
  CHECK(p.received() == Texts{"cds[b]", "eds[b]", "rds[r]"});
  REQUIRE(s.core.deadline());
  CHECK(*s.core.deadline() == s.clock.monotonic() + std::chrono::seconds(30));
  s.clock.advance(std::chrono::seconds(29));
  s.core.on_time();
  CHECK(p.received() == kNothing);
  s.clock.advance(std::chrono::seconds(1));
  s.core.on_time();
  CHECK(p.received() == Texts{"cds[-a]", "eds[-a]"});
  CHECK_FALSE(s.core.deadline());
}

TEST_CASE("a node follows its Gateway as it comes and goes; what matches nothing gets nothing, and is listed with the reason") {
  Server s;
  s.apply(gateway("other", {cluster("x")}));
  Peer p(s, StreamKind::kDelta, "n");
  CHECK(p.ask(Type::kCluster) == Texts{"cds[]"});
  p.ack(Type::kCluster);
  const auto records = s.core.records();
  REQUIRE(records.size() == 1);
  CHECK_FALSE(records[0].matched);
  CHECK(records[0].reason.find("edge") != std::string::npos);
  s.apply(gateway("edge", edge()));
  CHECK(p.received() == Texts{"cds[a]"});
  p.ack(Type::kCluster);
  CHECK(s.core.records()[0].scope == "gateway:default/edge");
  snapshot::Update gone;
  gone.gone.push_back({"default", "edge"});
  s.apply(std::move(gone));
  CHECK(p.received() == Texts{"cds[-a]"});
}

TEST_CASE("delta: names a reconnecting client reports are kept while something is incomplete, and removed after") {
  Server s;
  s.apply(gateway("edge", edge()));
  s.apply(incomplete(true));
  Peer p(s, StreamKind::kDelta, "n");
  CHECK(p.ask(Type::kCluster, {}, {{"a", edge()[0]->version}, {"lost", "5"}}) == Texts{"cds[]"});
  p.ack(Type::kCluster);
  p.ack_all(p.ask(Type::kEndpoint, {"a"}));
  CHECK(p.ask(Type::kRoute, {"r", "never-had"}, {{"r", "old"}, {"gone", "1"}}) == Texts{"rds[r -never-had]"});
  p.ack(Type::kRoute);
  CHECK(s.core.records()[0].types[0].status.kept == 1);
  s.apply(gateway("edge", edge(2)));  // what is good goes on
  CHECK(p.received() == Texts{"cds[a]", "eds[a]"});
  p.ack(Type::kCluster);
  s.apply(incomplete(false));
  CHECK(p.received() == Texts{"cds[-lost]"});
  CHECK(s.core.records()[0].types[0].status.kept == 0);
}

TEST_CASE("delta: a kept name that comes back is sent, not removed") {
  Server s;
  s.apply(gateway("edge", edge()));
  s.apply(incomplete(true));
  Peer p(s, StreamKind::kDelta, "n");
  p.ack_all(p.ask(Type::kCluster, {}, {{"b", "5"}}));
  auto more = edge();
  more.push_back(cluster("b"));
  snapshot::Update u = gateway("edge", more);
  u.incomplete = false;
  s.apply(std::move(u));
  CHECK(p.received() == Texts{"cds[b]"});
}

TEST_CASE("state of the world: a reconnecting client keeps its listeners and clusters while something is incomplete") {
  Server s;
  s.apply(gateway("edge", edge()));
  s.apply(incomplete(true));
  Peer before(s, StreamKind::kSotw, "before"), same(s, StreamKind::kSotw, "same"), fresh(s, StreamKind::kSotw, "fresh");
  CHECK(before.ask(Type::kCluster, {}, {}, "another version") == kNothing);
  CHECK(before.ask(Type::kRoute, {"r"}, {}, "another version") == Texts{"rds[r]"});
  CHECK(fresh.ask(Type::kCluster) == Texts{"cds[a]"});
  CHECK(same.ask(Type::kCluster, {}, {}, fresh.last[Type::kCluster].version) == kNothing);
  CHECK(s.core.records()[0].types[0].status.held);
  CHECK_FALSE(s.core.records()[1].types[0].status.held);
  s.apply(gateway("edge", edge(2)));
  CHECK(before.received() == kNothing);
  CHECK(same.received() == Texts{"cds[a]"});
  s.apply(incomplete(false));
  CHECK(before.received() == Texts{"cds[a]"});
  CHECK(before.last[Type::kCluster].bytes["a"] == bytes_of(edge(2)[0]));
}

TEST_CASE("conditions tell the author how far a change has come, and who refused it") {
  Server s;
  s.apply(gateway("edge", edge(1)));
  auto programmed = [&] {
    for (const verdict::Condition& c : s.core.conditions()) {
      if (c.type == "Programmed" && c.origin.name == "app") return c.reason + ": " + c.message;
    }
    return std::string("none");
  };
  CHECK(programmed() == "Pending: no proxy of this scope is connected");
  Peer p(s, StreamKind::kDelta, "n");
  p.ask(Type::kCluster);
  CHECK(programmed() == "Pending: 0 of 1 proxies have it");
  p.ack(Type::kCluster);
  CHECK(programmed() == "Programmed: 1 of 1 proxies have it");
  s.apply(gateway("edge", edge(2)));
  p.received();
  p.nack(Type::kCluster, "a: no such thing");
  CHECK(programmed().find("Refused: cds \"a\" was refused by 1 proxy of class envoy") == 0);
  CHECK(programmed().find("a: no such thing") != std::string::npos);
}

TEST_CASE("a proxy that is not connected is told from those that are") {
  Server s;
  s.apply(gateway("edge", edge()));
  CHECK(s.core.diff("x").status().message() == "no proxy \"x\" is connected; there are: none");
  Peer p(s, StreamKind::kDelta, "n");
  p.ask(Type::kCluster);
  CHECK(s.core.snapshot_of("x").status().message() == "no proxy \"x\" is connected; there is: n");
  REQUIRE(s.core.snapshot_of("n").ok());
  CHECK((*s.core.snapshot_of("n"))->scope == "gateway:default/edge");
  REQUIRE(s.core.diff("n").ok());
  CHECK(s.core.diff("n")->find_path("types.cds")->items()[0].find("why")->as_string() == "sent, not acknowledged");
}

TEST_CASE("a change of endpoints is told to those who subscribe to them, and the others are not even asked") {
  Server s;
  const auto world = [](int a, int b) {
    return std::vector<ResourcePtr>{cluster("a"), cluster("b"), assignment("a", a), assignment("b", b), listener("l", "r"), routes("r", {"a", "b"})};
  };
  s.apply(gateway("edge", world(1, 1)));
  Peer one(s, StreamKind::kDelta, "n1"), two(s, StreamKind::kSotw, "n2"), all(s, StreamKind::kDelta, "n3");
  for (Peer* peer : {&one, &two, &all}) peer->ack_all(peer->ask(Type::kCluster));
  one.ack_all(one.ask(Type::kEndpoint, {"a"}));
  two.ack_all(two.ask(Type::kEndpoint, {"b"}));
  all.ack_all(all.ask(Type::kEndpoint, {"*"}));
  const auto change = [&](ResourcePtr assignment) {
    snapshot::Update u;
    u.assignments.push_back(std::move(assignment));
    const uint64_t before = s.core.metrics().pushes;
    s.apply(std::move(u));
    return s.core.metrics().pushes - before;
  };
  CHECK(change(assignment("a", 2)) == 2);
  CHECK(one.ack_all(one.received()) == Texts{"eds[a]"});
  CHECK(two.received() == kNothing);
  CHECK(all.ack_all(all.received()) == Texts{"eds[a]"});
  CHECK(change(assignment("b", 2)) == 2);
  CHECK(two.ack_all(two.received()) == Texts{"eds[b]"});
  CHECK(all.ack_all(all.received()) == Texts{"eds[b]"});
  CHECK(one.received() == kNothing);
  // a name that is asked for later comes as it is now, not as it was when the stream was last told anything
  CHECK(one.ack_all(one.ask(Type::kEndpoint, {"b"})) == Texts{"eds[b]"});
  CHECK(one.last.at(Type::kEndpoint).bytes.at("b") == bytes_of(assignment("b", 2)));
  CHECK(change(assignment("b", 3)) == 3);
  CHECK(one.received() == Texts{"eds[b]"});
  // a whole plan in which only an assignment differs is no more than that; the debug endpoints show the present all the same
  s.apply(gateway("edge", world(4, 3)));
  CHECK(two.received() == Texts{"eds[b]"});
  CHECK(one.received() == Texts{"eds[a]"});
  const auto seen = s.core.snapshot_of("n2");
  REQUIRE(seen.ok());
  CHECK(bytes_of((*seen)->find(Type::kEndpoint, "a")) == bytes_of(assignment("a", 4)));
}

TEST_CASE("a reader that is slow is told of thousands of changes by one push of what they came to") {
  Server s;
  s.apply(gateway("edge", edge()));
  Peer peer(s, StreamKind::kDelta, "n1");
  peer.ack_all(peer.ask(Type::kCluster));
  peer.ack_all(peer.ask(Type::kEndpoint, {"a"}));
  s.slow.insert(peer.id);
  for (int i = 2; i < 2000; ++i) {
    snapshot::Update u;
    u.assignments.push_back(assignment("a", i % 7 + 1));
    s.apply(std::move(u));
  }
  CHECK(peer.received() == Texts{"eds[a]"});
  s.slow.erase(peer.id);
  s.core.written(peer.id, s.clock.monotonic());
  s.settle();
  CHECK(peer.received() == Texts{"eds[a]"});
  CHECK(peer.last.at(Type::kEndpoint).bytes.at("a") == bytes_of(assignment("a", 1999 % 7 + 1)));
}

TEST_CASE("streams are limited by connection and by client, and given back when they end") {
  serve::Core::Options o;
  o.max_streams_per_connection = 2;
  o.max_streams_per_client = 3;
  Server s(o);
  s.apply(gateway("edge", edge()));
  const rpc::PeerPtr one = peer("10.0.0.1"), two = peer("10.0.0.1"), other = peer("10.0.0.2"), named = peer("10.0.0.1", {"spiffe://test/a"}), elsewhere = peer("10.0.0.3", {"spiffe://test/a"});
  const auto open = [&](const rpc::PeerPtr& from) { return s.core.open(StreamKind::kDelta, std::nullopt, from); };
  const auto first = open(one);
  REQUIRE(first.ok());
  CHECK(open(one).ok());
  CHECK(open(one).status().message() == "more than 2 streams on this connection of 10.0.0.1:1");
  CHECK(open(two).ok());
  const absl::Status refused = open(two).status();
  CHECK(absl::IsResourceExhausted(refused));
  CHECK(refused.message() == "more than 3 streams of client 10.0.0.1");
  CHECK(open(other).ok());
  CHECK(open(named).ok());
  CHECK(open(named).ok());
  CHECK(open(elsewhere).ok());
  CHECK(open(elsewhere).status().message() == "more than 3 streams of client spiffe://test/a");
  s.core.closed(*first);
  CHECK(open(two).ok());
  using serve::Denial;
  const auto denied = [&](Denial why) { return s.core.metrics().denied[static_cast<size_t>(why)]; };
  CHECK(denied(Denial::kStreamsPerConnection) == 1);
  CHECK(denied(Denial::kStreamsPerClient) == 2);
  CHECK(s.core.metrics().streams_refused == 3);
  CHECK(s.core.metrics().prometheus(0, 0).find("fairlead_control_denied_total{reason=\"streams_per_client\"} 2\n") != std::string::npos);
}

TEST_CASE("too many names in a request, or on a stream, end that stream alone") {
  serve::Core::Options o;
  o.max_names_per_request = 3;
  o.max_names_per_stream = 4;
  Server s(o);
  s.apply(gateway("edge", edge()));
  Peer good(s, StreamKind::kDelta, "good"), bad(s, StreamKind::kDelta, "bad"), slow(s, StreamKind::kDelta, "slow"), back(s, StreamKind::kDelta, "back"), sotw(s, StreamKind::kSotw, "sotw");
  good.ask(Type::kEndpoint, {"a", "b", "c"});
  bad.ask(Type::kEndpoint, {"a", "b", "c", "d"});
  REQUIRE(s.ended.contains(bad.id));
  CHECK(absl::IsResourceExhausted(s.ended[bad.id]));
  CHECK(s.ended[bad.id].message() == "4 names in one request for type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment: more than 3");
  slow.ask(Type::kEndpoint, {"a", "b", "c"});
  slow.ask(Type::kRoute, {"d"});
  CHECK_FALSE(s.ended.contains(slow.id));
  slow.ask(Type::kRoute, {"e"});
  CHECK(s.ended[slow.id].message() == "5 names on one stream: more than 4");
  back.ask(Type::kCluster, {}, {{"1", ""}, {"2", ""}, {"3", ""}, {"4", ""}});  // what it has
  CHECK(absl::IsResourceExhausted(s.ended[back.id]));
  sotw.ask(Type::kEndpoint, {"a", "b", "c", "d"});
  CHECK(absl::IsResourceExhausted(s.ended[sotw.id]));
  CHECK_FALSE(s.ended.contains(good.id));
  CHECK(s.core.metrics().denied[static_cast<size_t>(serve::Denial::kNamesPerRequest)] == 3);
  CHECK(s.core.metrics().denied[static_cast<size_t>(serve::Denial::kNamesPerStream)] == 1);
  CHECK(s.core.streams() == 1);
}

TEST_CASE("a node that its client may not be is refused, and ended when the rules change") {
  Server s;
  s.apply(gateway("edge", edge()));
  const auto rules = [&](const std::string& text) { s.core.set_authorization(std::make_shared<const serve::Authorization>(*serve::Authorization::parse({{text, "rules"}}))); };
  rules("spiffe://test/{name}=id:*,cluster:{name}");
  Peer own(s, StreamKind::kDelta, "n1", "edge", "envoy", std::nullopt, peer("10.0.0.1", {"spiffe://test/edge"}));
  Peer other(s, StreamKind::kDelta, "n2", "edge", "envoy", std::nullopt, peer("10.0.0.1", {"spiffe://test/other"}));
  Peer nobody(s, StreamKind::kDelta, "n3");
  CHECK_FALSE(own.ask(Type::kCluster).empty());
  CHECK(other.ask(Type::kCluster).empty());
  CHECK(absl::IsPermissionDenied(s.ended[other.id]));
  CHECK(s.ended[other.id].message() == "client spiffe://test/other may not be node id \"n2\", cluster \"edge\": rules for it: spiffe://test/{name}=id:*,cluster:{name}");
  nobody.ask(Type::kCluster);
  CHECK(absl::IsPermissionDenied(s.ended[nobody.id]));
  rules("spiffe://test/{name}=id:n*,cluster:{name}");
  CHECK_FALSE(s.ended.contains(own.id));
  rules("spiffe://test/other=id:*,cluster:*");
  CHECK(absl::IsPermissionDenied(s.ended[own.id]));
  CHECK(s.core.streams() == 0);
  CHECK(s.core.metrics().denied[static_cast<size_t>(serve::Denial::kNotAuthorized)] == 3);
}

TEST_CASE("rule 9: a stream that has gone leaves nothing behind: no push, no deadline, no interest, no scope") {
  Server s;
  s.apply(gateway("edge", edge()));
  for (StreamKind kind : {StreamKind::kSotw, StreamKind::kDelta}) {
    Peer peer(s, kind, "n1");
    peer.ack_all(peer.ask(Type::kCluster));
    peer.ack_all(peer.ask(Type::kEndpoint, {"a"}));
    peer.ack_all(peer.ask(Type::kRoute, {"r"}));
    s.slow.insert(peer.id);
    s.apply(gateway("edge", {cluster("b"), assignment("b"), listener("l", "r"), routes("r", {"b"})}));  // a removal waits for an ACK
    snapshot::Update u;
    u.assignments.push_back(assignment("b", 2));
    s.core.apply(std::move(u));  // not pumped: it is in line
    s.core.closed(peer.id);
    CHECK(s.core.streams() == 0);
    CHECK(s.core.waiting() == 0);
    CHECK_FALSE(s.core.deadline());
    s.sent.clear();
    s.apply(gateway("edge", edge()));
    CHECK(s.sent.empty());
  }
}

TEST_CASE("a change of endpoints costs the same among two thousand scopes as among twenty") {
  const auto cost = [](int scopes) {
    Server s;
    snapshot::Update all;
    for (int i = 0; i < scopes; ++i) {
      const std::string name = "g" + std::to_string(i), own = "c" + std::to_string(i);
      all.gateways.push_back({{"default", name}, {cluster(own), assignment(own), listener("l", "r"), routes("r", {own})}});
    }
    all.ready = true;
    s.apply(std::move(all));
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < scopes; ++i) {
      peers.push_back(std::make_unique<Peer>(s, StreamKind::kDelta, "n" + std::to_string(i), "g" + std::to_string(i)));
      peers.back()->ack_all(peers.back()->ask(Type::kCluster));
      peers.back()->ack_all(peers.back()->ask(Type::kEndpoint, {"c" + std::to_string(i)}));
    }
    auto best = std::chrono::nanoseconds::max();
    for (int round = 0; round < 300; ++round) {
      snapshot::Update u;
      u.assignments.push_back(assignment("c7", round + 2));
      const auto begun = std::chrono::steady_clock::now();
      s.core.apply(std::move(u));
      best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - begun);
      s.settle();
      CHECK(peers[7]->ack_all(peers[7]->received()) == Texts{"eds[c7]"});
    }
    return best;
  };
  const auto few = cost(20), many = cost(2000);
  CAPTURE(few.count(), many.count());
  CHECK(many < few + std::chrono::microseconds(100) * testing::kSlowness);  // to look at each of two thousand takes several times that
}

}  // namespace core_test
