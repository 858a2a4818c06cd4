// Which certificate a server shows, and which sessions are resumed.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/tls/endpoints.h"

using namespace fairlead;
using namespace fairlead::test;
using tls::Count;

namespace {
const Authority& ca() {
  static const Authority authority;
  return authority;
}
// Several certificates: which one does a client see that asks for `name`?
struct Shop {
  tls::ServerOptions options;
  std::shared_ptr<const tls::ServerContext> context;
  void add(const std::string& common_name, const std::string& names, const std::string& kind) { options.certificates.push_back(pair_of(ca().issue(common_name, names, kind))); }
  std::string shown(const std::string& name, const tls::Parameters& parameters = {{}, tls::Version::kTls13}) {
    if (!context) context = server_context(options);
    net::EventLoop loop;
    Pair pair(loop);
    tls::ClientOptions client = trusting(ca().pem());
    client.parameters = parameters;
    client.max_sessions = 0;
    pair.join(context, client_context(client), {name, "", ""});
    REQUIRE(pair.shake());
    return pair.client.session().facts()->peer->common_name;
  }
};
tls::Parameters only_rsa() {
  tls::Parameters parameters;
  parameters.ciphers = {"ECDHE-RSA-AES128-GCM-SHA256"};
  return parameters;
}
tls::Parameters only_rsa_13() {
  tls::Parameters parameters{{}, tls::Version::kTls13};
  parameters.signature_algorithms = {"rsa_pss_rsae_sha256"};
  return parameters;
}
}  // namespace

TEST_CASE("a certificate is chosen by the name asked for: exact, one wildcard level, else the first") {
  Shop shop;
  shop.add("first", "DNS:first.test", "ec");
  shop.add("exact", "DNS:a.wild.test", "ec");
  shop.add("wild", "DNS:*.wild.test", "ec");
  shop.add("by common name.test", "", "ec");
  CHECK(shop.shown("first.test") == "first");
  CHECK(shop.shown("A.Wild.test") == "exact");
  CHECK(shop.shown("b.wild.test") == "wild");
  CHECK(shop.shown("c.b.wild.test") == "first");
  CHECK(shop.shown("wild.test") == "first");
  CHECK(shop.shown("by common name.test") == "by common name.test");
  CHECK(shop.shown("unknown.test") == "first");
  CHECK(shop.shown("") == "first");
}

TEST_CASE("among certificates of one name ECDSA is shown to clients that can, RSA to others") {
  Shop shop;
  shop.add("rsa", "DNS:a.test", "rsa");
  shop.add("ec", "DNS:a.test", "ec");
  shop.add("ec384", "DNS:b.test", "ec384");
  shop.add("rsa b", "DNS:b.test", "rsa");
  CHECK(shop.shown("a.test") == "ec");
  CHECK(shop.shown("a.test", only_rsa()) == "rsa");
  tls::Parameters others;  // its suites with ECDSA are none that are served
  others.ciphers = {"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256"};
  CHECK(shop.shown("a.test", others) == "rsa");
  CHECK(shop.shown("a.test", only_rsa_13()) == "rsa");
  CHECK(shop.shown("b.test", only_rsa_13()) == "rsa b");
  CHECK(shop.shown("b.test") == "ec384");
  tls::Parameters p256{{}, tls::Version::kTls13};
  p256.signature_algorithms = {"ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"};
  CHECK(shop.shown("b.test", p256) == "rsa b");
  CHECK(shop.shown("") == "ec");                   // without a name all are tried
  CHECK(shop.shown("", only_rsa()) == "rsa");
}

TEST_CASE("a name that no certificate has gets the first, or with a full scan the first that fits the client") {
  Shop shop;
  shop.add("rsa", "DNS:a.test", "rsa");
  shop.add("ec", "DNS:b.test", "ec");
  CHECK(shop.shown("unknown.test") == "rsa");
  Shop scanning;
  scanning.options.full_scan_on_sni_mismatch = true;
  scanning.options.certificates = shop.options.certificates;
  CHECK(scanning.shown("unknown.test") == "ec");
  CHECK(scanning.shown("unknown.test", only_rsa()) == "rsa");
  CHECK(scanning.shown("a.test") == "rsa");
}

namespace {
// Two connections after one another with the same contexts; whether the second is resumed.
bool resumes(std::shared_ptr<const tls::ServerContext> first, std::shared_ptr<const tls::ServerContext> second, std::shared_ptr<const tls::ClientContext> client, std::string name = "",
             const std::string& verify = "", net::CloseType end = net::CloseType::Flush) {
  net::EventLoop loop;
  {
    Pair pair(loop);
    pair.join(first, client, {"a.test", "", ""});
    REQUIRE(pair.shake());
    CHECK_FALSE(pair.client.session().resumed());
    pair.server.connection->write("x");  // behind the tickets of TLS 1.3
    REQUIRE(pair.until([&] { return pair.client.received == "x"; }));
    pair.client.connection->close(end);
    REQUIRE(pair.until([&] { return pair.server.closed; }));
  }
  Pair pair(loop);
  pair.join(second, client, {name.empty() ? "a.test" : name, verify, ""});
  REQUIRE(pair.shake());
  CHECK(pair.server.session().resumed() == pair.client.session().resumed());
  CHECK(pair.server.counts[Count::kSessionReused] == (pair.server.session().resumed() ? 1 : 0));
  return pair.client.session().resumed();
}
}  // namespace

TEST_CASE("sessions are resumed") {
  const MadeCertificate made = ca().issue("server", "DNS:a.test");
  const auto client = [&](tls::Version version, uint32_t sessions = 1) {
    tls::ClientOptions options = trusting(ca().pem());
    options.parameters.max = version;
    options.max_sessions = sessions;
    return client_context(options);
  };
  using enum tls::Version;
  for (const tls::Version version : {kTls12, kTls13}) {
    const auto server = server_context(serving(made));
    CHECK(resumes(server, server, client(version)));
    CHECK_FALSE(resumes(server, server, client(version, 0)));
    CHECK_FALSE(resumes(server, server, client(version), "b.test"));           // another server's
    CHECK_FALSE(resumes(server, server, client(version), "a.test", "a.test"));     // its certificate was verified for no name
    CHECK_FALSE(resumes(server, server_context(serving(made)), client(version)));  // each context has a ticket key of its own
    tls::ServerOptions keyed = serving(made);
    keyed.ticket_keys = {std::string(80, 'a')};
    tls::ServerOptions rotated = serving(made);
    rotated.ticket_keys = {std::string(80, 'b'), std::string(80, 'a')};
    CHECK(resumes(server_context(keyed), server_context(keyed), client(version)));
    CHECK(resumes(server_context(keyed), server_context(rotated), client(version)));
    tls::ServerOptions other = keyed;
    other.ticket_keys = {std::string(80, 'b')};
    CHECK_FALSE(resumes(server_context(keyed), server_context(other), client(version)));
    tls::ServerOptions stricter = keyed;  // asks more of its clients: no way around by an old ticket
    stricter.verification.emplace().trusted_ca = ca().pem();
    CHECK_FALSE(resumes(server_context(keyed), server_context(stricter), client(version)));
    tls::ServerOptions none = serving(made);
    none.tickets = none.session_cache = false;
    const auto without = server_context(none);
    CHECK_FALSE(resumes(without, without, client(version)));
    tls::ServerOptions cached = serving(made);
    cached.tickets = false;
    const auto cache = server_context(cached);
    CHECK(resumes(cache, cache, client(version)) == (version == kTls12));
    CHECK(resumes(cache, cache, client(version), "", "", net::CloseType::NoFlush) == (version == kTls12));  // whose client went without a word
  }
}

TEST_CASE("a resumed session still knows the client's certificate, and does not count as validated") {
  const MadeCertificate made = ca().issue("server", "DNS:a.test"), person = ca().issue("client", "DNS:client.test");
  tls::ServerOptions options = serving(made);
  options.verification.emplace().trusted_ca = ca().pem();
  options.require_client_certificate = true;
  const auto server = server_context(options);
  tls::ClientOptions asking = trusting(ca().pem());
  asking.certificate = pair_of(person);
  const auto client = client_context(asking);
  net::EventLoop loop;
  for (const bool again : {false, true}) {
    Pair pair(loop);
    pair.join(server, client);
    REQUIRE(pair.shake());
    CHECK(pair.server.session().resumed() == again);
    CHECK(pair.server.session().peer_presented());
    CHECK(pair.server.session().peer_validated() == !again);
    CHECK(pair.server.session().facts()->peer->common_name == "client");
    REQUIRE(pair.server.session().facts()->chain.size() >= 1);
    pair.server.connection->write("x");
    REQUIRE(pair.until([&] { return pair.client.received == "x"; }));
  }
}
