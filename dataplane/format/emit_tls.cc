// What logs and headers tell of a connection's TLS (see ops.h). As Envoy 1.40 prints it.
#include <absl/strings/str_cat.h>

#include "dataplane/format/ops.h"
#include "dataplane/tls/certificate.h"

namespace fairlead::format {
namespace {

using tls::CertificateFacts;
using tls::San;

bool text(std::string_view value, std::string& out) {
  out.append(value);
  return !value.empty();
}

bool names(const CertificateFacts* certificate, San::Type type, std::string& out) {
  bool any = false;
  if (certificate == nullptr) return false;
  for (const San& san : certificate->names) {
    if (san.type == type) absl::StrAppend(&out, std::exchange(any, true) ? "," : "", san.value);
  }
  return any;
}

bool of_chain(const std::vector<CertificateFacts>& chain, std::string CertificateFacts::*member, std::string& out) {
  bool any = false;
  for (const CertificateFacts& certificate : chain) absl::StrAppend(&out, std::exchange(any, true) ? "," : "", certificate.*member);
  return any;
}

bool of(const CertificateFacts* certificate, std::string CertificateFacts::*member, std::string& out) {
  return certificate != nullptr && text(*certificate.*member, out);
}

}  // namespace

bool emit_tls(const Op& op, const FormatContext& context, std::string& out) {
  const tls::ConnectionFacts* facts = op.upstream ? context.upstream_tls : context.downstream_tls;
  if (facts == nullptr) return false;
  const CertificateFacts* peer = facts->peer ? &*facts->peer : nullptr;
  const CertificateFacts* local = facts->local.get();
  switch (op.tls) {
    case TlsField::Version: return text(facts->version, out);
    case TlsField::Cipher: return text(facts->cipher, out);
    case TlsField::Group: return text(facts->curve, out);
    case TlsField::SessionId: return text(facts->session_id, out);
    case TlsField::PeerUriSan: return names(peer, San::Type::kUri, out);
    case TlsField::PeerDnsSan: return names(peer, San::Type::kDns, out);
    case TlsField::PeerIpSan: return names(peer, San::Type::kIp, out);
    case TlsField::PeerEmailSan: return names(peer, San::Type::kEmail, out);
    case TlsField::PeerOtherNameSan: return names(peer, San::Type::kOther, out);
    case TlsField::LocalUriSan: return names(local, San::Type::kUri, out);
    case TlsField::LocalDnsSan: return names(local, San::Type::kDns, out);
    case TlsField::LocalIpSan: return names(local, San::Type::kIp, out);
    case TlsField::LocalEmailSan: return names(local, San::Type::kEmail, out);
    case TlsField::LocalOtherNameSan: return names(local, San::Type::kOther, out);
    case TlsField::PeerSubject: return of(peer, &CertificateFacts::subject, out);
    case TlsField::LocalSubject: return of(local, &CertificateFacts::subject, out);
    case TlsField::PeerIssuer: return of(peer, &CertificateFacts::issuer, out);
    case TlsField::PeerSerial: return of(peer, &CertificateFacts::serial, out);
    case TlsField::PeerSha256: return of(peer, &CertificateFacts::sha256, out);
    case TlsField::PeerSha1: return of(peer, &CertificateFacts::sha1, out);
    case TlsField::PeerCert: return facts->peer && text(tls::url_encoded(facts->peer->pem), out);
    case TlsField::PeerCertStart:
    case TlsField::PeerCertEnd:
      if (!facts->peer) return false;
      op.time->append(op.tls == TlsField::PeerCertStart ? facts->peer->not_before : facts->peer->not_after, out);
      return true;
    case TlsField::PeerChainSha256: return of_chain(facts->chain, &CertificateFacts::sha256, out);
    case TlsField::PeerChainSha1: return of_chain(facts->chain, &CertificateFacts::sha1, out);
    case TlsField::PeerChainSerials: return of_chain(facts->chain, &CertificateFacts::serial, out);
  }
  return false;
}

}  // namespace fairlead::format
