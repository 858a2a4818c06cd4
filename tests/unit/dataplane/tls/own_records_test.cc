// Servers that let go of OpenSSL's SSL after the handshake, beside OpenSSL's client, whose bytes go through memory so that a test decides which come together.
#include <malloc.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <deque>

#include "tests/unit/dataplane/tls/endpoints.h"

namespace own_records_test {

using namespace fairlead;
using namespace fairlead::test;
using tls::Count;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kAllocationsCounted = false;  // the sanitizers' own allocators do not say
#else
constexpr bool kAllocationsCounted = true;
#endif

const Authority& ca() {
  static const Authority authority;
  return authority;
}
const MadeCertificate& host() {
  static const MadeCertificate made = ca().issue("server", "DNS:example.test");
  return made;
}
std::string letters(size_t size) {
  std::string text(size, 'x');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * 11 % 26);
  return text;
}

// OpenSSL's client. read() and write() are for both the handshake and what follows.
class MemoryClient {
 public:
  explicit MemoryClient(const std::string& cipher = "TLS_AES_128_GCM_SHA256", const MadeCertificate* own = nullptr, SSL_SESSION* session = nullptr, uint8_t fragment = 0) {
    ctx_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_ciphersuites(ctx_, cipher.c_str());
    if (fragment != 0) SSL_CTX_set_tlsext_max_fragment_length(ctx_, fragment);
    if (own != nullptr) {
      SSL_CTX_use_certificate(ctx_, own->x509.get());
      SSL_CTX_use_PrivateKey(ctx_, own->pkey.get());
    }
    SSL_CTX_set_session_cache_mode(ctx_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx_, +[](SSL* ssl, SSL_SESSION* given) {
      auto& sessions = static_cast<MemoryClient*>(SSL_get_app_data(ssl))->sessions;
      sessions.emplace_back(given, SSL_SESSION_free);
      return 1;
    });
    ssl_ = SSL_new(ctx_);
    SSL_set_app_data(ssl_, this);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl_, in_, out_);
    if (session != nullptr) SSL_set_session(ssl_, session);
    SSL_set_connect_state(ssl_);
  }
  ~MemoryClient() {
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // else its tickets would be of no use
    SSL_free(ssl_);
    SSL_CTX_free(ctx_);
    if (fd >= 0) ::close(fd);
  }
  MemoryClient(const MemoryClient&) = delete;

  // What the server has sent to the SSL, and what that then holds to `received`.
  void take() {
    char room[16384];
    for (ssize_t n; (n = ::read(fd, room, sizeof room)) > 0;) BIO_write(in_, room, static_cast<int>(n));
    if (!done) done = SSL_do_handshake(ssl_) == 1;
    for (int n; done && (n = SSL_read(ssl_, room, sizeof room)) > 0;) received.append(room, static_cast<size_t>(n));
  }
  // What the SSL wants to send.
  std::string wire() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out_, &data);
    std::string bytes(data, static_cast<size_t>(size));
    (void)BIO_reset(out_);
    return bytes;
  }
  void put(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n <= 0) throw std::runtime_error("the socket is full");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void send() { put(wire()); }
  void say(std::string_view text) {
    REQUIRE(SSL_write(ssl_, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
    send();
  }
  bool ended() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  SSL* ssl() const { return ssl_; }

  int fd = -1;
  bool done = false;
  std::string received;
  std::vector<std::shared_ptr<SSL_SESSION>> sessions;

 private:
  SSL_CTX* ctx_;
  SSL* ssl_;
  BIO *in_, *out_;
};

struct Meeting {
  explicit Meeting(const tls::ServerOptions& options, const net::Connection::Options& how = {}) : Meeting(server_context(options), how) {}
  explicit Meeting(std::shared_ptr<const tls::ServerContext> context, const net::Connection::Options& how = {}) : pair(loop) { fd = pair.serve(std::move(context), how); }

  // Until the client has the server's last word of the handshake; its own is not sent yet.
  void begin(MemoryClient& client) {
    client.fd = fd;
    client.take();
    client.send();
    REQUIRE(pair.until([&] {
      client.take();
      return client.done;
    }));
  }
  void meet(MemoryClient& client) {
    begin(client);
    client.send();
    REQUIRE(pair.until([&] { return pair.server.connected; }));
  }
  bool hears(const std::string& text) {
    return pair.until([&] { return pair.server.received.size() >= text.size(); }) && pair.server.received == text;
  }
  bool heard_by(MemoryClient& client, const std::string& text) {
    return pair.until([&] {
      client.take();
      return client.received.size() >= text.size();
    }) && client.received == text;
  }

  net::EventLoop loop;
  Pair pair;
  int fd = -1;
};

}  // namespace

TEST_CASE("a server lets go of SSL with every cipher of TLS 1.3, and both hear each other") {
  for (const char* cipher : {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    Meeting meeting(serving(host()));
    MemoryClient client(cipher);
    meeting.meet(client);
    const tls::Session& session = meeting.pair.server.session();
    REQUIRE(session.own_records());
    CHECK(session.version() == "TLSv1.3");
    CHECK(session.cipher() == cipher);
    CHECK(session.curve() == "X25519");
    CHECK(session.session_id() == "");
    CHECK(session.facts()->cipher == cipher);
    std::string up, down;
    for (const size_t size : {1, 5, 1000, 4095, 4096, 4097, 16384, 16385, 50000}) {
      client.say(letters(size));
      up += letters(size);
      REQUIRE(meeting.hears(up));
      meeting.pair.server.connection->write(letters(size));
      down += letters(size);
      REQUIRE(meeting.heard_by(client, down));
    }
    CHECK(client.sessions.size() == 2);
    CHECK(meeting.pair.server.counts[Count::kHandshake] == 1);
    CHECK(meeting.pair.server.counts.negotiated == 1);
  }
}

TEST_CASE("SSL stays with TLS 1.2, and where it is told to") {
  const auto kept = [](tls::ServerOptions options) {
    Meeting meeting(options);
    MemoryClient client;
    meeting.begin(client);
    REQUIRE(SSL_write(client.ssl(), "first", 5) == 5);  // comes with the last word of the handshake
    client.send();
    REQUIRE(meeting.hears("first"));
    CHECK_FALSE(meeting.pair.server.session().own_records());
    client.say(" second");
    REQUIRE(meeting.hears("first second"));
    meeting.pair.server.connection->write(letters(100'000));
    REQUIRE(meeting.heard_by(client, letters(100'000)));
  };
  tls::ServerOptions options = serving(host());
  options.own_records = false;
  kept(options);
  tls::allow_own_records(false);
  kept(serving(host()));
  tls::allow_own_records(true);
  {
    tls::ServerOptions old = serving(host());
    old.parameters.max = tls::Version::kTls12;
    Meeting meeting(old);
    MemoryClient client;
    client.fd = meeting.fd;
    REQUIRE(meeting.pair.until([&] {
      client.take();
      client.send();
      return client.done && meeting.pair.server.connected;
    }));
    CHECK_FALSE(meeting.pair.server.session().own_records());
    CHECK(meeting.pair.server.session().version() == "TLSv1.2");
    client.say("hello");
    REQUIRE(meeting.hears("hello"));
  }
}

TEST_CASE("what comes together with the end of the handshake is not lost, wherever it is cut") {
  const auto context = server_context(serving(host()));
  size_t size = 1;
  for (size_t cut = 0; cut <= size; cut += cut % 80 < 10 ? 5 : 17) {  // headers lie at 0 and 74 or thereabouts
    Meeting meeting(context);
    MemoryClient client;
    meeting.begin(client);
    REQUIRE(SSL_write(client.ssl(), "hello", 5) == 5);
    REQUIRE(SSL_write(client.ssl(), letters(5000).data(), 5000) == 5000);
    const std::string wire = client.wire();
    size = std::min<size_t>(wire.size(), 160);
    client.put(wire.substr(0, cut));
    meeting.loop.run_until([] { return false; }, 1ms);  // what has come is looked at by itself
    client.put(wire.substr(cut));
    REQUIRE(meeting.hears("hello" + letters(5000)));
    CHECK(meeting.pair.server.session().own_records());
    meeting.pair.server.connection->write("yes");
    REQUIRE(meeting.heard_by(client, "yes"));
  }
}

TEST_CASE("records byte by byte are the same") {
  Meeting meeting(serving(host()));
  MemoryClient client;
  meeting.meet(client);
  REQUIRE(SSL_write(client.ssl(), "a", 1) == 1);
  REQUIRE(SSL_write(client.ssl(), letters(30).data(), 30) == 30);
  for (const char c : client.wire()) {
    client.put(std::string_view(&c, 1));
    meeting.loop.run_until([] { return false; }, 1ms);
  }
  REQUIRE(meeting.hears("a" + letters(30)));
}

TEST_CASE("either side's new keys are taken up, many times") {
  for (const char* cipher : {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    Meeting meeting(serving(host()));
    MemoryClient client(cipher);
    meeting.meet(client);
    std::string up, down;
    for (int round = 0; round < 50; ++round) {
      REQUIRE(SSL_key_update(client.ssl(), round % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
      client.say("x" + std::to_string(round));
      up += "x" + std::to_string(round);
      REQUIRE(meeting.hears(up));
      meeting.pair.server.connection->write("y" + std::to_string(round));
      down += "y" + std::to_string(round);
      REQUIRE(meeting.heard_by(client, down));
    }
  }
}

TEST_CASE("any number of new keys that come together are taken up") {
  Meeting meeting(serving(host()));
  MemoryClient client;
  meeting.meet(client);
  for (int i = 0; i < 500; ++i) {
    REQUIRE(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    REQUIRE(SSL_write(client.ssl(), "x", 1) == 1);
  }
  client.send();
  REQUIRE(meeting.hears(std::string(500, 'x')));
}

TEST_CASE("its tickets are taken back, by a server that lets go again") {
  const auto context = server_context(serving(host()));
  std::shared_ptr<SSL_SESSION> ticket;
  for (int round = 0; round < 3; ++round) {
    Meeting meeting(context);
    MemoryClient client("TLS_AES_128_GCM_SHA256", nullptr, ticket.get());
    meeting.meet(client);
    client.say("hello");
    REQUIRE(meeting.hears("hello"));
    meeting.pair.server.connection->write("world");
    REQUIRE(meeting.heard_by(client, "world"));
    CHECK(meeting.pair.server.session().own_records());
    CHECK(meeting.pair.server.session().resumed() == (round > 0));
    CHECK(meeting.pair.server.counts[Count::kSessionReused] == (round > 0 ? 1 : 0));
    REQUIRE_FALSE(client.sessions.empty());
    ticket = client.sessions.back();
  }
}

TEST_CASE("a server without tickets begins at the first number") {
  tls::ServerOptions options = serving(host());
  options.tickets = false;
  Meeting meeting(options);
  MemoryClient client;
  meeting.meet(client);
  CHECK(meeting.pair.server.session().own_records());
  meeting.pair.server.connection->write("world");
  REQUIRE(meeting.heard_by(client, "world"));
  CHECK(client.sessions.empty());
}

TEST_CASE("what a client's certificate says is there after SSL is gone") {
  const MadeCertificate person = ca().issue("person", "URI:spiffe://test/person,DNS:person.test");
  tls::ServerOptions options = serving(host());
  options.verification.emplace().trusted_ca = ca().pem();
  options.require_client_certificate = true;
  options.alpn = {"h2", "http/1.1"};
  Meeting meeting(options);
  MemoryClient client("TLS_AES_128_GCM_SHA256", &person);
  SSL_set_alpn_protos(client.ssl(), reinterpret_cast<const unsigned char*>("\x08http/1.1"), 9);
  SSL_set_tlsext_host_name(client.ssl(), "Example.test");
  meeting.meet(client);
  const tls::Session& session = meeting.pair.server.session();
  REQUIRE(session.own_records());
  CHECK(session.peer_presented());
  CHECK(session.peer_validated());
  CHECK(session.alpn() == "http/1.1");
  CHECK(session.signature() == "ecdsa_secp256r1_sha256");
  CHECK(session.server_name() == "example.test");
  const auto& facts = session.facts();
  REQUIRE(facts->peer.has_value());
  CHECK(facts->peer->subject == "CN=person,O=Test");
  CHECK(facts->peer->pem == pem_of(person.x509.get()));
  REQUIRE(facts->peer->names.size() == 2);
  CHECK(facts->peer->names[0].value == "spiffe://test/person");
  REQUIRE(facts->chain.size() == 1);
  CHECK(facts->chain[0].sha256 == facts->peer->sha256);
  CHECK(facts->alpn == "http/1.1");
  CHECK(facts->local->subject == "CN=server,O=Test");
  client.say("hello");
  REQUIRE(meeting.hears("hello"));
  CHECK(session.facts() == facts);
}

TEST_CASE("a client that asks for small records gets them") {
  Meeting meeting(serving(host()));
  MemoryClient client("TLS_AES_128_GCM_SHA256", nullptr, nullptr, TLSEXT_max_fragment_length_512);
  meeting.meet(client);
  CHECK(meeting.pair.server.session().own_records());
  meeting.pair.server.connection->write(letters(3000));
  REQUIRE(meeting.heard_by(client, letters(3000)));
}

TEST_CASE("whoever breaks a record is told so, and the log says what it says of OpenSSL's") {
  for (const bool own : {true, false}) {
    tls::ServerOptions options = serving(host());
    options.own_records = own;
    Meeting meeting(options);
    MemoryClient client;
    meeting.meet(client);
    client.say("good");
    REQUIRE(meeting.hears("good"));
    REQUIRE(SSL_write(client.ssl(), "evil", 4) == 4);
    std::string wire = client.wire();
    wire.back() = static_cast<char>(wire.back() ^ 1);
    client.put(wire);
    REQUIRE(meeting.pair.until([&] { return meeting.pair.server.closed; }));
    CHECK(meeting.pair.server.received == "good");
    CHECK(meeting.pair.server.failure() == "TLS_error:|268435737:SSL routines:OPENSSL_internal:DECRYPTION_FAILED_OR_BAD_RECORD_MAC:TLS_error_end");
    CHECK(meeting.pair.server.counts[Count::kConnectionError] == 1);
    CHECK(meeting.pair.server.reason == net::CloseReason::Remote);
    ERR_clear_error();
    client.take();
    CHECK(ERR_GET_REASON(ERR_peek_last_error()) == SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC);
    ERR_clear_error();
  }
}

TEST_CASE("a fatal alert of the client ends the connection, and its words are OpenSSL's") {
  std::string said[2];
  for (const bool own : {true, false}) {
    tls::ServerOptions options = serving(host());
    options.own_records = own;
    Meeting meeting(options);
    MemoryClient client;
    meeting.meet(client);
    // the server's record, broken: the client complains
    meeting.pair.server.connection->write("hello");
    std::string wire;
    char room[4096];
    REQUIRE(meeting.pair.until([&] {
      const ssize_t n = ::read(client.fd, room, sizeof room);
      if (n > 0) wire.append(room, static_cast<size_t>(n));
      return wire.size() >= 5 + 5 + 1 + 16;
    }));
    wire.back() = static_cast<char>(wire.back() ^ 1);
    BIO_write(SSL_get_rbio(client.ssl()), wire.data(), static_cast<int>(wire.size()));
    client.take();
    client.send();
    REQUIRE(meeting.pair.until([&] { return meeting.pair.server.closed; }));
    said[own ? 1 : 0] = meeting.pair.server.failure();
    CHECK(meeting.pair.server.counts[Count::kConnectionError] == 1);
    ERR_clear_error();
  }
  CHECK(said[0] == said[1]);
  CHECK_THAT(said[1], Catch::Contains("BAD_RECORD_MAC"));
}

TEST_CASE("half a connection ends with close_notify either way, and the other half goes on") {
  net::Connection::Options options;
  options.half_close = true;
  SECTION("the client's first") {
    Meeting meeting(serving(host()), options);
    MemoryClient client;
    meeting.meet(client);
    REQUIRE(SSL_write(client.ssl(), "ask", 3) == 3);
    SSL_shutdown(client.ssl());
    client.send();
    REQUIRE(meeting.pair.until([&] { return meeting.pair.server.ended; }));
    CHECK(meeting.pair.server.received == "ask");
    meeting.pair.server.connection->write(letters(40'000));
    REQUIRE(meeting.heard_by(client, letters(40'000)));
    CHECK_FALSE(client.ended());
    meeting.pair.server.connection->end_write();
    REQUIRE(meeting.pair.until([&] {
      client.take();
      return client.ended();
    }));
  }
  SECTION("the server's first") {
    Meeting meeting(serving(host()), options);
    MemoryClient client;
    meeting.meet(client);
    meeting.pair.server.connection->write("bye");
    meeting.pair.server.connection->end_write();
    REQUIRE(meeting.pair.until([&] {
      client.take();
      return client.ended();
    }));
    CHECK(client.received == "bye");
    client.say("still here");
    REQUIRE(meeting.hears("still here"));
  }
  SECTION("the client's FIN without one") {
    Meeting meeting(serving(host()), options);
    MemoryClient client;
    meeting.meet(client);
    client.say("ask");
    ::shutdown(client.fd, SHUT_WR);
    REQUIRE(meeting.pair.until([&] { return meeting.pair.server.ended; }));
    meeting.pair.server.connection->write("answer");
    REQUIRE(meeting.heard_by(client, "answer"));
    CHECK(meeting.pair.server.failure() == "");
  }
}

TEST_CASE("a client that reads slowly gets all of it, and a close after it") {
  net::Connection::Options options;
  options.delayed_close = 0ms;  // the machine may be slower than the client
  Meeting meeting(serving(host()), options);
  MemoryClient client;
  meeting.meet(client);
  const std::string bytes = letters(1'000'000);
  meeting.pair.server.connection->write(bytes);
  meeting.pair.server.connection->close(net::CloseType::Flush);
  char room[3000];
  REQUIRE(meeting.pair.until([&] {
    for (ssize_t n; (n = ::read(client.fd, room, sizeof room)) > 0;) BIO_write(SSL_get_rbio(client.ssl()), room, static_cast<int>(n));
    char plain[4096];
    for (int got; (got = SSL_read(client.ssl(), plain, sizeof plain)) > 0;) client.received.append(plain, static_cast<size_t>(got));
    return client.ended();
  }));
  CHECK(client.received.size() == bytes.size());
  const bool all = client.received == bytes;
  CHECK(all);
  CHECK(meeting.pair.server.failure() == "");
  CHECK(meeting.pair.server.reason == net::CloseReason::Local);
}

TEST_CASE("a client that goes away while it is written to is a broken pipe, once") {
  Meeting meeting(serving(host()));
  auto client = std::make_unique<MemoryClient>();
  meeting.meet(*client);
  meeting.pair.server.connection->write(letters(3'000'000));
  meeting.loop.run_until([] { return false; }, 5ms);
  client.reset();
  REQUIRE(meeting.pair.until([&] { return meeting.pair.server.closed; }));
  CHECK(meeting.pair.server.counts[Count::kConnectionError] == 0);
  CHECK(meeting.pair.server.failure() == "");
}

TEST_CASE("an idle connection that has had a request holds at most 2.5 KB, its Connection and what this test keeps of it included") {
  constexpr int kFew = 260, kMany = 340;  // by then the thread has all the keyed ciphers that it ever keeps
  net::EventLoop loop;
  const auto context = server_context(serving(host()));
  std::deque<Pair> pairs;
  std::vector<int> fds;
  size_t few = 0;
  for (int i = 0; i < kMany; ++i) {
    if (i == kFew) few = mallinfo2().uordblks;
    Pair& pair = pairs.emplace_back(loop);
    fds.push_back(pair.serve(context));
    MemoryClient client;
    client.fd = fds.back();
    client.take();
    client.send();
    REQUIRE(pair.until([&] {
      client.take();
      return client.done;
    }));
    client.say("ask");
    REQUIRE(pair.until([&] { return pair.server.received == "ask"; }));
    pair.server.connection->write("answer");
    REQUIRE(pair.until([&] {
      client.take();
      return client.received == "answer";
    }));
    client.fd = -1;  // stays
  }
  const double each = (static_cast<double>(mallinfo2().uordblks) - static_cast<double>(few)) / (kMany - kFew);
  WARN("bytes of an idle connection: " << each);
  if (kAllocationsCounted) {
    CHECK(each > 500);
    CHECK(each <= 2500);
  }
  for (const int fd : fds) ::close(fd);
}

}  // namespace own_records_test
