// Judging peers: trust, names, pins, revocation; and what own certificates must be.
#include "dataplane/tls/verification.h"

#include <absl/strings/escaping.h>
#include <openssl/sha.h>

#include <catch2/catch.hpp>

#include "tests/unit/dataplane/tls/endpoints.h"

namespace verification_test {

using namespace fairlead;
using namespace fairlead::test;
using tls::Count;

namespace {
const Authority& ca() {
  static const Authority authority;
  return authority;
}
const MadeCertificate& host() {
  static const MadeCertificate made = ca().issue("server", "DNS:example.test,DNS:*.wild.test");
  return made;
}
const MadeCertificate& person() {
  static const MadeCertificate made = ca().issue("client", "URI:spiffe://test/a,DNS:client.test,email:a@b.test,IP:10.0.0.1");
  return made;
}
tls::ServerOptions asking() {
  tls::ServerOptions options = serving(host());
  options.verification.emplace().trusted_ca = ca().pem();
  return options;
}
// The server's verdict on a client with this certificate (null: none): "" when it is accepted, else its failure.
std::string verdict(const tls::ServerOptions& server, const MadeCertificate* client, Counts* counts = nullptr, bool* validated = nullptr) {
  net::EventLoop loop;
  Pair pair(loop);
  tls::ClientOptions options = trusting(ca().pem());
  options.parameters.max = tls::Version::kTls12;  // the client, too, learns of it in its handshake
  if (client != nullptr) options.certificate = pair_of(*client);
  pair.join(server_context(server), client_context(options));
  const bool done = pair.shake();
  if (!done) pair.fail();
  if (counts != nullptr) *counts = pair.server.counts;
  if (validated != nullptr && done) *validated = pair.server.session().peer_validated();
  if (done) CHECK(pair.server.session().peer_presented() == (client != nullptr));
  return done ? "" : pair.server.failure();
}
// The client's on the server.
std::string verdict(const tls::ClientOptions& client, const MadeCertificate& server, tls::ClientPeer peer = {}) {
  net::EventLoop loop;
  Pair pair(loop);
  pair.join(server_context(serving(server)), client_context(client), std::move(peer));
  if (pair.shake()) return "";
  pair.fail();
  return pair.client.failure();
}
std::string frame(const std::string& detail) { return "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: " + detail + ":TLS_error_end"; }
std::string error_of(const tls::ServerOptions& options) { return std::string(tls::ServerContext::create(options).status().message()); }
}  // namespace

TEST_CASE("a client certificate is asked for, and needed only where something says so") {
  Counts counts;
  bool validated = false;
  CHECK(verdict(asking(), nullptr, &counts) == "");
  CHECK(counts[Count::kNoCertificate] == 1);
  CHECK(verdict(asking(), &person(), &counts, &validated) == "");
  CHECK(validated);
  CHECK(counts[Count::kNoCertificate] == 0);
  tls::ServerOptions required = asking();
  required.require_client_certificate = true;
  CHECK(verdict(required, nullptr, &counts) ==
        "TLS_error:|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate:TLS_error_end");
  CHECK(counts[Count::kFailVerifyNoCert] == 1);
  CHECK(counts[Count::kConnectionError] == 0);
  tls::ServerOptions pinned = asking();
  pinned.verification->hash_pins.push_back(std::string(32, 'x'));
  CHECK_THAT(verdict(pinned, nullptr), Catch::Contains("PEER_DID_NOT_RETURN_A_CERTIFICATE"));
}

TEST_CASE("a chain must lead to a trusted certificate and be valid now") {
  Counts counts;
  const Authority stranger("Stranger");
  const MadeCertificate other = stranger.issue("client");
  CHECK_THAT(verdict(asking(), &other, &counts), Catch::StartsWith("TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: X509_verify_cert: "
                                                                  "certificate verification error at depth 0: "));
  CHECK(counts[Count::kFailVerifyError] == 1);
  CHECK(counts[Count::kConnectionError] == 0);
  const MadeCertificate old = ca().issue("client", Authority::Wish{"", "ec", -7200, -3600, ""});
  CHECK(verdict(asking(), &old) == frame("X509_verify_cert: certificate verification error at depth 0: certificate has expired"));
  tls::ServerOptions forgiving = asking();
  forgiving.verification->allow_expired = true;
  CHECK(verdict(forgiving, &old) == "");
  tls::ServerOptions open = asking();
  open.verification->accept_untrusted = true;
  bool validated = true;
  CHECK(verdict(open, &other, nullptr, &validated) == "");
  CHECK_FALSE(validated);
  // a partial chain: the leaf itself is trusted
  tls::ServerOptions partial = serving(host());
  partial.verification.emplace().trusted_ca = other.chain;
  CHECK(verdict(partial, &other) == "");
}

TEST_CASE("names are matched as the predicate says, and the failure lists them") {
  tls::ServerOptions options = asking();
  options.verification->match_names = [](const std::vector<tls::San>& names) {
    for (const tls::San& san : names) {
      if (san.type == tls::San::Type::kUri && san.value == "spiffe://test/a") return true;
    }
    return false;
  };
  Counts counts;
  CHECK(verdict(options, &person()) == "");
  const MadeCertificate other = ca().issue("client", "DNS:a.test,DNS:b.test");
  CHECK(verdict(options, &other, &counts) == frame("SAN matcher, certificate SANs are [a.test, b.test]"));
  CHECK(counts[Count::kFailVerifySan] == 1);
}

TEST_CASE("either list of pins accepts") {
  unsigned char digest[32];
  unsigned size = 0;
  X509_digest(person().x509.get(), EVP_sha256(), digest, &size);
  const std::string hash(reinterpret_cast<char*>(digest), 32);
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(person().x509.get()), &der);
  SHA256(der, static_cast<size_t>(length), digest);
  OPENSSL_free(der);
  const std::string spki(reinterpret_cast<char*>(digest), 32), wrong(32, 'x');
  const auto with = [&](std::vector<std::string> hashes, std::vector<std::string> keys) {
    tls::ServerOptions options = serving(host());
    options.verification.emplace();
    options.verification->hash_pins = std::move(hashes);
    options.verification->spki_pins = std::move(keys);
    bool validated = false;
    Counts counts;
    const std::string failure = verdict(options, &person(), &counts, &validated);
    CHECK(validated == failure.empty());
    CHECK(counts[Count::kFailVerifyCertHash] == (failure.empty() ? 0 : 1));
    return failure.empty();
  };
  CHECK(with({hash}, {}));
  CHECK(with({wrong, hash}, {}));
  CHECK(with({}, {spki}));
  CHECK(with({wrong}, {spki}));
  CHECK_FALSE(with({wrong}, {wrong}));
  CHECK_FALSE(with({spki}, {hash}));
}

TEST_CASE("a revoked certificate is refused") {
  const MadeCertificate revoked = ca().issue("revoked");
  tls::ServerOptions options = asking();
  options.verification->crl = ca().revoke(revoked);
  CHECK(verdict(options, &revoked) == frame("X509_verify_cert: certificate verification error at depth 0: certificate revoked"));
  CHECK(verdict(options, &person()) == "");
  options.verification->only_leaf_crl = true;
  CHECK_THAT(verdict(options, &revoked), Catch::Contains("certificate revoked"));
}

TEST_CASE("a server must be for the name that a client verifies") {
  tls::ClientOptions options = trusting(ca().pem());
  CHECK(verdict(options, host()) == "");
  CHECK(verdict(options, host(), {"example.test", "example.test", ""}) == "");
  CHECK(verdict(options, host(), {"", "a.wild.test", ""}) == "");
  CHECK(verdict(options, host(), {"", "other.test", ""}) == frame("SAN matcher, certificate SANs are [example.test, *.wild.test]"));
  CHECK(verdict(options, host(), {"", "other.test", "", true}) == frame("verify SAN list, expected SANs: [other.test], certificate SANs: [example.test, *.wild.test]"));
  const Authority stranger("Stranger");
  CHECK_THAT(verdict(options, stranger.issue("server", "DNS:example.test")), Catch::Contains("CERTIFICATE_VERIFY_FAILED"));
  tls::ClientOptions blind;
  CHECK(verdict(blind, stranger.issue("server")) == "");
}

TEST_CASE("a wildcard covers one label") {
  CHECK(tls::dns_covers("*.a.test", "x.a.test"));
  CHECK(tls::dns_covers("*.A.test", "X.a.TEST"));
  CHECK_FALSE(tls::dns_covers("*.a.test", "a.test"));
  CHECK_FALSE(tls::dns_covers("*.a.test", "x.y.a.test"));
  CHECK_FALSE(tls::dns_covers("*.a.test", ".a.test"));
  CHECK_FALSE(tls::dns_covers("a.test", "b.test"));
  CHECK_FALSE(tls::dns_covers("*.", "a."));
}

TEST_CASE("material that does not fit is refused, and the error names it") {
  const MadeCertificate one = ca().issue("one"), two = ca().issue("two");
  tls::ServerOptions options;
  CHECK(error_of(options) == "Server TlsCertificates must have a certificate specified");
  tls::KeyPair pair = pair_of(one);
  pair.place = "one.pem";
  pair.key_place = "two.key";
  pair.key = two.key;
  options.certificates = {pair};
  CHECK_THAT(error_of(options), Catch::StartsWith("Failed to load private key from two.key, Cause: it does not belong to the certificate in one.pem"));
  options.certificates[0].key = "nonsense";
  CHECK_THAT(error_of(options), Catch::StartsWith("Failed to load private key from two.key, Cause: "));
  options.certificates[0].chain = "nonsense";
  CHECK_THAT(error_of(options), Catch::StartsWith("Failed to load certificate chain from one.pem"));
  options.certificates[0] = pair_of(one);
  options.certificates[0].key.clear();
  CHECK(error_of(options) == "Failed to load incomplete certificate from <inline>: private key not set");
  options.certificates[0] = pair_of(one);
  options.verification.emplace().trusted_ca = "nonsense";
  options.verification->trusted_ca_place = "ca.pem";
  CHECK(error_of(options) == "Failed to load trusted CA certificates from ca.pem");
  options.verification->trusted_ca = ca().pem();
  options.verification->crl = "nonsense";
  CHECK(error_of(options) == "Failed to load CRL from <inline>");
  options.verification.reset();
  options.parameters.ciphers = {"ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA999", "[ECDHE-RSA-AES256-GCM-SHA384|BOGUS]"};
  CHECK(error_of(options) == "Failed to initialize cipher suites ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA999:[ECDHE-RSA-AES256-GCM-SHA384|BOGUS]. The following ciphers were rejected "
                             "when tried individually: AES128-SHA999, BOGUS");
  options.parameters.ciphers.clear();
  options.parameters.curves = {"P-256", "P-999"};
  CHECK(error_of(options) == "Failed to initialize ECDH curves P-256:P-999");
  options.parameters.curves.clear();
  options.parameters.signature_algorithms = {"rsa_pss_rsae_sha256", "bogus"};
  CHECK(error_of(options) == "Failed to initialize TLS signature algorithms rsa_pss_rsae_sha256:bogus");
  options.parameters.signature_algorithms.clear();
  options.ticket_keys = {"short"};
  CHECK(error_of(options) == "Incorrect TLS session ticket key length. Length 5, expected length 80.");
  options.ticket_keys.clear();
  options.ocsp = tls::OcspPolicy::kMustStaple;
  CHECK(error_of(options) == "Required OCSP response is missing from TLS context");
}

TEST_CASE("keys may be encrypted or come as PKCS#12") {
  net::EventLoop loop;
  const MadeCertificate secret = ca().issue("secret", Authority::Wish{"", "ec", -60, 3600, "open sesame"});
  tls::ServerOptions options = serving(secret);
  CHECK_THAT(error_of(options), Catch::StartsWith("Failed to load private key from <inline>"));
  options.certificates[0].password = "open sesame";
  CHECK(error_of(options) == "");
  tls::KeyPair p12;
  p12.pkcs12 = pkcs12_of(host(), "word");
  p12.password = "word";
  options.certificates = {p12};
  Pair pair(loop);
  pair.join(server_context(options), client_context(trusting(ca().pem())));
  CHECK(pair.shake());
  options.certificates[0].password = "wrong";
  CHECK_THAT(error_of(options), Catch::StartsWith("Failed to load pkcs12 from <inline>"));
}

TEST_CASE("a context lists its certificates") {
  const auto context = server_context(asking());
  REQUIRE(context->certificates().size() == 1);
  const tls::CertificateFacts& facts = context->certificates()[0].facts;
  CHECK(facts.subject == "CN=server,O=Test");
  CHECK(facts.issuer == "CN=Test CA,O=Test");
  REQUIRE(facts.names.size() == 2);
  CHECK(facts.names[1].value == "*.wild.test");
  CHECK(facts.sha256.size() == 64);
  CHECK(facts.not_after > facts.not_before);
  REQUIRE(context->trusted().size() == 1);
  const auto names = tls::read_certificates(person().chain)->front().names;
  REQUIRE(names.size() == 4);
  CHECK(names[0].value == "spiffe://test/a");
  CHECK(names[3].value == "10.0.0.1");
  CHECK_FALSE(tls::read_certificates("nothing").ok());
}

}  // namespace verification_test
