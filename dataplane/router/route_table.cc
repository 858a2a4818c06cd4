// Matching: from a request's headers to a route, without allocating. See route_table.h.
#include "dataplane/router/route_table.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "dataplane/http/header_map.h"
#include "dataplane/router/compiler.h"
#include "dataplane/router/hash_policy.h"
#include "dataplane/router/host_index.h"
#include "dataplane/router/path_index.h"

namespace fairlead::router {
namespace {

std::string_view plain_path(std::string_view path) { return path.substr(0, path.find_first_of("?#")); }

bool is_grpc(const http::HeaderMap& headers) {
  const std::string_view type = headers.get(http::Token::ContentType);
  return absl::StartsWith(type, "application/grpc") && (type.size() == 16 || type[16] == '+');
}

// What a route demands beside its path. Null: all is met; else the description of what is not.
struct Unmet {
  enum class Kind : uint8_t { None, Fraction, Header, Query, Cookie, Certificate, Metadata, Grpc } kind = Kind::None;
  size_t index = 0;
};

Unmet first_unmet(const Route& route, const http::HeaderMap& headers, const RequestFacts& facts) {
  if (route.conditions == nullptr) return {};
  const RouteConditions& asked = *route.conditions;
  if (asked.fraction && !asked.fraction->match(facts.random, facts.runtime)) return {Unmet::Kind::Fraction};
  for (size_t i = 0; i < asked.headers.size(); ++i) {
    if (!asked.headers[i].match(headers)) return {Unmet::Kind::Header, i};
  }
  if (!asked.query.empty()) {
    const std::string_view path = headers.get(http::Token::PseudoPath);
    for (size_t i = 0; i < asked.query.size(); ++i) {
      if (!asked.query[i].match(path)) return {Unmet::Kind::Query, i};
    }
  }
  for (size_t i = 0; i < asked.cookies.size(); ++i) {
    if (!asked.cookies[i].match(headers)) return {Unmet::Kind::Cookie, i};
  }
  if (asked.client_certificate_presented.value_or(facts.certificate_presented) != facts.certificate_presented ||
      asked.client_certificate_validated.value_or(facts.certificate_validated) != facts.certificate_validated) {
    return {Unmet::Kind::Certificate};
  }
  for (size_t i = 0; i < asked.metadata.size(); ++i) {
    if (!asked.metadata[i].match(facts.dynamic_metadata)) return {Unmet::Kind::Metadata, i};
  }
  if (asked.grpc && !is_grpc(headers)) return {Unmet::Kind::Grpc};
  return {};
}

// "client certificate presented, not validated"
std::string certificate_text(const RouteConditions& asked) {
  std::string text = "client certificate";
  if (asked.client_certificate_presented) text += *asked.client_certificate_presented ? " presented" : " not presented";
  if (asked.client_certificate_presented && asked.client_certificate_validated) text += ",";
  if (asked.client_certificate_validated) text += *asked.client_certificate_validated ? " validated" : " not validated";
  return text;
}

std::string describe(const Route& route, const Unmet& unmet) {
  if (unmet.kind == Unmet::Kind::None) return "";
  const RouteConditions& asked = *route.conditions;
  switch (unmet.kind) {
    case Unmet::Kind::Fraction:
      return absl::StrCat("outside of the runtime fraction ", asked.fraction->numerator(), "/", asked.fraction->denominator());
    case Unmet::Kind::Header: return absl::StrCat("does not satisfy: ", asked.headers[unmet.index].describe());
    case Unmet::Kind::Query: return absl::StrCat("does not satisfy: ", asked.query[unmet.index].describe());
    case Unmet::Kind::Cookie: return absl::StrCat("does not satisfy: ", asked.cookies[unmet.index].describe());
    case Unmet::Kind::Metadata: return absl::StrCat("does not satisfy: ", asked.metadata[unmet.index].describe());
    case Unmet::Kind::Certificate: return absl::StrCat("does not satisfy: ", certificate_text(asked));
    case Unmet::Kind::Grpc: return "is not a gRPC request";
    case Unmet::Kind::None: break;
  }
  return "";
}

// Fills in which cluster a forwarding route leads to.
void choose_cluster(Match& match, const http::HeaderMap& headers, const RequestFacts& facts) {
  const RouteAction& action = match.route->forward;
  if (!match.route->cluster.empty()) {
    match.cluster = match.route->cluster;
  } else if (!action.cluster_header.empty()) {
    match.cluster = headers.get(action.cluster_header);
  } else if (!action.weighted.empty()) {
    uint64_t random = facts.random;
    if (!action.weighted_random_header.empty()) {
      uint64_t given = 0;
      if (absl::SimpleAtoi(headers.get(action.weighted_random_header), &given)) random = given;
    } else if (action.weighted_by_hash) {  // Envoy 1.40: a cookie that is missing is not made here
      random = hash_request(action.hash_policy, headers, facts.source_ip, [](const HashMethod&) { return std::string_view(); }).value_or(random);
    }
    const uint64_t point = random % action.total_weight;
    const auto at = std::upper_bound(action.weighted.begin(), action.weighted.end(), point,
                                     [](uint64_t p, const WeightedCluster& cluster) { return p < cluster.cumulative; });
    match.weighted = &*at;
    match.cluster = at->name.empty() ? headers.get(at->cluster_header) : std::string_view(at->name);
  }
}

}  // namespace

const RouteAction& RouteAction::none() {
  static const RouteAction action;
  return action;
}

const RouteExtras& RouteExtras::none() {
  static const RouteExtras extras;
  return extras;
}

const VirtualHostExtras& VirtualHostExtras::none() {
  static const VirtualHostExtras extras;
  return extras;
}

RouteTable::RouteTable() : hosts_(std::make_unique<HostIndex>()) {}
RouteTable::~RouteTable() = default;

absl::StatusOr<std::shared_ptr<const RouteTable>> RouteTable::compile(const envoy::config::route::v3::RouteConfiguration& proto,
                                                                      const CompileOptions& options) {
  return TableCompiler(proto, options).run();
}

const VirtualHost* RouteTable::find_host(std::string_view authority, std::string_view* domain) const {
  uint32_t index = HostIndex::none;
  if (hosts_->only_default()) {
    index = hosts_->default_host();
    *domain = "*";
  } else {
    if (ignore_port_) authority = without_port(authority);
    char stack[256];
    std::string heap;
    std::string_view lower;
    if (authority.size() <= sizeof stack) {
      for (size_t i = 0; i < authority.size(); ++i) stack[i] = absl::ascii_tolower(static_cast<unsigned char>(authority[i]));
      lower = {stack, authority.size()};
    } else {
      heap = absl::AsciiStrToLower(authority);
      lower = heap;
    }
    index = hosts_->find(lower, domain);
  }
  return index == HostIndex::none ? nullptr : &virtual_hosts_[index];
}

namespace {

bool must_redirect_to_tls(const VirtualHost& host, const RequestFacts& facts) {
  if (host.require_tls == TlsRequirement::None || facts.scheme == "https") return false;
  return host.require_tls == TlsRequirement::All || !facts.internal;
}

}  // namespace

Match RouteTable::match(const http::HeaderMap& headers, const RequestFacts& facts, ExplainSink* sink) const {
  Match match;
  const std::string_view authority = headers.get(http::Token::PseudoAuthority);
  std::string_view domain;
  match.virtual_host = find_host(authority, &domain);
  if (sink != nullptr) sink->virtual_host(authority, match.virtual_host, domain);
  if (match.virtual_host == nullptr) return match;
  const VirtualHost& host = *match.virtual_host;
  if (must_redirect_to_tls(host, facts)) {
    match.outcome = Match::Outcome::RedirectToTls;
    return match;
  }
  const http::Header* path_header = headers.find(http::Token::PseudoPath);
  const std::string_view path = path_header == nullptr ? std::string_view() : plain_path(path_header->value());
  const bool is_connect = headers.get(http::Token::PseudoMethod) == "CONNECT";
  const auto takes = [&](const Route& route) {
    if (path_header == nullptr && route.path.kind != PathMatch::Kind::Connect) return false;  // Envoy 1.40: no other takes a request without a path
    const Unmet unmet = first_unmet(route, headers, facts);
    if (unmet.kind == Unmet::Kind::None) return true;
    if (sink != nullptr) sink->rejected(route, describe(route, unmet));
    return false;
  };
  if (host.routes.size() <= PathIndex::scan_up_to) {
    for (const Route& route : host.routes) {
      if (!path_matches(route.path, path, is_connect) || !takes(route)) continue;
      match.route = &route;
      break;
    }
  } else {
    PathIndex::Candidates candidates(*paths_[static_cast<size_t>(match.virtual_host - virtual_hosts_.data())], path);
    for (uint32_t at = candidates.next(); at != PathIndex::none; at = candidates.next()) {
      const Route& route = host.routes[at];
      if (PathIndex::needs_check(route) && !path_matches(route.path, path, is_connect)) continue;
      if (!takes(route)) continue;
      match.route = &route;
      break;
    }
  }
  if (match.route == nullptr) {
    match.outcome = Match::Outcome::NoRoute;
    return match;
  }
  match.outcome = Match::Outcome::Route;
  if (match.route->action == Route::Action::Forward) choose_cluster(match, headers, facts);
  if (sink != nullptr) sink->chosen(*match.route, match);
  return match;
}

Match RouteTable::match_by_scan(const http::HeaderMap& headers, const RequestFacts& facts) const {
  Match match;
  std::string authority = absl::AsciiStrToLower(headers.get(http::Token::PseudoAuthority));
  if (ignore_port_) authority = std::string(without_port(authority));
  // Rank of a domain: exact, then suffix wildcards by length, then prefix wildcards by length, then "*".
  size_t best = 0;
  for (const VirtualHost& host : virtual_hosts_) {
    for (const std::string_view configured : host.domains) {
      const std::string domain = absl::AsciiStrToLower(configured);
      size_t rank = 0;
      if (domain == "*") {
        rank = 1;
      } else if (absl::StartsWith(domain, "*")) {
        const std::string_view rest = std::string_view(domain).substr(1);
        if (authority.size() > rest.size() && absl::EndsWith(authority, rest)) rank = 1'000'000 + rest.size();
      } else if (absl::EndsWith(domain, "*")) {
        const std::string_view rest = std::string_view(domain).substr(0, domain.size() - 1);
        if (authority.size() > rest.size() && absl::StartsWith(authority, rest)) rank = 2 + rest.size();
      } else if (domain == authority) {
        rank = 2'000'000;
      }
      if (rank > best) {
        best = rank;
        match.virtual_host = &host;
      }
    }
  }
  if (match.virtual_host == nullptr) return match;
  if (must_redirect_to_tls(*match.virtual_host, facts)) {
    match.outcome = Match::Outcome::RedirectToTls;
    return match;
  }
  const std::string_view path = plain_path(headers.get(http::Token::PseudoPath));
  const bool is_connect = headers.get(http::Token::PseudoMethod) == "CONNECT";
  for (const Route& route : match.virtual_host->routes) {
    if (!headers.has(http::Token::PseudoPath) && route.path.kind != PathMatch::Kind::Connect) continue;
    if (!path_matches(route.path, path, is_connect)) continue;
    if (first_unmet(route, headers, facts).kind != Unmet::Kind::None) continue;
    match.outcome = Match::Outcome::Route;
    match.route = &route;
    if (route.action == Route::Action::Forward) choose_cluster(match, headers, facts);
    return match;
  }
  match.outcome = Match::Outcome::NoRoute;
  return match;
}

const PerFilter* find_per_filter(const std::vector<PerFilter>& level, std::string_view name) {
  const auto at = std::lower_bound(level.begin(), level.end(), name, [](const PerFilter& e, std::string_view n) { return e.name < n; });
  return at != level.end() && at->name == name ? &*at : nullptr;
}

const PerFilter* Match::per_filter(std::string_view name) const {
  if (weighted != nullptr) {
    if (const PerFilter* entry = find_per_filter(weighted->per_filter, name)) return entry;
  }
  if (route != nullptr) {
    if (const PerFilter* entry = find_per_filter(route->extras.per_filter, name)) return entry;
  }
  return virtual_host == nullptr ? nullptr : find_per_filter(virtual_host->extras.per_filter, name);
}

const PerFilter* RouteTable::per_filter(std::string_view name, const Match& match) const {
  const PerFilter* entry = match.per_filter(name);
  return entry != nullptr ? entry : find_per_filter(per_filter_, name);
}

namespace {

// Weighted cluster, route, virtual host, table; the other way round when the most specific level is to have the last word.
void apply_levels(const HeaderOps* (&levels)[4], bool most_specific_wins, http::HeaderMap& headers, const format::FormatContext& context) {
  if (most_specific_wins) std::reverse(std::begin(levels), std::end(levels));
  for (const HeaderOps* ops : levels) {
    if (ops != nullptr && !ops->empty()) ops->apply(headers, context);
  }
}

}  // namespace

void RouteTable::apply_request_headers(const Match& match, http::HeaderMap& headers, const format::FormatContext& context) const {
  if (match.route == nullptr) return;  // Envoy 1.40: neither a 404 nor the redirect to TLS gets any level's headers
  const HeaderOps* levels[4] = {match.weighted != nullptr ? &match.weighted->request_headers : nullptr,
                                &match.route->extras.request_headers, &match.virtual_host->extras.request_headers, &request_headers_};
  apply_levels(levels, most_specific_wins_, headers, context);
}

void RouteTable::apply_response_headers(const Match& match, http::HeaderMap& headers, const format::FormatContext& context) const {
  if (match.route == nullptr) return;  // Envoy 1.40: neither a 404 nor the redirect to TLS gets any level's headers
  const HeaderOps* levels[4] = {match.weighted != nullptr ? &match.weighted->response_headers : nullptr,
                                &match.route->extras.response_headers, &match.virtual_host->extras.response_headers, &response_headers_};
  apply_levels(levels, most_specific_wins_, headers, context);
}

std::string Route::describe() const {
  static constexpr std::string_view words[] = {"prefix", "path", "regex", "separated prefix", "CONNECT"};
  std::string text(words[static_cast<size_t>(path.kind)]);
  if (path.kind != PathMatch::Kind::Connect) absl::StrAppend(&text, " \"", path.text, "\"");
  if (!path.case_sensitive) text += " (any case)";
  if (conditions == nullptr) return text;
  for (const auto& header : conditions->headers) absl::StrAppend(&text, ", ", header.describe());
  for (const auto& parameter : conditions->query) absl::StrAppend(&text, ", ", parameter.describe());
  for (const auto& cookie : conditions->cookies) absl::StrAppend(&text, ", ", cookie.describe());
  for (const auto& metadata : conditions->metadata) absl::StrAppend(&text, ", ", metadata.describe());
  if (conditions->client_certificate_presented || conditions->client_certificate_validated) absl::StrAppend(&text, ", ", certificate_text(*conditions));
  if (conditions->grpc) text += ", gRPC";
  if (conditions->fraction) absl::StrAppend(&text, ", fraction ", conditions->fraction->numerator(), "/", conditions->fraction->denominator());
  return text;
}

}  // namespace fairlead::router
