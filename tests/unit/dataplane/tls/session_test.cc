// A connection's TLS: handshake, bytes, ends, failures.
#include "dataplane/tls/session.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/unit/dataplane/tls/endpoints.h"

namespace session_test {

using namespace fairlead;
using namespace fairlead::test;
using tls::Count;

namespace {
const Authority& ca() {
  static const Authority authority;
  return authority;
}
const MadeCertificate& host() {
  static const MadeCertificate made = ca().issue("server", "DNS:example.test,IP:127.0.0.1");
  return made;
}
std::string pattern(size_t size) {
  std::string text(size, 'x');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * 7 % 23);
  return text;
}
}  // namespace

TEST_CASE("bytes pass in both directions behind a handshake") {
  net::EventLoop loop;
  Pair pair(loop);
  tls::ClientOptions options = trusting(ca().pem());
  options.server_name = "Example.test";
  pair.join(server_context(serving(host())), client_context(options));
  pair.client.connection->write("hello");  // waits for the handshake
  REQUIRE(pair.shake());
  pair.server.connection->write("world");
  REQUIRE(pair.until([&] { return pair.server.received == "hello" && pair.client.received == "world"; }));
  CHECK(pair.server.session().version() == "TLSv1.3");
  CHECK(pair.server.session().cipher() == "TLS_AES_128_GCM_SHA256");
  CHECK(pair.server.session().curve() == "X25519");
  CHECK(pair.client.session().signature() == "ecdsa_secp256r1_sha256");
  CHECK(pair.server.session().server_name() == "example.test");
  CHECK_FALSE(pair.server.session().peer_presented());
  CHECK(pair.client.session().peer_validated());
  CHECK(pair.client.session().facts()->peer->subject == "CN=server,O=Test");
  CHECK(pair.server.counts[Count::kHandshake] == 1);
  CHECK(pair.server.counts[Count::kNoCertificate] == 1);
  CHECK(pair.client.counts[Count::kHandshake] == 1);
  CHECK(pair.client.counts[Count::kNoCertificate] == 0);
  CHECK(pair.client.counts.negotiated == 1);
}

TEST_CASE("a megabyte each way arrives whole through full socket buffers and slow readers") {
  net::EventLoop loop;
  Pair pair(loop);
  pair.join(server_context(serving(host())), client_context(trusting(ca().pem())));
  REQUIRE(pair.shake());
  const std::string bytes = pattern(1 << 20);
  pair.server.connection->read_disable();
  pair.client.connection->write(bytes);
  for (size_t i = 0; i < bytes.size(); i += 100) pair.server.connection->write(std::string_view(bytes).substr(i, 100));  // many small slices
  REQUIRE(pair.until([&] { return pair.client.received.size() == bytes.size(); }));
  CHECK(pair.server.received.empty());
  pair.server.connection->read_enable();
  REQUIRE(pair.until([&] { return pair.server.received.size() == bytes.size(); }));
  CHECK(pair.server.received == bytes);
  CHECK(pair.client.received == bytes);
}

TEST_CASE("a flushed close sends what is buffered and a close_notify, which is the end of the stream") {
  net::EventLoop loop;
  Pair pair(loop);
  pair.join(server_context(serving(host())), client_context(trusting(ca().pem())));
  REQUIRE(pair.shake());
  const std::string bytes = pattern(300'000);
  pair.server.connection->write(bytes);
  pair.server.connection->close(net::CloseType::Flush);
  REQUIRE(pair.fail());
  CHECK(pair.client.received == bytes);
  CHECK(pair.client.reason == net::CloseReason::Remote);
  CHECK(pair.client.failure() == "");
  CHECK(pair.client.counts[Count::kConnectionError] == 0);
}

TEST_CASE("half a connection ends by close_notify, and the other half goes on") {
  net::EventLoop loop;
  Pair pair(loop);
  net::Connection::Options options;
  options.half_close = true;
  pair.join(server_context(serving(host())), client_context(trusting(ca().pem())), {}, options);
  REQUIRE(pair.shake());
  pair.client.connection->write("ask");
  pair.client.connection->end_write();
  REQUIRE(pair.until([&] { return pair.server.ended; }));
  CHECK(pair.server.received == "ask");
  pair.server.connection->write("answer");
  REQUIRE(pair.until([&] { return pair.client.received == "answer"; }));
  pair.server.connection->end_write();
  REQUIRE(pair.fail());
}

TEST_CASE("a FIN without a close_notify is the end of the stream") {
  net::EventLoop loop;
  Pair pair(loop);
  pair.join(server_context(serving(host())), client_context(trusting(ca().pem())));
  REQUIRE(pair.shake());
  ::shutdown(pair.server.connection->fd(), SHUT_WR);
  REQUIRE(pair.until([&] { return pair.client.closed; }));
  CHECK(pair.client.reason == net::CloseReason::Remote);
  CHECK(pair.client.failure() == "");
}

TEST_CASE("a client that is not TLS is told so, and counted") {
  net::EventLoop loop;
  Pair pair(loop);
  const int fd = pair.serve(server_context(serving(host())));
  REQUIRE(::write(fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
  REQUIRE(pair.until([&] { return pair.server.closed; }));
  CHECK(pair.server.reason == net::CloseReason::ConnectFailed);
  CHECK(pair.server.failure() == "TLS_error:|268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end");
  CHECK(pair.server.counts[Count::kConnectionError] == 1);
  CHECK_FALSE(pair.server.connected);
  ::close(fd);
}

TEST_CASE("a peer that goes away at any byte of its handshake closes the connection and is no error") {
  // What a client sends, recorded once; then every prefix of it, then the end.
  net::EventLoop loop;
  const auto context = server_context(serving(host()));
  std::string hello;
  {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    End client;
    client.connection = net::Connection::adopt(loop, fds[0], {}, {}, tls::Session::connect(client_context(trusting(ca().pem())), {}, nullptr));
    client.connection->set_events(&client);
    char room[4096];
    ssize_t n = -1;
    REQUIRE(loop.run_until([&] { return (n = ::read(fds[1], room, sizeof room)) > 0; }, 5s));
    hello.assign(room, static_cast<size_t>(n));
    ::close(fds[1]);
  }
  REQUIRE(hello.size() > 100);
  for (size_t size = 0; size <= hello.size(); size += size < 12 ? 1 : 37) {
    Pair pair(loop);
    const int fd = pair.serve(context);
    REQUIRE(::write(fd, hello.data(), size) == static_cast<ssize_t>(size));
    ::close(fd);
    REQUIRE(pair.until([&] { return pair.server.closed; }));
    CHECK_FALSE(pair.server.connected);
    CHECK(pair.server.counts[Count::kConnectionError] == 0);
    CHECK(pair.server.failure() == "");
  }
}

TEST_CASE("garbage at any place of a handshake fails it") {
  net::EventLoop loop;
  const auto context = server_context(serving(host()));
  for (const std::string& garbage : std::vector<std::string>{std::string("\x16\x03\x01\x00\x05hello", 10), std::string(100, '\0'), std::string(300, '\xff'), std::string("\x16\x03\x01\xff\xff") + std::string(70000, 'a')}) {
    Pair pair(loop);
    const int fd = pair.serve(context);
    [[maybe_unused]] const ssize_t n = ::write(fd, garbage.data(), garbage.size());
    REQUIRE(pair.until([&] { return pair.server.closed; }));
    CHECK(pair.server.reason == net::CloseReason::ConnectFailed);
    CHECK(pair.server.counts[Count::kConnectionError] == 1);
    ::close(fd);
  }
}

TEST_CASE("garbage behind a handshake ends the connection, and says why") {
  net::EventLoop loop;
  Pair pair(loop);
  pair.join(server_context(serving(host())), client_context(trusting(ca().pem())));
  REQUIRE(pair.shake());
  REQUIRE(::write(pair.client.connection->fd(), "\x17\x03\x03\x00\x20" "abcdefghijklmnopqrstuvwxyzabcdef", 37) == 37);
  REQUIRE(pair.until([&] { return pair.server.closed; }));
  CHECK_THAT(pair.server.failure(), Catch::StartsWith("TLS_error:|"));
  CHECK(pair.server.counts[Count::kConnectionError] == 1);
}

TEST_CASE("a handshake that never ends is cut off when its time is up") {
  net::EventLoop loop;
  Pair pair(loop);
  net::Connection::Options options;
  options.handshake_timeout = 50ms;
  const int fd = pair.serve(server_context(serving(host())), options);
  REQUIRE(pair.until([&] { return pair.server.closed; }));
  CHECK(pair.server.reason == net::CloseReason::ConnectTimeout);
  CHECK(pair.server.counts[Count::kConnectionError] == 0);
  ::close(fd);
}

TEST_CASE("the server's order of protocols decides; without one in common there is none") {
  net::EventLoop loop;
  const auto chosen = [&](std::vector<std::string> servers, std::vector<std::string> clients, const std::string& own = "") {
    Pair pair(loop);
    tls::ServerOptions server = serving(host());
    server.alpn = std::move(servers);
    tls::ClientOptions client = trusting(ca().pem());
    client.alpn = std::move(clients);
    pair.join(server_context(server), client_context(client), {"", "", own});
    REQUIRE(pair.shake());
    CHECK(pair.server.session().alpn() == pair.client.session().alpn());
    return std::string(pair.client.session().alpn());
  };
  CHECK(chosen({"h2", "http/1.1"}, {"http/1.1", "h2"}) == "h2");
  CHECK(chosen({"http/1.1"}, {"h2", "http/1.1"}) == "http/1.1");
  CHECK(chosen({"h2"}, {"http/1.1"}) == "");
  CHECK(chosen({}, {"h2"}) == "");
  CHECK(chosen({"h2"}, {}) == "");
  CHECK(chosen({"h2", "http/1.1"}, {"h2"}, "\x08http/1.1") == "http/1.1");  // a connection's own offer
}

TEST_CASE("versions are 1.2 at least, clients' at most unless told otherwise") {
  net::EventLoop loop;
  const auto version = [&](tls::Parameters servers, tls::Parameters clients) -> std::string {
    Pair pair(loop);
    tls::ServerOptions server = serving(host());
    server.parameters = std::move(servers);
    tls::ClientOptions client = trusting(ca().pem());
    client.parameters = std::move(clients);
    pair.join(server_context(server), client_context(client));
    if (!pair.shake()) {
      pair.until([&] { return pair.server.closed; });
      return pair.server.failure();
    }
    return std::string(pair.client.session().version());
  };
  using enum tls::Version;
  CHECK(version({}, {}) == "TLSv1.2");
  CHECK(version({}, {{}, kTls13}) == "TLSv1.3");
  CHECK(version({{}, kTls12}, {{}, kTls13}) == "TLSv1.2");
  const std::vector<std::string> old{"ECDHE-ECDSA-AES128-SHA"};  // Envoy's defaults are TLS 1.2's alone
  CHECK(version({kTls10, {}, old, {}, {}}, {kTls10, kTls11, old, {}, {}}) == "TLSv1.1");
  CHECK(version({{}, {}, old, {}, {}}, {kTls10, kTls11, old, {}, {}}) == "TLS_error:|268435696:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL:TLS_error_end");
  CHECK_THAT(version({kTls13, {}}, {}), Catch::Contains("UNSUPPORTED_PROTOCOL"));
  tls::Parameters own;
  own.ciphers = {"ECDHE-ECDSA-AES256-GCM-SHA384"};
  tls::Parameters other;
  other.ciphers = {"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]"};
  CHECK(version(own, other) == "TLS_error:|268435640:SSL routines:OPENSSL_internal:NO_SHARED_CIPHER:TLS_error_end");
}

TEST_CASE("secrets go to the key log of the contexts that ask for one") {
  net::EventLoop loop;
  char path[] = "/tmp/fairlead_keys_XXXXXX";
  ::close(mkstemp(path));
  Pair pair(loop);
  tls::ServerOptions options = serving(host());
  options.key_log.path = path;
  pair.join(server_context(options), client_context(trusting(ca().pem())));
  REQUIRE(pair.shake());
  char text[4096] = "";
  const int fd = ::open(path, O_RDONLY);
  CHECK(::read(fd, text, sizeof text - 1) > 0);
  CHECK_THAT(std::string(text), Catch::Contains("SERVER_TRAFFIC_SECRET_0 "));
  ::close(fd);
  ::unlink(path);
}

TEST_CASE("a client dials, says its preamble in clear and then begins its handshake; the time to connect is for both") {
  net::EventLoop loop;
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_storage where{};
  socklen_t size = net::Address::from_ip("127.0.0.1", 0)->to_sockaddr(where);
  REQUIRE(::bind(listening, reinterpret_cast<sockaddr*>(&where), size) == 0);
  REQUIRE(::listen(listening, 4) == 0);
  const net::Address to = *net::Address::local_of(listening);
  const auto dial = [&](End& client, net::Connection::Options options, bool race) {
    net::Dial how;
    how.preamble = [](const net::Address&, const net::Address&) { return std::string("PROXY\r\n"); };
    how.transport = [&client] { return tls::Session::connect(client_context(trusting(ca().pem())), {}, std::make_unique<CountingObserver>(client.counts)); };
    if (race) how.others.push_back(to);
    client.connection = net::Connection::connect(loop, to, options, std::move(how));
    client.connection->set_events(&client);
    client.connection->write("first");
    return ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  };
  for (const bool race : {false, true}) {
    Pair pair(loop);
    const int fd = dial(pair.client, {}, race);
    char room[7];
    ssize_t n = -1;
    REQUIRE(pair.until([&] { return (n = ::read(fd, room, sizeof room)) > 0; }));
    CHECK(std::string(room, static_cast<size_t>(n)) == "PROXY\r\n");
    pair.server.connection = net::Connection::adopt(loop, fd, {}, {}, tls::Session::accept(server_context(serving(host())), nullptr));
    pair.server.connection->set_events(&pair.server);
    REQUIRE(pair.shake());
    REQUIRE(pair.until([&] { return pair.server.received == "first"; }));
    CHECK(pair.client.connection->fd() >= 0);
  }
  Pair pair(loop);
  net::Connection::Options options;
  options.connect_timeout = 50ms;
  const int fd = dial(pair.client, options, false);  // accepts, and says nothing
  REQUIRE(pair.until([&] { return pair.client.closed; }));
  CHECK(pair.client.reason == net::CloseReason::ConnectTimeout);
  CHECK_FALSE(pair.client.connected);
  ::close(fd);
  ::close(listening);
}

TEST_CASE("a reset at any time ends a connection at once") {
  net::EventLoop loop;
  Pair pair(loop);
  pair.join(server_context(serving(host())), client_context(trusting(ca().pem())));
  REQUIRE(pair.shake());
  pair.client.connection->close(net::CloseType::Reset);
  REQUIRE(pair.until([&] { return pair.server.closed; }));
  CHECK(pair.server.counts[Count::kConnectionError] == 0);
  CHECK(pair.server.failure() == "");
}

}  // namespace session_test
