// See certificate.h.
#include "dataplane/tls/certificate.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <arpa/inet.h>

#include <ctime>

#include "dataplane/tls/openssl.h"

namespace fairlead::tls {
namespace {

std::string text_in(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

std::string name_text(const X509_NAME* name) {
  BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  return text_in(out.get());
}

std::string digest_text(const X509* certificate, const EVP_MD* kind) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, kind, bytes, &size) != 1) return "";
  return absl::BytesToHexString(std::string_view(reinterpret_cast<char*>(bytes), size));
}

std::string serial_text(const X509* certificate) {
  std::unique_ptr<BIGNUM, Freer<BN_free>> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) return "";
  char* hex = BN_bn2hex(number.get());
  std::string text = absl::AsciiStrToLower(hex);
  OPENSSL_free(hex);
  return text;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

std::string common_name(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return "";
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<size_t>(ASN1_STRING_length(value))};
}

std::string string_of(const ASN1_STRING* value) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<size_t>(ASN1_STRING_length(value))};
}

std::string ip_text(const ASN1_OCTET_STRING* ip) {
  char text[INET6_ADDRSTRLEN] = "";
  if (ip->length == 4) inet_ntop(AF_INET, ip->data, text, sizeof text);
  if (ip->length == 16) inet_ntop(AF_INET6, ip->data, text, sizeof text);
  return text;
}

San other_name(const OTHERNAME* other) {
  San san{San::Type::kOther, "", ""};
  char oid[128] = "";
  OBJ_obj2txt(oid, sizeof oid, other->type_id, 1);
  san.oid = oid;
  if (other->value == nullptr) return san;
  switch (other->value->type) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_OCTET_STRING:
    case V_ASN1_T61STRING:
    case V_ASN1_VISIBLESTRING: san.value = string_of(other->value->value.asn1_string); break;
    case V_ASN1_BOOLEAN: san.value = other->value->value.boolean != 0 ? "true" : "false"; break;
    default: break;
  }
  return san;
}

}  // namespace

std::vector<San> names_of(const X509* certificate) {
  std::vector<San> out;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    switch (name->type) {
      case GEN_DNS: out.push_back({San::Type::kDns, string_of(name->d.dNSName), ""}); break;
      case GEN_URI: out.push_back({San::Type::kUri, string_of(name->d.uniformResourceIdentifier), ""}); break;
      case GEN_EMAIL: out.push_back({San::Type::kEmail, string_of(name->d.rfc822Name), ""}); break;
      case GEN_IPADD: out.push_back({San::Type::kIp, ip_text(name->d.iPAddress), ""}); break;
      case GEN_OTHERNAME: out.push_back(other_name(name->d.otherName)); break;
      default: break;
    }
  }
  GENERAL_NAMES_free(names);
  return out;
}

CertificateFacts facts_of(const X509* certificate) {
  CertificateFacts facts;
  facts.subject = name_text(X509_get_subject_name(certificate));
  facts.issuer = name_text(X509_get_issuer_name(certificate));
  facts.common_name = common_name(certificate);
  facts.serial = serial_text(certificate);
  facts.sha256 = digest_text(certificate, EVP_sha256());
  facts.sha1 = digest_text(certificate, EVP_sha1());
  facts.not_before = time_of(X509_get0_notBefore(certificate));
  facts.not_after = time_of(X509_get0_notAfter(certificate));
  facts.names = names_of(certificate);
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), const_cast<X509*>(certificate));
  facts.pem = text_in(out.get());
  ERR_clear_error();
  return facts;
}

// Envoy 1.40: these five alone
std::string url_encoded(std::string_view pem) {
  return absl::StrReplaceAll(pem, {{"\n", "%0A"}, {" ", "%20"}, {"+", "%2B"}, {"/", "%2F"}, {"=", "%3D"}});
}

absl::StatusOr<std::vector<CertificateFacts>> read_certificates(const std::string& pem) {
  std::vector<CertificateFacts> out;
  BioPtr in = bio_over(pem);
  while (X509Ptr certificate{PEM_read_bio_X509_AUX(in.get(), nullptr, nullptr, nullptr)}) out.push_back(facts_of(certificate.get()));
  ERR_clear_error();
  if (out.empty()) return absl::InvalidArgumentError("no certificate in PEM form");
  return out;
}

}  // namespace fairlead::tls
