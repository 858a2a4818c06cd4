// See key_schedule.h.
#include "dataplane/tls/key_schedule.h"

#include <openssl/core_names.h>

#include <algorithm>
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

bool expand_label(LabelHash hash, std::string_view secret, std::string_view prefix, std::string_view label, std::string_view context, unsigned char* out, size_t size) {
  constexpr size_t kMaxField = 255;
  const size_t block_size = size_of(hash);
  if (secret.data() == nullptr || prefix.size() + label.size() > kMaxField || context.size() > kMaxField || size > 255 * block_size) return false;
  unsigned char text[kMaxHash + 2 + 1 + kMaxField + 1 + kMaxField + 1], block[64];
  unsigned char* at = text + block_size;  // the block before goes in front
  const auto put = [&](std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    at += bytes.size();
  };
  *at++ = static_cast<unsigned char>(size >> 8);
  *at++ = static_cast<unsigned char>(size);
  *at++ = static_cast<unsigned char>(prefix.size() + label.size());
  put(prefix);
  put(label);
  *at++ = static_cast<unsigned char>(context.size());
  put(context);
  bool done = true;
  for (size_t made = 0, number = 1; made < size && done; made += block_size, ++number) {
    *at = static_cast<unsigned char>(number);
    unsigned char* begin = number == 1 ? text + block_size : text;
    done = keyed_hash(hash, reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), begin, static_cast<size_t>(at + 1 - begin), block);
    if (done) std::memcpy(out + made, block, std::min(block_size, size - made));
    std::memcpy(text, block, block_size);
  }
  OPENSSL_cleanse(block, sizeof block);
  OPENSSL_cleanse(text, block_size);
  return done;
}

bool expand_label(Suite suite, const TrafficSecret& secret, std::string_view label, unsigned char* out, size_t size) {
  constexpr size_t kLongest = 53;  // of labels without the prefix; TLS 1.3 has none of half of that
  if (secret.size != hash_size(suite) || size > hash_size(suite) || label.size() > kLongest) return false;
  const LabelHash hash = suite == Suite::kAes256Gcm ? LabelHash::kSha384 : LabelHash::kSha256;
  return expand_label(hash, {reinterpret_cast<const char*>(secret.bytes.data()), secret.size}, "tls13 ", label, "", out, size);
}

bool next_secret(Suite suite, TrafficSecret& secret) {
  TrafficSecret next;
  next.size = secret.size;
  if (!expand_label(suite, secret, "traffic upd", next.bytes.data(), next.size)) return false;
  secret = next;
  return true;
}

}  // namespace fairlead::tls
