// JSON Web Tokens of clients: signed by a key of a set (JWKS), by the issuer and for an audience that are expected, at their time. What a token says
// of its bearer becomes names, as those of a certificate, so that the same rules (authorization.h) are for both:
//   sub system:serviceaccount:NS:NAME  -> spiffe://TRUST_DOMAIN/ns/NS/sa/NAME and, of a pod's, …/sa/NAME/pod/POD
//   sub spiffe://TRUST_DOMAIN/…        -> itself; of another trust domain the token is refused
//   any other sub                      -> jwt:SUB
// Strict: RS256, ES256 and EdDSA alone, each with a key of its own kind; base64url without padding or stray bits; no JSON key twice; no critical
// extension. Whatever a token brings along of keys is not looked at. No error holds any part of a token, or of its claims before its signature fits.
// An immutable value; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/clock.h"
#include "base/doc.h"
#include "base/signature.h"

namespace fairlead::serve {

class TokenVerifier {
 public:
  struct Policy {
    std::string issuer;
    std::vector<std::string> audiences;  // a token is for one of them at least
    std::string trust_domain = "cluster.local";  // Istio's default
    std::chrono::seconds leeway{30};     // of others' clocks
  };
  static constexpr size_t kMostBytes = 8 << 10;  // of a token; Kubernetes' have about one KiB

  // Keys of kinds that are not served are passed over; none that is: an error. Errors name the file and the key.
  static absl::StatusOr<TokenVerifier> parse(std::string_view jwks, const std::string& file, Policy policy);
  size_t keys() const { return keys_.size(); }

  // The names of the bearer. Unauthenticated says why not.
  absl::StatusOr<std::vector<std::string>> check(std::string_view token, SystemTime now) const;
  // The second half of it: claims of a token whose signature fits.
  absl::StatusOr<std::vector<std::string>> check_claims(std::string_view json, SystemTime now) const;

 private:
  struct Key {
    std::string id;  // "": none
    PublicKey key;
  };
  absl::Status verify(std::string_view header, std::string_view text, std::string_view signature) const;
  absl::StatusOr<std::vector<std::string>> names_of(const doc::Value& claims) const;

  std::vector<Key> keys_;
  Policy policy_;
};

// Without padding, and of each value there is one text alone. False: not such a text.
bool decode_base64url(std::string_view text, std::string& out);

}  // namespace fairlead::serve
