// Tokens of clients. The first byte says what the rest is: a token to check with a known set of keys, which never passes since nobody here can sign; the
// claims of one whose signature fits, which pass with names of our own trust domain alone; a set of keys; or text as base64url, of which what decodes
// encodes back to itself.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <absl/strings/escaping.h>

#include "controlplane/serve/tokens.h"

using namespace fairlead;
using serve::TokenVerifier;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

TokenVerifier::Policy policy() { return {"issuer", {"audience"}, "td"}; }

// The key of RFC 7515's example for ES256 and that of RFC 8037 for Ed25519; nobody signs here.
constexpr std::string_view kKeys = R"({"keys":[
  {"kty":"EC","crv":"P-256","kid":"e","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
  {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const TokenVerifier verifier = *TokenVerifier::parse(kKeys, "keys", policy());
  constexpr SystemTime now{std::chrono::seconds(1'800'000'000)};
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: require(absl::IsUnauthenticated(verifier.check(text, now).status())); break;
    case 1: {
      const auto names = verifier.check_claims(text, now);
      if (!names.ok()) {
        require(absl::IsUnauthenticated(names.status()));
        break;
      }
      require(!names->empty());
      for (const std::string& name : *names) {
        require(name.starts_with("spiffe://td/") || name.starts_with("jwt:"));
        require(name.find("//", 9) == std::string::npos || name.starts_with("jwt:"));
      }
      break;
    }
    case 2: {
      const auto made = TokenVerifier::parse(text, "keys", policy());
      require(made.ok() ? made->keys() > 0 : std::string(made.status().message()).starts_with("keys"));
      break;
    }
    default: {
      std::string bytes;
      if (!serve::decode_base64url(text, bytes)) break;
      std::string back;
      absl::WebSafeBase64Escape(bytes, &back);
      require(back.substr(0, back.find('=')) == text);
    }
  }
  return 0;
}
