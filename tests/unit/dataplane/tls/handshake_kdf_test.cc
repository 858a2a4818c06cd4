// The derivation of a handshake's secrets gives what OpenSSL's gives.
#include "dataplane/tls/handshake_kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

namespace handshake_kdf_test {

using namespace fairlead;

namespace {

struct Question {
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string digest = "SHA2-256", label = "c hs traffic";
  const std::string *key = nullptr, *salt = nullptr, *data = nullptr;
  size_t size = 32;
};

// "": it fails.
std::string derive(const char* properties, Question q) {
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "TLS13-KDF", properties);
  REQUIRE(kdf != nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  std::string prefix = "tls13 ", out(q.size, '\0');
  OSSL_PARAM parameters[8], *at = parameters;
  const auto octets = [&](const char* name, const std::string& text) { *at++ = OSSL_PARAM_construct_octet_string(name, const_cast<char*>(text.data()), text.size()); };
  *at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &q.mode);
  *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, q.digest.data(), 0);
  if (q.key != nullptr) octets(OSSL_KDF_PARAM_KEY, *q.key);
  if (q.salt != nullptr) octets(OSSL_KDF_PARAM_SALT, *q.salt);
  octets(OSSL_KDF_PARAM_PREFIX, prefix);
  octets(OSSL_KDF_PARAM_LABEL, q.label);
  if (q.data != nullptr) octets(OSSL_KDF_PARAM_DATA, *q.data);
  *at = OSSL_PARAM_construct_end();
  const bool done = EVP_KDF_derive(context, reinterpret_cast<unsigned char*>(out.data()), out.size(), parameters) == 1;
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  ERR_clear_error();
  return done ? out : "";
}

std::string provider_of(const char* properties) {
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "TLS13-KDF", properties);
  std::string name = OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf));
  EVP_KDF_free(kdf);
  return name;
}

}  // namespace

TEST_CASE("who asks for no property gets OpenSSL's own derivation") {
  REQUIRE(tls::new_server_ctx(true) != nullptr);
  CHECK(provider_of(nullptr) == "default");
  CHECK(provider_of("?provider=fairlead") == "fairlead");
  EVP_MD* digest = EVP_MD_fetch(nullptr, "SHA256", "?provider=fairlead");
  CHECK(digest != nullptr);
  EVP_MD_free(digest);
}

TEST_CASE("secrets are derived as OpenSSL derives them") {
  REQUIRE(tls::new_server_ctx(true) != nullptr);
  const auto same = [](const Question& q, bool fails = false) {
    const std::string ours = derive("?provider=fairlead", q);
    CHECK(ours == derive("provider=default", q));
    CHECK(ours.empty() == fails);
  };
  for (const char* digest : {"SHA2-256", "SHA256", "SHA2-384", "SHA384"}) {
    const size_t hash = std::strstr(digest, "256") != nullptr ? 32 : 48;
    const std::string secret(hash, 's'), transcript(hash, 't'), shared(32, 'd'), long_shared(1024, 'd'), context(255, 'c');
    Question q;
    q.digest = digest;
    q.key = &secret;
    for (const size_t size : {size_t{1}, size_t{12}, size_t{16}, hash - 1, hash, hash + 1, size_t{500}}) {
      q.size = size;
      q.data = nullptr;
      same(q);
      q.data = &transcript;
      same(q);
      q.data = &context;
      same(q);
    }
    Question e;
    e.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    e.digest = digest;
    e.label = "derived";
    e.size = hash;
    same(e);
    for (const std::string* key : {&shared, &long_shared}) {
      e.key = key;
      e.salt = nullptr;
      same(e);
      e.salt = &secret;
      same(e);
    }
    e.key = nullptr;
    same(e);
  }
}

TEST_CASE("what is no question of a handshake has no answer") {
  REQUIRE(tls::new_server_ctx(true) != nullptr);
  const std::string secret(32, 's');
  Question q;
  CHECK(derive("?provider=fairlead", q).empty());  // no secret
  q.key = &secret;
  q.digest = "MD5";
  CHECK(derive("?provider=fairlead", q).empty());
  q.digest = "SHA256";
  q.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  CHECK(derive("?provider=fairlead", q).empty());
  q.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  q.label = std::string(250, 'l');
  CHECK(derive("?provider=fairlead", q).empty());
  q.label = "l";
  q.size = 255 * 32 + 1;
  CHECK(derive("?provider=fairlead", q).empty());
}

TEST_CASE("only the secrets of records are told, and to whoever listens in this thread") {
  REQUIRE(tls::new_server_ctx(true) != nullptr);
  const std::string secret(32, 's'), transcript(32, 't');
  Question q;
  q.key = &secret;
  q.data = &transcript;
  std::unique_ptr<tls::HandshakeSecrets> heard;
  {
    const tls::SecretListener listener(&heard);
    for (const char* label : {"c hs traffic", "s hs traffic", "exp master", "key"}) {
      q.label = label;
      derive("?provider=fairlead", q);
    }
    CHECK(heard == nullptr);
    q.label = "s ap traffic";
    const std::string server = derive("?provider=fairlead", q);
    REQUIRE(heard != nullptr);
    REQUIRE(heard->server.has_value());
    CHECK_FALSE(heard->client.has_value());
    CHECK(std::string(heard->server->bytes.begin(), heard->server->bytes.begin() + heard->server->size) == server);
    q.label = "c ap traffic";
    derive("?provider=fairlead", q);
    CHECK(heard->client.has_value());
  }
  heard.reset();
  derive("?provider=fairlead", q);
  CHECK(heard == nullptr);
}

}  // namespace handshake_kdf_test
