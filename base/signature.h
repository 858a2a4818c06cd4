// Public keys by their numbers, as JSON Web Keys give them, and what was signed with their other halves. Immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include <absl/status/statusor.h>

struct evp_pkey_st;

namespace fairlead {

class PublicKey {
 public:
  enum class Kind : uint8_t { kRsa, kP256, kEd25519 };
  // Numbers big-endian. InvalidArgument: not such a key, an RSA key of fewer than 2,048 or more than 8,192 bits, a point that is not on the curve.
  static absl::StatusOr<PublicKey> rsa(std::string_view modulus, std::string_view exponent);
  static absl::StatusOr<PublicKey> p256(std::string_view x, std::string_view y);
  static absl::StatusOr<PublicKey> ed25519(std::string_view x);

  Kind kind() const { return kind_; }
  // RSA: PKCS #1 v1.5 over SHA-256; P-256: ECDSA over SHA-256, as r and s of 32 bytes each; Ed25519. JOSE's RS256, ES256 and EdDSA.
  bool verifies(std::string_view message, std::string_view signature) const;

 private:
  PublicKey(Kind kind, evp_pkey_st* key);
  Kind kind_;
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace fairlead
