// See internal_redirect.h.
#include "dataplane/router/internal_redirect.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>

namespace fairlead::router {
namespace {

// What may stand in an authority and its user part: the characters of Envoy's URL parser.
bool is_user_char(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || std::string_view("-_.!~*'()%;:&=+$,").find(c) != std::string_view::npos; }
bool is_host_char(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; }
bool is_path_char(char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; }

bool valid_port(std::string_view port) {
  uint32_t number;
  return !port.empty() && std::all_of(port.begin(), port.end(), [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }) && absl::SimpleAtoi(port, &number) && number <= 65535;
}

// "host", "host:80", "[::1]:80"
bool valid_host_and_port(std::string_view text) {
  size_t end;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close == 1) return false;
    for (const char c : text.substr(1, close - 1)) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c)) && c != ':' && c != '.') return false;
    }
    end = close + 1;
  } else {
    end = std::min(text.find(':'), text.size());
    if (end == 0 || !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), is_host_char)) return false;
  }
  if (end == text.size()) return true;
  return text[end] == ':' && valid_port(text.substr(end + 1));
}

}  // namespace

bool RedirectTarget::https() const { return !absl::EqualsIgnoreCase(scheme, "http"); }  // Envoy 1.40: whatever is not http

std::optional<RedirectTarget> parse_location(std::string_view location) {
  const size_t colon = location.find("://");
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  RedirectTarget target;
  target.scheme = location.substr(0, colon);
  if (!std::all_of(target.scheme.begin(), target.scheme.end(), [](char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); })) return std::nullopt;
  std::string_view rest = location.substr(colon + 3);
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  target.authority = rest.substr(0, end);
  if (const size_t at = target.authority.find('@'); at != std::string_view::npos) {
    if (!std::all_of(target.authority.begin(), target.authority.begin() + static_cast<std::ptrdiff_t>(at), is_user_char)) return std::nullopt;
    target.authority.remove_prefix(at + 1);
  }
  if (!valid_host_and_port(target.authority)) return std::nullopt;
  rest.remove_prefix(end);
  if (!std::all_of(rest.begin(), rest.end(), is_path_char)) return std::nullopt;
  target.path = rest.empty() ? std::string_view("/") : rest.substr(0, rest.find('#'));
  return target;
}

bool follows(const InternalRedirectPolicy& policy, uint32_t status) { return std::find(policy.codes.begin(), policy.codes.end(), status) != policy.codes.end(); }

RedirectObstacle find_obstacle(const InternalRedirectPolicy& policy, std::string_view location, bool from_https, const RedirectHistory& history, RedirectTarget& target) {
  const auto parsed = parse_location(location);
  if (!parsed) return RedirectObstacle::BadLocation;
  target = *parsed;
  if (!policy.cross_scheme && target.https() != from_https) return RedirectObstacle::UnsafeScheme;
  return history.followed >= policy.max_redirects ? RedirectObstacle::TooMany : RedirectObstacle::None;
}

void point_to(const RedirectTarget& target, const InternalRedirectPolicy& policy, const http::HeaderMap& response, http::HeaderMap& request) {
  for (const std::string& name : policy.copied_headers) {
    request.remove(name);
    response.for_each_value(name, [&](std::string_view value) { request.add(name, value); });
  }
  request.set(http::Token::PseudoScheme, target.scheme);
  request.set(http::Token::PseudoAuthority, target.authority);
  request.set(http::Token::PseudoPath, target.path);
}

bool may_lead_to(const InternalRedirectPolicy& policy, std::string_view from, std::string_view to, bool from_https, bool to_https, RedirectHistory& history, http::Arena& arena) {
  for (const auto& allowed : policy.allowed_routes) {
    if (std::find(allowed.begin(), allowed.end(), to) == allowed.end()) return false;
  }
  if (policy.safe_cross_scheme && to_https && !from_https) return false;
  if (!policy.previous_routes) return true;
  for (const auto* step = history.steps; step != nullptr; step = step->next) {
    if (step->from == from && step->to == to) return false;
  }
  history.steps = arena.make<RedirectHistory::Step>(RedirectHistory::Step{from, to, history.steps});
  return true;
}

}  // namespace fairlead::router
