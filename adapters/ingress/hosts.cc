// Paths by host. See hosts.h.
#include "adapters/ingress/hosts.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fairlead::adapters::ingress {

namespace {

bool is_wildcard(std::string_view host) { return absl::StartsWith(host, "*."); }

// "/foo" and "/foo/" are one prefix.
std::string normal(const intent::PathMatch& path) {
  const bool slash = path.type == intent::PathMatchType::kPrefix && path.value.size() > 1 && path.value.back() == '/';
  return path.value.substr(0, path.value.size() - (slash ? 1 : 0));
}

// Exact before prefix, the longer before the shorter (Ingress, "Multiple matches"); then the text, so that the order is the objects' own.
bool tried_before(const intent::Route& a, const intent::Route& b) {
  const std::string x = normal(a.match.path), y = normal(b.match.path);
  const bool x_prefix = a.match.path.type != intent::PathMatchType::kExact, y_prefix = b.match.path.type != intent::PathMatchType::kExact;
  return std::tuple(x_prefix, y.size(), x) < std::tuple(y_prefix, x.size(), y);
}

// Virtual hosts of proxies take a wildcard for any number of labels: what an Ingress means by it, and what is left, is told by the name itself.
void guard(std::vector<intent::Route>& routes, std::string_view labels, std::string_view wildcard) {
  const std::string below = absl::StrReplaceAll(wildcard.substr(1), {{".", "\\."}});
  for (intent::Route& r : routes) r.match.headers.push_back({":authority", intent::ValueMatchType::kRegex, absl::StrCat("(?i)", labels, below, "(:[0-9]+)?")});
}

}  // namespace

bool one_below(std::string_view name, std::string_view wildcard) {
  if (!is_wildcard(wildcard) || is_wildcard(name)) return false;
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && name.substr(dot) == wildcard.substr(1);
}

const intent::Route* HostTable::add(const std::string& host, intent::Route route) {
  Host& to = hosts_[host];
  const auto [seen, fresh] = to.seen.try_emplace({route.match.path.type, normal(route.match.path)}, to.paths.size());
  if (!fresh) return &to.paths[seen->second];
  to.paths.push_back(std::move(route));
  return nullptr;
}

const intent::Route* HostTable::set_fallback(const std::string& host, intent::Route route) {
  Host& to = hosts_[host];
  if (to.fallback) return &*to.fallback;
  to.fallback = std::move(route);
  return nullptr;
}

const intent::Route* HostTable::set_fallback(intent::Route route) {
  if (fallback_) return &*fallback_;
  fallback_ = std::move(route);
  return nullptr;
}

const HostTable::Host* HostTable::find(const std::string& name) const {
  auto host = hosts_.find(name);
  if (host == hosts_.end() && !is_wildcard(name)) {
    const size_t dot = name.find('.');
    if (dot != std::string::npos) host = hosts_.find(absl::StrCat("*", name.substr(dot)));
  }
  if (host == hosts_.end()) host = hosts_.find("");
  return host == hosts_.end() ? nullptr : &host->second;
}

std::vector<intent::Route> HostTable::routes(const Host* host) const {
  std::vector<intent::Route> out;
  if (host) out = host->paths;
  std::stable_sort(out.begin(), out.end(), tried_before);
  if (host && host->fallback) {
    out.push_back(*host->fallback);
  } else if (fallback_) {
    out.push_back(*fallback_);
  }
  return out;
}

std::vector<intent::Route> HostTable::routes_of(const std::string& name) const {
  std::vector<intent::Route> out = routes(find(name));
  if (!is_wildcard(name) || !hosts_.contains(name)) return out;
  guard(out, "[^.]+", name);
  std::vector<intent::Route> others = routes(find(""));
  guard(others, "[^.]+(\\.[^.]+)+", name);
  out.insert(out.end(), std::make_move_iterator(others.begin()), std::make_move_iterator(others.end()));
  return out;
}

std::vector<intent::VirtualHost> HostTable::virtual_hosts(const std::string& listener) const {
  std::set<std::string> names{listener};
  for (const auto& [host, paths] : hosts_) {
    if (listener.empty() || one_below(host, listener)) names.insert(host);
  }
  std::vector<intent::VirtualHost> out;
  for (const std::string& name : names) {
    intent::VirtualHost host{name.empty() ? "*" : name, {}};
    for (intent::Route& route : routes_of(name)) host.routes.emplace_back(std::move(route));
    if (!host.routes.empty()) out.push_back(std::move(host));
  }
  return out;
}

}  // namespace fairlead::adapters::ingress
