// See rewrite.h.
#include "dataplane/router/rewrite.h"

#include <absl/strings/str_cat.h>

#include "dataplane/http/header_map.h"

namespace fairlead::router {
namespace {

std::string_view before_query(std::string_view path) { return path.substr(0, path.find_first_of("?#")); }

// The part of the path that a prefix rewrite replaces: the prefix that matched, else all of it.
size_t matched_size(const PathMatch& matcher, std::string_view plain) {
  const bool by_prefix = matcher.kind == PathMatch::Kind::Prefix || matcher.kind == PathMatch::Kind::SeparatedPrefix;
  return by_prefix ? std::min(matcher.text.size(), plain.size()) : plain.size();
}

std::string replace_prefix(const PathMatch& matcher, std::string_view path, std::string_view replacement) {
  return absl::StrCat(replacement, path.substr(matched_size(matcher, before_query(path))));
}

std::string replace_regex(const matching::Regex& regex, std::string_view path, std::string_view substitution) {
  const std::string_view plain = before_query(path);
  std::string out(plain);
  regex.global_replace(out, substitution);
  out.append(path.substr(plain.size()));
  return out;
}

// The request's authority for a Location, without the port when the new scheme or port makes it wrong.
std::string_view host_for_redirect(const http::HeaderMap& headers, std::string_view new_scheme, bool new_port) {
  const std::string_view host = headers.get(http::Token::PseudoAuthority);
  if (host.empty()) return host;
  size_t end;
  if (host[0] == '[') {
    end = host.rfind("]:");
    if (end != std::string_view::npos) ++end;
  } else {
    end = host.rfind(':');
  }
  if (end == std::string_view::npos) return host;
  const std::string_view port = host.substr(end);
  const std::string_view protocol = headers.get(http::Token::XForwardedProto);
  bool drop = new_port;
  if (new_scheme != protocol) drop |= (protocol == "https" && port == ":443") || (protocol == "http" && port == ":80");
  return drop ? host.substr(0, end) : host;
}

std::string redirect_path(const Route& route, std::string_view path) {
  const RedirectAction& action = route.extras.redirect;
  const size_t mark = path.find('?');
  if (action.path_kind == RedirectAction::Path::Replace) {
    // A query of the replacement wins; else the request's stays unless it is to be stripped.
    if (action.path.find('?') != std::string::npos || mark == std::string_view::npos || action.strip_query) return action.path;
    return absl::StrCat(action.path, path.substr(mark));
  }
  std::string out(path);
  if (action.path_kind == RedirectAction::Path::Prefix) out = replace_prefix(route.path, path, action.path);
  if (action.path_kind == RedirectAction::Path::Regex) out = replace_regex(*action.regex, path, action.substitution);
  if (action.strip_query) out.resize(std::min(out.size(), out.find('?')));
  return out;
}

}  // namespace

bool rewrite_path(const Route& route, std::string_view path, std::string& out) {
  const PathRewrite& rewrite = route.forward.path_rewrite;
  switch (rewrite.kind) {
    case PathRewrite::Kind::None: return false;
    case PathRewrite::Kind::Prefix: out = replace_prefix(route.path, path, rewrite.prefix); return true;
    case PathRewrite::Kind::Regex: out = replace_regex(*rewrite.regex, path, rewrite.substitution); return true;
  }
  return false;
}

bool rewrite_host(const Match& match, const http::HeaderMap& headers, std::string_view upstream_hostname, std::string& out) {
  const HostRewrite& rewrite = match.route->forward.host_rewrite;
  switch (rewrite.kind) {
    case HostRewrite::Kind::None: return false;
    case HostRewrite::Kind::Literal: out = rewrite.text; return !out.empty();
    case HostRewrite::Kind::Auto:
      if (upstream_hostname.empty()) return false;
      out = std::string(upstream_hostname);
      return true;
    case HostRewrite::Kind::Header: {
      const std::string_view value = headers.get(rewrite.text);
      if (value.empty()) return false;
      out = std::string(value);
      return true;
    }
    case HostRewrite::Kind::PathRegex: {
      std::string host(before_query(headers.get(http::Token::PseudoPath)));
      rewrite.regex->global_replace(host, rewrite.substitution);
      out = std::move(host);
      return true;
    }
  }
  return false;
}

std::string redirect_location(const Match& match, const http::HeaderMap& headers, std::string_view scheme) {
  const std::string_view path = headers.get(http::Token::PseudoPath);
  if (match.outcome == Match::Outcome::RedirectToTls) {
    return absl::StrCat("https://", headers.get(http::Token::PseudoAuthority), path);
  }
  const RedirectAction& action = match.route->extras.redirect;
  const std::string_view to_scheme = !action.scheme.empty() ? std::string_view(action.scheme) : action.https ? std::string_view("https") : scheme;
  const std::string port = action.port != 0 ? absl::StrCat(":", action.port) : "";
  const std::string_view host = !action.host.empty() ? std::string_view(action.host) : host_for_redirect(headers, to_scheme, !port.empty());
  const std::string to_path = redirect_path(*match.route, path);
  const bool rooted = to_path.starts_with('/');  // Envoy 1.40: a configured path without a slash gets one
  return absl::StrCat(to_scheme, "://", host, port, rooted ? "" : "/", to_path);
}

std::string_view mirror_cluster(const MirrorPolicy& policy, const http::HeaderMap& headers) {
  return policy.cluster.empty() ? headers.get(policy.cluster_header) : std::string_view(policy.cluster);
}

}  // namespace fairlead::router
