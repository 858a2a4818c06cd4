// A client session against a server session: heads, bodies, trailers, 1xx, tunnels, resets, draining.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;
namespace net = fairlead::net;
namespace http = fairlead::http;

TEST_CASE("a request and its response pass with heads, bodies and trailers", "[h2][exchange]") {
  PairRig rig;
  rig.server_events.when_ended = [](Message& m) {
    send(*m.sender, {{":status", "200"}, {"x-b", "2"}}, "world", false);
    send_trailers(*m.sender, {{"grpc-status", "0"}});
  };
  Headers post = kPost;
  post.push_back({"x-a", "1"});
  Message& response = rig.start(post, "hello", false);
  send_trailers(*response.sender, {{"x-end", "yes"}});
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(rig.request(0).head == ":method: POST\n:scheme: http\n:path: /\n:authority: a\nx-a: 1\n");
  CHECK(rig.request(0).body == "hello");
  CHECK(rig.request(0).trailers == "x-end: yes\n");
  CHECK(response.head == ":status: 200\nx-b: 2\n");
  CHECK(response.body == "world");
  CHECK(response.trailers == "grpc-status: 0\n");
  rig.settle();
  CHECK(rig.client->active_streams() == 0);
  CHECK(rig.server->active_streams() == 0);
  CHECK(rig.client_events.slots == 1);
  CHECK(rig.server_events.idles == 1);
  CHECK_FALSE(response.after_end);
  CHECK(rig.server_counts[Stat::streams_active] == 0);
  CHECK(rig.server_counts[Stat::trailers] == 1);
  CHECK(rig.server_counts[Stat::tx_reset] == 0);
  CHECK(rig.client_counts[Stat::tx_reset] == 0);
}

TEST_CASE("many streams at once, answered out of order", "[h2][exchange]") {
  PairRig rig;
  std::vector<Message*> responses;
  for (int i = 0; i < 99; ++i) {
    Headers get = kGet;
    get.push_back({"x-i", std::to_string(i)});
    responses.push_back(&rig.start(get));
  }
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 99; }));
  for (size_t i = 99; i-- > 0;) send(*rig.request(i).sender, {{":status", "200"}}, std::string(i, 'x'));
  REQUIRE(rig.run([&] {
    for (Message* m : responses) {
      if (!m->ended) return false;
    }
    return true;
  }));
  for (size_t i = 0; i < 99; ++i) CHECK(responses[i]->body.size() == i);
  rig.settle();
  CHECK(rig.client_events.slots == 99);
  CHECK(rig.client->active_streams() == 0);
}

TEST_CASE("a body larger than every window and buffer comes through whole, both ways at once", "[h2][exchange]") {
  Settings settings;
  settings.initial_stream_window_size = 65535;
  settings.initial_connection_window_size = 65535;
  PairRig rig(settings);
  std::string body(3'000'000, ' ');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  rig.server_events.when_head = [](Message& m) {
    send(*m.sender, {{":status", "200"}}, "", false);
    send_body(*m.sender, "", false);
  };
  Message& response = rig.start(kPost, body);
  REQUIRE(rig.run([&] { return !rig.server_events.requests.empty() && rig.request(0).ended; }));
  CHECK(rig.request(0).body == body);
  send_body(*rig.request(0).sender, body, true);
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(response.body == body);
}

TEST_CASE("informational responses come before the final one", "[h2][exchange]") {
  PairRig rig;
  rig.server_events.when_head = [](Message& m) {
    http::Arena arena;
    for (const char* status : {"100", "103"}) {
      http::HeaderMap map(arena);
      map.add(":status", status);
      m.sender->send_informational(map);
    }
    send(*m.sender, {{":status", "204"}});
  };
  Message& response = rig.start(kGet);
  REQUIRE(rig.run([&] { return response.ended; }));
  REQUIRE(response.informational.size() == 2);
  CHECK(response.informational[0] == ":status: 100\n");
  CHECK(response.informational[1] == ":status: 103\n");
  CHECK(response.head == ":status: 204\n");
}

TEST_CASE("answers to HEAD, 204 and 304 have no body", "[h2][exchange]") {
  for (const char* status : {"200", "204", "304"}) {
    PairRig rig;
    rig.server_events.when_head = [&](Message& m) { send(*m.sender, {{":status", status}, {"content-length", "5"}}, "hello"); };
    Message& response = rig.start({{":method", "HEAD"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
    REQUIRE(rig.run([&] { return response.ended; }));
    CHECK(response.body.empty());
    CHECK(response.head.find("content-length: 5") != std::string::npos);
  }
}

TEST_CASE("what belongs to an HTTP/1 connection does not go out", "[h2][exchange]") {
  PairRig rig;
  rig.server_events.when_head = [](Message& m) {
    send(*m.sender, {{":status", "200"}, {"connection", "close"}, {"keep-alive", "1"}, {"transfer-encoding", "chunked"}, {"upgrade", "x"}, {"proxy-connection", "y"}, {"x", "z"}});
  };
  Headers get = kGet;
  for (const char* name : {"connection", "keep-alive", "transfer-encoding", "proxy-connection", "upgrade", "http2-settings"}) get.push_back({name, "x"});
  get.push_back({"te", "gzip, trailers"});
  Message& response = rig.start(get);
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(rig.request(0).head == ":method: GET\n:scheme: http\n:path: /\n:authority: a\nte: trailers\n");
  CHECK(response.head == ":status: 200\nx: z\n");
}

TEST_CASE("an upgrade travels as extended CONNECT and looks like HTTP/1 at both ends", "[h2][exchange][tunnel]") {
  Settings settings;
  settings.allow_connect = true;
  PairRig rig(settings);
  rig.server_events.when_head = [](Message& m) { send(*m.sender, {{":status", "101"}, {"upgrade", "websocket"}, {"connection", "upgrade"}}, "", false); };
  Headers get = kGet;
  get.push_back({"connection", "Upgrade"});
  get.push_back({"upgrade", "websocket"});
  Message& response = rig.start(get, "", false);
  REQUIRE(rig.run([&] { return response.has_head; }));
  CHECK(rig.request(0).head == ":method: GET\n:scheme: http\n:path: /\n:authority: a\nupgrade: websocket\nconnection: upgrade\n");
  CHECK(response.head == ":status: 101\nupgrade: websocket\nconnection: upgrade\n");
  send_body(*response.sender, "ping", false);
  REQUIRE(rig.run([&] { return rig.request(0).body == "ping"; }));
  send_body(*rig.request(0).sender, "pong", true);  // the answer's end is that of both directions
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(response.body == "pong");
  rig.settle();
  CHECK_FALSE(rig.request(0).ended);
  CHECK_FALSE(response.reset);
  CHECK(rig.client->active_streams() == 0);
  CHECK(rig.server->active_streams() == 0);
  CHECK(rig.client_events.slots == 1);
}

TEST_CASE("a refused upgrade is an exchange like any other", "[h2][exchange][tunnel]") {
  Settings settings;
  settings.allow_connect = true;
  PairRig rig(settings);
  rig.server_events.when_head = [](Message& m) { send(*m.sender, {{":status", "403"}}, "no"); };
  Headers get = kGet;
  get.push_back({"connection", "upgrade"});
  get.push_back({"upgrade", "websocket"});
  Message& response = rig.start(get, "", false);
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(response.head == ":status: 403\n");
  CHECK(response.body == "no");
  rig.settle();
  CHECK(rig.client->active_streams() == 0);
  CHECK_FALSE(rig.client_events.closed);
}

TEST_CASE("CONNECT makes a tunnel", "[h2][exchange][tunnel]") {
  PairRig rig;
  rig.server_events.when_head = [](Message& m) { send(*m.sender, {{":status", "200"}}, "", false); };
  Message& response = rig.start({{":method", "CONNECT"}, {":authority", "a:1"}}, "", false);
  REQUIRE(rig.run([&] { return response.has_head; }));
  CHECK(rig.request(0).head == ":method: CONNECT\n:authority: a:1\n");
  send_body(*response.sender, "x", true);
  REQUIRE(rig.run([&] { return rig.request(0).ended; }));
  CHECK_FALSE(response.ended);
  send_body(*rig.request(0).sender, "y", true);
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(response.body == "y");
}

TEST_CASE("what was sent into a tunnel arrives before its reset", "[h2][exchange][tunnel]") {
  PairRig rig;
  rig.server_events.when_head = [](Message& m) { send(*m.sender, {{":status", "200"}}, "", false); };
  Message& response = rig.start({{":method", "CONNECT"}, {":authority", "a:1"}}, "", false);
  REQUIRE(rig.run([&] { return response.has_head; }));
  send_body(*response.sender, "last words", false);
  response.sender->reset(http::ResetReason::LocalReset);
  REQUIRE(rig.run([&] { return rig.request(0).reset; }));
  CHECK(rig.request(0).body == "last words");
  Message& second = rig.start({{":method", "CONNECT"}, {":authority", "a:1"}}, "", false);
  REQUIRE(rig.run([&] { return second.has_head; }));
  send_body(*rig.request(1).sender, "too", false);
  rig.request(1).sender->reset(http::ResetReason::ConnectionTermination);
  REQUIRE(rig.run([&] { return second.reset; }));
  CHECK(second.body == "too");
}

TEST_CASE("a response that comes before the end of its request gives the rest up", "[h2][exchange]") {
  PairRig rig;
  rig.server_events.when_head = [](Message& m) { send(*m.sender, {{":status", "413"}}); };
  Message& response = rig.start(kPost, "first", false);
  REQUIRE(rig.run([&] { return response.ended; }));
  rig.settle();
  CHECK(rig.client->active_streams() == 0);
  CHECK(rig.server->active_streams() == 0);
  CHECK(rig.server_counts[Stat::tx_reset] == 1);
  CHECK_FALSE(response.reset);
  Message& second = rig.start(kGet);
  REQUIRE(rig.run([&] { return second.ended; }));
}

TEST_CASE("resets pass in both directions, with their meaning", "[h2][exchange]") {
  PairRig rig;
  Message& first = rig.start(kPost, "x", false);
  REQUIRE(rig.run([&] { return !rig.server_events.requests.empty(); }));
  first.sender->reset(http::ResetReason::LocalReset);
  REQUIRE(rig.run([&] { return rig.request(0).reset; }));
  CHECK(rig.request(0).reason == http::ResetReason::RemoteReset);
  CHECK_FALSE(first.reset);
  Message& second = rig.start(kGet);
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 2; }));
  rig.request(1).sender->reset(http::ResetReason::LocalReset);
  REQUIRE(rig.run([&] { return second.reset; }));
  CHECK(second.reason == http::ResetReason::RemoteReset);
  Message& third = rig.start(kGet);
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 3; }));
  rig.request(2).sender->reset(http::ResetReason::RemoteRefused);
  REQUIRE(rig.run([&] { return third.reset; }));
  CHECK(third.reason == http::ResetReason::RemoteRefused);
  CHECK(rig.client_events.slots == 3);
}

TEST_CASE("a drain lets running streams end, refuses later ones, then closes", "[h2][exchange][drain]") {
  PairRig rig;
  Message& first = rig.start(kGet);
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 1; }));
  rig.server->drain();
  REQUIRE(rig.run([&] { return rig.client_events.going_away; }));
  CHECK_FALSE(rig.client->can_open_stream());
  rig.server->drain();
  rig.settle();
  CHECK_FALSE(rig.client_events.closed);
  send(*rig.request(0).sender, {{":status", "200"}}, "bye");
  REQUIRE(rig.run([&] { return first.ended; }));
  CHECK(first.body == "bye");
  REQUIRE(rig.run([&] { return rig.client_events.closed && rig.server_events.closed; }));
  CHECK(rig.server_counts[Stat::goaway_sent] == 2);
}

TEST_CASE("a drain without a second call ends after its timeout", "[h2][exchange][drain]") {
  Settings settings;
  settings.drain_timeout = std::chrono::milliseconds(20);
  PairRig rig(settings);
  rig.settle();
  rig.server->drain();
  REQUIRE(rig.run([&] { return rig.client_events.closed && rig.server_events.closed; }));
  CHECK(rig.client_events.going_away);
}

TEST_CASE("what is with the sender leaves before a flushing close", "[h2][exchange]") {
  PairRig rig;
  rig.server_events.when_head = [&](Message& m) {
    send(*m.sender, {{":status", "200"}}, "all of it");
    rig.server->close(net::CloseType::Flush);
  };
  Message& response = rig.start(kGet);
  REQUIRE(rig.run([&] { return response.ended || response.reset; }));
  CHECK(response.body == "all of it");
  REQUIRE(rig.run([&] { return rig.server_events.closed; }));
}

TEST_CASE("a cut connection resets every stream and then reports the close", "[h2][exchange]") {
  PairRig rig;
  Message& a = rig.start(kGet);
  Message& b = rig.start(kGet);
  a.when_ended = nullptr;
  REQUIRE(rig.run([&] { return rig.server_events.requests.size() == 2; }));
  rig.pair.cut();
  REQUIRE(rig.run([&] { return rig.client_events.closed && rig.server_events.closed; }));
  CHECK((a.reset && b.reset));
  CHECK(a.reason == http::ResetReason::ConnectionTermination);
  CHECK((rig.request(0).reset && rig.request(1).reset));
  CHECK(rig.server_counts[Stat::streams_active] == 0);
}

TEST_CASE("keepalive PINGs close a connection whose peer does not answer", "[h2][exchange][keepalive]") {
  Settings settings;
  settings.keepalive_interval = std::chrono::milliseconds(5);
  settings.keepalive_timeout = std::chrono::milliseconds(20);
  ClientRig silent(settings);
  silent.hello();
  REQUIRE(silent.run([&] { return silent.closed; }));
  CHECK(silent.counts[Stat::keepalive_timeout] == 1);
  settings.keepalive_timeout = std::chrono::seconds(2);
  PairRig lively(settings);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(60);
  lively.run([&] { return std::chrono::steady_clock::now() > until; });
  CHECK_FALSE(lively.client_events.closed);
  CHECK_FALSE(lively.server_events.closed);
}

TEST_CASE("heads longer than a frame pass, both ways", "[h2][exchange]") {
  PairRig rig;
  const Headers fields = {{"x-a", std::string(20000, 'a')}, {"x-b", std::string(20000, 'b')}, {"x-c", "c"}};
  uint64_t head = 0;
  rig.server_events.when_ended = [&](Message& m) {
    Headers answer = fields;
    answer.insert(answer.begin(), {":status", "200"});
    send(*m.sender, answer, "", false);
    head = m.sender->header_bytes_sent();
    send_body(*m.sender, "body", false);
    send_trailers(*m.sender, {{"x-end", std::string(17000, 'e')}});
  };
  Headers get = kGet;
  get.insert(get.end(), fields.begin(), fields.end());
  Message& response = rig.start(get);
  REQUIRE(rig.run([&] { return response.ended; }));
  const std::string tail = "x-a: " + fields[0].second + "\nx-b: " + fields[1].second + "\nx-c: c\n";
  CHECK(rig.request(0).head == ":method: GET\n:scheme: http\n:path: /\n:authority: a\n" + tail);
  CHECK(response.head == ":status: 200\n" + tail);
  CHECK(response.trailers == "x-end: " + std::string(17000, 'e') + "\n");
  CHECK(head > 40000);
}

TEST_CASE("a head that no peer would take is not sent", "[h2][exchange]") {
  PairRig rig;
  rig.server_events.when_ended = [](Message& m) { send(*m.sender, {{":status", "200"}, {"x-a", std::string(2 << 20, 'a')}}, "body", true); };
  Message& response = rig.start(kGet);
  REQUIRE(rig.run([&] { return response.reset; }));
  CHECK_FALSE(response.has_head);
  Headers get = kGet;
  get.push_back({"x-a", std::string(2 << 20, 'a')});
  Message& refused = rig.start(get);
  REQUIRE(rig.run([&] { return refused.reset; }));
  rig.server_events.when_ended = [](Message& m) { send(*m.sender, {{":status", "204"}}); };
  Message& next = rig.start(kGet);
  REQUIRE(rig.run([&] { return next.ended; }));
}

TEST_CASE("bytes are counted for each stream", "[h2][exchange]") {
  PairRig rig;
  uint64_t sent = 0, received = 0, head = 0;
  rig.server_events.when_ended = [&](Message& m) {
    received = m.sender->wire_bytes_received();
    send(*m.sender, {{":status", "200"}}, "", false);
    head = m.sender->header_bytes_sent();
    send_body(*m.sender, "12345", true);
  };
  Message& response = rig.start(kPost, "1234567");
  response.when_ended = [&](Message& m) { sent = m.sender->wire_bytes_received(); };
  REQUIRE(rig.run([&] { return response.ended; }));
  CHECK(received > 7 + 18);
  CHECK(head >= 10);  // a frame header and an indexed field
  CHECK(sent == head + 9 + 5);
}
