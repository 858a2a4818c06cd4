// See record_cipher.h.
#include "dataplane/tls/record_cipher.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "dataplane/tls/openssl.h"

namespace fairlead::tls {
namespace {

using RecordCipherCtx = std::unique_ptr<EVP_CIPHER_CTX, Freer<EVP_CIPHER_CTX_free>>;

const EVP_CIPHER* cipher_of(Suite suite) {
  static EVP_CIPHER* const fetched[] = {EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr), EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr)};
  return fetched[static_cast<size_t>(suite)];
}

// The ciphers of a thread that have a key. Who uses one holds a lease on it, and loses it to others when it has not used it for a while: at 2.3 KB
// each, 256 busy connections keep 1.2 MB a thread, and idle ones nothing. To set a key again costs as much as to open some 500 bytes.
class KeyedCiphers {
 public:
  static KeyedCiphers& mine() {
    thread_local KeyedCiphers ciphers;
    return ciphers;
  }

  // The one with that key and direction; null when OpenSSL fails.
  EVP_CIPHER_CTX* get(uint64_t& lease, Suite suite, bool seals, const unsigned char* key) {
    const size_t index = lease % kMost;
    if (lease != 0 && index < slots_.size() && slots_[index].lease == lease) {
      slots_[index].used = true;
      return slots_[index].context.get();
    }
    const size_t taken = take(suite);
    Slot& slot = slots_[taken];
    lease = slot.lease = 0;
    // in place where it was of the same suite, which is half of the work; the direction makes no difference
    const bool alike = slot.ready && slot.suite == suite;
    slot.ready = EVP_CipherInit_ex(slot.context.get(), alike ? nullptr : cipher_of(suite), nullptr, key, nullptr, seals ? 1 : 0) == 1;
    if (!slot.ready) return nullptr;
    slot.suite = suite;
    slot.used = true;
    lease = slot.lease = next_++ * kMost + taken;
    return slot.context.get();
  }

  // The key is to be forgotten.
  void give_back(uint64_t lease) {
    const size_t index = lease % kMost;
    if (lease == 0 || index >= slots_.size() || slots_[index].lease != lease) return;
    Slot& slot = slots_[index];
    EVP_CIPHER_CTX_reset(slot.context.get());  // overwrites it
    slot = {std::move(slot.context)};
    free_.push_back(static_cast<uint16_t>(index));
  }

 private:
  static constexpr size_t kMost = 512;
  static constexpr uint32_t kPassing = 16;
  struct Slot {
    RecordCipherCtx context;
    uint64_t lease = 0;
    Suite suite{};
    bool ready = false, used = false;
  };

  size_t take(Suite suite) {
    if (!free_.empty()) {
      const size_t index = free_.back();
      free_.pop_back();
      return index;
    }
    if (slots_.size() < kMost) {
      slots_.push_back({RecordCipherCtx(EVP_CIPHER_CTX_new())});
      return slots_.size() - 1;
    }
    // When more connections are busy than there are ciphers for, most that have none pass through one, which is in the processor's cache, and the
    // others keep theirs: if each took what was used longest ago, then, in turns, nobody would ever find his own again.
    if (++misses_ % kPassing != 0) return static_cast<size_t>(suite);
    while (slots_[hand_].used) {  // ends: what it passes is not in use the second time
      slots_[hand_].used = false;
      hand_ = (hand_ + 1) % kMost;
    }
    const size_t index = hand_;
    hand_ = (hand_ + 1) % kMost;
    return index;
  }

  // Leases are never the same twice in a process, so that one that got to another thread opens nothing there.
  static uint64_t first_lease() {
    static std::atomic<uint64_t> threads{0};
    return (threads.fetch_add(1, std::memory_order_relaxed) << 40) + 1;
  }

  std::vector<Slot> slots_;
  std::vector<uint16_t> free_;
  size_t hand_ = 0;
  uint32_t misses_ = 0;
  uint64_t next_ = first_lease();
};

bool add_bytes(EVP_CIPHER_CTX* context, unsigned char* out, const unsigned char* in, size_t size) {
  int done = 0;
  return size == 0 || (EVP_CipherUpdate(context, out, &done, in, static_cast<int>(size)) == 1 && static_cast<size_t>(done) == size);
}

}  // namespace

RecordCipher::RecordCipher(Suite suite, const TrafficSecret& secret, bool seals, uint64_t sequence) : secret_(secret), suite_(suite), seals_(seals), sequence_(sequence) {
  usable_ = derive();
}

RecordCipher::~RecordCipher() {
  KeyedCiphers::mine().give_back(lease_);
  OPENSSL_cleanse(key_, sizeof key_);
  OPENSSL_cleanse(iv_, sizeof iv_);
}

bool RecordCipher::derive() {
  const bool done = expand_label(suite_, secret_, "key", key_, key_size(suite_)) && expand_label(suite_, secret_, "iv", iv_, kIv);
  forget_keyed_hashes();
  return done;
}

bool RecordCipher::next_key() {
  KeyedCiphers::mine().give_back(lease_);
  lease_ = 0;
  usable_ = usable_ && next_secret(suite_, secret_) && derive();
  sequence_ = 0;
  return usable_;
}

// Of the next record; each call has another.
void RecordCipher::nonce(unsigned char (&out)[kIv]) {
  std::memcpy(out, iv_, kIv);
  uint64_t number = sequence_++;
  for (size_t i = kIv; number != 0; number >>= 8) out[--i] ^= static_cast<unsigned char>(number);
}

size_t RecordCipher::failed() {
  usable_ = false;
  return 0;
}

size_t RecordCipher::seal(uint8_t type, const iovec* pieces, int count, size_t padding, unsigned char* out) {
  constexpr size_t kCopied = 2048;  // what is smaller is put together first: each call into OpenSSL costs about as much as copying that
  if (!usable_ || !seals_ || sequence_ == std::numeric_limits<uint64_t>::max()) return failed();
  EVP_CIPHER_CTX* context = KeyedCiphers::mine().get(lease_, suite_, true, key_);
  if (context == nullptr) return failed();
  size_t size = 1 + padding;
  for (int i = 0; i < count; ++i) size += pieces[i].iov_len;
  if (size + kTag > std::numeric_limits<uint16_t>::max()) return failed();
  out[0] = 23;  // application data, whatever is inside
  out[1] = out[2] = 3;
  out[3] = static_cast<unsigned char>((size + kTag) >> 8);
  out[4] = static_cast<unsigned char>(size + kTag);
  unsigned char number[kIv];
  nonce(number);
  int ignored = 0;
  if (EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, number, 1) != 1 || EVP_CipherUpdate(context, nullptr, &ignored, out, kHeader) != 1) return failed();
  unsigned char *at = out + kHeader, *copied = at;
  for (int i = 0; i < count; ++i) {
    const auto* piece = static_cast<const unsigned char*>(pieces[i].iov_base);
    const size_t length = pieces[i].iov_len;
    if (length <= kCopied) {
      std::memcpy(at, piece, length);
      at += length;
      continue;
    }
    if (!add_bytes(context, copied, copied, static_cast<size_t>(at - copied)) || !add_bytes(context, at, piece, length)) return failed();
    copied = at += length;
  }
  *at++ = type;
  std::memset(at, 0, padding);
  at += padding;
  if (!add_bytes(context, copied, copied, static_cast<size_t>(at - copied)) || EVP_CipherFinal_ex(context, at, &ignored) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTag, at) != 1) {
    return failed();
  }
  return kHeader + size + kTag;
}

bool RecordCipher::open(const unsigned char* header, unsigned char* body, size_t size, const iovec* to, int count) {
  if (!usable_ || seals_ || size < kTag || sequence_ == std::numeric_limits<uint64_t>::max()) return failed() != 0;
  EVP_CIPHER_CTX* context = KeyedCiphers::mine().get(lease_, suite_, false, key_);
  if (context == nullptr) return failed() != 0;
  unsigned char number[kIv];
  nonce(number);
  int ignored = 0;
  bool opened = EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, number, 0) == 1 && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTag, body + size - kTag) == 1 &&
                EVP_CipherUpdate(context, nullptr, &ignored, header, kHeader) == 1;
  const unsigned char* from = body;
  for (int i = 0; i < count && opened; ++i) {
    opened = add_bytes(context, static_cast<unsigned char*>(to[i].iov_base), from, to[i].iov_len);
    from += to[i].iov_len;
  }
  unsigned char nothing[kTag];
  opened = opened && from == body + size - kTag && EVP_CipherFinal_ex(context, nothing, &ignored) == 1;
  return opened || failed() != 0;
}

}  // namespace fairlead::tls
