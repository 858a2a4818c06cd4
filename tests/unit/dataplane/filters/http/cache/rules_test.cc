// Directives, dates, ages, freshness, conditions and ranges of the cache; hostile values among them.
#include "dataplane/filters/http/cache/rules.h"

#include <catch2/catch.hpp>

#include <initializer_list>

using namespace fairlead;
using namespace fairlead::filters::cache;

namespace {

struct Headers {
  http::Arena arena;
  http::HeaderMap map{arena};
  Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
    for (const auto& [name, value] : list) map.add(name, value);
  }
};

constexpr int64_t kNow = 1794400000;

bool usable(std::string_view request, std::string_view response, int64_t age) {
  const Headers headers{{"cache-control", request}};
  return filters::cache::usable(request_directives(headers.map), {{":status", "200"}, {"cache-control", std::string(response)}}, age);
}

}  // namespace

TEST_CASE("seconds that overflow are forever, and what is no number is none") {
  CHECK(parse_delta("0") == 0);
  CHECK(parse_delta("\"100\"") == 100);
  CHECK(parse_delta("99999999999999999999999999999") == kForever);
  for (const std::string_view text : {"", "-1", "+1", "1.5", "1 ", "0x10", "\"", "\"1", "1e3"}) CHECK(parse_delta(text) == std::nullopt);
}

TEST_CASE("dates are read in the three forms of HTTP") {
  for (const std::string_view text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) CHECK(parse_date(text) == 784111777);
  for (const std::string_view text : {"", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37 CET", "infinite-future", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT and more of it"}) {
    CHECK(parse_date(text) == std::nullopt);
  }
}

TEST_CASE("response directives: s-maxage before max-age, the stricter of two, quotes hide commas") {
  CHECK(response_directives("max-age=5, s-maxage=10").max_age == 10);
  CHECK(response_directives("max-age=5, s-maxage=10").no_stale);
  CHECK(response_directives("max-age=5, MAX-AGE=3").max_age == 3);
  CHECK(response_directives("max-age=junk").max_age == 0);
  CHECK(response_directives("max-age").max_age == 0);
  CHECK(response_directives("max-age=99999999999999999999").max_age == kForever);
  CHECK(response_directives("private=\"a, b\"").no_store);
  CHECK(response_directives("no-cache=\"set-cookie\"").must_validate);
  CHECK_FALSE(response_directives("x=\"a, no-store, b\"").no_store);
  CHECK(response_directives("x=\"a\\\", no-store, b").no_store == false);
  CHECK(response_directives(",,, ,no-store").no_store);
  CHECK(response_directives("=,=5,\"").max_age == std::nullopt);
}

TEST_CASE("request directives; pragma counts only without cache-control") {
  CHECK(request_directives(Headers{{"pragma", "No-Cache"}}.map).must_validate);
  CHECK_FALSE(request_directives(Headers{{"pragma", "no-cache"}, {"cache-control", "max-age=1"}}.map).must_validate);
  CHECK(request_directives(Headers{{"cache-control", "max-stale"}}.map).max_stale == kForever);
  CHECK(request_directives(Headers{{"cache-control", "a"}, {"cache-control", "only-if-cached"}}.map).only_if_cached);
}

TEST_CASE("a response is served while it is fresh, and stale only as both sides allow") {
  CHECK(usable("", "max-age=10", 9));
  CHECK_FALSE(usable("", "max-age=10", 10));
  CHECK_FALSE(usable("no-cache", "max-age=10", 0));
  CHECK_FALSE(usable("", "max-age=10, no-cache", 0));
  CHECK_FALSE(usable("max-age=3", "max-age=10", 4));
  CHECK(usable("max-age=3", "max-age=10", 3));
  CHECK(usable("min-fresh=4", "max-age=10", 6));
  CHECK_FALSE(usable("min-fresh=5", "max-age=10", 6));
  CHECK(usable("max-stale=5", "max-age=10", 15));
  CHECK_FALSE(usable("max-stale=5", "max-age=10", 16));
  CHECK(usable("max-stale", "max-age=10", 1000000));
  CHECK_FALSE(usable("max-stale", "max-age=10, must-revalidate", 11));
  CHECK_FALSE(usable("max-stale", "s-maxage=10", 11));
  CHECK(usable("", "max-age=99999999999999999999", kForever - 1));
  CHECK_FALSE(usable("", "max-age=99999999999999999999", kForever));
}

TEST_CASE("ages: what the upstream says, its date, and the time the answer took; all bounded") {
  const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT";
  CHECK(initial_age({{"date", date}}, 784111777, 784111787) == 10);
  CHECK(initial_age({{"date", date}, {"age", "100"}}, 784111785, 784111787) == 102);
  CHECK(initial_age({{"date", "Thu, 01 Jan 2099 00:00:00 GMT"}}, kNow, kNow) == 0);
  CHECK(initial_age({{"age", "99999999999999999999"}}, kNow, kNow) == kForever);
  CHECK(initial_age({{"age", "-5"}}, kNow + 10, kNow) == 0);
  CHECK(lifetime({{"date", date}, {"expires", "Sun, 06 Nov 1994 08:50:37 GMT"}}) == 60);
  CHECK(lifetime({{"date", date}, {"expires", "0"}}) == 0);
  CHECK(lifetime({{"date", date}, {"expires", "Fri, 31 Dec 9999 23:59:59 GMT"}}) == kForever);
  CHECK(lifetime({{"date", date}, {"expires", "Sun, 06 Nov 1994 08:50:37 GMT"}, {"cache-control", "max-age=5"}}) == 5);
}

TEST_CASE("only complete answers that say how long they are good are kept") {
  const Headers fresh{{"cache-control", "max-age=5"}};
  for (const uint32_t status : {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451, 501}) CHECK(storable(status, fresh.map));
  for (const uint32_t status : {100, 201, 206, 302, 304, 307, 400, 401, 403, 421, 500, 503}) CHECK_FALSE(storable(status, fresh.map));
  CHECK_FALSE(storable(200, Headers{}.map));
  CHECK_FALSE(storable(200, Headers{{"cache-control", "public"}}.map));
  CHECK_FALSE(storable(200, Headers{{"cache-control", "max-age=5"}, {"cache-control", "private"}}.map));
  CHECK(storable(200, Headers{{"cache-control", "no-cache"}}.map));
  CHECK(storable(200, Headers{{"date", "x"}, {"expires", "0"}}.map));
}

TEST_CASE("fields of the connection are not kept, and a date is added") {
  const Head head = kept_head(Headers{{":status", "200"}, {"connection", "x-hop"}, {"x-hop", "1"}, {"keep-alive", "1"}, {"date", "junk"}, {"x-a", "1"}, {"x-a", "2"}}.map, 784111777);
  CHECK(head == Head{{":status", "200"}, {"x-a", "1"}, {"x-a", "2"}, {"date", "Sun, 06 Nov 1994 08:49:37 GMT"}});
}

TEST_CASE("a 304 renews what is kept, but not what describes the body") {
  Head head{{":status", "200"}, {"age", "7"}, {"x-a", "1"}, {"x-a", "2"}, {"content-length", "5"}, {"etag", "\"v\""}};
  update_head(head, Headers{{":status", "304"}, {"content-length", "0"}, {"x-a", "3"}, {"cache-control", "max-age=9"}, {"connection", "close"}}.map);
  CHECK(head == Head{{":status", "200"}, {"content-length", "5"}, {"etag", "\"v\""}, {"x-a", "3"}, {"cache-control", "max-age=9"}});
}

TEST_CASE("conditions: tags are compared weakly, and count before dates") {
  const Head head{{"etag", "\"a,b\""}, {"last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"}};
  for (const std::string_view tags : {"\"a,b\"", "W/\"a,b\"", "*", "\"x\", \"a,b\"", "\"x\",,W/\"y\" , \"a,b\""}) CHECK(not_modified(Headers{{"if-none-match", tags}}.map, head));
  for (const std::string_view tags : {"\"a\"", "a,b", "\"b\"", "", "\"a,b", "\"x\" junk \"a,b\""}) CHECK_FALSE(not_modified(Headers{{"if-none-match", tags}, {"if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"}}.map, head));
  CHECK(not_modified(Headers{{"if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"}}.map, head));
  CHECK_FALSE(not_modified(Headers{{"if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT"}}.map, head));
  CHECK_FALSE(not_modified(Headers{{"if-modified-since", "junk"}}.map, head));
  CHECK_FALSE(not_modified(Headers{{"if-none-match", "\"x\""}}.map, Head{}));
}

TEST_CASE("one range is served, what cannot be satisfied is refused, the rest is the whole") {
  const auto is = [](std::string_view text, uint64_t first, uint64_t length) {
    const Range range = parse_range(text, 10);
    return range.kind == Range::Kind::Part && range.first == first && range.length == length;
  };
  CHECK(is("bytes=0-3", 0, 4));
  CHECK(is("bytes=8-", 8, 2));
  CHECK(is("bytes=-3", 7, 3));
  CHECK(is("bytes=-30", 0, 10));
  CHECK(is("bytes=5-99999999999999999999999", 5, 5));
  for (const std::string_view text : {"bytes=10-", "bytes=-0", "bytes=99999999999999999999999-"}) CHECK(parse_range(text, 10).kind == Range::Kind::Unsatisfiable);
  for (const std::string_view text : {"", "bytes=", "bytes=-", "bytes=3-1", "bytes=0-1,2-3", "lines=0-1", "bytes=a-b", "bytes=+1-2"}) CHECK(parse_range(text, 10).kind == Range::Kind::Whole);
  CHECK(parse_range("bytes=-1", 0).kind == Range::Kind::Unsatisfiable);
  CHECK(range_applies(Headers{{"if-range", "\"v\""}}.map, {{"etag", "\"v\""}}));
  CHECK_FALSE(range_applies(Headers{{"if-range", "W/\"v\""}}.map, {{"etag", "W/\"v\""}}));
}
