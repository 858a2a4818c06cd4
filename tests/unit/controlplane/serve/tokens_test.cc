// Tokens of clients: which are good, what they make of their bearer, and everything that is not one.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include <absl/strings/str_replace.h>

#include "controlplane/serve/tokens.h"
#include "tests/unit/controlplane/serve/make_tokens.h"

namespace tokens_test {

using namespace fairlead;
using namespace fairlead::test;
using serve::TokenVerifier;
using Names = std::vector<std::string>;

namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr SystemTime kAt{std::chrono::seconds(kNow)};
SystemTime in(int64_t seconds) { return kAt + std::chrono::seconds(seconds); }

TokenVerifier::Policy policy() { return {"https://kubernetes.default.svc", {"fairlead", "istio-ca"}}; }

TokenVerifier verifier(const std::vector<std::string>& keys) {
  auto made = TokenVerifier::parse(jwks(keys), "keys.json", policy());
  INFO(made.status().message());
  REQUIRE(made.ok());
  return *std::move(made);
}

std::string refused(const TokenVerifier& v, const std::string& token, SystemTime at = kAt) {
  const auto names = v.check(token, at);
  if (names.ok()) return "accepted";
  CHECK(absl::IsUnauthenticated(names.status()));
  return std::string(names.status().message());
}
std::string wrong_keys(const std::string& text) { return std::string(TokenVerifier::parse(text, "keys.json", policy()).status().message()); }

// The claims with one thing another.
std::string with(const std::string& from, const std::string& to) {
  const std::string claims = pod_claims(kNow), out = absl::StrReplaceAll(claims, {{from, to}});
  CHECK(out != claims);
  return out;
}

const std::string kAccount = "spiffe://cluster.local/ns/prod/sa/edge";

}  // namespace

TEST_CASE("a pod's token, however it is signed, names its service account and its pod, as a certificate would") {
  for (const char* algorithm : {"RS256", "ES256", "EdDSA"}) {
    const Signer signer(algorithm);
    const TokenVerifier v = verifier({signer.jwk()});
    const auto names = v.check(signer.token(pod_claims(kNow)), kAt);
    INFO(algorithm << ": " << names.status().message());
    REQUIRE(names.ok());
    CHECK(*names == Names{kAccount, kAccount + "/pod/edge-7f9c-x"});
    // any bit of it changed, and of another's key
    std::string token = signer.token(pod_claims(kNow));
    for (const size_t at : {token.find('.') + 5, token.size() - 20}) {
      std::string changed = token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      CHECK(refused(v, changed) == "token refused: its signature does not fit");
    }
    CHECK(refused(v, Signer(algorithm).token(pod_claims(kNow))) == "token refused: its signature does not fit");
  }
}

TEST_CASE("other subjects are names of their own, and nobody's of a trust domain that is not the token's") {
  const Signer signer;
  const TokenVerifier v = verifier({signer.jwk()});
  const auto names = [&](const std::string& sub) { return v.check(signer.token(with("system:serviceaccount:prod:edge", sub)), kAt); };
  const auto only = [&](const std::string& sub) {  // without what Kubernetes says besides
    return v.check(signer.token(absl::StrCat(R"({"iss":"https://kubernetes.default.svc","aud":"istio-ca","exp":)", kNow + 60, R"(,"sub":")", sub, "\"}")), kAt);
  };
  CHECK(*only("edge@example.org") == Names{"jwt:edge@example.org"});
  CHECK(*only("spiffe://cluster.local/ns/a/sa/b") == Names{"spiffe://cluster.local/ns/a/sa/b"});
  CHECK(*only("system:serviceaccount:prod:edge") == Names{kAccount});
  for (const char* sub : {"spiffe://other.org/ns/a/sa/b", "spiffe://cluster.local/", "spiffe://cluster.local/a/../b", "spiffe://cluster.local//b", "spiffe://cluster.local/a*",
                          "system:serviceaccount:prod", "system:serviceaccount:prod:edge:more", "system:serviceaccount:pr/od:edge", "system:serviceaccount:prod:", "system:serviceaccount:Prod:edge",
                          "", "two words", "a\\u0000b"}) {
    INFO(sub);
    CHECK(absl::IsUnauthenticated(only(sub).status()));
  }
  CHECK(only("spiffe://other.org/x").status().message() == "token refused: sub \"spiffe://other.org/x\" is not of trust domain cluster.local");
  // of one token the parts must agree
  CHECK(names("system:serviceaccount:dev:edge").status().message() == "token refused: its claims in kubernetes.io are not those of its sub");
  CHECK(names("system:serviceaccount:prod:other").status().message() == "token refused: its claims in kubernetes.io are not those of its sub");
  CHECK(refused(v, signer.token(with("\"name\":\"edge-7f9c-x\"", "\"name\":\"a/b\""))) == "token refused: the name of its pod is not one");
}

TEST_CASE("a token has its time, with a little leeway for others' clocks") {
  const Signer signer;
  const TokenVerifier v = verifier({signer.jwk()});
  const std::string token = signer.token(pod_claims(kNow));
  CHECK(refused(v, token, in(3600 + 29)) == "accepted");
  CHECK(refused(v, token, in(3600 + 37)) == "token refused: it expired 37 s ago");
  CHECK(refused(v, token, in(-29)) == "accepted");
  CHECK(refused(v, token, in(-60)) == "token refused: it is not valid before 60 s from now");
  const std::string expires = absl::StrCat("\"exp\":", kNow + 3600);
  for (const char* exp : {"\"x\":1", "\"exp\":\"1900000000\"", "\"exp\":null", "\"exp\":[]"}) CHECK(refused(v, signer.token(with(expires, exp))) == "token refused: it has no exp");
  CHECK(refused(v, signer.token(with(expires, "\"exp\":-1e300"))) == "token refused: it expired 1000000000000000 s ago");
  CHECK(refused(v, signer.token(with(expires, "\"exp\":1900000000.5"))) == "accepted");
  CHECK(refused(v, signer.token(with(absl::StrCat("\"nbf\":", kNow), "\"nbf\":\"now\""))) == "token refused: its nbf is not a time");
}

TEST_CASE("a token is of the issuer that is trusted and for us, or it is refused") {
  const Signer signer;
  const TokenVerifier v = verifier({signer.jwk()});
  CHECK(refused(v, signer.token(with("https://kubernetes.default.svc", "https://evil.test"))) == "token refused: issuer \"https://evil.test\" is not the one that is trusted");
  CHECK(refused(v, signer.token(with("https://kubernetes.default.svc", "https://kubernetes.default.svc/"))) != "accepted");
  CHECK(refused(v, signer.token(with("\"iss\"", "\"isd\""))) == "token refused: it has no iss");
  CHECK(refused(v, signer.token(with("[\"fairlead\"]", "[\"other\",7]"))) == "token refused: it is for another audience");
  CHECK(refused(v, signer.token(with("[\"fairlead\"]", "[]"))) == "token refused: it is for another audience");
  CHECK(refused(v, signer.token(with("[\"fairlead\"]", "{\"fairlead\":1}"))) == "token refused: it is for another audience");
  CHECK(refused(v, signer.token(with("[\"fairlead\"]", "\"fairlead\""))) == "accepted");
  CHECK(refused(v, signer.token(with("[\"fairlead\"]", "[\"x\",\"istio-ca\"]"))) == "accepted");
  CHECK(refused(v, signer.token(with("\"aud\"", "\"aux\""))) == "token refused: it has no aud");
}

TEST_CASE("none, HMAC and a key of another kind are refused: what verifies is the key's to say, not the token's") {
  const Signer rsa("RS256", "rsa"), ec("ES256", "ec");
  const TokenVerifier v = verifier({rsa.jwk(), ec.jwk()});
  const std::string claims = pod_claims(kNow);
  const auto unsigned_token = [&](const std::string& header, const std::string& signature) { return absl::StrCat(base64url(header), ".", base64url(claims), ".", signature); };
  CHECK(refused(v, unsigned_token(R"({"alg":"none"})", "")) == "token refused: alg \"none\" is not served: RS256, ES256 and EdDSA are");
  for (const char* alg : {"None", "NONE", "HS256", "HS512", "RS512", "PS256", "ES384", "ES256K", "rs256", ""}) {
    INFO(alg);
    CHECK(refused(v, rsa.token(absl::StrCat(R"({"alg":")", alg, R"(","kid":"rsa"})"), claims)).find("is not served") != std::string::npos);
  }
  CHECK(refused(v, unsigned_token(R"({"alg":"RS256","kid":"rsa"})", "")) == "token refused: its signature does not fit");
  CHECK(refused(v, unsigned_token(R"({"alg":"ES256","kid":"ec"})", std::string(86, 'A'))) == "token refused: its signature does not fit");  // r = s = 0
  // the other's kid, and the other's alg
  CHECK(refused(v, rsa.token(R"({"alg":"RS256","kid":"ec"})", claims)) == "token refused: there is no such key for RS256");
  CHECK(refused(v, rsa.token(R"({"alg":"ES256","kid":"rsa"})", claims)) == "token refused: there is no such key for ES256");
  CHECK(refused(v, rsa.token(R"({"alg":"EdDSA"})", claims)) == "token refused: there is no such key for EdDSA");
  CHECK(refused(v, rsa.token(R"({"alg":"RS256","kid":"new"})", claims)) == "token refused: no key \"new\" is known");
  CHECK(refused(v, rsa.token(R"({"alg":"RS256","kid":7})", claims)) == "token refused: its kid is not a string");
  CHECK(refused(v, rsa.token(R"({"alg":["RS256"]})", claims)) == "token refused: its header has no alg");
  CHECK(refused(v, rsa.token(R"({"alg":"RS256","crit":["b64"],"b64":false})", claims)) == "token refused: critical extensions are not served");
  // keys that it brings along are not looked at
  const Signer evil("RS256", "evil");
  CHECK(refused(v, evil.token(absl::StrCat(R"({"alg":"RS256","jwk":)", evil.jwk(), "}"), claims)) == "token refused: its signature does not fit");
  CHECK(refused(v, rsa.token(R"({"alg":"RS256"})", claims)) == "accepted");  // without a kid whichever fits
}

TEST_CASE("what is not a token is refused at once, and no part of it is repeated") {
  const Signer signer;
  const TokenVerifier v = verifier({signer.jwk()});
  const std::string good = signer.token(pod_claims(kNow));
  for (const char* text : {"", ".", "..", "...", "a.b", "a.b.c.d", "secret"}) CHECK(refused(v, text).find("secret") == std::string::npos);
  CHECK(refused(v, "a.b") == "token refused: not three parts with dots between them");
  CHECK(refused(v, good + ".") == "token refused: not three parts with dots between them");
  CHECK(refused(v, good + "=") == "token refused: not base64url");
  CHECK(refused(v, " " + good) == "token refused: not base64url");
  CHECK(refused(v, good + "\n") == "token refused: not base64url");
  CHECK(refused(v, std::string(8193, 'a')) == "token refused: more than 8192 bytes");
  CHECK(refused(v, signer.token("nothing", "{}")) == "token refused: its header is not a JSON object");
  CHECK(refused(v, signer.token("[]", "{}")) == "token refused: its header is not a JSON object");
  CHECK(refused(v, signer.token(R"({"alg":"ES256","alg":"none"})", "{}")) == "token refused: its header is not a JSON object");
  for (const char* claims : {"", "[]", "7", "{\"sub\":1,\"sub\":2}", "{\"a\":", "{} {}"}) CHECK(refused(v, signer.token(claims)) == "token refused: its claims are not a JSON object");
  CHECK(refused(v, signer.token(std::string(40, '[') + std::string(40, ']'))) == "token refused: its claims are not a JSON object");
  CHECK(refused(v, signer.token(absl::StrCat(R"({"alg":"no)", std::string(100, 'x'), "\\n\"}"), "{}")).size() < 200);
}

TEST_CASE("base64url has no padding, no other alphabet and no stray bits") {
  std::string out;
  CHECK(serve::decode_base64url("", out));
  CHECK(serve::decode_base64url("_-8", out));
  CHECK(out == "\xff\xef");
  CHECK(serve::decode_base64url("Zm9v", out));
  CHECK(out == "foo");
  for (const char* text : {"Z", "Zm9vZ", "Zm8=", "Zm+v", "Zm/v", "Zm 9", "Zh", "Zm9", "Z\xc3\xa4"}) {
    INFO(text);
    CHECK_FALSE(serve::decode_base64url(text, out));
  }
}

TEST_CASE("a set of keys serves those it can, and is an error when it can serve none, holds a secret or a number that is none") {
  const Signer rsa("RS256"), small("RS1024"), ec("ES256"), large("ES384");
  CHECK(verifier({large.jwk(), R"({"kty":"AKP","alg":"ML-DSA-44"})", ec.jwk(",\"use\":\"enc\""), ec.jwk(",\"key_ops\":[\"sign\"]"), rsa.jwk(",\"alg\":\"RS512\""),
                  rsa.jwk(",\"alg\":\"RS256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]")})
            .keys() == 1);
  CHECK(wrong_keys("nothing").find("keys.json:1") == 0);
  CHECK(wrong_keys("{}") == "keys.json: not a set of keys (JWKS): it has no list \"keys\"");
  CHECK(wrong_keys(ec.jwk()) == "keys.json: not a set of keys (JWKS): it has no list \"keys\"");
  CHECK(wrong_keys(jwks({})) == "keys.json: no key for RS256, ES256 or EdDSA in it");
  CHECK(wrong_keys(jwks({large.jwk()})) == "keys.json: no key for RS256, ES256 or EdDSA in it");
  CHECK(wrong_keys(jwks({ec.jwk(), small.jwk()})) == "keys.json:2: keys[1]: an RSA key must have 2048 to 8192 bits");
  CHECK(wrong_keys(jwks({ec.jwk(",\"d\":\"AAAA\"")})) == "keys.json:1: keys[0]: holds a secret: only public keys belong here");
  CHECK(wrong_keys(jwks({R"({"kty":"oct","k":"AAAA"})"})) == "keys.json:1: keys[0]: holds a secret: only public keys belong here");
  CHECK(wrong_keys(jwks({R"({"kty":"EC","crv":"P-256","x":"AAAA"})"})) == "keys.json:1: keys[0]: y is not base64url");
  CHECK(wrong_keys(jwks({R"({"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"})"})) == "keys.json:1: keys[0]: the coordinates of a P-256 key have 32 bytes each");
  const std::string off(43, 'A');
  CHECK(wrong_keys(jwks({absl::StrCat(R"({"kty":"EC","crv":"P-256","x":")", off, R"(","y":")", off, "\"}")})) == "keys.json:1: keys[0]: not a point on P-256");
  CHECK(wrong_keys(jwks({R"({"kty":"OKP","crv":"Ed25519","x":"AAAA"})"})) == "keys.json:1: keys[0]: an Ed25519 key has 32 bytes");
  CHECK(wrong_keys(jwks({"7"})) == "keys.json:1: keys[0]: expected a map");
  CHECK(wrong_keys(jwks(std::vector<std::string>(101, "{}"))) == "keys.json: more than 100 keys");
}

}  // namespace tokens_test
