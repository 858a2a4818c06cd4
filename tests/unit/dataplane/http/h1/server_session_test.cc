// The server session: framing of responses, keep-alive, pipelining, upgrades, early ends, flow control.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h1/harness.h"

using namespace fairlead::h1;
using namespace fairlead::h1::test;
namespace net = fairlead::net;
namespace http = fairlead::http;

namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

using Headers = std::vector<std::pair<std::string, std::string>>;

// Sends `raw`, answers with the given response once the request is complete, returns the bytes of the answer.
std::string exchange(const std::string& raw, Headers headers, const std::string& body = "", Settings settings = {}, bool* closed = nullptr) {
  ServerRig rig(settings);
  rig.when_ended = [&](Message& m) { send(*m.sender, headers, body); };
  rig.write(raw);
  rig.run([&] { return !rig.peer.received.empty(); });
  rig.settle();
  if (closed != nullptr) *closed = rig.peer.closed || rig.peer.ended;
  return rig.peer.received;
}

}  // namespace

TEST_CASE("how a response says its length", "[h1][server]") {
  CHECK(exchange(kGet, {{":status", "200"}}) == "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "200"}, {"content-length", "2"}, {"x-a", "b"}}, "hi") ==
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi");
  CHECK(exchange(kGet, {{":status", "200"}}, "hi") == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "200"}}, std::string(300, 'x')) ==
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n12c\r\n" + std::string(300, 'x') + "\r\n0\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "204"}}) == "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "204"}, {"content-length", "0"}}) == "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "304"}}) == "HTTP/1.1 304 Not Modified\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "304"}, {"content-length", "10"}}) == "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n");
  const std::string head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
  CHECK(exchange(head, {{":status", "200"}, {"content-length", "5"}}) == "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  CHECK(exchange(head, {{":status", "200"}}) == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK(exchange(head, {{":status", "200"}, {"content-length", "2"}}, "hi") == "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
  CHECK(exchange(kGet, {{":status", "299"}, {"transfer-encoding", "gzip"}}) == "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n");
}

TEST_CASE("names in proper case", "[h1][server]") {
  Settings s;
  s.proper_case = true;
  CHECK(exchange(kGet, {{":status", "200"}, {"x-a-bc", "d"}}, "", s) == "HTTP/1.1 200 OK\r\nX-A-Bc: d\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("who closes the connection", "[h1][server]") {
  bool closed = false;
  exchange(kGet, {{":status", "200"}}, "", {}, &closed);
  CHECK_FALSE(closed);
  CHECK(exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", {{":status", "200"}}, "", {}, &closed) ==
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  CHECK(closed);
  CHECK(exchange(kGet, {{":status", "200"}, {"connection", "close"}}, "", {}, &closed) ==
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  CHECK(closed);
  Settings s;
  s.accept_http_10 = true;
  CHECK(exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n", {{":status", "200"}}, "body", s, &closed) ==
        "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nbody");
  CHECK(closed);
  CHECK(exchange("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", {{":status", "200"}, {"content-length", "2"}}, "hi", s, &closed) ==
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi");
  CHECK_FALSE(closed);
}

TEST_CASE("pipelined requests are answered one at a time, in order", "[h1][server]") {
  ServerRig rig;
  rig.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  for (size_t i = 0; i < 3; ++i) {
    REQUIRE(rig.run([&] { return rig.requests.size() == i + 1 && rig.requests[i]->ended; }));
    rig.settle();
    REQUIRE(rig.requests.size() == i + 1);
    CHECK(rig.session->active_streams() == 1);
    CHECK(rig.requests[i]->head.find(":path: /" + std::to_string(i + 1)) != std::string::npos);
    send(*rig.requests[i]->sender, {{":status", "20" + std::to_string(i)}});
    CHECK(rig.idles == static_cast<int>(i) + 1);
  }
  CHECK(rig.requests[1]->body == "abc");
  REQUIRE(rig.run([&] { return rig.peer.received.find("202") != std::string::npos; }));
  CHECK(rig.peer.received.find("200") < rig.peer.received.find("201"));
  CHECK_FALSE(rig.closed);
}

TEST_CASE("an error after a good pipelined request is answered and ends the connection", "[h1][server]") {
  ServerRig rig;
  rig.when_ended = [&](Message& m) { send(*m.sender, {{":status", "200"}}); };
  rig.write(kGet + "BAD\r\n\r\n" + kGet);
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.error == "400 http1.codec_error");
  CHECK(rig.error_calls == 1);
  CHECK(rig.requests.size() == 2);
  CHECK(rig.peer.received == "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                             "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n7\r\nrefused\r\n0\r\n\r\n");
}

TEST_CASE("an error inside a body whose response has begun", "[h1][server]") {
  ServerRig rig;
  rig.when_head = [&](Message& m) {
    http::Arena arena;
    http::HeaderMap h(arena);
    h.add(":status", "200");
    m.sender->send_headers(h, false);
  };
  rig.responded = true;
  rig.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n");
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.error == "400 http1.codec_error");
  CHECK_FALSE(rig.requests[0]->ended);
}

TEST_CASE("trailers go both ways when enabled", "[h1][server]") {
  Settings s;
  s.enable_trailers = true;
  ServerRig rig(s);
  rig.when_ended = [&](Message& m) {
    send(*m.sender, {{":status", "200"}}, "body", false);
    http::Arena arena;
    http::HeaderMap t(arena);
    t.add("x-sum", "1");
    m.sender->send_trailers(t);
  };
  rig.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: 1\r\nContent-Length: 5\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.peer.received.find("x-sum") != std::string::npos; }));
  CHECK(rig.requests[0]->trailers == "x-t: 1\n");
  CHECK(rig.requests[0]->body == "x");
  CHECK(rig.peer.received == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n");
  rig.write(kGet);
  REQUIRE(rig.run([&] { return rig.requests.size() == 2; }));
}

TEST_CASE("100-continue and other informational heads", "[h1][server]") {
  ServerRig rig;
  rig.when_head = [&](Message& m) {
    http::Arena arena;
    http::HeaderMap h(arena);
    h.add(":status", "100");
    m.sender->send_informational(h);
  };
  rig.when_ended = [&](Message& m) { send(*m.sender, {{":status", "200"}}); };
  rig.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.peer.received == "HTTP/1.1 100 Continue\r\n\r\n"; }));
  rig.write("x");
  REQUIRE(rig.run([&] { return rig.peer.received.find("200 OK") != std::string::npos; }));
}

TEST_CASE("an accepted upgrade becomes a tunnel that ends with its client", "[h1][server]") {
  ServerRig rig;
  rig.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  rig.settle();
  CHECK_FALSE(rig.requests[0]->ended);
  CHECK(rig.requests[0]->body.empty());
  send(*rig.requests[0]->sender, {{":status", "101"}, {"connection", "Upgrade"}, {"upgrade", "websocket"}}, "server bytes", false);
  REQUIRE(rig.run([&] { return rig.requests[0]->body == "early"; }));
  rig.write("GET / not a request");
  rig.client->end_write();
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.requests[0]->reset);
  CHECK_FALSE(rig.requests[0]->ended);
  CHECK(rig.requests[0]->body == "earlyGET / not a request");
  CHECK(rig.peer.received == "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nserver bytes");
}

TEST_CASE("the end of the response ends a tunnel and its connection", "[h1][server]") {
  ServerRig rig;
  rig.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  send(*rig.requests[0]->sender, {{":status", "101"}, {"connection", "Upgrade"}, {"upgrade", "websocket"}}, "all", true);
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK_FALSE(rig.requests[0]->reset);
  CHECK_THAT(rig.peer.received, Catch::EndsWith("\r\n\r\nall"));
}

TEST_CASE("a declined upgrade leaves an ordinary exchange", "[h1][server]") {
  ServerRig rig;
  rig.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + kGet);
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  send(*rig.requests[0]->sender, {{":status", "403"}});
  REQUIRE(rig.run([&] { return rig.requests.size() == 2; }));
  CHECK(rig.requests[1]->ended);
}

TEST_CASE("CONNECT answered with 200 is a tunnel", "[h1][server]") {
  ServerRig rig;
  rig.write("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nhello");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  send(*rig.requests[0]->sender, {{":status", "200"}}, "world", false);
  REQUIRE(rig.run([&] { return rig.requests[0]->body == "hello" && rig.peer.received == "HTTP/1.1 200 OK\r\n\r\nworld"; }));
}

TEST_CASE("a response that ends before its request closes the connection", "[h1][server]") {
  ServerRig rig;
  rig.when_head = [&](Message& m) { send(*m.sender, {{":status", "413"}}); };
  rig.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.peer.received.find("413") != std::string::npos);
  CHECK_FALSE(rig.requests[0]->reset);
  CHECK(rig.requests.size() == 1);
}

TEST_CASE("a body that does not keep its promised length", "[h1][server]") {
  bool closed = false;
  CHECK(exchange(kGet, {{":status", "200"}, {"content-length", "2"}}, "four", {}, &closed) == "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nfo");
  CHECK(closed);
  CHECK(exchange(kGet, {{":status", "200"}, {"content-length", "9"}}, "four", {}, &closed) == "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour");
  CHECK(closed);
}

TEST_CASE("drain: an idle connection closes, a busy one after its answer", "[h1][server]") {
  ServerRig idle;
  idle.session->drain();
  REQUIRE(idle.run([&] { return idle.closed; }));
  ServerRig busy;
  busy.write(kGet);
  REQUIRE(busy.run([&] { return busy.requests.size() == 1; }));
  busy.session->drain();
  busy.settle();
  CHECK_FALSE(busy.closed);
  send(*busy.requests[0]->sender, {{":status", "200"}});
  REQUIRE(busy.run([&] { return busy.closed; }));
  CHECK(busy.peer.received == "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
}

TEST_CASE("a client that leaves resets its request", "[h1][server]") {
  for (bool complete : {true, false}) {
    ServerRig rig;
    rig.write(complete ? kGet : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab");
    REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
    rig.client->close(net::CloseType::Flush);
    REQUIRE(rig.run([&] { return rig.closed; }));
    CHECK(rig.requests[0]->reset);
    CHECK(rig.requests[0]->reason == http::ResetReason::ConnectionTermination);
  }
}

TEST_CASE("reset closes the connection without a further event", "[h1][server]") {
  ServerRig rig;
  rig.write(kGet);
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  rig.requests[0]->sender->reset(http::ResetReason::LocalReset);
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK_FALSE(rig.requests[0]->reset);
}

TEST_CASE("pause_reading holds the body back, counted", "[h1][server]") {
  ServerRig rig;
  rig.when_head = [&](Message& m) {
    m.sender->pause_reading();
    m.sender->pause_reading();
  };
  rig.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  rig.settle();
  CHECK(rig.requests[0]->body.empty());
  rig.requests[0]->sender->resume_reading();
  rig.settle();
  CHECK(rig.requests[0]->body.empty());
  rig.requests[0]->sender->resume_reading();
  REQUIRE(rig.run([&] { return rig.requests[0]->ended; }));
  CHECK(rig.requests[0]->body == "hello");
}

TEST_CASE("a stream that ends while paused leaves the connection readable", "[h1][server]") {
  ServerRig rig;
  rig.when_ended = [&](Message& m) {
    m.sender->pause_reading();
    send(*m.sender, {{":status", "200"}});
  };
  rig.write(kGet + kGet);
  REQUIRE(rig.run([&] { return rig.requests.size() == 2; }));
}

TEST_CASE("a slow reader blocks and unblocks the sender", "[h1][server]") {
  net::Connection::Options options;
  options.buffer_limit = 1000;
  ServerRig rig({}, options);
  rig.pair.allow_writes_of_a(100);
  rig.write(kGet);
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  send(*rig.requests[0]->sender, {{":status", "200"}}, std::string(3000, 'x'), false);
  CHECK(rig.requests[0]->blocked == 1);
  CHECK(rig.requests[0]->sender->write_blocked());
  rig.pair.allow_writes_of_a(net::Buffer::npos);
  REQUIRE(rig.run([&] { return rig.requests[0]->ready == 1; }));
}

TEST_CASE("pipelined requests wait while nobody reads the answers before them", "[h1][server]") {
  net::Connection::Options options;
  options.buffer_limit = 1000;
  ServerRig rig({}, options);
  rig.pair.allow_writes_of_a(100);
  rig.when_ended = [](Message& m) { send(*m.sender, {{":status", "200"}}, std::string(200, 'x')); };
  std::string many;
  for (int i = 0; i < 100; ++i) many += kGet;
  rig.write(many);
  REQUIRE(rig.run([&] { return rig.requests.size() >= 4; }));
  rig.settle();
  CHECK(rig.requests.size() < 8);
  CHECK(rig.session->connection().output().size() < 2000);
  CHECK(rig.session->active_streams() == 0);
  rig.pair.allow_writes_of_a(net::Buffer::npos);
  REQUIRE(rig.run([&] { return rig.requests.size() == 100; }));
  CHECK_FALSE(rig.closed);
}

TEST_CASE("a drain ends a connection whose answers nobody reads", "[h1][server]") {
  net::Connection::Options options;
  options.buffer_limit = 1000;
  ServerRig rig({}, options);
  rig.pair.allow_writes_of_a(100);
  rig.when_ended = [](Message& m) { send(*m.sender, {{":status", "200"}}, std::string(2000, 'x')); };
  rig.write(std::string(kGet) + kGet);
  REQUIRE(rig.run([&] { return rig.requests.size() == 1 && rig.session->active_streams() == 0; }));
  rig.session->drain();
  rig.pair.allow_writes_of_a(net::Buffer::npos);
  REQUIRE(rig.run([&] { return rig.peer.ended || rig.peer.closed; }));
  CHECK(rig.requests.size() == 1);
}

TEST_CASE("a request begins with the first byte of its head, and the timer for slow heads too", "[h1][server]") {
  ServerRig rig;
  for (const char* piece : {"GET /", " HTTP/1.1\r\n", "Host: a\r\n"}) {
    rig.write(piece);
    rig.settle();
  }
  CHECK(rig.begins == 1);
  REQUIRE(rig.requests.size() == 1);
  CHECK_FALSE(rig.requests[0]->has_head);
  rig.write("\r\n");
  REQUIRE(rig.run([&] { return rig.requests[0]->has_head; }));
  CHECK(rig.requests.size() == 1);
}

TEST_CASE("an empty line before a request begins nothing, not even half of one", "[h1][server]") {
  ServerRig rig;
  for (const char* piece : {"\r", "\n", "\r", "\n\n"}) {
    rig.write(piece);
    rig.settle();
  }
  CHECK(rig.begins == 0);
  CHECK(rig.requests.empty());
  std::string lines;
  for (int i = 0; i < 20'000; ++i) lines += i % 3 == 0 ? "\n" : "\r\n";
  rig.write(lines);
  rig.settle();
  CHECK(rig.begins == 0);
  rig.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1 && rig.requests[0]->has_head; }));
}

TEST_CASE("a client that leaves in the middle of a head resets its request", "[h1][server]") {
  ServerRig rig;
  rig.write("GET / HT");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1; }));
  CHECK(rig.requests[0]->sender->wire_bytes_received() == 8);
  rig.client->close(net::CloseType::Flush);
  REQUIRE(rig.run([&] { return rig.requests[0]->reset; }));
  CHECK_FALSE(rig.requests[0]->has_head);
}

TEST_CASE("bytes on the wire are counted", "[h1][server]") {
  ServerRig rig;
  rig.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.requests.size() == 1 && rig.requests[0]->ended; }));
  http::MessageSender& sender = *rig.requests[0]->sender;
  CHECK(sender.header_bytes_received() == 56);
  CHECK(sender.wire_bytes_received() == 56 + 8 + 5);
  send(sender, {{":status", "200"}, {"content-length", "3"}}, "xyz", false);
  CHECK(sender.header_bytes_sent() == 38);
  CHECK(sender.wire_bytes_sent() == 41);
}
