// See client_certificate.h.
#include "dataplane/stream/client_certificate.h"

#include <absl/strings/str_cat.h>

namespace fairlead::stream {
namespace {

using http::Token;
using tls::San;

// Envoy 1.40's order and quoting: By, Hash, Cert, Chain, Subject, URI, DNS.
std::string describe(const tls::ConnectionFacts& facts, const config::ClientCertDetails& details) {
  std::string text;
  const auto add = [&](std::string_view key, std::string_view value, bool quoted = false) {
    absl::StrAppend(&text, text.empty() ? "" : ";", key, "=", quoted ? "\"" : "", value, quoted ? "\"" : "");
  };
  if (facts.local) {
    for (const San& san : facts.local->names) {
      if (san.type == San::Type::kUri) add("By", san.value);
    }
  }
  const tls::CertificateFacts& peer = *facts.peer;
  add("Hash", peer.sha256);
  if (details.cert) add("Cert", tls::url_encoded(peer.pem), true);
  if (details.chain) {
    std::string chain;
    for (const tls::CertificateFacts& certificate : facts.chain) chain += tls::url_encoded(certificate.pem);
    add("Chain", chain, true);
  }
  if (details.subject) add("Subject", peer.subject, true);
  if (details.uri) {
    bool any = false;
    for (const San& san : peer.names) {
      if (san.type != San::Type::kUri) continue;
      any = true;
      add("URI", san.value);
    }
    if (!any) add("URI", "");  // Envoy 1.40: the key is always there
  }
  if (details.dns) {
    for (const San& san : peer.names) {
      if (san.type == San::Type::kDns) add("DNS", san.value);
    }
  }
  return text;
}

}  // namespace

void set_client_certificate(http::HeaderMap& headers, config::ClientCertHeader what, const config::ClientCertDetails& details, const tls::ConnectionFacts* facts) {
  using Header = config::ClientCertHeader;
  if (what == Header::AlwaysForwardOnly) return;
  const bool presented = facts != nullptr && facts->peer.has_value();
  if (what == Header::Sanitize || !presented) {
    if (headers.has(Token::XForwardedClientCert)) headers.remove(Token::XForwardedClientCert);
    return;
  }
  if (what == Header::AppendForward) headers.append(Token::XForwardedClientCert, describe(*facts, details));
  if (what == Header::SanitizeSet) headers.set(Token::XForwardedClientCert, describe(*facts, details));
}

}  // namespace fairlead::stream
