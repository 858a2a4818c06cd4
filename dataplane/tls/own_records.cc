// See own_records.h. Session's part of it is in session_records.cc.
#include "dataplane/tls/own_records.h"

#include <algorithm>

#include "dataplane/tls/openssl.h"

namespace fairlead::tls {
namespace {

std::string der_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  std::string out;
  if (size > 0) out.assign(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

}  // namespace

void RecordCount::add(const char* bytes, size_t size) {
  for (size_t at = 0; at < size;) {
    if (left_ > 0) {
      const size_t take = std::min(left_, size - at);
      left_ -= take;
      at += take;
      continue;
    }
    header_[header_size_++] = static_cast<unsigned char>(bytes[at++]);
    if (header_size_ < sizeof header_) continue;
    header_size_ = 0;
    left_ = static_cast<size_t>(header_[3]) << 8 | header_[4];
    ++records_;
  }
}

size_t SealedBatch::settle(size_t bytes, net::Buffer& from) {
  sent += bytes;
  size_t whole = drained;
  while (next < count && ends[next].wire <= sent) whole = ends[next++].content;
  const size_t more = whole - drained;
  from.drain(more);
  drained = whole;
  return more;
}

std::unique_ptr<OwnRecords> own_records_of(SSL* ssl, const HandshakeSecrets& secrets) {
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl);
  if (SSL_version(ssl) != TLS1_3_VERSION || cipher == nullptr || !secrets.client || !secrets.server) return nullptr;
  const std::optional<Suite> suite = suite_of(SSL_CIPHER_get_protocol_id(cipher));
  if (!suite || secrets.client->size != hash_size(*suite) || secrets.server->size != hash_size(*suite)) return nullptr;
  // Nothing may be left in it, and what it has said must be with the kernel.
  if (SSL_has_pending(ssl) != 0 || !secrets.sent.whole() || SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED) return nullptr;
  Records::Start start;
  start.suite = *suite;
  start.read = *secrets.client;
  start.write = *secrets.server;
  start.written = secrets.sent.records();
  const uint8_t length = SSL_get_session(ssl) == nullptr ? 0 : SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));
  if (length >= TLSEXT_max_fragment_length_512 && length <= TLSEXT_max_fragment_length_4096) start.max_content = size_t{512} << (length - TLSEXT_max_fragment_length_512);
  return std::make_unique<OwnRecords>(start);
}

std::vector<std::string> ders_of_peer(SSL* ssl) {
  std::vector<std::string> out;
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return out;
  out.push_back(der_of(certificate));
  const STACK_OF(X509)* rest = SSL_get_peer_cert_chain(ssl);  // servers are given it without the first
  for (int i = 0; i < sk_X509_num(rest); ++i) out.push_back(der_of(sk_X509_value(rest, i)));
  return out;
}

std::vector<CertificateFacts> facts_of_ders(const std::vector<std::string>& ders) {
  std::vector<CertificateFacts> out;
  for (const std::string& der : ders) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    if (const X509Ptr certificate{d2i_X509(nullptr, &at, static_cast<long>(der.size()))}) out.push_back(facts_of(certificate.get()));
  }
  return out;
}

}  // namespace fairlead::tls
