// State-of-the-world: interest, versions, nonces; tables of events and the requests they must cause.
#include <catch2/catch.hpp>

#include "dataplane/xds/sotw_state.h"

namespace fairlead::xds::sotw_state_test {
namespace {

Interest names(std::initializer_list<std::string> n) { return {false, {n.begin(), n.end()}}; }
Interest everything() { return {true, {}}; }

TEST_CASE("SotW: the first request has no version, no nonce; an ACK repeats the version and the nonce") {
  SotwState s;
  s.set_interest(everything());
  CHECK_FALSE(s.next_request().has_value());  // no stream
  s.stream_opened();
  CHECK(s.next_request() == SotwRequest{"", "", {}, std::nullopt});
  CHECK_FALSE(s.next_request().has_value());
  s.response("1", "a");
  CHECK_FALSE(s.next_request().has_value());  // not judged yet
  s.accept();
  CHECK(s.next_request() == SotwRequest{"1", "a", {}, std::nullopt});
  CHECK_FALSE(s.next_request().has_value());
}

TEST_CASE("SotW: a NACK has the last accepted version, the refused nonce and the error") {
  SotwState s;
  s.set_interest(everything());
  s.stream_opened();
  s.next_request();
  s.response("1", "a");
  s.accept();
  s.next_request();
  s.response("2", "b");
  s.refuse("cluster 'x': bad");
  CHECK(s.next_request() == SotwRequest{"1", "b", {}, "cluster 'x': bad"});
  s.response("3", "c");
  s.accept();
  CHECK(s.next_request() == SotwRequest{"3", "c", {}, std::nullopt});
}

TEST_CASE("SotW: a change of interest is sent with the newest nonce; equal interest is not") {
  SotwState s;
  s.set_interest(names({"a"}));
  s.stream_opened();
  CHECK(s.next_request() == SotwRequest{"", "", {"a"}, std::nullopt});
  s.set_interest(names({"a"}));
  CHECK_FALSE(s.next_request().has_value());
  s.set_interest(names({"a", "b"}));
  CHECK(s.next_request() == SotwRequest{"", "", {"a", "b"}, std::nullopt});
  s.response("1", "n1");
  s.accept();
  s.set_interest(names({"b"}));
  CHECK(s.next_request() == SotwRequest{"1", "n1", {"b"}, std::nullopt});  // ACK and change are one request
  CHECK_FALSE(s.next_request().has_value());
}

TEST_CASE("SotW: a new stream starts with the accepted version and without a nonce") {
  SotwState s;
  s.set_interest(names({"a"}));
  s.stream_opened();
  s.next_request();
  s.response("7", "n");
  s.accept();
  s.next_request();
  s.stream_closed();
  s.set_interest(names({"a", "b"}));
  CHECK_FALSE(s.next_request().has_value());
  s.stream_opened();
  CHECK(s.next_request() == SotwRequest{"7", "", {"a", "b"}, std::nullopt});
}

TEST_CASE("SotW: a verdict from before the stream broke is not sent on the next stream") {
  SotwState s;
  s.set_interest(everything());
  s.stream_opened();
  s.next_request();
  s.response("1", "a");
  s.refuse("no");
  s.stream_closed();
  s.stream_opened();
  CHECK(s.next_request() == SotwRequest{"", "", {}, std::nullopt});
}

TEST_CASE("SotW: nothing is said about a type nobody asked for, and an emptied list is not taken for a wildcard") {
  SotwState s;
  s.stream_opened();
  CHECK_FALSE(s.next_request().has_value());
  s.set_interest(names({"a"}));
  CHECK(s.next_request() == SotwRequest{"", "", {"a"}, std::nullopt});
  s.set_interest(names({}));
  CHECK_FALSE(s.next_request().has_value());
  s.set_interest(names({"a"}));
  s.next_request();
  s.response("1", "n");
  s.accept();
  s.set_interest(names({}));
  CHECK(s.next_request() == SotwRequest{"1", "n", {}, std::nullopt});
}

}  // namespace
}  // namespace fairlead::xds::sotw_state_test
