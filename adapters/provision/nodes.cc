// See nodes.h.
#include "adapters/provision/nodes.h"

#include <algorithm>
#include <tuple>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "adapters/provision/data_plane.h"
#include "base/doc_at.h"

namespace fairlead::adapters::provision {

namespace {

constexpr std::string_view kSlices = "discovery.k8s.io";

bool is_true(const doc::Value* value, bool otherwise) { return value && value->kind() == doc::Kind::boolean ? value->as_boolean() : otherwise; }

int64_t number_at(const doc::Value& value, std::string_view key) {
  const doc::Value* v = value.find(key);
  return v && v->kind() == doc::Kind::integer ? v->as_integer() : 0;
}

template <typename K, typename V>
bool put(std::map<K, V>& to, const K& key, V value) {
  const auto [at, fresh] = to.try_emplace(key);
  if (!fresh && at->second == value) return false;
  at->second = std::move(value);
  return true;
}

}  // namespace

std::vector<WatchedKind> Nodes::watched_kinds() {
  WatchedKind nodes{"", "nodes", "Node", {"v1"}}, slices{std::string(kSlices), "endpointslices", "EndpointSlice", {"v1"}};
  nodes.cluster_scoped = true;
  slices.label_selector = absl::StrCat(kManagedByLabel, "=", kManager);  // they have the labels of their Service
  return {std::move(nodes), std::move(slices)};
}

Nodes::Node Nodes::read_node(const Object& object) {
  Node out;
  out.created = object.created;
  for (const doc::Value& c : items_at(object.body, "status.conditions")) out.ready |= text_at(c, "type") == "Ready" && text_at(c, "status") == "True";
  for (const doc::Value& a : items_at(object.body, "status.addresses")) {
    const std::string type = text_at(a, "type");
    if (type == "ExternalIP") out.external.push_back(text_at(a, "address"));
    if (type == "InternalIP") out.internal.push_back(text_at(a, "address"));
  }
  return out;
}

Nodes::Slice Nodes::read_slice(const Object& object) {
  Slice out;
  const auto service = object.labels.find("kubernetes.io/service-name");
  out.service = {object.key.ns, service == object.labels.end() ? "" : service->second};
  for (const doc::Value& e : items_at(object.body, "endpoints")) {
    const std::string node = text_at(e, "nodeName");
    if (!node.empty() && is_true(e.find_path("conditions.ready"), true)) out.nodes.insert(node);
  }
  return out;
}

bool Nodes::take(const SourceUpdate& update) {
  bool changed = std::exchange(synced_, synced_ || update.synced) != synced_;
  std::string trouble;
  for (const Diagnostic& d : update.diagnostics) absl::StrAppend(&trouble, trouble.empty() ? "" : "; ", d.message);
  changed |= std::exchange(trouble_, trouble) != trouble;
  for (const ObjectPtr& o : update.upserted) changed |= o->key.kind == "Node" ? put(nodes_, o->key.name, read_node(*o)) : put(slices_, o->key, read_slice(*o));
  for (const ObjectKey& key : update.removed) changed |= (key.kind == "Node" ? nodes_.erase(key.name) : slices_.erase(key)) > 0;
  return changed;
}

std::vector<std::string> Nodes::addresses(const Object& service, std::string& why) const {
  const bool local = text_at(service.body, "spec.externalTrafficPolicy") == "Local";
  std::set<std::string> with_proxies;
  for (const auto& [key, slice] : slices_) {
    if (slice.service == std::pair(service.key.ns, service.key.name)) with_proxies.insert(slice.nodes.begin(), slice.nodes.end());
  }
  std::set<bool> families;  // whether IPv6
  for (const doc::Value& f : items_at(service.body, "spec.ipFamilies")) families.insert(f.is_string() && f.as_string() == "IPv6");
  const auto fits = [&](const std::string& address) { return families.empty() || families.contains(absl::StrContains(address, ':')); };

  std::vector<std::pair<std::string, const Node*>> ready;
  for (const auto& [name, node] : nodes_) {
    if (node.ready && (!local || with_proxies.contains(name))) ready.emplace_back(name, &node);
  }
  // the oldest are the likeliest to stay
  std::sort(ready.begin(), ready.end(),
            [](const auto& a, const auto& b) { return std::tie(a.second->created, a.first) < std::tie(b.second->created, b.first); });
  std::vector<std::string> out;
  for (const auto& [name, node] : ready) {
    std::vector<std::string> of_node;
    std::copy_if(node->external.begin(), node->external.end(), std::back_inserter(of_node), fits);
    if (of_node.empty()) std::copy_if(node->internal.begin(), node->internal.end(), std::back_inserter(of_node), fits);
    for (std::string& address : of_node) {
      if (out.size() < kMostAddresses && std::find(out.begin(), out.end(), address) == out.end()) out.push_back(std::move(address));
    }
  }
  if (out.empty()) {
    why = local && with_proxies.empty() ? absl::StrCat("no node has a ready proxy of ", service.key.str(), " (externalTrafficPolicy: Local)")
          : ready.empty()               ? (local ? "no node that has a ready proxy is ready itself" : "no node is ready")
                                        : absl::StrCat("no ready node has an address of the families of ", service.key.str());
  }
  return out;
}

std::string node_ports(const Object& service) {
  std::string out;
  for (const doc::Value& p : items_at(service.body, "spec.ports")) {
    const std::string protocol = text_at(p, "protocol");
    if (const int64_t at = number_at(p, "nodePort"); at != 0) {
      absl::StrAppend(&out, out.empty() ? "" : ", ", number_at(p, "port"), "/", protocol.empty() ? "TCP" : protocol, " is ", at);
    }
  }
  return out;
}

}  // namespace fairlead::adapters::provision
