// Session tickets of servers and the sessions that clients keep; see material.h.
#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <cstring>

#include "dataplane/tls/material.h"

namespace fairlead::tls {
namespace {

bool init(const TicketKey& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, bool encrypt) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  if (EVP_MAC_init(mac, key.hmac.data(), key.hmac.size(), parameters) != 1) return false;
  return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.aes.data(), iv, encrypt ? 1 : 0) == 1;
}

}  // namespace

int crypt_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt) {
  const auto& keys = static_cast<const ServerContext::Material*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->ticket_keys;
  if (encrypt == 1) {
    if (RAND_bytes(iv, 16) != 1) return -1;
    std::memcpy(name, keys.front().name.data(), keys.front().name.size());
    return init(keys.front(), iv, cipher, mac, true) ? 1 : -1;
  }
  for (const TicketKey& key : keys) {
    if (std::memcmp(name, key.name.data(), key.name.size()) != 0) continue;
    if (!init(key, iv, cipher, mac, false)) return -1;
    if (&key == &keys.front()) return 1;
    return 2;  // valid, and to be renewed with the newest key
  }
  return 0;  // a full handshake
}

SslSessionPtr ClientContext::Material::take_session(const std::string& server_name, const std::string& verify_name) const {
  std::lock_guard lock(mutex);
  for (auto at = sessions.begin(); at != sessions.end(); ++at) {
    if (at->server_name != server_name || at->verify_name != verify_name) continue;
    if (SSL_SESSION_get_protocol_version(at->session.get()) == TLS1_3_VERSION) {  // RFC 8446 appendix C.4
      SslSessionPtr session = std::move(at->session);
      sessions.erase(at);
      return session;
    }
    SSL_SESSION_up_ref(at->session.get());
    return SslSessionPtr(at->session.get());
  }
  return nullptr;
}

void ClientContext::Material::keep_session(std::string server_name, std::string verify_name, SslSessionPtr session) const {
  std::lock_guard lock(mutex);
  sessions.push_front({std::move(server_name), std::move(verify_name), std::move(session)});
  while (sessions.size() > max_sessions) sessions.pop_back();
}

}  // namespace fairlead::tls
