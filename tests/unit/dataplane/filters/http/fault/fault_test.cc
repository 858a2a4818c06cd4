// Shares of requests, and the pace of slowed bodies.
#include <catch2/catch.hpp>

#include "dataplane/filters/http/fault/config.h"
#include "dataplane/filters/http/fault/rate_limiter.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::fault;
using namespace std::chrono_literals;
namespace v3 = envoy::extensions::filters::http::fault::v3;

namespace {

Settings parse(std::string_view yaml) {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<v3::HTTPFault>(yaml));
  auto config = registry.http_filter(any.type_url())->parse(any);
  if (!config.ok()) throw std::runtime_error(std::string(config.status().message()));
  return static_cast<const Config&>(**config).settings;
}

}  // namespace

TEST_CASE("a header lowers a share, and never raises it") {
  const Settings settings = parse("{abort: {header_abort: {}, percentage: {numerator: 50}}}");
  const Percentage& share = settings.abort->percentage;
  const auto hits = [&](test::Headers::List list) {
    test::Headers headers(list);
    int n = 0;
    for (uint64_t random = 0; random < 100; ++random) n += share.hit(*headers, nullptr, "", random, 0);
    return n;
  };
  CHECK(hits({}) == 50);
  CHECK(hits({{"x-envoy-fault-abort-request-percentage", "20"}}) == 20);
  CHECK(hits({{"x-envoy-fault-abort-request-percentage", "90"}}) == 50);
  CHECK(hits({{"x-envoy-fault-abort-request-percentage", "x"}}) == 50);
}

TEST_CASE("runtime keys move a share, the downstream cluster's too") {
  const Settings settings = parse("{delay: {fixed_delay: 1s, percentage: {numerator: 0}}, delay_percent_runtime: mine}");
  matching::Runtime runtime;
  test::Headers none;
  const Percentage& share = settings.delay->percentage;
  CHECK_FALSE(share.hit(*none, &runtime, "", 0, 0));
  runtime.set("mine", {"100", 100.0, {}});
  CHECK(share.hit(*none, &runtime, "", 99, 99));
  runtime.set("mine", {"0", 0.0, {}});
  runtime.set("other", {"100", 100.0, {}});
  CHECK(share.hit(*none, &runtime, "other", 99, 99));
  CHECK(settings.delay_duration_key == "fault.http.delay.fixed_duration_ms");
}

TEST_CASE("a slowed body leaves in sixteenths of a second's share, and ends with its last byte") {
  const net::TimePoint start{};
  net::TimerWheel timers(start);
  std::string sent;
  bool ended = false;
  RateLimiter limiter(timers, 1600, [&](net::Buffer& data, bool end) {
    sent += data.to_string();
    data.clear();
    ended = end;
  });
  net::Buffer data(std::string(250, 'x'));
  limiter.add(data, true);
  CHECK(sent.size() == 100);
  timers.advance(start + 70ms);
  CHECK(sent.size() == 200);
  CHECK_FALSE(ended);
  timers.advance(start + 140ms);
  CHECK(sent.size() == 250);
  CHECK(ended);
  CHECK_FALSE(timers.queued() != 0);
}

TEST_CASE("an empty body ends at once") {
  net::TimerWheel timers(net::TimePoint{});
  bool ended = false;
  RateLimiter limiter(timers, 1, [&](net::Buffer&, bool end) { ended = end; });
  net::Buffer none;
  limiter.add(none, true);
  CHECK(ended);
}
