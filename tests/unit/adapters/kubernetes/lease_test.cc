// Leader election: who may act when, whatever clocks say and whatever answers get lost. The server here is one Lease with a version.
#include <catch2/catch.hpp>

#include <optional>
#include <string>
#include <vector>

#include "adapters/kubernetes/lease.h"
#include "base/clock.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes::lease_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Response status(int code, const std::string& message) { return {code, R"({"kind":"Status","message":")" + message + "\"}", {}}; }

struct Server {
  std::optional<doc::Value> lease;
  int version = 0;
  int writes = 0;

  Response store(const doc::Value& body) {
    ++writes;
    doc::Value metadata = doc::with(*body.find("metadata"), "resourceVersion", doc::string(std::to_string(++version)));
    lease = doc::with(body, "metadata", metadata);
    return {200, doc::to_json(*lease), {}};
  }
  Response answer(const Election::Request& r) {
    if (r.method == "GET") return lease ? Response{200, doc::to_json(*lease), {}} : status(404, "not found");
    const doc::Value body = *doc::parse_json(r.body, "body");
    if (r.method == "POST") {
      if (lease) return status(409, "already exists");
      return store(body);
    }
    if (!lease) return status(404, "not found");
    const doc::Value* seen = body.find_path("metadata.resourceVersion");
    if (!seen || seen->as_string() != std::to_string(version)) return status(409, "the object has been modified");
    return store(body);
  }
  std::string holder() const { return lease ? lease->find_path("spec.holderIdentity")->as_string() : "-"; }
  int64_t number(const char* path) const { return lease->find_path(path)->as_integer(); }
  std::string text(const char* path) const { return lease->find_path(path)->as_string(); }
};

struct Replica {
  Election election;
  SimulatedClock clock;
  Replica(const std::string& name, SystemTime wall = SimulatedClock::default_start) : election({"ns", "fairlead-control", name}, MonotonicTime{} + seconds(3600)), clock(wall) {}

  // Everything that is due now.
  void step(Server& server) {
    for (int i = 0; i < 10 && election.due() <= clock.monotonic(); ++i) {
      const Election::Request r = election.next(clock.monotonic(), clock.system());
      CHECK(election.answered(server.answer(r), clock.monotonic()).ok());
    }
  }
  // As `step`, but no answer comes, whether or not the server has done what was asked.
  void step_lost(Server& server, bool done) {
    if (election.due() > clock.monotonic()) return;
    const Election::Request r = election.next(clock.monotonic(), clock.system());
    if (done) server.answer(r);
    CHECK_FALSE(election.answered(absl::UnavailableError("connection refused"), clock.monotonic()).ok());
  }
  bool leads() const { return election.leading(clock.monotonic()); }
};

TEST_CASE("the first replica creates the Lease and leads, the second waits") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.step(server);
  CHECK(a.leads());
  CHECK_FALSE(b.leads());
  CHECK(b.election.holder() == "a");
  CHECK(server.number("spec.leaseDurationSeconds") == 15);
  CHECK(server.number("spec.leaseTransitions") == 0);
  CHECK(server.text("spec.acquireTime") == "2020-01-01T00:00:00.000000Z");
}

TEST_CASE("a leader renews every two seconds and writes nothing else; the other only reads") {
  Server server;
  Replica a("a"), b("b");
  for (int i = 0; i <= 60; ++i) {
    a.step(server);
    b.step(server);
    CHECK(a.leads());
    CHECK_FALSE(b.leads());
    a.clock.advance(seconds(1));
    b.clock.advance(seconds(1));
  }
  CHECK(server.writes == 1 + 30);
  CHECK(server.text("spec.acquireTime") == "2020-01-01T00:00:00.000000Z");
  CHECK(server.text("spec.renewTime") == "2020-01-01T00:01:00.000000Z");
  CHECK(server.number("spec.leaseTransitions") == 0);
}

TEST_CASE("a leader that is killed is followed when its Lease has been seen unchanged for its duration, not before") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.step(server);
  for (int i = 0; i < 14; ++i) {
    b.clock.advance(seconds(1));
    b.step(server);
    CHECK_FALSE(b.leads());
  }
  b.clock.advance(seconds(3));
  b.step(server);
  CHECK(b.leads());
  CHECK(server.holder() == "b");
  CHECK(server.number("spec.leaseTransitions") == 1);
}

TEST_CASE("clocks that differ by hours change nothing") {
  for (const int hours : {-5, 5}) {
    Server server;
    Replica a("a"), b("b", SimulatedClock::default_start + std::chrono::hours(hours));
    for (int i = 0; i < 40; ++i) {
      a.step(server);
      b.step(server);
      CHECK(a.leads());
      CHECK_FALSE(b.leads());
      a.clock.advance(seconds(1));
      b.clock.advance(seconds(1));
    }
    for (int i = 0; i < 20; ++i) {  // a is gone
      b.clock.advance(seconds(1));
      b.step(server);
    }
    CHECK(b.leads());
  }
}

TEST_CASE("a leader whose clock is stepped goes on leading") {
  Server server;
  Replica a("a");
  a.step(server);
  a.clock.set_system(SimulatedClock::default_start + std::chrono::hours(30));
  a.clock.advance(seconds(2));
  a.step(server);
  CHECK(a.leads());
}

TEST_CASE("a leader that cannot renew stops ten seconds after it sent its last renewal, before anybody else starts") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.step(server);
  for (int ms = 0; ms < 20'000; ms += 500) {
    a.step_lost(server, false);
    b.step(server);
    CHECK_FALSE((a.leads() && b.leads()));
    CHECK(a.leads() == (ms < 10'000));
    a.clock.advance(milliseconds(500));
    b.clock.advance(milliseconds(500));
  }
  CHECK(b.leads());
  a.step(server);  // the server is back for it
  CHECK_FALSE(a.leads());
  CHECK(a.election.holder() == "b");
}

TEST_CASE("a renewal whose answer is lost keeps the Lease with the next one") {
  Server server;
  Replica a("a");
  a.step(server);
  a.clock.advance(seconds(2));
  a.step_lost(server, true);
  a.clock.advance(seconds(2));
  a.step(server);  // too late by version: it looks, finds itself, renews
  CHECK(a.leads());
  a.clock.advance(seconds(9));
  CHECK(a.leads());
}

TEST_CASE("of two that take a Lease at once one leads") {
  Server server;
  Replica a("a"), b("b"), c("c");
  c.step(server);
  a.step(server);
  b.step(server);
  a.clock.advance(seconds(16));
  b.clock.advance(seconds(16));
  const Election::Request of_a = a.election.next(a.clock.monotonic(), a.clock.system()), of_b = b.election.next(b.clock.monotonic(), b.clock.system());
  CHECK(of_a.method == "PUT");
  CHECK(of_b.method == "PUT");
  CHECK(b.election.answered(server.answer(of_b), b.clock.monotonic()).ok());
  CHECK(a.election.answered(server.answer(of_a), a.clock.monotonic()).ok());
  a.step(server);
  CHECK(b.leads());
  CHECK_FALSE(a.leads());
}

TEST_CASE("a Lease that is given back is taken at the next look") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.step(server);
  const auto release = a.election.release(a.clock.system());
  REQUIRE(release);
  CHECK(server.answer(*release).status == 200);
  CHECK_FALSE(a.leads());
  CHECK_FALSE(b.election.release(b.clock.system()));
  b.clock.advance(seconds(2));
  b.step(server);
  CHECK(b.leads());
}

TEST_CASE("a Lease that somebody deletes is made anew, and what others wrote into its metadata is kept") {
  Server server;
  Replica a("a");
  a.step(server);
  server.store(doc::with(*server.lease, "metadata", doc::with(*server.lease->find("metadata"), "labels", doc::map({{"team", doc::string("edge"), {}}}))));
  a.clock.advance(seconds(2));
  a.step(server);
  CHECK(server.text("metadata.labels.team") == "edge");
  server.lease.reset();
  a.clock.advance(seconds(2));
  a.step(server);
  CHECK(a.leads());
  CHECK(server.holder() == "a");
}

TEST_CASE("what a replica has to tell reaches the leader with its next renewal, costs nobody the Lease, and is repeated now and then") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.step(server);
  b.election.set_report("one proxy");
  const auto pass = [&](int seconds_more) {
    for (int i = 0; i < seconds_more; ++i) {
      a.clock.advance(seconds(1));
      b.clock.advance(seconds(1));
      b.step(server);
      a.step(server);
      CHECK(a.leads());
      CHECK_FALSE(b.leads());
    }
  };
  pass(4);
  CHECK(a.election.reports(a.clock.monotonic()) == std::vector<std::string>{"one proxy"});
  CHECK(b.election.reports(b.clock.monotonic()).empty());  // its own
  int before = server.writes;
  pass(60);
  CHECK(server.writes - before <= 30 + 6);
  CHECK(a.election.reports(a.clock.monotonic()) == std::vector<std::string>{"one proxy"});
  b.election.set_report("two proxies");
  pass(4);
  CHECK(a.election.reports(a.clock.monotonic()) == std::vector<std::string>{"two proxies"});
  b.election.set_report("");
  pass(4);
  CHECK(a.election.reports(a.clock.monotonic()).empty());
  before = server.writes;
  pass(60);
  CHECK(server.writes - before == 30);  // nothing to tell, nothing to repeat
}

TEST_CASE("a replica that is gone is not heard any more, and its report is cleared away") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.election.set_report("x");
  b.step(server);
  for (int i = 0; i < 29; ++i) {
    a.clock.advance(seconds(1));
    a.step(server);
  }
  CHECK(a.election.reports(a.clock.monotonic()).size() == 1);
  for (int i = 0; i < 6; ++i) {
    a.clock.advance(seconds(1));
    a.step(server);
  }
  CHECK(a.election.reports(a.clock.monotonic()).empty());
  CHECK(server.lease->find_path("metadata.annotations")->size() == 0);
}

TEST_CASE("one that had something to tell and becomes the leader takes it out of the Lease, and tells it again when it leads no longer") {
  Server server;
  Replica a("a"), b("b");
  a.step(server);
  b.election.set_report("x");
  b.step(server);
  CHECK(server.lease->find_path("metadata.annotations")->size() == 1);
  b.clock.advance(seconds(2));
  b.step(server);
  for (int i = 0; i < 20; ++i) {  // a is gone
    b.clock.advance(seconds(1));
    b.step(server);
  }
  REQUIRE(b.leads());
  CHECK(server.lease->find_path("metadata.annotations")->size() == 0);
  REQUIRE(server.answer(*b.election.release(b.clock.system())).status == 200);
  a.clock.advance(seconds(30));
  a.step(server);
  REQUIRE(a.leads());
  b.clock.advance(seconds(2));
  b.step(server);
  a.clock.advance(seconds(2));
  a.step(server);
  CHECK(a.election.reports(a.clock.monotonic()) == std::vector<std::string>{"x"});
}

TEST_CASE("an answer that is no Lease is an error that names it") {
  Election election({"ns", "fairlead-control", "a"}, MonotonicTime{});
  election.next(MonotonicTime{}, SystemTime{});
  const absl::Status forbidden = election.answered(status(403, "leases is forbidden"), MonotonicTime{});
  CHECK(forbidden.message() == "Lease ns/fairlead-control: the API server answered 403: leases is forbidden");
  CHECK_FALSE(election.answered(Response{200, "<html>", {}}, MonotonicTime{}).ok());
}

TEST_CASE("identities differ from process to process") {
  CHECK(make_identity() != make_identity());
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::lease_test
