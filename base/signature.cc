// See signature.h.
#include "base/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <string>

namespace fairlead {
namespace {

template <typename T, void (*kFree)(T*)>
struct Freed {
  void operator()(T* it) const { kFree(it); }
};
template <typename T, void (*kFree)(T*)>
using Owned = std::unique_ptr<T, Freed<T, kFree>>;
using Number = Owned<BIGNUM, BN_free>;
using Context = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Builder = Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Parameters = Owned<OSSL_PARAM, OSSL_PARAM_free>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Number number(std::string_view bytes) { return Number(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr)); }

// Null: no such key. What went wrong on the way is not left in the thread's queue for others to find.
EVP_PKEY* make(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  const bool made = parameters && context && EVP_PKEY_fromdata_init(context.get()) == 1 && EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) == 1;
  ERR_clear_error();
  return made ? key : nullptr;
}

}  // namespace

PublicKey::PublicKey(Kind kind, evp_pkey_st* key) : kind_(kind), key_(key, EVP_PKEY_free) {}

absl::StatusOr<PublicKey> PublicKey::rsa(std::string_view modulus, std::string_view exponent) {
  if (modulus.size() > 1100 || exponent.size() > 8) return absl::InvalidArgumentError("an RSA key of more than 8192 bits, or with a longer exponent than anybody uses");
  const Number n = number(modulus), e = number(exponent);
  if (!n || !e || BN_num_bits(n.get()) < 2048 || BN_num_bits(n.get()) > 8192) return absl::InvalidArgumentError("an RSA key must have 2048 to 8192 bits");
  if (!BN_is_odd(n.get()) || !BN_is_odd(e.get()) || BN_is_one(e.get())) return absl::InvalidArgumentError("not an RSA key");
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return absl::ResourceExhaustedError("no memory for a key");
  }
  EVP_PKEY* key = make("RSA", builder.get());
  if (key == nullptr) return absl::InvalidArgumentError("not an RSA key");
  return PublicKey(Kind::kRsa, key);
}

absl::StatusOr<PublicKey> PublicKey::p256(std::string_view x, std::string_view y) {
  if (x.size() != 32 || y.size() != 32) return absl::InvalidArgumentError("the coordinates of a P-256 key have 32 bytes each");
  std::string point = "\x04";
  point.append(x).append(y);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return absl::ResourceExhaustedError("no memory for a key");
  }
  EVP_PKEY* key = make("EC", builder.get());
  if (key == nullptr) return absl::InvalidArgumentError("not a point on P-256");
  PublicKey out(Kind::kP256, key);
  const Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  const bool good = context && EVP_PKEY_public_check(context.get()) == 1;
  ERR_clear_error();
  if (!good) return absl::InvalidArgumentError("not a point on P-256");
  return out;
}

absl::StatusOr<PublicKey> PublicKey::ed25519(std::string_view x) {
  if (x.size() != 32) return absl::InvalidArgumentError("an Ed25519 key has 32 bytes");
  EVP_PKEY* key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(x), x.size());
  ERR_clear_error();
  if (key == nullptr) return absl::InvalidArgumentError("not an Ed25519 key");
  return PublicKey(Kind::kEd25519, key);
}

bool PublicKey::verifies(std::string_view message, std::string_view signature) const {
  std::string der;
  if (kind_ == Kind::kP256) {
    if (signature.size() != 64) return false;
    const Owned<ECDSA_SIG, ECDSA_SIG_free> both(ECDSA_SIG_new());
    Number r = number(signature.substr(0, 32)), s = number(signature.substr(32));
    if (!both || !r || !s || ECDSA_SIG_set0(both.get(), r.get(), s.get()) != 1) return false;
    (void)r.release();  // theirs now
    (void)s.release();
    unsigned char* encoded = nullptr;
    const int size = i2d_ECDSA_SIG(both.get(), &encoded);
    if (size <= 0) return false;
    der.assign(reinterpret_cast<const char*>(encoded), static_cast<size_t>(size));
    OPENSSL_free(encoded);
    signature = der;
  }
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  const bool good = context && EVP_DigestVerifyInit(context.get(), nullptr, kind_ == Kind::kEd25519 ? nullptr : EVP_sha256(), nullptr, key_.get()) == 1 &&
                    EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace fairlead
