// See digest.h.
#include "base/digest.h"

#include <openssl/evp.h>

namespace fairlead {
namespace {

std::string hex_digest(std::string_view bytes, const EVP_MD* kind) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, kind, nullptr) != 1) return "";
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    out += kDigits[digest[i] >> 4];
    out += kDigits[digest[i] & 15];
  }
  return out;
}

}  // namespace

std::string md5_hex(std::string_view bytes) { return hex_digest(bytes, EVP_md5()); }
std::string sha256_hex(std::string_view bytes) { return hex_digest(bytes, EVP_sha256()); }

}  // namespace fairlead
