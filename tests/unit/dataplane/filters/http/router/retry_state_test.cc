// Which outcomes are retried, how often and after how long.
#include <catch2/catch.hpp>

#include "dataplane/filters/http/router/retry_state.h"
#include "dataplane/http/header_map.h"
#include "dataplane/upstream/lb/random.h"

using namespace fairlead;
using filters::router::RetryState;
using filters::router::RetryVerdict;
using fairlead::router::RetryOn;
using upstream::ResetReason;
using std::chrono::milliseconds;

namespace {

struct Fixture {
  http::Arena arena;
  http::HeaderMap request{arena};
  http::HeaderMap response{arena};
  fairlead::router::RetryPolicy policy;

  RetryState state(std::string_view retry_on, uint32_t retries = 1) {
    policy.retry_on = fairlead::router::parse_retry_on(retry_on);
    policy.num_retries = retries;
    return RetryState(&policy, request);
  }
  bool retries_status(std::string_view retry_on, uint32_t status) { return state(retry_on).on_response_headers(status, response) == RetryVerdict::kYes; }
  bool retries_reset(std::string_view retry_on, ResetReason reason, bool sent = true) { return state(retry_on).on_reset(reason, sent) == RetryVerdict::kYes; }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "statuses that each retry_on token covers") {
  CHECK(retries_status("5xx", 500));
  CHECK(retries_status("5xx", 599));
  CHECK_FALSE(retries_status("5xx", 499));
  CHECK(retries_status("gateway-error", 502));
  CHECK(retries_status("gateway-error", 504));
  CHECK_FALSE(retries_status("gateway-error", 500));
  CHECK(retries_status("retriable-4xx", 409));
  CHECK_FALSE(retries_status("retriable-4xx", 404));
  CHECK_FALSE(retries_status("", 503));
  policy.retriable_status_codes = {418};
  CHECK(retries_status("retriable-status-codes", 418));
  CHECK_FALSE(retries_status("retriable-status-codes", 503));
}

TEST_CASE_METHOD(Fixture, "resets that each retry_on token covers") {
  CHECK(retries_reset("reset", ResetReason::kConnectionTermination));
  CHECK(retries_reset("5xx", ResetReason::kConnectionTermination));
  CHECK(retries_reset("connect-failure", ResetReason::kConnectFailure));
  CHECK(retries_reset("connect-failure", ResetReason::kConnectTimeout));
  CHECK_FALSE(retries_reset("connect-failure", ResetReason::kConnectionTermination));
  CHECK(retries_reset("refused-stream", ResetReason::kRemoteRefusedStream));
  CHECK_FALSE(retries_reset("refused-stream", ResetReason::kRemoteReset));
  CHECK(retries_reset("reset-before-request", ResetReason::kConnectionTermination, false));
  CHECK_FALSE(retries_reset("reset-before-request", ResetReason::kConnectionTermination, true));
  for (const char* token : {"5xx", "reset", "gateway-error", "connect-failure"}) CHECK_FALSE(retries_reset(token, ResetReason::kOverflow));
}

TEST_CASE_METHOD(Fixture, "gRPC statuses in response headers") {
  response.add(http::Token::GrpcStatus, "14");
  CHECK(retries_status("unavailable", 200));
  CHECK_FALSE(retries_status("cancelled", 200));
}

TEST_CASE_METHOD(Fixture, "a rate-limited response is retried only if asked") {
  response.add(http::Token::XEnvoyRatelimited, "true");
  CHECK_FALSE(retries_status("5xx", 503));
  CHECK(retries_status("envoy-ratelimited", 429));
}

TEST_CASE_METHOD(Fixture, "the number of retries is a limit and then the verdict says so") {
  RetryState retry = state("5xx", 2);
  CHECK(retry.on_response_headers(503, response) == RetryVerdict::kYes);
  CHECK(retry.on_reset(ResetReason::kConnectFailure, false) == RetryVerdict::kYes);
  CHECK(retry.on_response_headers(503, response) == RetryVerdict::kExhausted);
  CHECK(retry.on_response_headers(200, response) == RetryVerdict::kNo);
}

TEST_CASE_METHOD(Fixture, "request headers add to the policy and do not travel on") {
  request.add(http::Token::XEnvoyRetryOn, "gateway-error");
  request.add(http::Token::XEnvoyMaxRetries, "3");
  request.add(http::Token::XEnvoyRetriableStatusCodes, "404, 418");
  RetryState retry(nullptr, request);
  CHECK(retry.enabled());
  CHECK(retry.retries_left() == 3);
  CHECK(request.empty());
  CHECK(retry.on_response_headers(503, response) == RetryVerdict::kYes);
  request.add(http::Token::XEnvoyRetryOn, "retriable-status-codes");
  request.add(http::Token::XEnvoyRetriableStatusCodes, "404, 418");
  RetryState by_code(nullptr, request);
  CHECK(by_code.on_response_headers(418, response) == RetryVerdict::kYes);
}

TEST_CASE("back-off is uniform below a bound that doubles up to the maximum") {
  upstream::Random random(1);
  struct Row {
    uint32_t retry;
    int bound;
  };
  for (const Row row : {Row{1, 25}, {2, 50}, {3, 100}, {4, 200}, {5, 250}, {20, 250}}) {
    int longest = 0;
    double sum = 0;
    for (int i = 0; i < 4000; ++i) {
      const int wait = filters::router::retry_back_off(row.retry, milliseconds(25), milliseconds(250), random).count();
      longest = std::max(longest, wait);
      sum += wait;
    }
    INFO(row.retry);
    CHECK(longest == row.bound - 1);
    CHECK(sum / 4000 == Approx((row.bound - 1) / 2.0).epsilon(0.06));
  }
}

TEST_CASE_METHOD(Fixture, "a rate limit's reset header sets the wait") {
  policy.rate_limited_back_off.emplace();
  policy.rate_limited_back_off->reset_headers.push_back({"retry-after", false});
  response.add("retry-after", "2");
  upstream::Random random(1);
  RetryState retry = state("5xx", 2);
  REQUIRE(retry.on_response_headers(503, response) == RetryVerdict::kYes);
  CHECK(retry.rate_limited());
  for (int i = 0; i < 100; ++i) {
    const auto wait = retry.back_off(random);
    CHECK(wait >= milliseconds(2000));
    CHECK(wait <= milliseconds(3000));
  }
}
