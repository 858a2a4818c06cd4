// Windows and watermarks: who is held back, by what, and what moves again when.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;
namespace net = fairlead::net;
namespace http = fairlead::http;

TEST_CASE("a paused receiver holds its peer back through the window, and gets everything afterwards", "[h2][flow]") {
  Settings settings;
  settings.initial_stream_window_size = 65535;
  settings.initial_connection_window_size = 1 << 20;
  PairRig rig(settings);
  rig.server_events.when_head = [](Message& m) { m.sender->pause_reading(); };
  Message& response = rig.start(kPost, std::string(200'000, 'x'), false);
  REQUIRE(rig.run([&] { return !rig.server_events.requests.empty(); }));
  rig.settle();
  Message& request = rig.request(0);
  CHECK(request.body.empty());
  CHECK(rig.client_counts[Stat::pending_send_bytes] == 200'000 - 65535);
  SECTION("other streams go on") {
    rig.server_events.when_head = nullptr;
    rig.start(kPost, "y");
    REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 2 && rig.request(1).ended; }));
  }
  send_body(*response.sender, "", true);
  request.sender->resume_reading();
  REQUIRE(rig.run([&] { return request.ended; }));
  CHECK(request.body.size() == 200'000);
  rig.settle();
  CHECK(rig.client_counts[Stat::pending_send_bytes] == 0);
}

TEST_CASE("pauses are counted; an end and trailers wait behind a paused body", "[h2][flow]") {
  PairRig rig;
  rig.server_events.when_head = [](Message& m) {
    m.sender->pause_reading();
    m.sender->pause_reading();
  };
  Message& response = rig.start(kPost, "body", false);
  send_trailers(*response.sender, {{"x-t", "1"}});
  REQUIRE(rig.run([&] { return !rig.server_events.requests.empty(); }));
  rig.settle();
  Message& request = rig.request(0);
  CHECK_FALSE(request.ended);
  request.sender->resume_reading();
  rig.settle();
  CHECK(request.body.empty());
  request.sender->resume_reading();
  REQUIRE(rig.run([&] { return request.ended; }));
  CHECK(request.body == "body");
  CHECK(request.trailers == "x-t: 1\n");
}

TEST_CASE("trailers leave behind their body, with it or when its window lets it go", "[h2][flow]") {
  constexpr size_t kWindow = 65535;
  const bool fits = GENERATE(true, false);
  ServerRig rig;
  rig.hello();
  rig.write(headers(1, kGet));
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  http::MessageSender& sender = *rig.requests[0]->sender;
  const std::string body(fits ? 100 : kWindow + 10, 'x');
  send(sender, {{":status", "200"}}, "", false);
  send_body(sender, body, false);
  send_trailers(sender, {{"x-t", "1"}});  // from a map that is gone when this returns
  rig.settle();
  CHECK(rig.peer.ended(1) == fits);
  CHECK(rig.counts[Stat::pending_send_bytes] == (fits ? 0 : 10));
  rig.write(frame(kWindowUpdate, 0, 0, be(10, 4)) + frame(kWindowUpdate, 0, 1, be(10, 4)));
  REQUIRE(rig.run([&] { return rig.peer.ended(1); }));
  CHECK(rig.peer.body(1) == body);
  const Frame& last = rig.peer.frames.back();
  CHECK(last.type == kHeaders);
  CHECK(last.head == "x-t: 1\n");
  CHECK(rig.peer.count(kHeaders, 1) == 2);
}

TEST_CASE("a sender that fills its stream's buffer is told to stop, and to go on once half has gone", "[h2][flow]") {
  Settings settings;
  settings.stream_buffer_limit = 10'000;
  ServerRig rig(settings);
  rig.hello();
  rig.write(headers(1, kGet));
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  Message& request = *rig.requests[0];
  send(*request.sender, {{":status", "200"}}, "", false);
  send_body(*request.sender, std::string(65535, 'x'), false);  // the whole window
  rig.settle();
  CHECK(request.blocked == request.ready);
  const int before = request.blocked;
  send_body(*request.sender, std::string(10'001, 'y'), false);
  CHECK(request.blocked == before + 1);
  CHECK(request.sender->write_blocked());
  rig.settle();
  CHECK(request.ready == before);
  CHECK(rig.counts[Stat::pending_send_bytes] == 10'001);
  rig.write(frame(kWindowUpdate, 0, 0, be(5000, 4)) + frame(kWindowUpdate, 0, 1, be(5000, 4)));
  rig.settle();
  CHECK(request.ready == before);
  rig.write(frame(kWindowUpdate, 0, 0, be(1000, 4)) + frame(kWindowUpdate, 0, 1, be(1000, 4)));
  rig.settle();
  CHECK(request.ready == before + 1);
  CHECK_FALSE(request.sender->write_blocked());
}

TEST_CASE("a peer that does not read its socket blocks every stream until it does", "[h2][flow]") {
  net::Connection::Options options;
  options.buffer_limit = 100'000;
  PairRig rig({}, options);
  Message& a = rig.start(kGet);
  Message& b = rig.start(kGet);
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 2; }));
  rig.settle();
  rig.pair.allow_writes_of_a(0);
  for (size_t i = 0; i < 2; ++i) send(*rig.request(i).sender, {{":status", "200"}}, std::string(400'000, 'x'), false);
  rig.settle();
  CHECK(rig.request(0).sender->write_blocked());
  CHECK(rig.request(1).sender->write_blocked());
  CHECK(rig.server->connection().output().size() < 150'000);  // the rest stays in the streams
  CHECK(rig.server_counts[Stat::pending_send_bytes] > 600'000);
  rig.pair.allow_writes_of_a(net::Buffer::npos);
  REQUIRE(rig.run([&] { return a.body.size() == 400'000 && b.body.size() == 400'000; }));
  rig.settle();
  CHECK(rig.request(0).ready == rig.request(0).blocked);
  CHECK(rig.request(1).ready == rig.request(1).blocked);
  CHECK(rig.server_counts[Stat::pending_send_bytes] == 0);
}

TEST_CASE("a stream that begins while the output is full is held back from its first bytes on", "[h2][flow]") {
  net::Connection::Options options;
  options.buffer_limit = 10'000;
  PairRig rig({}, options);
  rig.start(kGet);
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 1; }));
  rig.settle();
  rig.pair.allow_writes_of_a(0);
  send(*rig.request(0).sender, {{":status", "200"}}, std::string(50'000, 'x'), false);
  rig.settle();
  Message& late = rig.start(kGet);
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 2; }));
  send(*rig.request(1).sender, {{":status", "200"}}, "first", false);
  CHECK(rig.request(1).blocked == 1);
  rig.pair.allow_writes_of_a(net::Buffer::npos);
  REQUIRE(rig.run([&] { return rig.request(1).ready == 1 && late.body == "first"; }));
}

TEST_CASE("window updates are gathered", "[h2][flow]") {
  ServerRig rig;
  rig.hello();
  rig.write(headers(1, kPost, false));
  for (int i = 0; i < 50; ++i) rig.write(frame(kData, 0, 1, std::string(16384, 'x')));
  REQUIRE(rig.run([&] { return rig.requests.size() == 1 && rig.requests[0]->body.size() == 50 * 16384; }));
  rig.settle();
  CHECK(rig.peer.count(kWindowUpdate, 1) == 0);  // far below half of the window
  CHECK(rig.peer.count(kWindowUpdate, 0) == 1);  // the larger window of the beginning
}

TEST_CASE("the windows of Envoy are announced", "[h2][flow]") {
  ServerRig rig;
  rig.hello();
  REQUIRE(rig.run([&] { return rig.peer.find(kWindowUpdate, 0) != nullptr; }));
  CHECK(rig.peer.find(kWindowUpdate, 0)->word(0) == 25100289);  // 24 MiB
  const Frame& settings = *rig.peer.find(kSettings);
  CHECK(settings.payload == be(1, 2) + be(4096, 4) + be(8, 2) + be(0, 4) + be(3, 2) + be(1024, 4) + be(4, 2) + be(16 << 20, 4));
}

TEST_CASE("a finished answer that nobody takes is given up after its time", "[h2][flow]") {
  Settings settings;
  settings.flush_timeout = std::chrono::milliseconds(20);
  ServerRig rig(settings);
  rig.when_ended = [](Message& m) { send(*m.sender, {{":status", "200"}}, std::string(100'000, 'x')); };
  rig.hello();
  rig.write(headers(1, kGet));
  REQUIRE(rig.run([&] { return rig.rst(1) >= 0; }));
  CHECK(rig.counts[Stat::tx_flush_timeout] == 1);
  CHECK(rig.peer.body(1).size() == 65535);
  rig.settle();
  CHECK(rig.counts[Stat::deferred_stream_close] == 0);
  CHECK(rig.counts[Stat::pending_send_bytes] == 0);
}

TEST_CASE("data of streams nobody wants any more gives its connection window back", "[h2][flow]") {
  Settings settings;
  settings.initial_connection_window_size = 65535;
  ServerRig rig(settings);
  rig.when_head = [](Message& m) { send(*m.sender, {{":status", "200"}}); };
  rig.hello();
  for (uint32_t id = 1; id < 20; id += 2) {
    rig.write(headers(id, kPost, false) + frame(kData, 0, id, std::string(16000, 'x')));
    rig.settle();
  }
  CHECK(rig.goaway() == -1);
  CHECK(rig.peer.count(kWindowUpdate, 0) >= 3);
}
