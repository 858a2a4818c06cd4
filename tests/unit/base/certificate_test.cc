// Certificates for clients: whose they are, how long they last, and what is not taken for one of them. The authority is made here, by the same library.
#include <catch2/catch.hpp>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <string>
#include <utility>

#include "base/certificate.h"

namespace fairlead {
namespace {

using namespace std::chrono_literals;

const std::string kUri = "spiffe://fairlead.io/ns/shop/gateway/edge";

// PEM of a certificate for an authority (or not) and of its key.
std::pair<std::string, std::string> make_authority(bool ca, long lasts) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x = X509_new();
  X509_set_version(x, 2);
  X509_gmtime_adj(X509_getm_notBefore(x), -60);
  X509_gmtime_adj(X509_getm_notAfter(x), lasts);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("authority"), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  X509V3_CTX context;
  X509V3_set_ctx(&context, x, x, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  X509_add_ext(x, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(x, key, EVP_sha256());
  const auto text = [](auto write) {
    BIO* out = BIO_new(BIO_s_mem());
    write(out);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string s(data, static_cast<size_t>(size));
    BIO_free(out);
    return s;
  };
  std::pair<std::string, std::string> made{text([&](BIO* o) { PEM_write_bio_X509(o, x); }), text([&](BIO* o) { PEM_write_bio_PrivateKey(o, key, nullptr, nullptr, 0, nullptr, nullptr); })};
  X509_free(x);
  EVP_PKEY_free(key);
  return made;
}

TEST_CASE("a certificate for a client is for one URI, and lasts as long as asked but no longer than its authority") {
  const SystemTime now = std::chrono::system_clock::now();
  const auto [authority, key] = make_authority(true, 86'400);
  const auto issued = issue_client_certificate(authority, key, kUri, now, 1h);
  REQUIRE(issued.ok());
  const auto validity = validity_of(issued->certificate, issued->key, authority, kUri);
  REQUIRE(validity.ok());
  CHECK(validity->from < now);
  CHECK(validity->until > now + 59min);
  CHECK(validity->until <= now + 1h);
  const auto longer = issue_client_certificate(authority, key, kUri, now, 48h);
  REQUIRE(longer.ok());
  CHECK(validity_of(longer->certificate, longer->key, authority, kUri)->until <= now + 24h);
  CHECK(longer->key != issued->key);
}

TEST_CASE("a certificate holds already where the clock is hours behind, and two thirds of its life are never over when it is made") {
  const SystemTime now = std::chrono::system_clock::now();
  const auto [authority, key] = make_authority(true, 10L * 365 * 86'400);
  const auto [short_authority, short_key] = make_authority(true, 3600);
  const auto year = issue_client_certificate(authority, key, kUri, now, 365 * 24h), hour = issue_client_certificate(short_authority, short_key, kUri, now, 365 * 24h);
  REQUIRE(year.ok());
  REQUIRE(hour.ok());
  const auto v = validity_of(year->certificate, year->key, authority, kUri), s = validity_of(hour->certificate, hour->key, short_authority, kUri);
  REQUIRE(v.ok());
  REQUIRE(s.ok());
  CHECK(v->from <= now - 23h);
  CHECK(s->from <= now - 10min);
  CHECK(s->from + 2 * (s->until - s->from) / 3 > now + 20min);
}

TEST_CASE("an authority that never ends, which certificates write as the year 9999, is one that ends late") {
  const SystemTime now = std::chrono::system_clock::now();
  const auto [authority, key] = make_authority(true, 7000L * 365 * 86'400);
  const auto issued = issue_client_certificate(authority, key, kUri, now, 48h);
  REQUIRE(issued.ok());
  CHECK(validity_of(issued->certificate, issued->key, authority, kUri)->until > now + 47h);
}

TEST_CASE("what another authority has signed, is for another URI or has another key is not taken for ours") {
  const SystemTime now = std::chrono::system_clock::now();
  const auto [authority, key] = make_authority(true, 86'400);
  const auto [other, other_key] = make_authority(true, 86'400);
  const auto issued = issue_client_certificate(authority, key, kUri, now, 1h), second = issue_client_certificate(authority, key, kUri, now, 1h);
  REQUIRE(issued.ok());
  REQUIRE(second.ok());
  CHECK(validity_of(issued->certificate, issued->key, other, kUri).status().message().find("another authority") != std::string::npos);
  CHECK(validity_of(issued->certificate, issued->key, authority, kUri + "2").status().message() == "it is not for " + kUri + "2");
  CHECK_FALSE(validity_of(issued->certificate, second->key, authority, kUri).ok());
  CHECK_FALSE(validity_of("garbage", issued->key, authority, kUri).ok());
}

TEST_CASE("who is no authority, or has not its key, issues nothing") {
  const SystemTime now = std::chrono::system_clock::now();
  const auto [authority, key] = make_authority(true, 86'400);
  const auto [leaf, leaf_key] = make_authority(false, 86'400);
  CHECK_FALSE(issue_client_certificate(leaf, leaf_key, kUri, now, 1h).ok());
  CHECK_FALSE(issue_client_certificate(authority, leaf_key, kUri, now, 1h).ok());
  CHECK_FALSE(issue_client_certificate("", "", kUri, now, 1h).ok());
}

}  // namespace
}  // namespace fairlead
