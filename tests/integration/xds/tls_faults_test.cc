// Peers that reset their connection at every stage of a TLS handshake and of what follows, on either side of the proxy: nothing of them stays, it is
// no error of TLS, and whoever comes after is served.
#include <catch2/catch.hpp>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/support/tls_client.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace fairlead::testing::tls_faults_test {
namespace {

using test::MadeCertificate;

const test::Authority& ca() {
  static const test::Authority authority;
  return authority;
}
const MadeCertificate& host() {
  static const MadeCertificate made = ca().issue("server", "DNS:example.test");
  return made;
}
constexpr size_t kAll = std::numeric_limits<size_t>::max();

// One side of a connection, OpenSSL's, whose bytes go through memory, so that it may end after any of them.
class Side {
 public:
  Side(bool server, int version) : server_(server), context_(SSL_CTX_new(TLS_method()), SSL_CTX_free) {
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    if (server) {
      SSL_CTX_use_certificate(context_.get(), host().x509.get());
      SSL_CTX_use_PrivateKey(context_.get(), host().pkey.get());
    }
    ssl_.reset(SSL_new(context_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl_.get(), in_, out_);
    server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  }

  // Shakes hands, then asks or answers, but says `limit` bytes at most. How many it has said.
  size_t talk(RawSocket& socket, size_t limit) {
    size_t said = 0;
    bool spoken = false, heard = false;
    for (;;) {
      const bool shaken = SSL_do_handshake(ssl_.get()) == 1;
      char room[4096];
      if (shaken && SSL_read(ssl_.get(), room, sizeof room) > 0) heard = true;
      if (shaken && !spoken && (!server_ || heard)) {
        const std::string text = server_ ? "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" : "GET / HTTP/1.1\r\nhost: example.test\r\n\r\n";
        SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
        spoken = true;
      }
      char* wire = nullptr;
      const auto size = std::min(static_cast<size_t>(BIO_get_mem_data(out_, &wire)), limit - said);
      if (size != 0) socket.send({wire, size});
      (void)BIO_reset(out_);
      said += size;
      if (said == limit || (spoken && heard)) return said;
      pollfd wait{socket.fd(), POLLIN, 0};
      const ssize_t n = poll(&wait, 1, 10'000) == 1 ? recv(socket.fd(), room, sizeof room, 0) : -1;
      if (n <= 0) throw std::runtime_error("the proxy says nothing more");
      BIO_write(in_, room, static_cast<int>(n));
    }
  }

 private:
  const bool server_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  BIO *in_, *out_;
};

// Every byte of a record's header, then here and there.
size_t next(size_t limit) { return limit + (limit < 8 ? 1 : 23); }

std::string in_line(const std::string& text) { return absl::StrCat("{inline_string: \"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\"}"); }
const char* const kType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";

}  // namespace

TEST_CASE("clients that reset their connection at any byte of a handshake or of a request leave nothing behind") {
  const std::string routes = "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]}";
  ProxyProcess proxy(static_bootstrap({}, {absl::StrCat(listener("l", routes), "  transport_socket: {name: tls, typed_config: {'@type': ", kType, "DownstreamTlsContext, common_tls_context: {tls_certificates: [{certificate_chain: ",
                                                        in_line(host().chain), ", private_key: ", in_line(host().key), "}]}}}\n")}));
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  const std::string scope = absl::StrCat("listener.127.0.0.1_", port, ".");
  for (int i = 0; i < 8; ++i) CHECK(TlsClient(port).get("/") == 200);  // both workers have begun
  proxy.wait_for_stat(scope + "downstream_cx_active", "0");
  const size_t open = proxy.descriptors();
  int resets = 0;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    RawSocket whole = RawSocket::connect(port);
    const size_t all = Side(false, version).talk(whole, kAll);
    REQUIRE(all > 200);
    for (size_t limit = 0; limit < all; limit = next(limit), ++resets) {
      CAPTURE(version, limit);
      RawSocket socket = RawSocket::connect(port);
      CHECK(Side(false, version).talk(socket, limit) == limit);
      socket.reset();
    }
  }
  CHECK(resets > 40);
  proxy.wait_for_stat(scope + "downstream_cx_active", "0");
  CHECK(proxy.descriptors() == open);
  CHECK(proxy.stat(scope + "ssl.connection_error") == "0");
  CHECK(proxy.stat("http.l.downstream_rq_active") == "0");
  CHECK(TlsClient(port).get("/") == 200);
  CHECK(proxy.running());
}

TEST_CASE("an upstream that resets its connection at any byte of a handshake or of an answer is a 503 each time, and nothing stays") {
  RawServer upstream;
  const std::string tls = absl::StrCat("transport_socket: {name: tls, typed_config: {'@type': ", kType, "UpstreamTlsContext, sni: example.test, common_tls_context: {tls_params: {tls_maximum_protocol_version: TLSv1_3}, ",
                                       "validation_context: {trusted_ca: ", in_line(ca().pem()), "}}}}\n");
  ProxyProcess proxy(static_bootstrap({static_cluster("up", upstream.port(), tls)}, {listener("l", "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}")}));
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  const auto ask = [&](int version, size_t limit, size_t& said) {
    RawSocket client = RawSocket::connect(port);
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    RawSocket socket = upstream.accept();
    said = Side(true, version).talk(socket, limit);
    if (limit != kAll) socket.reset();
    return client.read_response().status;
  };
  size_t said = 0;
  for (int i = 0; i < 8; ++i) CHECK(ask(TLS1_3_VERSION, kAll, said) == 200);
  proxy.wait_for_stat("cluster.up.upstream_cx_active", "0");
  const size_t open = proxy.descriptors();
  int resets = 0;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    size_t all = 0;
    REQUIRE(ask(version, kAll, all) == 200);
    REQUIRE(all > 500);
    for (size_t limit = 0; limit < all; limit = next(limit), ++resets) {
      CAPTURE(version, limit);
      CHECK(ask(version, limit, said) == 503);
    }
  }
  CHECK(resets > 60);
  proxy.wait_for_stat("cluster.up.upstream_cx_active", "0");
  proxy.wait_for_stat("http.l.downstream_cx_active", "0");
  CHECK(proxy.descriptors() == open);
  CHECK(proxy.stat("cluster.up.ssl.connection_error") == "0");
  CHECK(proxy.stat("cluster.up.upstream_rq_active") == "0");
  CHECK(ask(TLS1_3_VERSION, kAll, said) == 200);
  CHECK(proxy.running());
}

}  // namespace fairlead::testing::tls_faults_test
