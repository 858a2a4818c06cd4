// See handshake_kdf.h. Only what libssl asks of TLS13-KDF is there: all parameters come with the call that derives.
#include "dataplane/tls/handshake_kdf.h"

#include <absl/strings/match.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

#include <algorithm>
#include <cstring>

#include "dataplane/tls/key_schedule.h"

namespace fairlead::tls {
namespace {

constexpr const char* kProperties = "?provider=fairlead";

thread_local std::unique_ptr<HandshakeSecrets>* listening = nullptr;

// Without data: there is none.
std::string_view octets_of(const OSSL_PARAM* parameters, const char* name) {
  const OSSL_PARAM* found = OSSL_PARAM_locate_const(parameters, name);
  if (found == nullptr || found->data_type != OSSL_PARAM_OCTET_STRING) return {};
  return {static_cast<const char*>(found->data), found->data_size};
}
const unsigned char* bytes_of(std::string_view octets) { return reinterpret_cast<const unsigned char*>(octets.data()); }

std::optional<LabelHash> hash_of(const OSSL_PARAM* parameters) {
  const OSSL_PARAM* found = OSSL_PARAM_locate_const(parameters, OSSL_KDF_PARAM_DIGEST);
  if (found == nullptr || found->data_type != OSSL_PARAM_UTF8_STRING) return std::nullopt;
  const std::string_view name(static_cast<const char*>(found->data), found->data_size);
  if (absl::EqualsIgnoreCase(name, "SHA2-256") || absl::EqualsIgnoreCase(name, "SHA256")) return LabelHash::kSha256;
  if (absl::EqualsIgnoreCase(name, "SHA2-384") || absl::EqualsIgnoreCase(name, "SHA384")) return LabelHash::kSha384;
  return std::nullopt;
}

// Of no messages: what stands for them where a secret is derived from another.
std::string_view hash_of_nothing(LabelHash hash) {
  struct Digest {
    unsigned char bytes[EVP_MAX_MD_SIZE] = {};
    explicit Digest(const EVP_MD* md) { EVP_Digest("", 0, bytes, nullptr, md, nullptr); }
  };
  static const Digest sha256(EVP_sha256()), sha384(EVP_sha384());
  return {reinterpret_cast<const char*>(hash == LabelHash::kSha384 ? sha384.bytes : sha256.bytes), size_of(hash)};
}

// HKDF-Extract of `key` with what Derive-Secret makes of the secret before, as in RFC 8446's picture; either may be missing.
bool extract_secret(LabelHash hash, std::string_view before, std::string_view key, std::string_view prefix, std::string_view label, unsigned char* out, size_t size) {
  constexpr char kZeros[kMaxHash] = {};
  const size_t hash_size = size_of(hash);
  if (size != hash_size) return false;
  unsigned char salt[kMaxHash] = {}, made[64];
  bool done = true;
  if (before.data() != nullptr) done = expand_label(hash, before, prefix, label, hash_of_nothing(hash), salt, hash_size);
  if (key.data() == nullptr) key = {kZeros, hash_size};
  done = done && keyed_hash(hash, salt, hash_size, bytes_of(key), key.size(), made);
  if (done) std::memcpy(out, made, hash_size);
  OPENSSL_cleanse(salt, sizeof salt);
  OPENSSL_cleanse(made, sizeof made);
  return done;
}

// The record layer's, of both sides.
void tell(std::string_view label, const unsigned char* secret, size_t size) {
  const bool server = label == "s ap traffic";
  if (!server && label != "c ap traffic") return;
  if (*listening == nullptr) *listening = std::make_unique<HandshakeSecrets>();
  TrafficSecret told;
  std::memcpy(told.bytes.data(), secret, size);
  told.size = static_cast<uint8_t>(size);
  (server ? (*listening)->server : (*listening)->client) = told;
}

int kdf_derive(void*, unsigned char* out, size_t size, const OSSL_PARAM parameters[]) {
  int mode = -1;
  const OSSL_PARAM* how = parameters == nullptr ? nullptr : OSSL_PARAM_locate_const(parameters, OSSL_KDF_PARAM_MODE);
  if (how == nullptr || OSSL_PARAM_get_int(how, &mode) != 1) return 0;
  const std::optional<LabelHash> hash = hash_of(parameters);
  if (!hash) return 0;
  const std::string_view key = octets_of(parameters, OSSL_KDF_PARAM_KEY), prefix = octets_of(parameters, OSSL_KDF_PARAM_PREFIX), label = octets_of(parameters, OSSL_KDF_PARAM_LABEL);
  if (mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY) return extract_secret(*hash, octets_of(parameters, OSSL_KDF_PARAM_SALT), key, prefix, label, out, size) ? 1 : 0;
  if (mode != EVP_KDF_HKDF_MODE_EXPAND_ONLY || !expand_label(*hash, key, prefix, label, octets_of(parameters, OSSL_KDF_PARAM_DATA), out, size)) return 0;
  if (listening != nullptr && size == size_of(*hash)) tell(label, out, size);
  return 1;
}

// Nothing is kept between calls.
void* kdf_new(void* provider) { return provider; }
void kdf_free(void*) {}

template <class F>
OSSL_DISPATCH entry(int id, F* function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

const OSSL_ALGORITHM* kdf_query(void*, int operation, int* no_cache) {
  static const OSSL_DISPATCH functions[] = {entry(OSSL_FUNC_KDF_NEWCTX, kdf_new), entry(OSSL_FUNC_KDF_FREECTX, kdf_free), entry(OSSL_FUNC_KDF_DERIVE, kdf_derive), {0, nullptr}};
  static const OSSL_ALGORITHM algorithms[] = {{OSSL_KDF_NAME_TLS1_3_KDF, "provider=fairlead", functions, nullptr}, {nullptr, nullptr, nullptr, nullptr}};
  *no_cache = 0;
  return operation == OSSL_OP_KDF ? algorithms : nullptr;
}

int kdf_provider(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH*, const OSSL_DISPATCH** out, void** provider) {
  static const OSSL_DISPATCH functions[] = {entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, kdf_query), {0, nullptr}};
  *out = functions;
  *provider = const_cast<OSSL_CORE_HANDLE*>(handle);
  return 1;
}

// Once in a process. OpenSSL's own comes first, so that whoever asks for no property gets that.
bool kdf_offered() {
  static const OSSL_PROVIDER* const offered = []() -> const OSSL_PROVIDER* {
    EVP_KDF* first = EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, nullptr);
    if (first == nullptr) return nullptr;
    EVP_KDF_free(first);
    if (OSSL_PROVIDER_add_builtin(nullptr, "fairlead", kdf_provider) != 1) return nullptr;
    const OSSL_PROVIDER* loaded = OSSL_PROVIDER_try_load(nullptr, "fairlead", 1);
    EVP_KDF* ours = EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, kProperties);
    const bool found = ours != nullptr && EVP_KDF_get0_provider(ours) == loaded;
    EVP_KDF_free(ours);
    return found ? loaded : nullptr;
  }();
  if (offered == nullptr) ERR_clear_error();
  return offered != nullptr;
}

}  // namespace

CtxPtr new_server_ctx(bool own_records) {
  if (!own_records || !kdf_offered()) return CtxPtr(SSL_CTX_new(TLS_server_method()));
  return CtxPtr(SSL_CTX_new_ex(nullptr, kProperties, TLS_server_method()));
}

SecretListener::SecretListener(std::unique_ptr<HandshakeSecrets>* to) { listening = to; }

SecretListener::~SecretListener() {
  if (listening != nullptr) forget_keyed_hashes();
  listening = nullptr;
}

}  // namespace fairlead::tls
