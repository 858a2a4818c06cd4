// What a TLS endpoint is to do, as plain values: bytes, names and numbers, no files and no messages. Read once, when a context is made.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::net {
class Address;
}

namespace fairlead::tls {

enum class Version : uint16_t { kTls10 = 0x0301, kTls11 = 0x0302, kTls12 = 0x0303, kTls13 = 0x0304 };

// One of a certificate's subject alternative names. IP addresses as text ("10.0.0.1", "::1"); of other names the string inside.
struct San {
  enum class Type : uint8_t { kDns, kUri, kEmail, kIp, kOther };
  Type type = Type::kDns;
  std::string value;
  std::string oid;  // kOther: "1.3.6.1.4.1.311.20.2.3"
};

// Own certificates. Either `chain` and `key`, or `pkcs12`.
struct KeyPair {
  std::string chain;     // PEM: the certificate, then those that issued it
  std::string key;       // PEM
  std::string password;  // of the key or of `pkcs12`
  std::string pkcs12;    // DER
  std::string ocsp_staple;  // DER; empty: none
  std::string place = "<inline>";  // where the chain came from, for errors and /certs
  std::string key_place = "<inline>";
  std::string name;  // of the secret that it came as; empty: none
};

struct Verification {
  std::string trusted_ca;  // PEM bundle; empty: chains are not verified
  std::string trusted_ca_place = "<inline>";
  std::string name;        // of the secret that it came as; empty: none
  std::string crl;         // PEM
  bool only_leaf_crl = false;
  int max_depth = 100;     // Envoy 1.40: 100
  bool allow_expired = false;
  bool accept_untrusted = false;  // a chain that does not verify is noted, nothing more
  // Whether a certificate with these names will do; null: any. `matcher_identity` is the same for matchers that mean the same: sessions
  // are resumed only between contexts that ask the same of a peer.
  std::function<bool(const std::vector<San>&)> match_names;
  std::string matcher_identity;
  std::vector<std::string> spki_pins;  // SHA-256 of the public key's DER, 32 bytes each
  std::vector<std::string> hash_pins;  // SHA-256 of the certificate, 32 bytes each. One hit in either list is enough
};

struct Parameters {
  std::optional<Version> min, max;
  std::vector<std::string> ciphers;     // of TLS 1.2 and before, most wanted first; "[A|B]": the peer's choice. Empty: Envoy's
  std::vector<std::string> curves;      // "X25519", "P-256"; empty: Envoy's
  std::vector<std::string> signature_algorithms;  // "ecdsa_secp256r1_sha256"; empty: OpenSSL's
};

// Secrets of connections, appended to a file in the format of NSS.
struct KeyLog {
  std::string path;  // empty: none
  std::function<bool(const net::Address& local, const net::Address& remote)> wanted;  // null: all
};

struct CommonOptions {
  Parameters parameters;
  std::optional<Verification> verification;
  std::vector<std::string> alpn;
  KeyLog key_log;
};

enum class OcspPolicy : uint8_t { kLenient, kStrict, kMustStaple };

struct ServerOptions : CommonOptions {
  std::vector<KeyPair> certificates;
  bool full_scan_on_sni_mismatch = false;  // Envoy 1.40: false, the first certificate then
  bool require_client_certificate = false;
  bool send_trusted_names = true;          // which authorities clients may choose a certificate of
  std::vector<std::string> ticket_keys;    // 80 bytes each, the first encrypts; empty: one of the process's own
  bool tickets = true;
  bool session_cache = true;               // TLS 1.2 and before
  std::optional<std::chrono::seconds> session_timeout;
  OcspPolicy ocsp = OcspPolicy::kLenient;
  bool prefer_client_ciphers = false;
  bool own_records = true;                 // after a handshake of TLS 1.3 without OpenSSL's SSL (own_records.h)
};

struct ClientOptions : CommonOptions {
  std::optional<KeyPair> certificate;
  std::string server_name;         // SNI where a connection has none of its own
  uint32_t max_sessions = 1;       // Envoy 1.40: 1, UpstreamTlsContext.max_session_keys
};

}  // namespace fairlead::tls
