// See explain.h.
#include "dataplane/router/explain.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/strings.h"
#include "dataplane/http/header_map.h"
#include "dataplane/router/host_index.h"
#include "dataplane/router/path_index.h"

namespace fairlead::router {
namespace {

std::string_view path_of(const http::HeaderMap& headers) {
  const std::string_view path = headers.get(http::Token::PseudoPath);
  return path.substr(0, path.find_first_of("?#"));
}

std::string quoted(std::string_view text) {
  constexpr size_t kMost = 60;
  return absl::StrCat("\"", text.substr(0, kMost), text.size() > kMost ? "…" : "", "\"");
}

bool takes_path(const Route& route, const http::HeaderMap& headers) {
  if (!headers.has(http::Token::PseudoPath) && route.path.kind != PathMatch::Kind::Connect) return false;
  return path_matches(route.path, path_of(headers), headers.get(http::Token::PseudoMethod) == "CONNECT");
}

std::string path_text(const PathMatch& path) {
  static constexpr std::string_view words[] = {"path prefix ", "path ", "path regex ", "path prefix ", "method CONNECT"};
  std::string out(words[static_cast<size_t>(path.kind)]);
  if (path.kind == PathMatch::Kind::Connect) return out;
  absl::StrAppend(&out, quoted(path.text));
  if (path.kind == PathMatch::Kind::SeparatedPrefix) out += ", whole segments";
  return out;
}

// "(it is …)", "(there is none)"
std::string header_state(std::string_view name, const http::HeaderMap& headers) {
  const auto value = headers.joined(name);
  return value ? absl::StrCat(" (it is ", quoted(*value), ")") : " (there is none)";
}

std::string query_state(std::string_view name, std::string_view path) {
  const auto value = matching::query_value(path, name);
  return value ? absl::StrCat(" (it is ", quoted(*value), ")") : " (there is none)";
}

bool is_grpc(const http::HeaderMap& headers) {
  const std::string_view type = headers.get(http::Token::ContentType);
  return absl::StartsWith(type, "application/grpc") && (type.size() == 16 || type[16] == '+');
}

void unmet_conditions(const RouteConditions& asked, const http::HeaderMap& headers, const RequestFacts& facts, std::vector<std::string>& out) {
  if (asked.fraction && !asked.fraction->match(facts.random, facts.runtime)) {
    out.push_back(absl::StrCat("the share of ", asked.fraction->numerator(), " in ", asked.fraction->denominator(), " requests that it is for"));
  }
  for (const matching::HeaderMatcher& header : asked.headers) {
    if (!header.match(headers)) out.push_back(absl::StrCat(header.describe(), header_state(header.name(), headers)));
  }
  const std::string_view path = headers.get(http::Token::PseudoPath);
  for (const matching::QueryMatcher& parameter : asked.query) {
    if (!parameter.match(path)) out.push_back(absl::StrCat(parameter.describe(), query_state(parameter.name(), path)));
  }
  for (const matching::CookieMatcher& cookie : asked.cookies) {
    if (!cookie.match(headers)) out.push_back(cookie.describe());
  }
  if (asked.client_certificate_presented.value_or(facts.certificate_presented) != facts.certificate_presented) {
    out.push_back(*asked.client_certificate_presented ? "a client certificate" : "no client certificate");
  }
  if (asked.client_certificate_validated.value_or(facts.certificate_validated) != facts.certificate_validated) {
    out.push_back(*asked.client_certificate_validated ? "a client certificate that was validated" : "a client certificate that was not validated");
  }
  if (asked.grpc && !is_grpc(headers)) out.push_back(absl::StrCat("a gRPC request", header_state("content-type", headers)));
}

constexpr uint32_t kFar = 100;

// How far a path is from one that it does not match; kFar: nothing in common.
uint32_t path_distance(const PathMatch& asked, std::string_view path) {
  if (asked.kind == PathMatch::Kind::Connect || asked.kind == PathMatch::Kind::Regex) return kFar;
  const std::string_view text = asked.text;
  const bool exact = asked.kind == PathMatch::Kind::Exact;
  const std::string_view head = exact ? path : path.substr(0, std::max<size_t>(text.size(), 1));
  if (absl::EqualsIgnoreCase(head, text)) return 1;
  if (absl::StrCat(path, "/") == text || (exact && path == absl::StrCat(text, "/"))) return 1;
  if (text.size() > 1 && path.starts_with(text)) return 2;  // goes on where the text ends
  constexpr size_t kEdits = 2;
  if (text.size() > 2 * kEdits) {
    if (const size_t edits = edit_distance(head, text, kEdits); edits <= kEdits) return 2 + static_cast<uint32_t>(edits);
  }
  // Whole segments that both begin with, of those that are asked for.
  uint32_t shared = 0, all = 0;
  for (size_t i = 1; i <= text.size(); ++i) {
    if (i != text.size() && text[i] != '/') continue;
    ++all;
    if (path.substr(0, i) == text.substr(0, i) && (i == path.size() || path[i] == '/')) ++shared;
  }
  return shared == 0 ? kFar : 5 + all - shared;
}

}  // namespace

std::vector<std::string> unmet(const Route& route, const http::HeaderMap& headers, const RequestFacts& facts) {
  std::vector<std::string> out;
  if (!takes_path(route, headers)) out.push_back(absl::StrCat(path_text(route.path), " (it is ", quoted(path_of(headers)), ")"));
  if (route.conditions != nullptr) unmet_conditions(*route.conditions, headers, facts, out);
  return out;
}

std::vector<NearMiss> near_misses(const Match& match, const http::HeaderMap& headers, const RequestFacts& facts, size_t most) {
  constexpr uint32_t kShadowed = 50, kCondition = 4;
  std::vector<NearMiss> near, far;
  if (match.virtual_host == nullptr || match.outcome == Match::Outcome::RedirectToTls) return near;
  const std::string_view path = path_of(headers);
  for (const Route& route : match.virtual_host->routes) {
    if (&route == match.route) continue;
    const bool path_fits = takes_path(route, headers);
    uint32_t distance = path_fits ? 0 : path_distance(route.path, path);
    if (distance >= kFar && (match.route != nullptr || far.size() >= most)) continue;  // most routes of a large table end here
    std::vector<std::string> missing = unmet(route, headers, facts);
    if (missing.empty()) {
      distance = kShadowed;
    } else {
      distance += kCondition * static_cast<uint32_t>(missing.size() - (path_fits ? 0 : 1));
    }
    (distance >= kFar ? far : near).push_back({&route, std::move(missing), distance});
  }
  std::stable_sort(near.begin(), near.end(), [](const NearMiss& a, const NearMiss& b) { return a.distance < b.distance; });
  if (near.empty()) near = std::move(far);
  if (near.size() > most) near.resize(most);
  return near;
}

std::vector<std::string_view> near_domains(const RouteTable& table, std::string_view authority, size_t most) {
  constexpr size_t kEdits = 8;
  const std::string host = absl::AsciiStrToLower(without_port(authority));
  std::vector<std::pair<size_t, std::string_view>> ranked;
  for (const VirtualHost& virtual_host : table.virtual_hosts()) {
    for (const std::string_view domain : virtual_host.domains) {
      const std::string lower = absl::AsciiStrToLower(domain);
      // a domain with the very port that the request has not, or the reverse, is nearest
      ranked.emplace_back(without_port(lower) == host ? 0 : 1 + edit_distance(lower, host, kEdits), domain);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string_view> out;
  for (size_t i = 0; i < ranked.size() && i < most; ++i) out.push_back(ranked[i].second);
  return out;
}

}  // namespace fairlead::router
