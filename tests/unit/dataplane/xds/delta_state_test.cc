// Incremental xDS: subscriptions, initial versions, answers; tables of events and the requests they must cause.
#include <catch2/catch.hpp>

#include "dataplane/xds/delta_state.h"

namespace fairlead::xds::delta_state_test {
namespace {

Interest names(std::initializer_list<std::string> n) { return {false, {n.begin(), n.end()}}; }
Interest everything() { return {true, {}}; }
DeltaRequest request(std::vector<std::string> subscribe, std::vector<std::string> unsubscribe = {}) { return {std::move(subscribe), std::move(unsubscribe), {}, "", {}}; }

TEST_CASE("delta: a wildcard is an empty first subscription; responses are answered with their nonce") {
  DeltaState s;
  s.set_interest(everything());
  s.stream_opened();
  CHECK(s.next_request() == DeltaRequest{});
  CHECK_FALSE(s.next_request().has_value());
  s.response("n1");
  s.accept({{"a", "1"}, {"b", "1"}}, {});
  CHECK(s.next_request() == DeltaRequest{{}, {}, {}, "n1", {}});
  s.response("n2");
  s.refuse("bad b", {{"a", "2"}}, {});
  CHECK(s.next_request() == DeltaRequest{{}, {}, {}, "n2", "bad b"});
  CHECK_FALSE(s.next_request().has_value());
  CHECK(s.versions() == std::map<std::string, std::string>{{"a", "2"}, {"b", "1"}});
}

TEST_CASE("delta: a reconnect subscribes to all interest and says which versions it holds") {
  DeltaState s;
  s.set_interest(names({"a", "b"}));
  s.stream_opened();
  CHECK(s.next_request() == request({"a", "b"}));
  s.response("n");
  s.accept({{"a", "1"}, {"b", "4"}}, {});
  s.next_request();
  s.stream_closed();
  s.stream_opened();
  CHECK(s.next_request() == DeltaRequest{{"a", "b"}, {}, {{"a", "1"}, {"b", "4"}}, "", {}});
}

TEST_CASE("delta: removed resources are not claimed after a reconnect") {
  DeltaState s;
  s.set_interest(everything());
  s.stream_opened();
  s.next_request();
  s.response("1");
  s.accept({{"a", "1"}, {"b", "1"}}, {});
  s.response("2");
  s.accept({}, {"a"});
  s.stream_closed();
  s.stream_opened();
  CHECK(s.next_request() == DeltaRequest{{}, {}, {{"b", "1"}}, "", {}});
}

TEST_CASE("delta: interest changes are differences, sent together with an answer when there is one") {
  DeltaState s;
  s.set_interest(names({"a", "b"}));
  s.stream_opened();
  s.next_request();
  s.set_interest(names({"b", "c"}));
  CHECK(s.next_request() == request({"c"}, {"a"}));
  s.response("n");
  s.accept({{"c", "1"}}, {});
  s.set_interest(names({"c"}));
  CHECK(s.next_request() == DeltaRequest{{}, {"b"}, {}, "n", {}});
  CHECK_FALSE(s.next_request().has_value());
}

TEST_CASE("delta: what nobody wants any more is forgotten, and asked for anew when wanted again") {
  DeltaState s;
  s.set_interest(names({"a"}));
  s.stream_opened();
  s.next_request();
  s.response("n");
  s.accept({{"a", "1"}}, {});
  s.next_request();
  s.set_interest(names({}));
  CHECK(s.next_request() == request({}, {"a"}));
  s.set_interest(names({"a"}));
  CHECK(s.next_request() == request({"a"}));
  s.stream_closed();
  s.stream_opened();
  CHECK(s.next_request() == request({"a"}));
}

TEST_CASE("delta: nothing is said about a type nobody asked for; answers do not outlive their stream") {
  DeltaState s;
  s.stream_opened();
  CHECK_FALSE(s.next_request().has_value());
  s.set_interest(names({"a"}));
  s.next_request();
  s.response("n");
  s.accept({{"a", "1"}}, {});
  s.stream_closed();
  s.stream_opened();
  CHECK(s.next_request() == DeltaRequest{{"a"}, {}, {{"a", "1"}}, "", {}});
  CHECK_FALSE(s.next_request().has_value());
}

}  // namespace
}  // namespace fairlead::xds::delta_state_test
