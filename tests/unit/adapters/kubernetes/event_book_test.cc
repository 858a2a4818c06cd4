// Events: one for what happens again and again, with a count; a bound for an object that has much to tell.
#include <catch2/catch.hpp>

#include "adapters/kubernetes/event_book.h"

namespace fairlead::adapters::kubernetes::event_book_test {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const MonotonicTime kStart{seconds(3600)};
const SystemTime kWall = SimulatedClock::default_start;

EventBook::Event refused(const std::string& note = "RDS refused") {
  return {true, "Program", "Refused", note, {"gateway.networking.k8s.io", "HTTPRoute", "shop", "app"}, "gateway.networking.k8s.io/v1", "u1"};
}

TEST_CASE("an Event says what, about whom, by whom") {
  EventBook book("pod-1_abc");
  const auto request = book.note(refused(), kStart, kWall);
  REQUIRE(request);
  CHECK(request->method == "POST");
  CHECK(request->path == "/apis/events.k8s.io/v1/namespaces/shop/events");
  const doc::Value body = *doc::parse_json(request->body, "body");
  CHECK(body.find_path("regarding.kind")->as_string() == "HTTPRoute");
  CHECK(body.find_path("regarding.uid")->as_string() == "u1");
  CHECK(body.find("type")->as_string() == "Warning");
  CHECK(body.find("reason")->as_string() == "Refused");
  CHECK(body.find("note")->as_string() == "RDS refused");
  CHECK(body.find("reportingController")->as_string() == "fairlead.io/fairlead-control");
  CHECK(body.find("reportingInstance")->as_string() == "pod-1_abc");
  CHECK(body.find("eventTime")->as_string() == "2020-01-01T00:00:00.000000Z");
  CHECK(body.find_path("metadata.name")->as_string().starts_with("app."));
}

TEST_CASE("what happens again is counted, and told every half minute at most") {
  EventBook book("i");
  REQUIRE(book.note(refused(), kStart, kWall));
  for (int i = 1; i < 30; ++i) CHECK_FALSE(book.note(refused(), kStart + seconds(i), kWall));
  const auto again = book.note(refused(), kStart + seconds(30), kWall);
  REQUIRE(again);
  CHECK(again->method == "PATCH");
  CHECK(again->content_type == "application/merge-patch+json");
  CHECK(doc::parse_json(again->body, "body")->find_path("series.count")->as_integer() == 31);
}

TEST_CASE("after ten quiet minutes, or when the server has forgotten it, the same is a new Event") {
  EventBook book("i");
  REQUIRE(book.note(refused(), kStart, kWall));
  CHECK(book.note(refused(), kStart + minutes(11), kWall)->method == "POST");
  const auto again = book.note(refused(), kStart + minutes(12), kWall);
  REQUIRE(again);
  CHECK(again->method == "PATCH");
  book.gone(*again);
  CHECK(book.note(refused(), kStart + minutes(13), kWall)->method == "POST");
}

TEST_CASE("of an object that has ever something new to tell only the first is heard, and of others all the same") {
  EventBook book("i");
  int told = 0;
  for (int i = 0; i < 100; ++i) told += book.note(refused("words " + std::to_string(i)), kStart + std::chrono::milliseconds(i), kWall).has_value() ? 1 : 0;
  CHECK(told == 10);
  EventBook::Event other = refused();
  other.object.name = "other";
  CHECK(book.note(other, kStart, kWall));
  CHECK(book.note(refused("later"), kStart + minutes(2), kWall));
}

TEST_CASE("Events about objects outside of namespaces are in the namespace default") {
  EventBook book("i");
  EventBook::Event event = refused();
  event.object = {"gateway.networking.k8s.io", "GatewayClass", "", "fairlead"};
  CHECK(book.note(event, kStart, kWall)->path == "/apis/events.k8s.io/v1/namespaces/default/events");
}

TEST_CASE("a note is cut to what the API takes, never within a character") {
  EventBook book("i");
  std::string text;
  for (int i = 0; i < 600; ++i) text += "é";
  const doc::Value body = *doc::parse_json(book.note(refused(text), kStart, kWall)->body, "body");
  CHECK(body.find("note")->as_string().size() == 1000);
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::event_book_test
