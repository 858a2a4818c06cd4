// The stream of load reports: who is said to ask, intervals and their bounds, servers that go, that do not read, and that send what cannot be read.
#include "dataplane/server/load_reporter.h"

#include <catch2/catch.hpp>

#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace fairlead::server::load_reporter_test {

using namespace std::chrono_literals;
using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;

namespace {

// Streams whose far end the test plays.
struct ScriptedConnector final : xds::Connector {
  struct Link {
    std::vector<LoadStatsRequest> sent;
    xds::StreamEvents* events = nullptr;  // null: let go of
    bool reads = true;
  };
  struct LinkStream final : xds::Stream {
    explicit LinkStream(std::shared_ptr<Link> link) : link(std::move(link)) {}
    ~LinkStream() override { link->events = nullptr; }
    void send(std::string message) override {
      LoadStatsRequest request;
      REQUIRE(request.ParseFromString(message));
      link->sent.push_back(std::move(request));
    }
    bool idle() const override { return link->reads; }
    std::shared_ptr<Link> link;
  };
  std::unique_ptr<xds::Stream> open(const config::GrpcTarget& target, const std::string& method, xds::StreamEvents& events) override {
    CHECK(target.cluster == "lrs");
    CHECK(method == "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats");
    links.push_back(std::make_shared<Link>());
    links.back()->events = &events;
    return std::make_unique<LinkStream>(links.back());
  }
  std::vector<std::shared_ptr<Link>> links;
};

struct ReportedWorld {
  ReportedWorld() {
    LoadReporter::Options options;
    options.loop = &loop;
    options.connector = &connector;
    auto node = std::make_shared<envoy::config::core::v3::Node>();
    node->set_id("n");
    node->add_client_features("other");
    options.node = node;
    options.target.cluster = "lrs";
    options.stats = &stats;
    options.gather = [this](std::function<void(upstream::Loads)> done) {
      ++gathered;
      if (on_gather) std::exchange(on_gather, {})();
      loop.post([this, done = std::move(done)] { done(std::exchange(counted, {})); });
    };
    options.snapshot = [] { return std::shared_ptr<const config::Snapshot>(); };
    options.now = [this] { return clock.monotonic(); };
    reporter = std::make_unique<LoadReporter>(std::move(options));
  }
  ScriptedConnector::Link& link() { return *connector.links.back(); }
  void answer(std::chrono::milliseconds interval) {
    LoadStatsResponse response;
    response.set_send_all_clusters(true);
    response.mutable_load_reporting_interval()->set_seconds(interval.count() / 1000);
    response.mutable_load_reporting_interval()->set_nanos(static_cast<int32_t>(interval.count() % 1000 * 1'000'000));
    link().events->on_message(response.SerializeAsString());
  }
  void count(uint64_t issued) {
    upstream::Loads more;
    more["a"].hosts[{0, {"r", "z", ""}, "10.0.0.1:80"}].issued = issued;
    upstream::add_loads(counted, more);
  }
  bool until(const std::function<bool()>& done) { return loop.run_until(done, 10s); }
  // Turns of the loop until what is posted now is done.
  void settle() {
    bool done = false;
    loop.post([&] { done = true; });
    REQUIRE(until([&] { return done; }));
  }
  uint64_t stat(const std::string& name) const { return stats.find("load_reporter." + name); }

  net::EventLoop loop{"test"};
  stats::Registry stats{1};
  SimulatedClock clock;
  ScriptedConnector connector;
  upstream::Loads counted;
  int gathered = 0;
  std::function<void()> on_gather;  // once
  std::unique_ptr<LoadReporter> reporter;
};

uint64_t issued(const LoadStatsRequest& request) { return request.cluster_stats(0).upstream_locality_stats(0).total_issued_requests(); }

}  // namespace

TEST_CASE("a stream of load reports begins with the node alone, and reports once it is asked") {
  ReportedWorld w;
  w.count(3);
  REQUIRE(w.link().sent.size() == 1);
  const LoadStatsRequest& first = w.link().sent[0];
  CHECK(first.node().id() == "n");
  CHECK(std::vector<std::string>(first.node().client_features().begin(), first.node().client_features().end()) == std::vector<std::string>{"other", "envoy.lrs.supports_send_all_clusters"});
  CHECK(first.cluster_stats().empty());
  CHECK(w.gathered == 0);
  CHECK(w.stat("responses") == 1);

  w.answer(120ms);
  w.settle();
  w.count(5);  // what was before the question is nobody's
  w.clock.advance(2s);
  REQUIRE(w.until([&] { return w.link().sent.size() == 2; }));
  CHECK_FALSE(w.link().sent[1].has_node());
  CHECK(issued(w.link().sent[1]) == 5);
  CHECK(w.link().sent[1].cluster_stats(0).load_report_interval().seconds() == 2);
  REQUIRE(w.until([&] { return w.link().sent.size() == 3; }));
  CHECK(w.link().sent[2].cluster_stats().empty());
  CHECK(w.stat("requests") == 1);
  CHECK(w.stat("responses") == 3);
  CHECK(w.stat("errors") == 0);
}

TEST_CASE("an interval of nothing, or less, is the shortest; one of years is not waited out in a loop of reports") {
  for (const auto asked : {0ms, -5000ms, 1ms}) {
    ReportedWorld w;
    w.answer(asked);
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(w.until([&] { return w.link().sent.size() == 3; }));
    CHECK(std::chrono::steady_clock::now() - begin >= 2 * LoadReporter::kShortestInterval - 5ms);
  }
  ReportedWorld w;
  LoadStatsResponse response;
  response.set_send_all_clusters(true);
  for (const int64_t seconds : {INT64_MAX, INT64_MIN}) {
    response.mutable_load_reporting_interval()->set_seconds(seconds);
    response.mutable_load_reporting_interval()->set_nanos(INT32_MIN);
    w.link().events->on_message(response.SerializeAsString());
    w.settle();
    CHECK(w.link().sent.size() == 1);
  }
  CHECK(w.until([&] { return w.link().sent.size() == 2; }));  // the second was below nothing
}

TEST_CASE("a server that goes is tried again, and what was counted meanwhile is in the first report after it has asked") {
  ReportedWorld w;
  w.answer(100ms);
  w.settle();
  w.count(1);
  w.link().events->on_closed(absl::UnavailableError("gone"));
  CHECK(w.stat("errors") == 1);
  CHECK(w.link().events == nullptr);
  w.count(2);
  w.clock.advance(4s);
  REQUIRE(w.until([&] { return w.connector.links.size() == 2; }));
  CHECK(w.stat("retries") == 1);
  REQUIRE(w.link().sent.size() == 1);
  CHECK(w.link().sent[0].node().id() == "n");
  CHECK(w.link().sent[0].cluster_stats().empty());
  w.answer(100ms);
  REQUIRE(w.until([&] { return w.link().sent.size() == 2; }));
  CHECK(issued(w.link().sent[1]) == 3);
  CHECK(w.link().sent[1].cluster_stats(0).load_report_interval().seconds() == 4);
  CHECK(w.connector.links[0]->sent.size() == 1);
  w.link().events->on_closed(absl::OkStatus());
  CHECK(w.stat("errors") == 1);
  CHECK(w.until([&] { return w.connector.links.size() == 3; }));
}

TEST_CASE("a report that is being gathered when its stream ends is the next stream's") {
  ReportedWorld w;
  w.answer(100ms);
  w.settle();
  w.count(7);
  w.on_gather = [&] { w.loop.post([&w] { w.link().events->on_closed(absl::UnavailableError("gone")); }); };  // before what is gathered arrives
  REQUIRE(w.until([&] { return w.connector.links.size() == 2; }));
  CHECK(w.connector.links[0]->sent.size() == 1);
  CHECK(w.counted.empty());
  w.answer(100ms);
  REQUIRE(w.until([&] { return w.link().sent.size() == 2; }));
  CHECK(issued(w.link().sent[1]) == 7);
}

TEST_CASE("to a server that does not read nothing more is sent, and later all of it at once") {
  ReportedWorld w;
  w.answer(100ms);
  w.settle();
  w.link().reads = false;
  w.count(1);
  REQUIRE(w.until([&] { return w.gathered == 3; }));
  w.count(2);
  REQUIRE(w.until([&] { return w.gathered == 4; }));
  CHECK(w.link().sent.size() == 1);
  w.link().reads = true;
  REQUIRE(w.until([&] { return w.link().sent.size() == 2; }));
  CHECK(issued(w.link().sent[1]) == 3);
}

TEST_CASE("a response that cannot be read ends the stream") {
  ReportedWorld w;
  w.link().events->on_message("\xff\xff");
  CHECK(w.stat("errors") == 1);
  CHECK(w.stat("requests") == 0);
  CHECK(w.until([&] { return w.connector.links.size() == 2; }));
}

TEST_CASE("a reporter that ends leaves what is gathered for it alone") {
  ReportedWorld w;
  w.answer(100ms);
  w.reporter.reset();
  w.settle();
  CHECK(w.link().events == nullptr);
}

}  // namespace fairlead::server::load_reporter_test
