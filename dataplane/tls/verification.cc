// Judging the chain a peer shows; see material.h and verification.h. On the connection's worker.
#include "dataplane/tls/verification.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "dataplane/tls/material.h"
#include "dataplane/tls/session.h"

namespace fairlead::tls {
namespace {

std::string sha256_of(std::string_view bytes) {
  unsigned char digest[32];
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<char*>(digest), size};
}

bool one_of(const std::vector<std::string>& pins, const std::string& value) {
  for (const std::string& pin : pins) {
    if (pin == value) return true;
  }
  return false;
}

bool pinned(const Verification& wanted, X509* certificate) {
  if (!wanted.hash_pins.empty()) {
    unsigned char digest[32];
    unsigned int size = 0;
    X509_digest(certificate, EVP_sha256(), digest, &size);
    if (one_of(wanted.hash_pins, std::string(reinterpret_cast<char*>(digest), size))) return true;
  }
  if (wanted.spki_pins.empty()) return false;
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return false;
  const std::string hash = sha256_of({reinterpret_cast<char*>(der), static_cast<size_t>(size)});
  OPENSSL_free(der);
  return one_of(wanted.spki_pins, hash);
}

std::string list_of(const std::vector<San>& names) {
  std::string text;
  for (const San& san : names) absl::StrAppend(&text, text.empty() ? "" : ", ", san.value);
  return text;
}

// Whether the chain leads to what is trusted; the reason is in `store` when not.
bool trusted(X509_STORE_CTX* store, const Verification& wanted) {
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(store);
  X509_VERIFY_PARAM_set_depth(parameters, wanted.max_depth);
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;  // Envoy 1.40
  if (wanted.allow_expired) flags |= X509_V_FLAG_NO_CHECK_TIME;
  X509_VERIFY_PARAM_set_flags(parameters, flags);
  return X509_verify_cert(store) == 1;
}

}  // namespace

bool dns_covers(std::string_view pattern, std::string_view name) {
  if (absl::EqualsIgnoreCase(pattern, name)) return true;
  if (!absl::StartsWith(pattern, "*.") || pattern.size() < 3) return false;
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && dot != 0 && absl::EqualsIgnoreCase(pattern.substr(1), name.substr(dot));
}

bool names_cover(const std::vector<San>& names, std::string_view name) {
  for (const San& san : names) {
    if (san.type == San::Type::kDns ? dns_covers(san.value, name) : san.type != San::Type::kOther && san.value == name) return true;
  }
  return false;
}

int verify_peer(X509_STORE_CTX* store, void* arg) {
  const Common& common = *static_cast<const Common*>(arg);
  SSL* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  Session& session = Session::of(ssl);
  X509* certificate = X509_STORE_CTX_get0_cert(store);
  if (!common.verification) return 1;
  const Verification& wanted = *common.verification;
  bool verified = false;
  if (common.trusted) {
    verified = trusted(store, wanted);
    if (!verified && !wanted.accept_untrusted) {
      session.verification_failed(Count::kFailVerifyError,
                                  absl::StrCat("verify cert failed: X509_verify_cert: certificate verification error at depth ", X509_STORE_CTX_get_error_depth(store), ": ",
                                               X509_verify_cert_error_string(X509_STORE_CTX_get_error(store))));
      return 0;
    }
  }
  const bool any_name = wanted.match_names != nullptr || !session.names_to_verify().empty();
  if (any_name) {
    const std::vector<San> names = names_of(certificate);
    const std::string& name = session.names_to_verify();
    const bool covered = name.empty() || names_cover(names, name);
    if (!covered || (wanted.match_names && !wanted.match_names(names))) {
      X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
      const std::string expected = !covered && session.verifies_for_request() ? absl::StrCat("verify SAN list, expected SANs: [", name, "], certificate SANs: [") : "SAN matcher, certificate SANs are [";
      session.verification_failed(Count::kFailVerifySan, absl::StrCat("verify cert failed: ", expected, list_of(names), "]"));
      return 0;
    }
  }
  const bool any_pin = !wanted.hash_pins.empty() || !wanted.spki_pins.empty();
  if (any_pin && !pinned(wanted, certificate)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    session.verification_failed(Count::kFailVerifyCertHash, "verify cert failed: cert hash and spki");
    return 0;
  }
  if (verified || ((any_name || any_pin) && !common.trusted)) session.peer_verified();
  // A chain that is taken though it does not verify must not leave its error behind.
  if (!verified) X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

}  // namespace fairlead::tls
