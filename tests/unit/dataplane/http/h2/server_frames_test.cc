// A server session against raw frames: which requests are taken, which end their stream, which the connection.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;
namespace net = fairlead::net;
namespace http = fairlead::http;

namespace {

constexpr int kProtocolError = 1, kCalm = 11;

Headers with(Headers list, const Headers& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

// What becomes of one request: its head as received, or "goaway N", "rst N".
std::string verdict(const Headers& request, Settings settings = {}) {
  ServerRig rig(settings);
  rig.hello();
  rig.write(headers(1, request));
  rig.settle();
  const bool told = !rig.requests.empty() && rig.requests[0]->has_head;
  // What is refused is told of as a request that ends before its head, so that it can be logged.
  REQUIRE((told || rig.requests.empty() || (rig.requests[0]->reset && rig.requests[0]->reason == http::ResetReason::ProtocolError)));
  if (rig.goaway() > 0) return "goaway " + std::to_string(rig.goaway()) + (told ? " and a request" : "");
  if (rig.rst(1) >= 0) return "rst " + std::to_string(rig.rst(1)) + (told ? " and a request" : "");
  return rig.requests.empty() ? "nothing" : rig.requests[0]->head;
}

Headers without(const Headers& list, const std::string& name) {
  Headers out;
  for (auto& h : list) {
    if (h.first != name) out.push_back(h);
  }
  return out;
}

}  // namespace

TEST_CASE("malformed requests end the connection, or with the option only their stream", "[h2][server]") {
  const std::vector<Headers> bad = {
      without(kGet, ":method"), without(kGet, ":path"), without(kGet, ":scheme"), without(kGet, ":authority"),
      with(kGet, {{":method", "GET"}}), with(kGet, {{":path", "/"}}), with(kGet, {{":scheme", "http"}}), with(kGet, {{":authority", "b"}}),
      with(kGet, {{":unknown", "x"}}), with(kGet, {{":status", "200"}}), with(kGet, {{":protocol", "websocket"}}),
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"x", "y"}, {":authority", "a"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", ""}, {":authority", "a"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "x"}, {":authority", "a"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}},
      {{":method", "G T"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
      {{":method", ""}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
      {{":method", "GET"}, {":scheme", "ht tp"}, {":path", "/"}, {":authority", "a"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a b"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/a b"}, {":authority", "a"}},
      {{":method", "CONNECT"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
      {{":method", "CONNECT"}},
      with(kGet, {{"X-Upper", "x"}}), with(kGet, {{"", "x"}}), with(kGet, {{"a b", "x"}}), with(kGet, {{"a", "x\ny"}}), with(kGet, {{"a", std::string("x\0y", 3)}}),
      with(kGet, {{"a", "x\ry"}}), with(kGet, {{"a", "12345678\x7f"}}), with(kGet, {{"connection", "close"}}), with(kGet, {{"keep-alive", "x"}}),
      with(kGet, {{"proxy-connection", "x"}}), with(kGet, {{"transfer-encoding", "chunked"}}), with(kGet, {{"upgrade", "x"}}),
      with(kGet, {{"te", "gzip"}}), with(kGet, {{"content-length", "x"}}), with(kGet, {{"content-length", "1"}, {"content-length", "1"}}),
      with(kGet, {{"content-length", "5"}}), with(kGet, {{"host", "a b"}}),
  };
  Settings lenient;
  lenient.stream_error_on_invalid_http_message = true;
  for (const Headers& request : bad) {
    INFO(block(request));
    CHECK(verdict(request) == "goaway 1");
    CHECK(verdict(request, lenient) == "rst 1");
  }
}

TEST_CASE("a malformed request begins and is reset, with what is wrong and without a head", "[h2][server]") {
  for (const bool alone : {false, true}) {
    Settings settings;
    settings.stream_error_on_invalid_http_message = alone;
    ServerRig rig(settings);
    rig.hello();
    rig.write(headers(1, without(kGet, ":method")));
    rig.settle();
    REQUIRE(rig.requests.size() == 1);
    CHECK_FALSE(rig.requests[0]->has_head);
    CHECK(rig.requests[0]->reset);
    CHECK(rig.requests[0]->reason == http::ResetReason::ProtocolError);
    CHECK(rig.counts[Stat::rx_messaging_error] == 1);
    CHECK(rig.counts[Stat::streams_active] == 0);
  }
}

TEST_CASE("what is unusual but right is taken", "[h2][server]") {
  const std::string get = ":method: GET\n:scheme: http\n:path: /\n:authority: a\n";
  CHECK(verdict(with(kGet, {{"te", "trailers"}})) == get + "te: trailers\n");
  CHECK(verdict(with(kGet, {{"content-length", "0"}})) == get + "content-length: 0\n");
  CHECK(verdict(with(kGet, {{"host", "b"}})) == get);
  CHECK(verdict(with(without(kGet, ":authority"), {{"host", "b"}})) == ":method: GET\n:scheme: http\n:path: /\n:authority: b\n");
  CHECK(verdict(with(kGet, {{"a", " x\t"}, {"b", "\xc3\xa4\ty"}})) == get + "a: x\nb: \xc3\xa4\ty\n");
  CHECK(verdict(with(kGet, {{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"cookie", "c=3"}})) == get + "x: y\ncookie: a=1; b=2; c=3\n");
  CHECK(verdict({{":method", "OPTIONS"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}}) == ":method: OPTIONS\n:scheme: http\n:path: *\n:authority: a\n");
  CHECK(verdict({{":method", "GET"}, {":scheme", "coap"}, {":path", "x"}, {":authority", "a"}}) == ":method: GET\n:scheme: coap\n:path: x\n:authority: a\n");
}

TEST_CASE("extended CONNECT is taken only where it is offered", "[h2][server]") {
  const Headers request = {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/chat"}, {":authority", "a"}};
  CHECK(verdict(request) == "goaway 1");
  Settings settings;
  settings.allow_connect = true;
  CHECK(verdict(request, settings) == ":method: GET\nupgrade: websocket\nconnection: upgrade\n:scheme: http\n:path: /chat\n:authority: a\n");
  CHECK(verdict(with(kGet, {{":protocol", "websocket"}}), settings) == "goaway 1");
  CHECK(verdict(without(request, ":path"), settings) == "goaway 1");
}

TEST_CASE("bodies must be as long as announced", "[h2][server]") {
  for (const auto& [length, size] : {std::pair("3", 2), std::pair("3", 4), std::pair("0", 1)}) {
    ServerRig rig;
    rig.hello();
    rig.write(headers(1, with(kPost, {{"content-length", length}}), false));
    rig.settle();
    rig.write(frame(kData, kEndStream, 1, std::string(static_cast<size_t>(size), 'x')));
    rig.settle();
    CHECK(rig.rst(1) == kProtocolError);
    REQUIRE(rig.requests.size() == 1);
    CHECK_FALSE(rig.requests[0]->ended);
    CHECK(rig.requests[0]->reset);
    CHECK(rig.requests[0]->reason == http::ResetReason::ProtocolError);
    CHECK(rig.goaway() == -1);
    CHECK(rig.counts[Stat::rx_messaging_error] == 0);  // as in Envoy
  }
  ServerRig rig;
  rig.hello();
  rig.write(headers(1, with(kPost, {{"content-length", "4"}}), false) + frame(kData, 0, 1, "ab") + frame(kData, kEndStream, 1, "cd"));
  rig.settle();
  CHECK(rig.requests.at(0)->body == "abcd");
  CHECK(rig.requests.at(0)->ended);
}

TEST_CASE("trailers must end their stream and hold no pseudo-headers", "[h2][server]") {
  for (const auto& [list, end] : {std::pair<Headers, bool>({{"a", "b"}}, false), std::pair<Headers, bool>({{":path", "/"}}, true)}) {
    ServerRig rig;
    rig.hello();
    rig.write(headers(1, kPost, false) + headers(1, list, end));
    rig.settle();
    CHECK(rig.goaway() == kProtocolError);
  }
}

TEST_CASE("a read that holds several messages is told message by message, each piece once", "[h2][server]") {
  ServerRig rig;
  rig.hello();
  rig.settle();
  rig.write(headers(1, kPost, false) + headers(3, kPost, false) + frame(kData, 0, 1, "a") + frame(kData, 0, 3, "x") + frame(kData, 0, 1, "b") + frame(kData, kEndStream, 3, "y") +
            frame(kData, kEndStream, 1, ""));
  rig.settle();
  REQUIRE(rig.requests.size() == 2);
  CHECK(rig.requests[0]->body == "ab");
  CHECK(rig.requests[1]->body == "xy");
  CHECK((rig.requests[0]->ended && rig.requests[1]->ended));
}

// gRPC: a request's end stands on a DATA frame, be it empty; Go's servers wait for ever for the end of one whose HEADERS ended it.
TEST_CASE("an end that comes without a body is not told with the head", "[h2][server]") {
  ServerRig rig;
  rig.hello();
  bool ended_with_head = true;
  rig.when_head = [&](Message& m) { ended_with_head = m.ended; };
  rig.write(headers(1, kPost, false) + frame(kData, kEndStream, 1, ""));
  rig.settle();
  REQUIRE(rig.requests.size() == 1);
  CHECK_FALSE(ended_with_head);
  CHECK(rig.requests[0]->ended);
}

TEST_CASE("a request that arrives byte by byte is the same request", "[h2][server]") {
  ServerRig rig;
  rig.pair.limit_reads(1);
  rig.hello();
  rig.write(headers(1, kPost, false) + frame(kData, kEndStream, 1, "body"));
  REQUIRE(rig.run([&] { return rig.requests.size() == 1 && rig.requests[0]->ended; }));
  CHECK(rig.requests[0]->body == "body");
  CHECK(rig.begins == 1);
}

TEST_CASE("a head too large or with too many fields is answered 431, and the connection goes on", "[h2][server][limits]") {
  Headers many = kGet;
  for (int i = 0; i < 97; ++i) many.push_back({"x", "y"});
  const Headers cases[] = {with(kGet, {{"x", std::string(62'000, 'x')}}), many};
  for (const Headers& request : cases) {
    ServerRig rig;
    rig.hello();
    const std::string all = block(request);
    rig.write(frame(kHeaders, kEndStream, 1, all.substr(0, 16000)));
    for (size_t at = 16000; at < all.size() + 16000; at += 16000) {
      rig.write(frame(kContinuation, at + 16000 >= all.size() ? kEndHeaders : 0, 1, at < all.size() ? all.substr(at, 16000) : ""));
      if (at + 16000 >= all.size()) break;
    }
    rig.settle();
    REQUIRE(rig.requests.size() == 1);
    CHECK(rig.requests[0]->error == "431 http2.too_many_headers");
    REQUIRE(rig.peer.find(kHeaders, 1) != nullptr);
    CHECK(rig.peer.find(kHeaders, 1)->head == ":status: 431\n");
    CHECK(rig.counts[Stat::header_list_size_too_large] + rig.counts[Stat::header_overflow] == 1);
    CHECK(rig.counts[Stat::header_overflow] == (&request == &cases[1] ? 1 : 0));
    rig.write(headers(3, kGet));
    rig.settle();
    CHECK(rig.requests.size() == 2);
  }
}

TEST_CASE("a head that takes too long is answered 408 and ends the connection", "[h2][server]") {
  ServerRig rig;
  rig.hello();
  rig.session->refuse_slow_head();
  rig.write(frame(kHeaders, kEndStream, 1, block(kGet).substr(0, 10)));
  rig.settle();
  CHECK(rig.begins == 1);
  CHECK(rig.requests.empty());
  rig.session->refuse_slow_head();
  REQUIRE(rig.run([&] { return rig.peer.closed; }));
  REQUIRE(rig.requests.size() == 1);
  CHECK(rig.requests[0]->error == "408 request_header_timeout");
  CHECK(rig.peer.find(kHeaders, 1)->head == ":status: 408\n");
  CHECK(rig.goaway() == 0);
}

TEST_CASE("streams beyond the limit are refused, and may be sent again", "[h2][server][limits]") {
  Settings settings;
  settings.max_concurrent_streams = 2;
  ServerRig rig(settings);
  rig.write(kPreface + frame(kSettings, 0, 0) + headers(1, kGet) + headers(3, kGet) + headers(5, kGet));
  rig.settle();
  CHECK(rig.requests.size() == 2);
  CHECK(rig.rst(5) == 7);  // REFUSED_STREAM
  send(*rig.requests[0]->sender, {{":status", "200"}});
  rig.settle();
  rig.write(headers(7, kGet));
  rig.settle();
  CHECK(rig.requests.size() == 3);
  CHECK(rig.counts[Stat::stream_refused_errors] == 1);
  rig.write(frame(kSettings, kAck, 0) + headers(9, kGet));  // whoever has seen the limit and ignores it
  rig.settle();
  CHECK(rig.goaway() == kProtocolError);
}

TEST_CASE("a request given up in the same read never begins", "[h2][server][limits]") {
  ServerRig rig;
  rig.hello();
  rig.settle();
  rig.write(headers(1, kGet) + frame(kRst, 0, 1, be(8, 4)) + headers(3, kGet));
  rig.settle();
  CHECK(rig.requests.size() == 1);
  CHECK(rig.counts[Stat::rx_reset] == 1);
  CHECK(rig.counts[Stat::streams_active] == 1);
}

TEST_CASE("frames on a stream that its client has ended, reset or skipped end the connection", "[h2][server]") {
  const std::pair<std::string, int> cases[] = {
      {headers(1, kGet) + frame(kData, kEndStream, 1, "x"), 5},
      {headers(1, kGet) + headers(1, kGet), 5},
      {headers(1, kPost, false) + frame(kRst, 0, 1, be(8, 4)) + frame(kData, 0, 1, "x"), 5},
      {headers(1, kPost, false) + frame(kRst, 0, 1, be(8, 4)) + headers(1, kGet), 5},
      {headers(5, kGet) + headers(3, kGet), kProtocolError},
  };
  for (const auto& [bytes, code] : cases) {
    for (const bool answered : {false, true}) {
      ServerRig rig;
      rig.when_head = [&](Message& m) {
        if (answered) send(*m.sender, {{":status", "200"}});
      };
      rig.hello();
      rig.settle();
      const size_t second = bytes.size() - (code == 5 && bytes.back() == 'x' ? 10 : headers(1, kGet).size());
      rig.write(bytes.substr(0, second));
      rig.settle();
      CHECK(rig.goaway() == -1);
      rig.write(bytes.substr(second));
      rig.settle();
      INFO(bytes);
      CHECK(rig.goaway() == code);
    }
  }
}

TEST_CASE("something else than HTTP/2 closes the connection", "[h2][server]") {
  ServerRig rig;
  rig.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(rig.run([&] { return rig.peer.closed; }));
  CHECK(rig.requests.empty());
}

TEST_CASE("floods end the connection and are counted", "[h2][server][limits]") {
  const auto flood = [](Stat stat, const std::string& before, const std::function<std::string(int)>& one, int most, Settings settings = {}) {
    ServerRig rig(settings);
    rig.when_head = [](Message& m) {
      if (m.ended) send(*m.sender, {{":status", "200"}});
    };
    rig.hello();
    rig.write(before);
    rig.settle();
    int sent = 0;
    while (sent < most && rig.goaway() < 0 && !rig.peer.closed) {
      for (int i = 0; i < 20; ++i) rig.write(one(sent++));
      rig.settle(3);
    }
    INFO(stat_name(stat) << " after " << sent);
    CHECK(rig.goaway() == kCalm);
    CHECK(rig.counts[stat] == 1);
    REQUIRE(rig.run([&] { return rig.peer.closed; }));
    return sent;
  };
  const std::string post = headers(1, kPost, false);
  CHECK(flood(Stat::inbound_empty_frames_flood, post, [](int) { return frame(kData, 0, 1); }, 100) == 20);
  CHECK(flood(Stat::inbound_empty_frames_flood, post, [](int) { return frame(kData, kPadded, 1, be(1, 1) + std::string(1, '\0')); }, 100) == 20);
  CHECK(flood(Stat::inbound_priority_frames_flood, post, [](int) { return frame(kPriority, 0, 1, be(0, 5)); }, 1000) <= 220);
  CHECK(flood(Stat::inbound_window_update_frames_flood, post, [](int) { return frame(kWindowUpdate, 0, 0, be(1, 4)); }, 1000) == 20);
  Settings settings;
  settings.premature_reset_streams = 50;
  CHECK(flood(Stat::too_many_premature_resets, "", [](int i) {
          const auto id = static_cast<uint32_t>(2 * i + 1);
          return headers(id, kPost, false) + frame(kRst, 0, id, be(8, 4));
        }, 1000, settings) == 40);
}

TEST_CASE("a peer that makes the server answer and does not read is cut off", "[h2][server][limits]") {
  for (const auto& [stat, one] : {std::pair(Stat::outbound_control_flood, frame(kPing, 0, 0, be(1, 8))), std::pair(Stat::outbound_control_flood, frame(kSettings, 0, 0))}) {
    ServerRig rig;
    rig.hello();
    rig.settle();
    rig.pair.allow_writes_of_a(0);
    for (int i = 0; i < 1200 && !rig.closed; ++i) {
      rig.write(one);
      if (i % 50 == 0) rig.settle(3);
    }
    REQUIRE(rig.run([&] { return rig.closed; }));
    CHECK(rig.counts[stat] == 1);
  }
  Settings settings;
  settings.max_outbound_frames = 100;
  ServerRig rig(settings);
  rig.when_head = [](Message& m) { send(*m.sender, {{":status", "200"}}); };
  rig.hello();
  rig.settle();
  rig.pair.allow_writes_of_a(0);
  for (uint32_t id = 1; id < 300 && !rig.closed; id += 2) rig.write(headers(id, kGet));
  REQUIRE(rig.run([&] { return rig.closed; }));
  CHECK(rig.counts[Stat::outbound_flood] == 1);
}

TEST_CASE("frames that were read do not count towards the outbound limits", "[h2][server][limits]") {
  Settings settings;
  settings.max_outbound_control_frames = 20;
  ServerRig rig(settings);
  rig.hello();
  for (int i = 0; i < 100; ++i) {
    rig.write(frame(kPing, 0, 0, be(1, 8)));
    rig.settle(2);
  }
  rig.settle();
  CHECK_FALSE(rig.closed);
  CHECK(rig.peer.count(kPing) == 100);
}
