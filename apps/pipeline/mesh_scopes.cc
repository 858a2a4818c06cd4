// See mesh_scopes.h.
#include "apps/pipeline/mesh_scopes.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

namespace fairlead::pipeline {

using intent::ScopeKey;

namespace {

std::string_view host_of(std::string_view name) { return name.substr(0, name.rfind(':')); }

// A Service without routes: all that is asked of it goes to its endpoints.
intent::Listener passed_on(const intent::BackendKey& key) {
  intent::Listener listener;
  listener.name = key.str();
  listener.origin.kind = "Service";
  listener.origin.ns = key.ns;
  listener.origin.name = key.service;
  listener.port = key.port;
  intent::Route route;
  route.name = key.str();
  route.origin = listener.origin;
  route.without_backend = 503;
  route.request_timeout = std::chrono::milliseconds(0);  // clients have limits of their own
  intent::WeightedBackend all;
  all.backend = key;
  all.protocol = intent::BackendProtocol::kHttp2;
  route.backends.push_back(std::move(all));
  intent::VirtualHost host;
  host.routes.emplace_back(std::move(route));
  listener.virtual_hosts.emplace_back(std::move(host));
  return listener;
}

intent::Gateway with_names(intent::Gateway scope, const std::set<std::string>& names, const topology::View& topology) {
  std::map<std::string, size_t> places;  // of its listeners, by their names
  for (size_t i = 0; i < scope.listeners.size(); ++i) places.emplace(scope.listeners[i].name, i);
  for (const std::string& name : names) {
    const std::optional<intent::BackendKey> key = service_named(name);
    if (!key) continue;
    const std::string host(host_of(name));
    const auto at = places.find(key->str());
    if (at == places.end()) {
      if (!topology.knows(*key)) continue;
      places.emplace(key->str(), scope.listeners.size());
      scope.listeners.push_back(passed_on(*key));
      scope.listeners.back().address = host;
    } else if (intent::Listener& there = scope.listeners[at->second]; there.address != host) {
      there.more_addresses.push_back(host);
    }
  }
  return scope;
}

}  // namespace

std::optional<intent::BackendKey> service_named(std::string_view name) {
  const size_t colon = name.rfind(':');
  uint32_t port = 0;
  if (colon == std::string_view::npos || !absl::SimpleAtoi(name.substr(colon + 1), &port) || port == 0 || port > 65535) return std::nullopt;
  const std::string_view host = name.substr(0, colon);
  const size_t dot = host.find('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  const std::string_view rest = host.substr(dot + 1);
  const size_t end = rest.find('.');
  const std::string_view ns = rest.substr(0, end);
  const std::string_view domain = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  if (ns.empty() || (!domain.empty() && domain != ".svc" && domain != ".svc.cluster.local")) return std::nullopt;
  return intent::BackendKey{std::string(ns), std::string(host.substr(0, dot)), static_cast<uint16_t>(port)};
}

bool MeshScopes::ask(snapshot::Asked asked) {
  if (asked.all) {
    if (asked_ == asked.names) return false;
    asked_ = std::move(asked.names);
    return true;
  }
  bool changed = false;
  for (auto& [key, names] : asked.names) {
    const auto [at, fresh] = asked_.try_emplace(key);
    const size_t before = at->second.size();
    at->second.merge(names);
    changed |= fresh || at->second.size() != before;
  }
  return changed;
}

const MeshScopes::Scopes& MeshScopes::refresh(const intent::Model& model, const topology::View& topology) {
  std::map<ScopeKey, std::set<std::string>> wanted;  // by the scope that has the clients
  for (const auto& [key, names] : asked_) {
    const ScopeKey scope = model.gateways.contains(key) ? key : ScopeKey{"", "", key.audience};
    wanted[scope].insert(names.begin(), names.end());
  }
  Scopes now;
  for (const auto& [key, gateway] : model.gateways) {
    if (key.mesh()) now.emplace(key, gateway);
  }
  for (const auto& [key, names] : wanted) {
    intent::GatewayPtr& scope = now[key];
    if (scope && names.empty()) continue;
    intent::Gateway made;
    if (scope) made = *scope;
    made.key = key;
    made = with_names(std::move(made), names, topology);
    const auto before = scopes_.find(key);
    scope = before != scopes_.end() && *before->second == made ? before->second : std::make_shared<const intent::Gateway>(std::move(made));
  }
  scopes_ = std::move(now);
  return scopes_;
}

}  // namespace fairlead::pipeline
