// A client session against raw frames: which responses are taken, what a peer may change, how requests are refused.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;
namespace net = fairlead::net;
namespace http = fairlead::http;

TEST_CASE("the client opens with its preface and settings", "[h2][client]") {
  ClientRig rig;
  rig.settle();
  CHECK(rig.peer.preface_right);
  REQUIRE(rig.peer.find(kSettings) != nullptr);
  CHECK(rig.peer.find(kSettings)->payload.find(be(2, 2) + be(0, 4)) != std::string::npos);  // no push
}

TEST_CASE("pseudo-headers go first, and Host stands in for :authority", "[h2][client]") {
  ClientRig rig;
  rig.start({{"x", "y"}, {"host", "b"}, {":path", "/p"}, {":method", "PUT"}});
  rig.settle();
  REQUIRE(rig.peer.find(kHeaders, 1) != nullptr);
  CHECK(rig.peer.find(kHeaders, 1)->head == ":method: PUT\n:scheme: http\n:path: /p\n:authority: b\nx: y\n");
}

TEST_CASE("request ids do not push what repeats out of the peer's table", "[h2][client]") {
  ClientRig rig;
  rig.hello();
  size_t first = 0, largest = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    const uint32_t id = 2 * i + 1;
    const std::string request_id = std::to_string(1000000 + i) + std::string(60, '.');  // the table holds about 36 of them
    Message& m = rig.start({{":method", "GET"}, {":path", "/"}, {":authority", "a"}, {"x-tenant", std::string(40, 't')}, {"x-request-id", request_id}});
    rig.settle();
    const Frame* f = rig.peer.find(kHeaders, id);
    REQUIRE(f != nullptr);
    CHECK(f->head.ends_with("x-tenant: " + std::string(40, 't') + "\nx-request-id: " + request_id + "\n"));
    if (i == 0) first = f->payload.size();
    if (i != 0) largest = std::max(largest, f->payload.size());
    rig.write(headers(id, {{":status", "200"}}));
    rig.settle();
    CHECK(m.ended);
  }
  CHECK(largest + 30 < first);  // the repeated field costs a byte in every one, and the name of the other two
}

TEST_CASE("malformed responses end the connection, or with the option only their stream", "[h2][client]") {
  const std::vector<std::string> bad = {
      headers(1, {{"x", "y"}}), headers(1, {{":status", "99"}}), headers(1, {{":status", "2000"}}), headers(1, {{":status", "101"}}, false),
      headers(1, {{":status", "200"}, {":path", "/"}}), headers(1, {{":status", "200"}, {":status", "200"}}), headers(1, {{":status", "100"}}, true),
      headers(1, {{":status", "200"}, {"connection", "close"}}), headers(1, {{":status", "200"}, {"Upper", "x"}}),
      headers(1, {{":status", "200"}, {"content-length", "3"}}), headers(1, {{":status", "200"}}, false) + headers(1, {{":status", "200"}}, true)};
  for (const std::string& response : bad) {
    for (const bool lenient : {false, true}) {
      Settings settings;
      settings.stream_error_on_invalid_http_message = lenient;
      ClientRig rig(settings);
      rig.hello();
      Message& m = rig.start(kGet);
      Message& other = rig.start(kGet);
      rig.settle();
      rig.write(response);
      rig.settle();
      INFO(response);
      CHECK(m.reset);
      CHECK_FALSE(m.ended);
      CHECK(m.reason == http::ResetReason::ProtocolError);
      CHECK(other.reset == !lenient);
      CHECK((lenient ? rig.rst(1) : rig.goaway()) == 1);
      CHECK(rig.counts[Stat::rx_messaging_error] == 1);
    }
  }
}

TEST_CASE("a body of another length than announced fails its stream alone", "[h2][client]") {
  for (const Headers& head : {Headers{{":status", "200"}, {"content-length", "3"}}, Headers{{":status", "200"}, {"content-length", "1"}}, Headers{{":status", "204"}}}) {
    ClientRig rig;
    rig.hello();
    Message& m = rig.start(kGet);
    rig.settle();
    rig.write(headers(1, head, false) + frame(kData, kEndStream, 1, "ab"));
    rig.settle();
    CHECK(m.reset);
    CHECK_FALSE(m.ended);
    CHECK(m.reason == http::ResetReason::ProtocolError);
    CHECK(rig.rst(1) == 1);
    CHECK(rig.session->can_open_stream());
  }
}

TEST_CASE("a body before the final head fails its stream", "[h2][client]") {
  for (const std::string& body : {frame(kData, 0, 1, "x"), frame(kData, kEndStream, 1)}) {
    ClientRig rig;
    rig.hello();
    Message& m = rig.start(kGet);
    rig.settle();
    rig.write(headers(1, {{":status", "100"}}, false) + body);
    rig.settle();
    CHECK(m.reset);
    CHECK_FALSE(m.after_end);
    CHECK(rig.rst(1) == 1);
  }
}

TEST_CASE("a client's GOAWAY closes the connection once its streams have ended", "[h2][server]") {
  ServerRig rig;
  rig.hello();
  rig.write(headers(1, kGet) + frame(kGoaway, 0, 0, be(0, 4) + be(0, 4)));
  rig.settle();
  CHECK_FALSE(rig.peer.closed);
  send(*rig.requests.at(0)->sender, {{":status", "200"}});
  REQUIRE(rig.run([&] { return rig.peer.closed; }));
  CHECK(rig.peer.ended(1));
}

TEST_CASE("a response with too large a head fails its stream alone", "[h2][client]") {
  Settings settings;
  settings.max_head_bytes = 1000;
  ClientRig rig(settings);
  rig.hello();
  Message& m = rig.start(kGet);
  rig.settle();
  rig.write(headers(1, {{":status", "200"}, {"x", std::string(1000, 'x')}}));
  rig.settle();
  CHECK(m.reset);
  CHECK(m.detail == "http2.too_many_headers");
  CHECK(rig.counts[Stat::header_list_size_too_large] == 1);
  CHECK(rig.session->can_open_stream());
}

TEST_CASE("the peer's limit of streams is kept, and a raised one announced", "[h2][client]") {
  ClientRig rig;
  CHECK(rig.session->max_streams() == 100);
  rig.hello(be(3, 2) + be(2, 4));
  rig.settle();
  CHECK(rig.session->max_streams() == 2);
  rig.start(kGet);
  CHECK(rig.session->can_open_stream());
  rig.start(kGet);
  CHECK_FALSE(rig.session->can_open_stream());
  rig.write(headers(1, {{":status", "200"}}));
  rig.settle();
  CHECK(rig.slots == 1);
  CHECK(rig.session->can_open_stream());
  rig.start(kGet);
  rig.write(frame(kSettings, 0, 0, be(3, 2) + be(3, 4)));
  rig.settle();
  CHECK(rig.slots == 2);
}

TEST_CASE("a request that the peer's new limit forbids is refused as safe to retry", "[h2][client]") {
  ClientRig rig;
  rig.hello();
  rig.settle();
  Message m;
  m.sender = &rig.session->new_stream(m);
  rig.write(frame(kSettings, 0, 0, be(3, 2) + be(0, 4)));
  rig.settle();
  send(*m.sender, kGet);
  CHECK_FALSE(m.reset);  // not from inside the call
  rig.settle();
  CHECK(m.reset);
  CHECK(m.reason == http::ResetReason::RemoteRefused);
  CHECK(rig.session->active_streams() == 0);
}

TEST_CASE("GOAWAY refuses later streams, lets earlier ones end and then closes", "[h2][client]") {
  ClientRig rig;
  rig.hello();
  Message& first = rig.start(kGet);
  Message& second = rig.start(kGet);
  rig.settle();
  rig.write(frame(kGoaway, 0, 0, be(1, 4) + be(0, 4)));
  rig.settle();
  CHECK(rig.going_away);
  CHECK_FALSE(rig.session->can_open_stream());
  CHECK(second.reset);
  CHECK(second.reason == http::ResetReason::RemoteRefused);
  CHECK_FALSE(first.reset);
  rig.write(headers(1, {{":status", "200"}}));
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(first.ended);
  CHECK(rig.slots == 0);
}

TEST_CASE("REFUSED_STREAM is safe to retry; a whole response is whole whatever follows it", "[h2][client]") {
  ClientRig rig;
  rig.hello();
  Message& first = rig.start(kGet);
  Message& second = rig.start(kPost, "x", false);
  rig.settle();
  rig.write(frame(kRst, 0, 1, be(7, 4)) + headers(3, {{":status", "200"}}, false) + frame(kData, kEndStream, 3, "all") + frame(kRst, 0, 3, be(0, 4)));
  rig.settle();
  CHECK(first.reason == http::ResetReason::RemoteRefused);
  CHECK(second.ended);
  CHECK(second.body == "all");
  CHECK_FALSE(second.reset);
  CHECK(rig.slots == 2);
}

TEST_CASE("pushed streams end the connection", "[h2][client]") {
  ClientRig rig;
  rig.hello();
  Message& m = rig.start(kGet);
  rig.settle();
  rig.write(frame(kPush, kEndHeaders, 1, be(2, 4) + block(kGet)));
  rig.settle();
  CHECK(rig.goaway() == 1);
  CHECK(m.reset);
}

TEST_CASE("new streams may be opened from inside on_stream_slot and on_data", "[h2][client]") {
  ClientRig rig;
  rig.hello(be(3, 2) + be(1, 4));
  rig.settle();
  int left = 3;
  rig.when_slot = [&] {
    if (left-- > 0) rig.start(kGet);
  };
  rig.start(kGet);
  for (uint32_t id = 1; id <= 7; id += 2) {
    REQUIRE(rig.run([&] { return rig.peer.find(kHeaders, id) != nullptr; }));
    rig.write(headers(id, {{":status", "200"}}));
    rig.settle();
  }
  CHECK(rig.slots == 4);
  CHECK(rig.session->active_streams() == 0);
}

TEST_CASE("a request without an end is cut off once its response is complete", "[h2][client]") {
  ClientRig rig;
  rig.hello();
  Message& m = rig.start(kPost, "part", false);
  rig.settle();
  rig.write(headers(1, {{":status", "200"}}));
  rig.settle();
  CHECK(m.ended);
  CHECK(rig.rst(1) == 8);  // CANCEL
  CHECK(rig.slots == 1);
}
