// See tokens.h.
#include "controlplane/serve/tokens.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "base/status.h"

namespace fairlead::serve {
namespace {

constexpr doc::Limits kTokenLimits{TokenVerifier::kMostBytes, 16, 1'000};
constexpr doc::Limits kKeysLimits{1 << 20, 16, 20'000};
constexpr size_t kMostKeys = 100;
constexpr size_t kMostTried = 8;  // of a token that does not say which key it is signed with

absl::Status refuse(std::string_view why) { return absl::UnauthenticatedError(absl::StrCat("token refused: ", why)); }

std::optional<std::string> text_at(const doc::Value& map, std::string_view key) {
  const doc::Value* value = map.find(key);
  return value != nullptr && value->is_string() ? std::optional(value->as_string()) : std::nullopt;
}

// What a client sent, fit for a log.
std::string shown(std::string_view text) { return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)), text.size() > 64 ? "…" : "", "\""); }

std::optional<PublicKey::Kind> kind_of(std::string_view algorithm) {
  if (algorithm == "RS256") return PublicKey::Kind::kRsa;
  if (algorithm == "ES256") return PublicKey::Kind::kP256;
  if (algorithm == "EdDSA") return PublicKey::Kind::kEd25519;
  return std::nullopt;
}

// Of an object's name in Kubernetes; no character of it means anything in a rule or a path.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '.'; });
}

// The path of a SPIFFE ID: segments that are neither empty nor "." nor "..", of the characters the standard has.
bool is_path(std::string_view path) {
  for (const std::string_view segment : absl::StrSplit(path, '/')) {
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (!std::all_of(segment.begin(), segment.end(), [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_'; })) return false;
  }
  return true;
}

// A key of the set; nullopt: of a kind or for a purpose that is not ours.
absl::StatusOr<std::optional<PublicKey>> key_of(const doc::Value& jwk) {
  const std::string type = text_at(jwk, "kty").value_or(""), curve = text_at(jwk, "crv").value_or("");
  if (text_at(jwk, "use").value_or("sig") != "sig") return std::nullopt;
  if (const doc::Value* uses = jwk.find("key_ops")) {
    const auto items = uses->items();
    if (std::none_of(items.begin(), items.end(), [](const doc::Value& use) { return use.as_string() == "verify"; })) return std::nullopt;
  }
  const bool rsa = type == "RSA", ec = type == "EC" && curve == "P-256", ed = type == "OKP" && curve == "Ed25519";
  if (!rsa && !ec && !ed) return std::nullopt;
  if (const auto algorithm = text_at(jwk, "alg"); algorithm && *algorithm != (rsa ? "RS256" : ec ? "ES256" : "EdDSA")) return std::nullopt;
  const auto number = [&](std::string_view name) -> absl::StatusOr<std::string> {
    std::string bytes;
    const auto text = text_at(jwk, name);
    if (!text || text->size() > 4096 || !decode_base64url(*text, bytes)) return absl::InvalidArgumentError(absl::StrCat(name, " is not base64url"));
    return bytes;
  };
  FL_ASSIGN_OR_RETURN(const std::string first, number(rsa ? "n" : "x"));
  if (ed) {
    FL_ASSIGN_OR_RETURN(PublicKey key, PublicKey::ed25519(first));
    return std::optional(std::move(key));
  }
  FL_ASSIGN_OR_RETURN(const std::string second, number(rsa ? "e" : "y"));
  FL_ASSIGN_OR_RETURN(PublicKey key, rsa ? PublicKey::rsa(first, second) : PublicKey::p256(first, second));
  return std::optional(std::move(key));
}

// Seconds since 1970; nullopt when there is none or it is not one.
std::optional<double> time_at(const doc::Value& claims, std::string_view key) {
  const doc::Value* value = claims.find(key);
  if (value == nullptr || !value->is_numeric() || !std::isfinite(value->as_number())) return std::nullopt;
  return value->as_number();
}

}  // namespace

bool decode_base64url(std::string_view text, std::string& out) {
  static constexpr auto kValues = [] {
    std::array<int8_t, 256> all{};
    all.fill(-1);
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < alphabet.size(); ++i) all[static_cast<unsigned char>(alphabet[i])] = static_cast<int8_t>(i);
    return all;
  }();
  out.clear();
  if (text.size() % 4 == 1) return false;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    const int8_t value = kValues[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out += static_cast<char>(bits >> have & 0xff);
  }
  return (bits & ((1u << have) - 1)) == 0;
}

absl::StatusOr<TokenVerifier> TokenVerifier::parse(std::string_view jwks, const std::string& file, Policy policy) {
  FL_ASSIGN_OR_RETURN(const doc::Value set, doc::parse_json(jwks, file, kKeysLimits));
  const doc::Value* keys = set.find("keys");
  if (keys == nullptr || !keys->is_list()) return absl::InvalidArgumentError(absl::StrCat(file, ": not a set of keys (JWKS): it has no list \"keys\""));
  if (keys->size() > kMostKeys) return absl::InvalidArgumentError(absl::StrCat(file, ": more than ", kMostKeys, " keys"));
  TokenVerifier out;
  out.policy_ = std::move(policy);
  for (size_t i = 0; i < keys->size(); ++i) {
    const doc::Value& jwk = keys->items()[i];
    const std::string place = absl::StrCat(file, ":", jwk.mark().line, ": keys[", i, "]");
    if (!jwk.is_map()) return absl::InvalidArgumentError(absl::StrCat(place, ": expected a map"));
    // A secret in here would be one that whoever can read the file signs with.
    for (const char* secret : {"d", "k"}) {
      if (jwk.find(secret)) return absl::InvalidArgumentError(absl::StrCat(place, ": holds a secret: only public keys belong here"));
    }
    absl::StatusOr<std::optional<PublicKey>> key = key_of(jwk);
    if (!key.ok()) return absl::InvalidArgumentError(absl::StrCat(place, ": ", key.status().message()));
    if (*key) out.keys_.push_back({text_at(jwk, "kid").value_or(""), **std::move(key)});
  }
  if (out.keys_.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": no key for RS256, ES256 or EdDSA in it"));
  return out;
}

absl::Status TokenVerifier::verify(std::string_view header_text, std::string_view text, std::string_view signature) const {
  const absl::StatusOr<doc::Value> header = doc::parse_json(header_text, "", kTokenLimits);
  if (!header.ok() || !header->is_map()) return refuse("its header is not a JSON object");
  const auto algorithm = text_at(*header, "alg");
  if (!algorithm) return refuse("its header has no alg");
  const auto kind = kind_of(*algorithm);
  if (!kind) return refuse(absl::StrCat("alg ", shown(*algorithm), " is not served: RS256, ES256 and EdDSA are"));
  if (header->find("crit")) return refuse("critical extensions are not served");
  const doc::Value* id = header->find("kid");
  if (id != nullptr && !id->is_string()) return refuse("its kid is not a string");
  size_t tried = 0;
  bool known = false;
  for (const Key& key : keys_) {
    if (id != nullptr && key.id != id->as_string()) continue;
    known = true;
    // What signs with a key is the key's to say, never the token's.
    if (key.key.kind() != *kind) continue;
    if (tried++ == kMostTried) break;
    if (key.key.verifies(text, signature)) return absl::OkStatus();
  }
  if (id != nullptr && !known) return refuse(absl::StrCat("no key ", shown(id->as_string()), " is known"));
  return refuse(tried == 0 ? absl::StrCat("there is no such key for ", *algorithm) : "its signature does not fit");
}

absl::StatusOr<std::vector<std::string>> TokenVerifier::check(std::string_view token, SystemTime now) const {
  if (token.size() > kMostBytes) return refuse(absl::StrCat("more than ", kMostBytes, " bytes"));
  const size_t first = token.find('.'), last = token.rfind('.');
  if (first == std::string_view::npos || first == last || token.find('.', first + 1) != last) return refuse("not three parts with dots between them");
  std::string header, claims, signature;
  if (!decode_base64url(token.substr(0, first), header) || !decode_base64url(token.substr(first + 1, last - first - 1), claims) || !decode_base64url(token.substr(last + 1), signature)) {
    return refuse("not base64url");
  }
  FL_RETURN_IF_ERROR(verify(header, token.substr(0, last), signature));
  return check_claims(claims, now);
}

absl::StatusOr<std::vector<std::string>> TokenVerifier::check_claims(std::string_view json, SystemTime now) const {
  const absl::StatusOr<doc::Value> claims = doc::parse_json(json, "", kTokenLimits);
  if (!claims.ok() || !claims->is_map()) return refuse("its claims are not a JSON object");
  const double at = std::chrono::duration<double>(now.time_since_epoch()).count(), leeway = static_cast<double>(policy_.leeway.count());
  const auto expires = time_at(*claims, "exp");
  if (!expires) return refuse("it has no exp");
  if (at >= *expires + leeway) return refuse(absl::StrCat("it expired ", static_cast<int64_t>(std::min(at - *expires, 1e15)), " s ago"));
  if (claims->find("nbf")) {
    const auto begins = time_at(*claims, "nbf");
    if (!begins) return refuse("its nbf is not a time");
    if (at + leeway < *begins) return refuse(absl::StrCat("it is not valid before ", static_cast<int64_t>(std::min(*begins - at, 1e15)), " s from now"));
  }
  const auto issuer = text_at(*claims, "iss");
  if (!issuer) return refuse("it has no iss");
  if (*issuer != policy_.issuer) return refuse(absl::StrCat("issuer ", shown(*issuer), " is not the one that is trusted"));
  const doc::Value* audience = claims->find("aud");
  const auto ours = [&](const doc::Value& a) { return a.is_string() && std::find(policy_.audiences.begin(), policy_.audiences.end(), a.as_string()) != policy_.audiences.end(); };
  if (audience == nullptr) return refuse("it has no aud");
  const auto many = audience->items();
  if (!ours(*audience) && std::none_of(many.begin(), many.end(), ours)) return refuse("it is for another audience");
  return names_of(*claims);
}

absl::StatusOr<std::vector<std::string>> TokenVerifier::names_of(const doc::Value& claims) const {
  constexpr std::string_view kAccount = "system:serviceaccount:", kSpiffe = "spiffe://";
  const std::string sub = text_at(claims, "sub").value_or("");
  if (sub.empty() || sub.size() > 2048) return refuse("it has no sub, or one that is too long");
  if (sub.starts_with(kSpiffe)) {
    const std::string ours = absl::StrCat(kSpiffe, policy_.trust_domain, "/");
    if (!sub.starts_with(ours) || !is_path(std::string_view(sub).substr(ours.size()))) return refuse(absl::StrCat("sub ", shown(sub), " is not of trust domain ", policy_.trust_domain));
    return std::vector{sub};
  }
  if (!sub.starts_with(kAccount)) {
    if (!std::all_of(sub.begin(), sub.end(), [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); })) return refuse("its sub is not plain text");
    return std::vector{absl::StrCat("jwt:", sub)};
  }
  const std::vector<std::string> parts = absl::StrSplit(std::string_view(sub).substr(kAccount.size()), ':');
  if (parts.size() != 2 || !is_name(parts[0]) || !is_name(parts[1])) return refuse(absl::StrCat("sub ", shown(sub), " is not a service account"));
  const std::string account = absl::StrCat(kSpiffe, policy_.trust_domain, "/ns/", parts[0], "/sa/", parts[1]);
  const doc::Value* about = claims.find("kubernetes.io");
  if (about == nullptr) return std::vector{account};
  // The server writes them from one object: where they differ it is no token of its.
  const doc::Value* named = about->find_path("serviceaccount.name");
  const doc::Value* ns = about->find("namespace");
  if (!about->is_map() || (ns != nullptr && (!ns->is_string() || ns->as_string() != parts[0])) || (named != nullptr && (!named->is_string() || named->as_string() != parts[1]))) {
    return refuse("its claims in kubernetes.io are not those of its sub");
  }
  const doc::Value* pod = about->find_path("pod.name");
  if (pod == nullptr) return std::vector{account};
  if (!is_name(pod->as_string())) return refuse("the name of its pod is not one");
  return std::vector{account, absl::StrCat(account, "/pod/", pod->as_string())};
}

}  // namespace fairlead::serve
