// Keys and tokens made while a test runs: a signer of each kind, the set of public keys it is in, and what it signs, right or wrong.
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <vector>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace fairlead::test {

inline std::string base64url(std::string_view bytes) {
  std::string out;
  absl::WebSafeBase64Escape(bytes, &out);
  return out.substr(0, out.find('='));
}

class Signer {
 public:
  // "RS256", "ES256", "EdDSA"; others of their kind of key: "RS1024", "ES384".
  explicit Signer(std::string algorithm = "ES256", std::string id = "k1") : algorithm_(std::move(algorithm)), id_(std::move(id)) {
    EVP_PKEY* key = algorithm_ == "RS256"    ? EVP_RSA_gen(2048)
                    : algorithm_ == "RS1024" ? EVP_RSA_gen(1024)
                    : algorithm_ == "ES256"  ? EVP_EC_gen("P-256")
                    : algorithm_ == "ES384"  ? EVP_EC_gen("P-384")
                                             : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    key_ = {key, EVP_PKEY_free};
  }

  const std::string& id() const { return id_; }
  // One key of a set; `more` is put into it: `,"use":"sig"`.
  std::string jwk(const std::string& more = "") const {
    const std::string id = id_.empty() ? "" : absl::StrCat(",\"kid\":\"", id_, "\"");
    if (algorithm_[0] == 'R') return absl::StrCat(R"({"kty":"RSA","n":")", number("n"), R"(","e":")", number("e"), "\"", id, more, "}");
    if (algorithm_[0] == 'E' && algorithm_[1] == 'S') {
      return absl::StrCat(R"({"kty":"EC","crv":")", algorithm_ == "ES256" ? "P-256" : "P-384", R"(","x":")", number("qx"), R"(","y":")", number("qy"), "\"", id, more, "}");
    }
    unsigned char raw[32];
    size_t size = sizeof raw;
    EVP_PKEY_get_raw_public_key(key_.get(), raw, &size);
    return absl::StrCat(R"({"kty":"OKP","crv":"Ed25519","x":")", base64url({reinterpret_cast<char*>(raw), size}), "\"", id, more, "}");
  }

  std::string header() const { return absl::StrCat(R"({"alg":")", algorithm_, R"(","typ":"JWT")", id_.empty() ? "" : absl::StrCat(",\"kid\":\"", id_, "\""), "}"); }
  std::string token(const std::string& claims) const { return token(header(), claims); }
  std::string token(const std::string& header, const std::string& claims) const {
    const std::string text = absl::StrCat(base64url(header), ".", base64url(claims));
    return absl::StrCat(text, ".", base64url(sign(text)));
  }
  std::string sign(const std::string& text) const {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_DigestSignInit(context.get(), nullptr, algorithm_ == "EdDSA" ? nullptr : EVP_sha256(), nullptr, key_.get());
    size_t size = 0;
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
    std::string out(size, '\0');
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes, text.size());
    out.resize(size);
    if (algorithm_ != "ES256") return out;
    const auto* der = reinterpret_cast<const unsigned char*>(out.data());
    std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> both(d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(out.size())), ECDSA_SIG_free);
    std::string raw(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(both.get()), reinterpret_cast<unsigned char*>(raw.data()), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(both.get()), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
    return raw;
  }

 private:
  std::string number(const char* name) const {
    BIGNUM* n = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &n);
    const int fixed = name[0] == 'q' ? (algorithm_ == "ES256" ? 32 : 48) : BN_num_bytes(n);
    std::string out(static_cast<size_t>(fixed), '\0');
    BN_bn2binpad(n, reinterpret_cast<unsigned char*>(out.data()), fixed);
    BN_free(n);
    return base64url(out);
  }
  std::string algorithm_, id_;
  std::shared_ptr<EVP_PKEY> key_;
};

inline std::string jwks(const std::vector<std::string>& keys) { return absl::StrCat("{\"keys\":[", absl::StrJoin(keys, ",\n"), "]}"); }

// What Kubernetes writes into a token for an audience, as of `now` and for an hour.
inline std::string pod_claims(int64_t now, const std::string& ns = "prod", const std::string& account = "edge", const std::string& pod = "edge-7f9c-x") {
  return absl::StrCat(R"({"aud":["fairlead"],"exp":)", now + 3600, R"(,"iat":)", now, R"(,"iss":"https://kubernetes.default.svc","jti":"1",)",
                      R"("kubernetes.io":{"namespace":")", ns, R"(","node":{"name":"n","uid":"u"},"pod":{"name":")", pod, R"(","uid":"u"},"serviceaccount":{"name":")", account,
                      R"(","uid":"u"}},"nbf":)", now, R"(,"sub":"system:serviceaccount:)", ns, ":", account, R"("})");
}

}  // namespace fairlead::test
