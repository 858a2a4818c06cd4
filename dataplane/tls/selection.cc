// Which certificate answers a ClientHello; see material.h. Envoy 1.40's order: exact name, one wildcard level, then all (when nothing was
// asked for, or full_scan_certs_on_sni_mismatch) or the first; among those of one name ECDSA where the client can, else RSA.
#include <algorithm>
#include <ctime>

#include <absl/strings/ascii.h>

#include "dataplane/tls/material.h"
#include "dataplane/tls/session.h"

namespace fairlead::tls {
namespace {

std::string_view extension(SSL* ssl, unsigned type) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, type, &data, &size) != 1) return {};
  return {reinterpret_cast<const char*>(data), size};
}

uint16_t u16(std::string_view bytes, size_t at) { return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1])); }

// Members of a list of 16-bit numbers behind its own length.
template <class F>
void for_each_u16(std::string_view list, F&& f) {
  if (list.size() < 2) return;
  const size_t size = std::min<size_t>(u16(list, 0), list.size() - 2);
  for (size_t i = 0; i + 1 < size; i += 2) f(u16(list, 2 + i));
}

std::string server_name(SSL* ssl) {
  const std::string_view list = extension(ssl, TLSEXT_TYPE_server_name);  // length, then (type, length, name)
  if (list.size() < 5 || list[2] != TLSEXT_NAMETYPE_host_name) return "";
  const size_t size = u16(list, 3);
  if (5 + size > list.size()) return "";
  return absl::AsciiStrToLower(list.substr(5, size));
}

// The curves of ECDSA keys that the client takes.
struct Curves {
  bool p256 = false, p384 = false, p521 = false;
  bool has(int nid) const { return nid == NID_X9_62_prime256v1 ? p256 : nid == NID_secp384r1 ? p384 : nid == NID_secp521r1 && p521; }
  bool any() const { return p256 || p384 || p521; }
};

bool serves(SSL* ssl, const SSL_CIPHER& cipher) {
  const STACK_OF(SSL_CIPHER)* served = SSL_get_ciphers(ssl);
  for (int i = 0; i < sk_SSL_CIPHER_num(served); ++i) {
    if (SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(served, i)) == SSL_CIPHER_get_protocol_id(&cipher)) return true;
  }
  return false;
}

// One that is served here: a client whose only suites in common are RSA's gets that certificate.
bool offers_ecdsa_suite(SSL* ssl) {
  const unsigned char* data = nullptr;
  const size_t size = SSL_client_hello_get0_ciphers(ssl, &data);
  for (size_t i = 0; i + 1 < size; i += 2) {
    const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, data + i);
    if (cipher != nullptr && SSL_CIPHER_get_auth_nid(cipher) == NID_auth_ecdsa && serves(ssl, *cipher)) return true;
  }
  return false;
}

Curves ecdsa_curves(SSL* ssl) {
  Curves curves;
  if (!extension(ssl, TLSEXT_TYPE_supported_versions).empty()) {  // TLS 1.3: the signature algorithm names the curve
    for_each_u16(extension(ssl, TLSEXT_TYPE_signature_algorithms), [&](uint16_t algorithm) {
      curves.p256 |= algorithm == 0x0403;
      curves.p384 |= algorithm == 0x0503;
      curves.p521 |= algorithm == 0x0603;
    });
    return curves;
  }
  if (!offers_ecdsa_suite(ssl)) return curves;
  for_each_u16(extension(ssl, TLSEXT_TYPE_supported_groups), [&](uint16_t group) {
    curves.p256 |= group == 23;
    curves.p384 |= group == 24;
    curves.p521 |= group == 25;
  });
  return curves;
}

bool offers_13(SSL* ssl) {
  const std::string_view list = extension(ssl, TLSEXT_TYPE_supported_versions);  // its length is one byte
  for (size_t i = 1; i + 1 < list.size(); i += 2) {
    if (u16(list, i) == TLS1_3_VERSION) return true;
  }
  return false;
}

enum class Stapling : uint8_t { kStaple, kNone, kFail };

Stapling stapling(const Leaf& leaf, bool client_asks, OcspPolicy policy) {
  if (!client_asks) return Stapling::kNone;
  const bool valid = !leaf.ocsp.empty() && leaf.ocsp_expires > std::time(nullptr);
  if (valid) return Stapling::kStaple;
  if (leaf.must_staple) policy = OcspPolicy::kMustStaple;
  switch (policy) {
    case OcspPolicy::kLenient: return Stapling::kNone;
    case OcspPolicy::kStrict: return leaf.ocsp.empty() ? Stapling::kNone : Stapling::kFail;
    case OcspPolicy::kMustStaple: return Stapling::kFail;
  }
  return Stapling::kNone;
}

class Search {
 public:
  Search(const ServerContext::Material& material, const Curves& curves, bool asks) : material_(material), curves_(curves), asks_(asks) {}

  // True when it is exactly what is wanted. One of the other kind is remembered: RSA for a client that can do ECDSA.
  bool consider(size_t index) {
    const Leaf& leaf = material_.served[index].leaf;
    if (stapling(leaf, asks_, material_.ocsp) == Stapling::kFail) return false;
    if (leaf.curve == 0 ? !curves_.any() : curves_.has(leaf.curve)) {
      found_ = static_cast<int>(index);
      return true;
    }
    if (leaf.curve == 0 && second_ < 0) second_ = static_cast<int>(index);
    return false;
  }
  void by_name(std::string_view name) {
    const auto known = material_.by_name.find(name);
    if (known == material_.by_name.end()) return;
    for (const size_t index : known->second) {
      if (consider(index)) return;
    }
  }
  void all() {
    second_ = -1;
    for (size_t i = 0; i < material_.served.size(); ++i) {
      if (consider(i)) return;
    }
  }
  int chosen() const { return found_ >= 0 ? found_ : second_; }
  bool exact() const { return found_ >= 0; }

 private:
  const ServerContext::Material& material_;
  const Curves& curves_;
  const bool asks_;
  int found_ = -1, second_ = -1;
};

size_t choose(const ServerContext::Material& material, const std::string& name, const Curves& curves, bool asks) {
  Search search(material, curves, asks);
  if (!name.empty()) {
    search.by_name(name);
    const size_t dot = name.find('.', 1);
    if (!search.exact() && dot != std::string::npos) search.by_name(std::string_view(name).substr(dot));
    if (search.chosen() >= 0) return static_cast<size_t>(search.chosen());
    if (!material.full_scan) return 0;
  }
  if (curves.any() || material.has_rsa) search.all();
  return search.chosen() >= 0 ? static_cast<size_t>(search.chosen()) : 0;
}

}  // namespace

int choose_certificate(SSL* ssl, int* alert, void* arg) {
  const auto& material = *static_cast<const ServerContext::Material*>(arg);
  Session& session = Session::of(ssl);
  std::string name = server_name(ssl);
  const bool asks = !extension(ssl, TLSEXT_TYPE_status_request).empty();
  size_t index = 0;
  if (material.served.size() > 1) {
    index = choose(material, name, ecdsa_curves(ssl), asks);
    if (index != 0) SSL_set_SSL_CTX(ssl, material.served[index].ctx.get());
  }
  session.hello_seen(std::move(name), index);
  // Envoy 1.40: of TLS 1.3 the client's order of ciphers decides, since ours are equally good
  if (SSL_get_max_proto_version(ssl) == TLS1_3_VERSION && offers_13(ssl)) SSL_clear_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
  const Leaf& leaf = material.served[index].leaf;
  if (asks) session.count(Count::kOcspStapleRequests);
  switch (stapling(leaf, asks, material.ocsp)) {
    case Stapling::kNone:
      if (asks) session.count(Count::kOcspStapleOmitted);
      break;
    case Stapling::kStaple: session.set_staple(&leaf.ocsp); break;
    case Stapling::kFail:
      session.count(Count::kOcspStapleFailed);
      *alert = SSL_AD_INTERNAL_ERROR;
      return SSL_CLIENT_HELLO_ERROR;
  }
  return SSL_CLIENT_HELLO_SUCCESS;
}

}  // namespace fairlead::tls
