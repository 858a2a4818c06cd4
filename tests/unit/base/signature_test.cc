// Signatures by published vectors; keys that are none. More, with keys of each kind made on the spot, is in tests/unit/controlplane/serve/tokens_test.cc.
#include <catch2/catch.hpp>

#include <string>

#include <absl/strings/escaping.h>

#include "base/signature.h"

using namespace fairlead;

namespace {
std::string hex(std::string_view text) { return absl::HexStringToBytes(text); }
}  // namespace

TEST_CASE("an Ed25519 signature of RFC 8032 verifies, and not over anything else") {
  const auto key = PublicKey::ed25519(hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
  REQUIRE(key.ok());
  const std::string signature = hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  CHECK(key->kind() == PublicKey::Kind::kEd25519);
  CHECK(key->verifies("\x72", signature));
  CHECK_FALSE(key->verifies("\x73", signature));
  CHECK_FALSE(key->verifies("\x72", signature.substr(1)));
  CHECK_FALSE(key->verifies("\x72", ""));
}

TEST_CASE("an ES256 signature of RFC 7515 verifies as 64 bytes, and not in another form") {
  std::string x, y, signature;
  REQUIRE(absl::WebSafeBase64Unescape("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", &x));
  REQUIRE(absl::WebSafeBase64Unescape("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", &y));
  REQUIRE(absl::WebSafeBase64Unescape("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", &signature));
  const std::string text =
      "eyJhbGciOiJFUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
  const auto key = PublicKey::p256(x, y);
  REQUIRE(key.ok());
  CHECK(key->verifies(text, signature));
  CHECK_FALSE(key->verifies(text + "x", signature));
  CHECK_FALSE(key->verifies(text, signature + "x"));
  CHECK_FALSE(key->verifies(text, std::string(64, '\0')));
  CHECK_FALSE(PublicKey::p256(y, x).ok());
  CHECK_FALSE(PublicKey::p256(std::string(32, '\0'), std::string(32, '\0')).ok());
}

TEST_CASE("an RSA key is neither too small nor too large, nor even") {
  const std::string good = "\xc1" + std::string(254, '\x55') + "\x01";
  CHECK(PublicKey::rsa(good, std::string("\x01\x00\x01", 3)).ok());
  CHECK_FALSE(PublicKey::rsa(good.substr(1), "\x03").ok());
  CHECK_FALSE(PublicKey::rsa(good + std::string(800, 'x'), "\x03").ok());
  CHECK_FALSE(PublicKey::rsa(good.substr(0, 255) + "\x02", "\x03").ok());
  CHECK_FALSE(PublicKey::rsa(good, "\x01").ok());
  CHECK_FALSE(PublicKey::rsa(good, std::string(9, '\x03')).ok());
  CHECK_FALSE(PublicKey::rsa("", "").ok());
}
