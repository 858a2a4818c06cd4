// See key_schedule.h.
#include "dataplane/tls/key_schedule.h"

#include <openssl/core_names.h>

#include <cstring>

#include "dataplane/tls/openssl.h"

namespace fairlead::tls {
namespace {

class LabelMac {
 public:
  LabelMac(const char* digest, size_t size) : size_(size) {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    context_ = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>(digest), 0), OSSL_PARAM_construct_end()};
    usable_ = context_ != nullptr && EVP_MAC_CTX_set_params(context_, parameters) == 1;
  }
  ~LabelMac() { EVP_MAC_CTX_free(context_); }
  LabelMac(const LabelMac&) = delete;

  bool make(const unsigned char* key, size_t key_size, const unsigned char* text, size_t text_size, unsigned char* out) {
    if (!usable_) return false;
    keeps_ = true;
    size_t size = 0;
    return EVP_MAC_init(context_, key, key_size, nullptr) == 1 && EVP_MAC_update(context_, text, text_size) == 1 && EVP_MAC_final(context_, out, &size, size_) == 1 && size == size_;
  }
  void forget() {
    constexpr unsigned char kNothing[32] = {};
    if (keeps_) EVP_MAC_init(context_, kNothing, sizeof kNothing, nullptr);
    keeps_ = false;
  }

 private:
  EVP_MAC_CTX* context_ = nullptr;
  const size_t size_;
  bool usable_ = false, keeps_ = false;
};

LabelMac& label_mac(LabelHash hash) {
  thread_local LabelMac sha256("SHA256", 32), sha384("SHA384", 48);
  return hash == LabelHash::kSha384 ? sha384 : sha256;
}

}  // namespace

std::optional<Suite> suite_of(uint16_t id) {
  switch (id) {
    case 0x1301: return Suite::kAes128Gcm;
    case 0x1302: return Suite::kAes256Gcm;
    case 0x1303: return Suite::kChaCha20Poly1305;
    default: return std::nullopt;
  }
}

bool keyed_hash(LabelHash hash, const unsigned char* key, size_t key_size, const unsigned char* text, size_t size, unsigned char* out) {
  return label_mac(hash).make(key, key_size, text, size, out);
}

void forget_keyed_hashes() {
  label_mac(LabelHash::kSha256).forget();
  label_mac(LabelHash::kSha384).forget();
}

TrafficSecret::~TrafficSecret() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

bool expand_label(Suite suite, const TrafficSecret& secret, std::string_view label, unsigned char* out, size_t size) {
  constexpr std::string_view kPrefix = "tls13 ";
  unsigned char text[64], block[64];
  if (secret.size != hash_size(suite) || size > hash_size(suite) || 5 + kPrefix.size() + label.size() > sizeof text) return false;
  unsigned char* at = text;
  *at++ = static_cast<unsigned char>(size >> 8);
  *at++ = static_cast<unsigned char>(size);
  *at++ = static_cast<unsigned char>(kPrefix.size() + label.size());
  at = static_cast<unsigned char*>(std::memcpy(at, kPrefix.data(), kPrefix.size())) + kPrefix.size();
  at = static_cast<unsigned char*>(std::memcpy(at, label.data(), label.size())) + label.size();
  *at++ = 0;  // the context's size
  *at++ = 1;  // the first block of output, which is enough
  const LabelHash hash = suite == Suite::kAes256Gcm ? LabelHash::kSha384 : LabelHash::kSha256;
  const bool done = keyed_hash(hash, secret.bytes.data(), secret.size, text, static_cast<size_t>(at - text), block);
  if (done) std::memcpy(out, block, size);
  OPENSSL_cleanse(block, sizeof block);
  return done;
}

bool next_secret(Suite suite, TrafficSecret& secret) {
  TrafficSecret next;
  next.size = secret.size;
  if (!expand_label(suite, secret, "traffic upd", next.bytes.data(), next.size)) return false;
  secret = next;
  return true;
}

}  // namespace fairlead::tls
