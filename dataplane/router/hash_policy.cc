// Compiles and evaluates hash policies; see hash_policy.h and compiler.h.
#include "dataplane/router/hash_policy.h"

#include <algorithm>
#include <bit>

#include <absl/container/inlined_vector.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "base/hash.h"
#include "dataplane/http/header_map.h"
#include "dataplane/router/compiler.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::router {
namespace v3 = envoy::config::route::v3;
namespace {

// Sorted, each hash the seed of the next: the order of the values does not matter.
std::optional<uint64_t> hash_header(const HashMethod& method, const http::HeaderMap& headers) {
  absl::InlinedVector<std::string_view, 4> values;
  headers.for_each_value(method.name, [&](std::string_view value) { values.push_back(value); });
  if (values.empty()) return std::nullopt;
  absl::InlinedVector<std::string, 1> rewritten;
  if (method.regex) {
    rewritten.assign(values.begin(), values.end());
    for (size_t i = 0; i < values.size(); ++i) {
      method.regex->global_replace(rewritten[i], method.substitution);
      values[i] = rewritten[i];
    }
  }
  std::sort(values.begin(), values.end());
  uint64_t hash = 0;
  for (const std::string_view value : values) hash = xx_hash64(value, hash);
  return hash;
}

std::optional<uint64_t> hash_of(const HashMethod& method, const http::HeaderMap& headers, std::string_view source_ip, NewCookie new_cookie) {
  switch (method.kind) {
    case HashMethod::Kind::Header: return hash_header(method, headers);
    case HashMethod::Kind::Query: {
      const auto value = matching::query_value(headers.get(http::Token::PseudoPath), method.name);
      return value ? std::optional(xx_hash64(*value)) : std::nullopt;
    }
    case HashMethod::Kind::SourceIp: return source_ip.empty() ? std::nullopt : std::optional(xx_hash64(source_ip));
    case HashMethod::Kind::Cookie: {
      std::string_view value = matching::cookie_value(headers, method.name).value_or(std::string_view());
      if (value.empty() && method.ttl) value = new_cookie(method);
      return value.empty() ? std::nullopt : std::optional(xx_hash64(value));
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> hash_request(const std::vector<HashMethod>& policy, const http::HeaderMap& headers, std::string_view source_ip, NewCookie new_cookie) {
  std::optional<uint64_t> hash;
  for (const HashMethod& method : policy) {
    // Turned by a bit, so that two equal parts do not cancel each other out.
    if (const auto next = hash_of(method, headers, source_ip, new_cookie)) hash = std::rotl(hash.value_or(0), 1) ^ *next;
    if (method.terminal && hash) break;
  }
  return hash;
}

std::string set_cookie(std::string_view name, std::string_view value, std::optional<std::chrono::seconds> ttl, std::string_view attributes) {
  std::string text = absl::StrCat(name, "=\"", value, "\"");
  if (ttl.value_or(std::chrono::seconds(0)).count() != 0) absl::StrAppend(&text, "; Max-Age=", ttl->count());
  return absl::StrCat(text, attributes, "; HttpOnly");
}

std::vector<HashMethod> TableCompiler::hash_policy(const Repeated<v3::RouteAction_HashPolicy>& protos, const Path& path) {
  std::vector<HashMethod> policy;
  for (int i = 0; i < protos.size(); ++i) {
    const auto& proto = protos[i];
    const Path place = absl::StrCat(path, "[", i, "]");
    HashMethod method;
    method.terminal = proto.terminal();
    switch (proto.policy_specifier_case()) {
      case v3::RouteAction_HashPolicy::kHeader:
        method.kind = HashMethod::Kind::Header;
        method.name = absl::AsciiStrToLower(proto.header().header_name());
        if (proto.header().has_regex_rewrite()) method.regex = regex_rewrite(proto.header().regex_rewrite(), place + ".header.regex_rewrite", method.substitution);
        break;
      case v3::RouteAction_HashPolicy::kCookie:
        method.kind = HashMethod::Kind::Cookie;
        method.name = proto.cookie().name();
        if (proto.cookie().has_ttl()) method.ttl = std::chrono::seconds(proto.cookie().ttl().seconds());
        if (!proto.cookie().path().empty()) absl::StrAppend(&method.attributes, "; Path=", proto.cookie().path());
        for (const auto& attribute : proto.cookie().attributes()) absl::StrAppend(&method.attributes, "; ", attribute.name(), attribute.value().empty() ? "" : "=", attribute.value());
        break;
      case v3::RouteAction_HashPolicy::kConnectionProperties:
        if (!proto.connection_properties().source_ip()) continue;
        method.kind = HashMethod::Kind::SourceIp;
        break;
      case v3::RouteAction_HashPolicy::kQueryParameter:
        method.kind = HashMethod::Kind::Query;
        method.name = proto.query_parameter().name();
        break;
      case v3::RouteAction_HashPolicy::kFilterState: errors_.add(place + ".filter_state", "filter state is not available"); continue;
      case v3::RouteAction_HashPolicy::POLICY_SPECIFIER_NOT_SET:
        errors_.add(place + ".policy_specifier", "one of header, cookie, connection_properties, query_parameter must be set");
        continue;
    }
    policy.push_back(std::move(method));
  }
  return policy;
}

}  // namespace fairlead::router
