// The client session: request framing, every kind of response, reuse, broken responses.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h1/harness.h"

using namespace fairlead::h1;
using namespace fairlead::h1::test;
namespace net = fairlead::net;
namespace http = fairlead::http;

namespace {

struct Case {
  std::string name;
  std::string method;
  std::string raw;
  bool close;          // the server closes behind it
  std::string head;    // expected, empty: none
  std::string body;
  std::string reset;   // expected reset reason, empty: complete
  bool reusable;
};

std::string response(const std::string& status, const std::string& headers = "", const std::string& body = "") {
  return "HTTP/1.1 " + status + "\r\n" + headers + "\r\n" + body;
}

std::vector<Case> cases() {
  const std::string zero = "Content-Length: 0\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const std::string ok = ":status: 200\n";
  const std::string broken = "protocol error";
  return {
      {"empty", "GET", response("200 OK", zero), false, ok + "content-length: 0\n", "", "", true},
      {"length", "GET", response("200 OK", "Content-Length: 3\r\n", "abc"), false, ok + "content-length: 3\n", "abc", "", true},
      {"chunked", "GET", response("200 OK", chunked, "3\r\nabc\r\n0\r\n\r\n"), false, ok, "abc", "", true},
      {"chunked with trailers", "GET", response("200 OK", chunked, "3\r\nabc\r\n0\r\nX: y\r\n\r\n"), false, ok, "abc", "", true},
      {"until close", "GET", response("200 OK", "", "abc"), true, ok, "abc", "", false},
      {"HEAD with length", "HEAD", response("200 OK", "Content-Length: 5\r\n"), false, ok + "content-length: 5\n", "", "", true},
      {"HEAD chunked", "HEAD", response("200 OK", chunked), false, ok, "", "", true},
      {"HEAD without length", "HEAD", response("200 OK"), false, ok, "", "", true},
      {"304 with length", "GET", response("304 Not Modified", "Content-Length: 10\r\n"), false, ":status: 304\ncontent-length: 10\n", "", "", true},
      {"204", "GET", response("204 No Content"), false, ":status: 204\n", "", "", true},
      {"204 with length 0", "GET", response("204 No Content", zero), false, ":status: 204\n", "", "", true},
      {"204 with a body", "GET", response("204 No Content", "Content-Length: 1\r\n", "a"), false, "", "", broken, false},
      {"204 chunked", "GET", response("204 No Content", chunked, "0\r\n\r\n"), false, "", "", broken, false},
      {"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, ok + "content-length: 0\n", "", "", true},
      {"non-ASCII reason", "GET", response("200 \xe9", zero), false, ok + "content-length: 0\n", "", "", true},
      {"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, ok + "content-length: 0\n", "", "", false},
      {"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false, ok + "content-length: 0\n", "", "", true},
      {"close", "GET", response("200 OK", zero + "Connection: close\r\n"), false, ok + "content-length: 0\n", "", "", false},
      {"hop-by-hop", "GET", response("200 OK", zero + "Keep-Alive: 1\r\nProxy-Connection: a\r\nUpgrade: h2c\r\nX: 1\r\n"), false, ok + "content-length: 0\nx: 1\n", "", "", true},
      {"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, ok + "content-length: 0\n", "", "", true},
      {"fold", "GET", response("200 OK", "X: a\r\n b\r\n" + zero), false, ok + "x: a b\ncontent-length: 0\n", "", "", true},
      {"599", "GET", response("599 x", zero), false, ":status: 599\ncontent-length: 0\n", "", "", true},
      {"999", "GET", response("999 x", zero), false, ":status: 999\ncontent-length: 0\n", "", "", true},
      {"second response", "GET", response("200 OK", zero) + response("200 OK", zero), false, ok + "content-length: 0\n", "", "", false},
      {"rubbish behind", "GET", response("200 OK", "Content-Length: 1\r\n", "abc"), false, ok + "content-length: 1\n", "a", "", false},
      {"two-digit status", "GET", response("20 x", zero), false, "", "", broken, false},
      {"four-digit status", "GET", response("1000 x", zero), false, "", "", broken, false},
      {"099", "GET", response("099 x", zero), false, "", "", broken, false},
      {"letters for status", "GET", response("abc x", zero), false, "", "", broken, false},
      {"HTTP/2.0", "GET", "HTTP/2.0 200 OK\r\n\r\n", false, "", "", broken, false},
      {"garbage", "GET", "garbage", false, "", "", broken, false},
      {"leading CRLF", "GET", "\r\n" + response("200 OK", zero), false, "", "", broken, false},
      {"bad header", "GET", response("200 OK", "X Y: 0\r\n"), false, "", "", broken, false},
      {"bare CR in value", "GET", response("200 OK", "X: a\rb\r\n" + zero), false, "", "", broken, false},
      {"length beside chunked", "GET", response("200 OK", "Content-Length: 1\r\n" + chunked), false, "", "", broken, false},
      {"two lengths", "GET", response("200 OK", zero + zero), false, "", "", broken, false},
      {"gzip coding", "GET", response("200 OK", "Transfer-Encoding: gzip\r\n"), false, "", "", broken, false},
      {"101 nobody asked for", "GET", response("101 Switching Protocols", "Upgrade: x\r\nConnection: Upgrade\r\n"), false, "", "", broken, false},
      {"bad chunk", "GET", response("200 OK", chunked, "zz\r\n"), false, ok, "", broken, false},
      {"body cut short", "GET", response("200 OK", "Content-Length: 5\r\n", "ab"), true, ok + "content-length: 5\n", "ab", broken, false},
      {"chunks cut short", "GET", response("200 OK", chunked, "5\r\nab"), true, ok, "ab", broken, false},
      {"head cut short", "GET", "HTTP/1.1 200 OK\r\n", true, "", "", broken, false},
      {"no response", "GET", "", true, "", "", "connection termination", false},
  };
}

}  // namespace

TEST_CASE("responses of every kind", "[h1][client]") {
  for (const Case& c : cases()) {
    for (size_t limit : {net::Buffer::npos, size_t{1}, size_t{2}}) {
      INFO(c.name << ", " << limit);
      ClientRig rig;
      rig.pair.limit_reads(limit);
      rig.start({{":method", c.method}, {":path", "/"}, {":authority", "a"}});
      REQUIRE(rig.run([&] { return !rig.peer.received.empty(); }));
      rig.write(c.raw);
      if (c.close) rig.server->close(net::CloseType::Flush);
      REQUIRE(rig.run([&] { return rig.response->ended || rig.response->reset; }));
      rig.settle();
      CHECK(rig.response->head == c.head);
      CHECK(rig.response->body == c.body);
      CHECK(rig.response->ended == c.reset.empty());
      CHECK((rig.response->reset ? std::string(http::reset_reason_name(rig.response->reason)) : "") == c.reset);
      CHECK_FALSE(rig.response->after_end);
      CHECK(rig.session->can_open_stream() == c.reusable);
      if (!c.reusable) {
        CHECK(rig.run([&] { return rig.closed; }));
      } else {
        CHECK(rig.slots == 1);
      }
    }
  }
}

TEST_CASE("how a request says its length", "[h1][client]") {
  auto sent = [](const std::string& method, std::vector<std::pair<std::string, std::string>> more, const std::string& body) {
    ClientRig rig;
    std::vector<std::pair<std::string, std::string>> headers = {{":method", method}, {":path", "/p?q"}, {":authority", "h:1"}};
    headers.insert(headers.end(), more.begin(), more.end());
    rig.start(headers, body);
    rig.run([&] { return !rig.peer.received.empty(); });
    rig.settle();
    return rig.peer.received;
  };
  CHECK(sent("GET", {{"x-a", "b"}}, "") == "GET /p?q HTTP/1.1\r\nhost: h:1\r\nx-a: b\r\n\r\n");
  CHECK(sent("DELETE", {}, "") == "DELETE /p?q HTTP/1.1\r\nhost: h:1\r\n\r\n");
  CHECK(sent("POST", {}, "") == "POST /p?q HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n");
  CHECK(sent("OPTIONS", {}, "") == "OPTIONS /p?q HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n");
  CHECK(sent("POST", {}, "ab") == "POST /p?q HTTP/1.1\r\nhost: h:1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
  CHECK(sent("GET", {}, "ab") == "GET /p?q HTTP/1.1\r\nhost: h:1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
  CHECK(sent("POST", {{"content-length", "2"}}, "ab") == "POST /p?q HTTP/1.1\r\nhost: h:1\r\ncontent-length: 2\r\n\r\nab");
  CHECK(sent("POST", {{"content-length", "2"}}, "abGET / HTTP/1.1") == "POST /p?q HTTP/1.1\r\nhost: h:1\r\ncontent-length: 2\r\n\r\nab");
  CHECK(sent("CONNECT", {}, "") == "CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n");
}

TEST_CASE("one connection carries many exchanges", "[h1][client]") {
  ClientRig rig;
  for (int i = 1; i <= 3; ++i) {
    REQUIRE(rig.session->can_open_stream());
    rig.peer.received.clear();
    rig.get();
    CHECK_FALSE(rig.session->can_open_stream());
    REQUIRE(rig.run([&] { return !rig.peer.received.empty(); }));
    rig.write(response("200 OK", "Content-Length: 1\r\n", std::to_string(i)));
    REQUIRE(rig.run([&] { return rig.slots == i; }));
    CHECK(rig.response->body == std::to_string(i));
  }
}

TEST_CASE("bytes behind a response are never the answer to the next request", "[h1][client]") {
  ClientRig rig;
  std::unique_ptr<Message> second;
  rig.when_slot = [&] {
    second = std::make_unique<Message>();
    send(rig.session->new_stream(*second), {{":method", "GET"}, {":path", "/2"}, {":authority", "a"}});
  };
  rig.get();
  rig.settle();
  rig.write(response("200 OK", "Content-Length: 0\r\n") + response("200 OK", "Content-Length: 6\r\n", "poison"));
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.response->ended);
  CHECK(second == nullptr);
}

TEST_CASE("informational responses come before the final one", "[h1][client]") {
  ClientRig rig;
  rig.get();
  rig.settle();
  rig.write(response("100 Continue") + response("103 Early Hints", "Link: x\r\n") + response("200 OK", "Content-Length: 0\r\n"));
  REQUIRE(rig.run([&] { return rig.response->ended; }));
  CHECK(rig.response->informational == std::vector<std::string>{":status: 100\n", ":status: 103\nlink: x\n"});
}

TEST_CASE("an answer before the request is complete costs the connection", "[h1][client]") {
  ClientRig rig;
  rig.start({{":method", "POST"}, {":path", "/"}, {":authority", "a"}}, "part", false);
  rig.settle();
  rig.write(response("413 Payload Too Large", "Content-Length: 0\r\n"));
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.response->ended);
  CHECK(rig.slots == 0);
}

TEST_CASE("an upgrade answered with 101 is a tunnel", "[h1][client]") {
  ClientRig rig;
  rig.server->set_half_close(true);
  http::MessageSender& sender = rig.start({{":method", "GET"}, {":path", "/"}, {":authority", "a"}, {"connection", "Upgrade"}, {"upgrade", "websocket"}}, "", false);
  rig.settle();
  rig.write(response("101 Switching Protocols", "Upgrade: websocket\r\nConnection: Upgrade\r\nx: y\r\n", "hello"));
  REQUIRE(rig.run([&] { return rig.response->body == "hello"; }));
  CHECK(rig.response->head == ":status: 101\nupgrade: websocket\nconnection: Upgrade\nx: y\n");
  CHECK_FALSE(rig.response->ended);
  SECTION("that breaks off with its connection") {
    rig.write("last");
    rig.server->end_write();
    REQUIRE(rig.run([&] { return rig.closed; }));
    CHECK(rig.response->body == "hellolast");
    CHECK(rig.response->reset);
  }
  SECTION("that ends with its connection once our half has ended") {
    net::Buffer bye("bye");
    sender.send_data(bye, true);
    REQUIRE(rig.run([&] { return rig.peer.ended; }));
    rig.write("last");
    rig.server->end_write();
    REQUIRE(rig.run([&] { return rig.closed; }));
    CHECK(rig.response->body == "hellolast");
    CHECK(rig.response->ended);
    CHECK_FALSE(rig.response->reset);
  }
}

TEST_CASE("bytes on an idle connection close it", "[h1][client]") {
  ClientRig rig;
  rig.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK_FALSE(rig.session->can_open_stream());
}

TEST_CASE("what a peer sends unasked and closes that it announces are counted", "[h1][client]") {
  const auto counts_after = [](const std::string& raw, bool ask, bool close = false) {
    PeerCounts counts;
    Settings settings;
    settings.peer_counts = &counts;
    ClientRig rig(settings);
    if (ask) rig.get();
    if (ask) rig.settle();
    rig.write(raw);
    if (close) rig.server->close(net::CloseType::Flush);
    REQUIRE(rig.run([&] { return rig.closed; }));
    return std::pair(counts.unasked_bytes, counts.close_announced);
  };
  const std::string zero = "Content-Length: 0\r\n";
  CHECK(counts_after(response("200 OK", zero) + response("200 OK", zero), true) == std::pair(1u, 0u));
  CHECK(counts_after(response("200 OK", zero + "Connection: close\r\n"), true) == std::pair(0u, 1u));
  CHECK(counts_after("HTTP/1.0 200 OK\r\n" + zero + "\r\n", true) == std::pair(0u, 1u));
  CHECK(counts_after("HTTP/1.0 200 OK\r\n\r\nbody", true, true) == std::pair(0u, 1u));
  CHECK(counts_after(response("200 OK", "", "body"), true, true) == std::pair(0u, 0u));
  CHECK(counts_after("x", false) == std::pair(1u, 0u));
  CHECK(counts_after(response("408 Request Timeout", zero), false) == std::pair(0u, 0u));  // how servers end idle connections
}

TEST_CASE("a session is of the protocol that its peer spoke last", "[h1][client]") {
  ClientRig rig;
  CHECK(rig.session->protocol() == http::Protocol::Http11);
  rig.get();
  rig.settle();
  rig.write("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.response->ended; }));
  CHECK(rig.session->protocol() == http::Protocol::Http10);
}

TEST_CASE("a reset wire resets the stream", "[h1][client]") {
  ClientRig rig;
  rig.get();
  rig.settle();
  rig.pair.cut();
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.response->reset);
  CHECK(rig.response->reason == http::ResetReason::ConnectionTermination);
}

TEST_CASE("a wire that is reset in the middle of a response breaks the protocol, as one that is closed there", "[h1][client]") {
  for (const char* part : {"HTTP/1.1 200 OK\r\nx: y\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"}) {
    ClientRig rig;
    rig.get();
    rig.settle();
    rig.write(part);
    rig.settle();
    rig.pair.cut();
    REQUIRE(rig.run([&] { return rig.closed; }));
    CHECK(rig.response->reset);
    CHECK(rig.response->reason == http::ResetReason::ProtocolError);
  }
}

TEST_CASE("giving a request up closes its connection silently", "[h1][client]") {
  ClientRig rig;
  http::MessageSender& sender = rig.get();
  rig.settle();
  sender.reset(http::ResetReason::LocalReset);
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK_FALSE(rig.response->reset);
  CHECK_FALSE(rig.session->can_open_stream());
}

TEST_CASE("a paused response waits", "[h1][client]") {
  ClientRig rig;
  http::MessageSender& sender = rig.get();
  rig.settle();
  sender.pause_reading();
  rig.write(response("200 OK", "Content-Length: 2\r\n", "ab"));
  rig.settle();
  CHECK_FALSE(rig.response->has_head);
  sender.resume_reading();
  REQUIRE(rig.run([&] { return rig.response->ended; }));
}

TEST_CASE("trailers of a response, when enabled", "[h1][client]") {
  Settings s;
  s.enable_trailers = true;
  ClientRig rig(s);
  rig.get();
  rig.settle();
  rig.write(response("200 OK", "Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nGrpc-Status: 0\r\n\r\n"));
  REQUIRE(rig.run([&] { return rig.response->ended; }));
  CHECK(rig.response->trailers == "grpc-status: 0\n");
  CHECK(rig.slots == 1);
}
