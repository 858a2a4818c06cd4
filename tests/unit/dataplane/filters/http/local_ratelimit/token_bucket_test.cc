// The bucket that all workers share.
#include "dataplane/filters/http/local_ratelimit/token_bucket.h"

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

#include "dataplane/filters/http/local_ratelimit/config.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::local_ratelimit;
using namespace std::chrono_literals;

TEST_CASE("a bucket begins full and refills as time goes by") {
  TokenBucket bucket({3, 2, 1s});
  CHECK(bucket.remaining(100s) == 3);
  for (int i = 0; i < 3; ++i) CHECK(bucket.consume(100s));
  CHECK_FALSE(bucket.consume(100s));
  CHECK(bucket.until_next(100s) > 499ms);
  CHECK(bucket.until_next(100s) <= 500ms);
  CHECK_FALSE(bucket.consume(100s + 499ms));
  CHECK(bucket.consume(100s + 500ms));
  CHECK_FALSE(bucket.consume(100s + 500ms));
  CHECK(bucket.remaining(200s) == 3);
  CHECK(bucket.until_next(200s) == 0s);
}

TEST_CASE("threads together get as many tokens as there are") {
  TokenBucket bucket({10'000, 1, 3600s});
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) taken += bucket.consume(1s);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(taken == 10'000);
}

TEST_CASE("limits need a bucket on a route, and time to fill it") {
  using Catch::Matchers::Contains;
  namespace v3 = envoy::extensions::filters::http::local_ratelimit::v3;
  config::Registry registry;
  register_config(registry);
  const auto& type = *registry.http_filter("type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit");
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<v3::LocalRateLimit>("{stat_prefix: a}"));
  CHECK(type.parse(any).ok());
  CHECK_THAT(std::string(type.parse_per_route(any).status().message()), Contains("token bucket must be set"));
  any.PackFrom(test::from_yaml<v3::LocalRateLimit>("{stat_prefix: a, token_bucket: {max_tokens: 1, fill_interval: 0.049s}}"));
  CHECK_THAT(std::string(type.parse(any).status().message()), Contains(">= 50ms"));
  any.PackFrom(test::from_yaml<v3::LocalRateLimit>("{stat_prefix: a, status: {code: Created}, token_bucket: {max_tokens: 1, fill_interval: 1s}}"));
  const auto config = type.parse(any);
  REQUIRE(config.ok());
  CHECK(static_cast<const Config&>(**config).limit.status == 429);
}

TEST_CASE("descriptors are compared whole, the slowest bucket first") {
  using Catch::Matchers::Contains;
  namespace v3 = envoy::extensions::filters::http::local_ratelimit::v3;
  config::Registry registry;
  register_config(registry);
  const auto& type = *registry.http_filter("type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit");
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<v3::LocalRateLimit>(R"(
stat_prefix: a
descriptors:
- {entries: [{key: a, value: "1"}], token_bucket: {max_tokens: 1, tokens_per_fill: 10, fill_interval: 1s}}
- {entries: [{key: a, value: "1"}, {key: b, value: "2"}], token_bucket: {max_tokens: 1, fill_interval: 1s}})"));
  const auto config = type.parse(any);
  REQUIRE(config.ok());
  const Limit& limit = static_cast<const Config&>(**config).limit;
  REQUIRE(limit.descriptors.size() == 2);
  CHECK(limit.descriptors[0].matches({{"a", "1"}, {"b", "2"}}));
  CHECK_FALSE(limit.descriptors[0].matches({{"a", "1"}}));
  CHECK(limit.descriptors[1].matches({{"a", "1"}}));
  CHECK_FALSE(limit.descriptors[1].matches({{"b", "2"}, {"a", "1"}}));
  any.PackFrom(test::from_yaml<v3::LocalRateLimit>("{stat_prefix: a, descriptors: [{entries: [{key: a}], token_bucket: {max_tokens: 1, fill_interval: 1s}}]}"));
  CHECK_THAT(std::string(type.parse(any).status().message()), Contains("descriptors[0]") && Contains("wildcard for 'a'"));
  any.PackFrom(test::from_yaml<v3::LocalRateLimit>("{stat_prefix: a, rate_limits: [{actions: [{extension: {name: x}}]}]}"));
  CHECK_THAT(std::string(type.parse(any).status().message()), Contains("rate_limits[0].actions[0]"));
}
