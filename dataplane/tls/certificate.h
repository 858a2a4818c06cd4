// Certificates: what logs, headers and /certs tell of one, and reading them from bytes. Values; any thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/tls/options.h"

struct x509_st;
struct evp_pkey_st;

namespace fairlead::tls {

struct CertificateFacts {
  std::string subject, issuer;  // RFC 2253: "CN=a,O=b"
  std::string common_name;
  std::string serial;           // lower case hex
  std::string sha256, sha1;     // lower case hex, of the whole certificate
  std::string pem;
  std::chrono::system_clock::time_point not_before, not_after;
  std::vector<San> names;
};
CertificateFacts facts_of(const x509_st* certificate);

// What logs and headers tell of a connection whose handshake is done.
struct ConnectionFacts {
  std::string version, cipher, curve;  // "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519"
  std::string session_id;              // lower case hex; empty: TLS 1.3
  std::string server_name, alpn;
  bool presented = false, validated = false;    // the peer's certificate
  std::optional<CertificateFacts> peer;          // where there is one
  std::shared_ptr<const CertificateFacts> local;  // the context's; null: none
  std::vector<CertificateFacts> chain;          // of the peer, its own certificate first
};
std::vector<San> names_of(const x509_st* certificate);

// A PEM text as header values carry it: "-----BEGIN%20CERTIFICATE-----%0A…".
std::string url_encoded(std::string_view pem);

// The certificates of a PEM text, in order. Errors: nothing readable there.
absl::StatusOr<std::vector<CertificateFacts>> read_certificates(const std::string& pem);

}  // namespace fairlead::tls
