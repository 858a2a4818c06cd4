// Keys and certificates made while a test runs: an authority, what it has signed, and lists of what it has revoked.
#pragma once

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace fairlead::test {

struct MadeCertificate {
  std::string chain, key;  // PEM
  std::shared_ptr<X509> x509;
  std::shared_ptr<EVP_PKEY> pkey;
};

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

inline std::shared_ptr<EVP_PKEY> make_key(const std::string& kind) {
  EVP_PKEY* key = kind == "rsa" ? EVP_RSA_gen(2048) : EVP_EC_gen(kind == "ec384" ? "P-384" : "P-256");
  return {key, EVP_PKEY_free};
}

inline std::string pem_of(X509* certificate) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  return text_of(out);
}

class Authority {
 public:
  explicit Authority(const std::string& name = "Test CA") : ca_(sign(name, "", "ec", 0, 3600 * 24, nullptr, true)) {}

  struct Wish {
    std::string names;      // "DNS:a.test,URI:spiffe://a"; empty: none
    std::string kind = "ec";  // "rsa", "ec384"
    long valid_from = -3600, valid_for = 3600 * 24;
    std::string password;
  };
  MadeCertificate issue(const std::string& common_name, const Wish& wish) const { return sign(common_name, wish.names, wish.kind, wish.valid_from, wish.valid_for, &ca_, false, wish.password); }
  MadeCertificate issue(const std::string& common_name, const std::string& names = "", const std::string& kind = "ec") const { return issue(common_name, Wish{names, kind}); }
  const std::string& pem() const { return ca_.chain; }
  const MadeCertificate& self() const { return ca_; }

  std::string revoke(const MadeCertificate& certificate) const {
    X509_CRL* crl = X509_CRL_new();
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca_.x509.get()));
    ASN1_TIME* time = X509_gmtime_adj(nullptr, -60);
    X509_CRL_set1_lastUpdate(crl, time);
    X509_gmtime_adj(time, 3600);
    X509_CRL_set1_nextUpdate(crl, time);
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate.x509.get()));
    X509_gmtime_adj(time, -30);
    X509_REVOKED_set_revocationDate(revoked, time);
    X509_CRL_add0_revoked(crl, revoked);
    X509_CRL_sign(crl, ca_.pkey.get(), EVP_sha256());
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_CRL(out, crl);
    ASN1_TIME_free(time);
    X509_CRL_free(crl);
    return text_of(out);
  }

 private:
  static MadeCertificate sign(const std::string& common_name, const std::string& names, const std::string& kind, long from, long lasts, const MadeCertificate* issuer, bool ca,
                              const std::string& password = "") {
    static long serial = 1000;
    MadeCertificate made;
    made.pkey = make_key(kind);
    made.x509 = {X509_new(), X509_free};
    X509* x = made.x509.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), lasts);
    X509_set_pubkey(x, made.pkey.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Test"), -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509* parent = issuer != nullptr ? issuer->x509.get() : x;
    X509_set_issuer_name(x, X509_get_subject_name(parent));
    X509V3_CTX context;
    X509V3_set_ctx(&context, parent, x, nullptr, nullptr, 0);
    const auto add = [&](int nid, const std::string& value) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
      if (extension == nullptr) throw std::runtime_error("extension " + value);
      X509_add_ext(x, extension, -1);
      X509_EXTENSION_free(extension);
    };
    if (ca) {
      add(NID_basic_constraints, "critical,CA:TRUE");
      add(NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    add(NID_subject_key_identifier, "hash");
    if (!names.empty()) add(NID_subject_alt_name, names);
    X509_sign(x, issuer != nullptr ? issuer->pkey.get() : made.pkey.get(), EVP_sha256());
    made.chain = pem_of(x);
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(out, made.pkey.get(), password.empty() ? nullptr : EVP_aes_128_cbc(), nullptr, 0, nullptr, password.empty() ? nullptr : const_cast<char*>(password.c_str()));
    made.key = text_of(out);
    ERR_clear_error();
    return made;
  }
  MadeCertificate ca_;
};

inline std::string pkcs12_of(const MadeCertificate& certificate, const std::string& password) {
  PKCS12* p12 = PKCS12_create(password.c_str(), "test", certificate.pkey.get(), certificate.x509.get(), nullptr, 0, 0, 0, 0, 0);
  BIO* out = BIO_new(BIO_s_mem());
  i2d_PKCS12_bio(out, p12);
  PKCS12_free(p12);
  return text_of(out);
}

}  // namespace fairlead::test
