// Own certificates: read, checked against their keys, handed to OpenSSL, with their OCSP staples. Main thread. See material.h.
#include <absl/strings/str_cat.h>

#include <cstring>
#include <ctime>

#include "base/status.h"
#include "dataplane/tls/material.h"

namespace fairlead::tls {
namespace {

int give_password(char* into, int size, int, void* arg) {
  const auto& password = *static_cast<const std::string*>(arg);
  if (password.empty() || static_cast<int>(password.size()) > size) return -1;
  std::memcpy(into, password.data(), password.size());
  return static_cast<int>(password.size());
}

absl::Status read_chain(const KeyPair& pair, Leaf& leaf) {
  BioPtr in = bio_over(pair.chain);
  leaf.certificate.reset(PEM_read_bio_X509_AUX(in.get(), nullptr, nullptr, nullptr));
  if (!leaf.certificate) return absl::InvalidArgumentError(absl::StrCat("Failed to load certificate chain from ", pair.place, ": ", take_cause()));
  leaf.chain.reset(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) sk_X509_push(leaf.chain.get(), next);
  // Running into the end of the text is how it ends.
  const unsigned long error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (error != 0 && !at_end) return absl::InvalidArgumentError(absl::StrCat("Failed to load certificate chain from ", pair.place, ": ", take_cause()));
  ERR_clear_error();
  return absl::OkStatus();
}

absl::Status read_pkcs12(const KeyPair& pair, Leaf& leaf) {
  const auto* at = reinterpret_cast<const unsigned char*>(pair.pkcs12.data());
  std::unique_ptr<PKCS12, Freer<PKCS12_free>> p12(d2i_PKCS12(nullptr, &at, static_cast<long>(pair.pkcs12.size())));
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  STACK_OF(X509)* chain = nullptr;
  const bool read = p12 && PKCS12_parse(p12.get(), pair.password.c_str(), &key, &certificate, &chain) == 1;
  leaf.key.reset(key);
  leaf.certificate.reset(certificate);
  leaf.chain.reset(chain);
  if (!read || key == nullptr || certificate == nullptr) return absl::InvalidArgumentError(absl::StrCat("Failed to load pkcs12 from ", pair.place, ": ", take_cause()));
  ERR_clear_error();
  return absl::OkStatus();
}

absl::Status check_key(const KeyPair& pair, Leaf& leaf) {
  EVP_PKEY* key = X509_get0_pubkey(leaf.certificate.get());
  if (key == nullptr) return absl::InvalidArgumentError(absl::StrCat("Failed to load certificate chain from ", pair.place, ", its public key is not readable: ", take_cause()));
  switch (EVP_PKEY_base_id(key)) {
    case EVP_PKEY_RSA:
      if (EVP_PKEY_bits(key) < 2048) {  // Envoy 1.40
        return absl::InvalidArgumentError(absl::StrCat("Failed to load certificate chain from ", pair.place, ", only RSA certificates with 2048-bit or larger keys are supported"));
      }
      break;
    case EVP_PKEY_EC: {
      char name[64] = "";
      EVP_PKEY_get_group_name(key, name, sizeof name, nullptr);
      leaf.curve = OBJ_txt2nid(name);
      if (leaf.curve != NID_X9_62_prime256v1 && leaf.curve != NID_secp384r1 && leaf.curve != NID_secp521r1) {
        return absl::InvalidArgumentError(absl::StrCat("Failed to load certificate chain from ", pair.place, ", only P-256, P-384 or P-521 ECDSA certificates are supported"));
      }
      break;
    }
    default: break;
  }
  return absl::OkStatus();
}

bool asks_for_staples(const X509* certificate) {
  auto* feature = static_cast<TLS_FEATURE*>(X509_get_ext_d2i(certificate, NID_tlsfeature, nullptr, nullptr));
  bool asks = false;
  for (int i = 0; i < sk_ASN1_INTEGER_num(feature); ++i) asks |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(feature, i)) == TLSEXT_TYPE_status_request;
  if (feature != nullptr) TLS_FEATURE_free(feature);
  ERR_clear_error();
  return asks;
}

}  // namespace

absl::StatusOr<Leaf> load_leaf(const KeyPair& pair) {
  Leaf leaf;
  leaf.place = pair.place;
  ERR_clear_error();
  if (!pair.pkcs12.empty()) {
    FL_RETURN_IF_ERROR(read_pkcs12(pair, leaf));
  } else {
    if (pair.chain.empty()) return absl::InvalidArgumentError(absl::StrCat("Failed to load incomplete certificate from ", pair.place, ": certificate chain not set"));
    if (pair.key.empty()) return absl::InvalidArgumentError(absl::StrCat("Failed to load incomplete certificate from ", pair.place, ": private key not set"));
    FL_RETURN_IF_ERROR(read_chain(pair, leaf));
    BioPtr in = bio_over(pair.key);
    leaf.key.reset(PEM_read_bio_PrivateKey(in.get(), nullptr, give_password, const_cast<std::string*>(&pair.password)));
    if (!leaf.key) return absl::InvalidArgumentError(absl::StrCat("Failed to load private key from ", pair.key_place, ", Cause: ", take_cause()));
  }
  FL_RETURN_IF_ERROR(check_key(pair, leaf));
  if (X509_check_private_key(leaf.certificate.get(), leaf.key.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("Failed to load private key from ", pair.key_place, ", Cause: it does not belong to the certificate in ", pair.place, " (", take_cause(), ")"));
  }
  ERR_clear_error();
  return leaf;
}

absl::Status use_leaf(SSL_CTX* ctx, const Leaf& leaf, const std::string& place) {
  if (SSL_CTX_use_cert_and_key(ctx, leaf.certificate.get(), leaf.key.get(), leaf.chain.get(), 1) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("Failed to load certificate chain from ", place, ": ", take_cause()));
  }
  return absl::OkStatus();
}

absl::Status load_staple(const KeyPair& pair, OcspPolicy policy, Leaf& leaf) {
  leaf.must_staple = asks_for_staples(leaf.certificate.get());
  if (pair.ocsp_staple.empty()) {
    if (policy == OcspPolicy::kMustStaple) return absl::InvalidArgumentError("Required OCSP response is missing from TLS context");
    return absl::OkStatus();
  }
  const auto* at = reinterpret_cast<const unsigned char*>(pair.ocsp_staple.data());
  std::unique_ptr<OCSP_RESPONSE, Freer<OCSP_RESPONSE_free>> response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(pair.ocsp_staple.size())));
  if (!response) return absl::InvalidArgumentError(absl::StrCat("OCSP response of ", pair.place, " is not readable: ", take_cause()));
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return absl::InvalidArgumentError("OCSP response was unsuccessful");
  std::unique_ptr<OCSP_BASICRESP, Freer<OCSP_BASICRESP_free>> basic(OCSP_response_get1_basic(response.get()));
  if (!basic || OCSP_resp_count(basic.get()) != 1) return absl::InvalidArgumentError("OCSP Response must be for one certificate only");
  OCSP_SINGLERESP* single = OCSP_resp_get0(basic.get(), 0);
  ASN1_INTEGER* serial = nullptr;
  OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
  if (serial == nullptr || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf.certificate.get())) != 0) {
    return absl::InvalidArgumentError("OCSP response does not match its TLS certificate");
  }
  ASN1_GENERALIZEDTIME* next = nullptr;
  OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next);
  std::tm parts{};
  leaf.ocsp_expires = next != nullptr && ASN1_TIME_to_tm(next, &parts) == 1 ? timegm(&parts) : 0;
  if (policy == OcspPolicy::kMustStaple && leaf.ocsp_expires <= std::time(nullptr)) return absl::InvalidArgumentError("OCSP response has expired");
  leaf.ocsp = pair.ocsp_staple;
  ERR_clear_error();
  return absl::OkStatus();
}

}  // namespace fairlead::tls
