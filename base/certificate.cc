// See certificate.h.
#include "base/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "absl/strings/str_cat.h"

namespace fairlead {

namespace {

constexpr std::chrono::hours kClocksDiffer{24};  // by no more than that, those of replicas and proxies

template <auto F>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    F(p);
  }
};
using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;

absl::Status failed(std::string_view what) {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return absl::InvalidArgumentError(reason ? absl::StrCat(what, ": ", reason) : std::string(what));
}

BioPtr memory(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

X509Ptr read_certificate(std::string_view pem) { return X509Ptr(PEM_read_bio_X509(memory(pem).get(), nullptr, nullptr, nullptr)); }
// Never asks for a password.
KeyPtr read_key(std::string_view pem) {
  return KeyPtr(PEM_read_bio_PrivateKey(memory(pem).get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

SystemTime time_of(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return {};
  // "never" is written as the year 9999, which our clock's nanoseconds do not reach
  return std::chrono::system_clock::from_time_t(std::min(timegm(&fields), std::chrono::system_clock::to_time_t(SystemTime::max())));
}

bool add_extension(X509* to, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(to, extension.get(), -1) == 1;
}

bool has_uri(X509* certificate, std::string_view uri) {
  const std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>> names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
    if (uri == std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<size_t>(ASN1_STRING_length(text)))) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<IssuedCertificate> issue_client_certificate(std::string_view authority, std::string_view authority_key, const std::string& uri, SystemTime now, std::chrono::seconds lifetime) {
  const X509Ptr issuer = read_certificate(authority);
  if (!issuer) return failed("the authority's certificate cannot be read");
  const KeyPtr issuer_key = read_key(authority_key);
  if (!issuer_key) return failed("the authority's key cannot be read");
  if (X509_check_private_key(issuer.get(), issuer_key.get()) != 1) return failed("the authority's key is not that of its certificate");
  if (X509_check_ca(issuer.get()) == 0) return absl::InvalidArgumentError("the authority's certificate is not one of an authority");
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr made(X509_new());
  if (!key || !made) return failed("no key could be made");
  const SystemTime end = std::min(now + lifetime, time_of(X509_get0_notAfter(issuer.get())));
  // Clocks that are behind ours by hours must not take it for one from the future. A share of its life at most: when it is to be renewed is reckoned from its beginning.
  const SystemTime begin = now - std::min<SystemTime::duration>(kClocksDiffer, std::max<SystemTime::duration>(end - now, {}) / 4);
  const time_t from = std::chrono::system_clock::to_time_t(begin), until = std::chrono::system_clock::to_time_t(end);
  bool good = X509_set_version(made.get(), 2) == 1;
  const std::unique_ptr<BIGNUM, Free<BN_free>> serial(BN_new());
  good = good && serial && BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 && BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made.get())) != nullptr;
  good = good && ASN1_TIME_set(X509_getm_notBefore(made.get()), from) != nullptr && ASN1_TIME_set(X509_getm_notAfter(made.get()), until) != nullptr;
  good = good && X509_set_pubkey(made.get(), key.get()) == 1 && X509_set_issuer_name(made.get(), X509_get_subject_name(issuer.get())) == 1;
  const std::pair<int, std::string> extensions[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                                    {NID_key_usage, "critical,digitalSignature"},
                                                    {NID_ext_key_usage, "clientAuth"},
                                                    {NID_subject_alt_name, absl::StrCat("critical,URI:", uri)}};  // critical, since there is no subject (RFC 5280, 4.1.2.6)
  for (const auto& [nid, value] : extensions) good = good && add_extension(made.get(), issuer.get(), nid, value);
  if (!good || X509_sign(made.get(), issuer_key.get(), EVP_sha256()) == 0) return failed("no certificate could be made");
  const BioPtr certificate_pem(BIO_new(BIO_s_mem())), key_pem(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_pem.get(), made.get()) != 1 || PEM_write_bio_PKCS8PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return failed("the certificate could not be written");
  }
  return IssuedCertificate{text_of(certificate_pem.get()), text_of(key_pem.get())};
}

absl::StatusOr<Validity> validity_of(std::string_view certificate, std::string_view key, std::string_view authority, std::string_view uri) {
  const X509Ptr leaf = read_certificate(certificate), issuer = read_certificate(authority);
  const KeyPtr own = read_key(key);
  if (!leaf || !issuer || !own) return failed("a certificate or key that cannot be read");
  if (X509_check_private_key(leaf.get(), own.get()) != 1) return failed("the key is not that of the certificate");
  if (X509_verify(leaf.get(), X509_get0_pubkey(issuer.get())) != 1) return failed("another authority has signed it");
  if (!has_uri(leaf.get(), uri)) return absl::InvalidArgumentError(absl::StrCat("it is not for ", uri));
  return Validity{time_of(X509_get0_notBefore(leaf.get())), time_of(X509_get0_notAfter(leaf.get()))};
}

}  // namespace fairlead
