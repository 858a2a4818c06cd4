// What contexts hold of OpenSSL. Private to the room.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/tls/context.h"
#include "dataplane/tls/key_log.h"
#include "dataplane/tls/openssl.h"

namespace fairlead::tls {

// Of clients and servers alike. Verifies peers (verification.cc).
struct Common {
  std::optional<Verification> verification;
  StorePtr trusted;  // null: chains are not verified
  std::string alpn;  // as on the wire
  std::shared_ptr<KeyLogFile> key_log;
  std::function<bool(const net::Address&, const net::Address&)> key_log_wanted;
};

// A certificate with its key.
struct Leaf {
  X509Ptr certificate;
  KeyPtr key;
  StackPtr chain;  // may be null
  std::string place;
  int curve = 0;   // of an ECDSA key, else 0
  std::string ocsp;
  time_t ocsp_expires = 0;
  bool must_staple = false;
};
absl::StatusOr<Leaf> load_leaf(const KeyPair& pair);
absl::Status use_leaf(SSL_CTX* ctx, const Leaf& leaf, const std::string& place);
absl::Status load_staple(const KeyPair& pair, OcspPolicy policy, Leaf& leaf);

// Sets what `options` says of both kinds of endpoints. `common` outlives `ctx`.
absl::Status apply(SSL_CTX* ctx, const CommonOptions& options, bool server, const Common& common);
absl::StatusOr<StorePtr> load_trusted(const Verification& verification, std::vector<ListedCertificate>& listed);
absl::Status read_common(const CommonOptions& options, Common& out, std::vector<ListedCertificate>& trusted);

// Called by OpenSSL for each chain that a peer shows; `common` is its Common.
int verify_peer(X509_STORE_CTX* store, void* common);

struct TicketKey {
  std::array<unsigned char, 16> name;
  std::array<unsigned char, 32> hmac, aes;
};

struct ServerContext::Material : Common {
  struct Served {
    Leaf leaf;
    CtxPtr ctx;
  };
  std::vector<Served> served;                 // the first is where every connection begins
  std::map<std::string, std::vector<size_t>, std::less<>> by_name;  // "example.test", ".example.test" for a wildcard; at most one of each kind
  bool full_scan = false, has_rsa = false, own_records = true;
  OcspPolicy ocsp = OcspPolicy::kLenient;
  std::vector<TicketKey> ticket_keys;
};

struct ClientContext::Material : Common {
  CtxPtr ctx;
  std::string server_name;
  size_t max_sessions = 1;
  struct Known {
    std::string server_name, verify_name;
    SslSessionPtr session;
  };
  // Takes one that may be resumed with a server of that name, and whose certificate was verified for the other (a resumption shows none);
  // of TLS 1.3 each serves once.
  SslSessionPtr take_session(const std::string& server_name, const std::string& verify_name) const;
  void keep_session(std::string server_name, std::string verify_name, SslSessionPtr session) const;
  mutable std::mutex mutex;
  mutable std::deque<Known> sessions;  // newest first
};

// Called by OpenSSL with each ClientHello: chooses the certificate. The context's Material is `arg`.
int choose_certificate(SSL* ssl, int* alert, void* arg);
// For SSL_CTX_set_tlsext_ticket_key_evp_cb.
int crypt_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt);

}  // namespace fairlead::tls
