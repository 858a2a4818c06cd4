// See proxies_said.h.
#include "apps/pipeline/proxies_said.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "adapters/ingress/translate.h"
#include "adapters/xds/envoy_resources.h"

namespace fairlead::pipeline {

namespace {

using adapters::ObjectKey;

constexpr std::string_view kGateway = "gateway:", kRaw = "raw:", kMatch = "/match/", kPath = "/path/";
constexpr std::string_view kMeshScope = "mesh:", kMeshGrpcScope = "mesh-grpc:";

ObjectKey raw_of(std::string_view name) {
  const std::pair<std::string, std::string> key = absl::StrSplit(name, absl::MaxSplits('/', 1));
  return {std::string(adapters::xds::kGroup), std::string(adapters::xds::kKind), key.first, key.second};
}

// The object that a part of a scope's name means: "gateway:ns/name", "gateway:IngressClass/name", "raw:ns/name"; kMesh of "mesh:" and "mesh-grpc:". Nothing: none.
std::optional<ObjectKey> part_of(std::string_view part) {
  if (part.starts_with(kRaw)) return raw_of(part.substr(kRaw.size()));
  if (part.starts_with(kMeshScope) || part.starts_with(kMeshGrpcScope)) return adapters::kubernetes::kMesh;
  if (!part.starts_with(kGateway)) return std::nullopt;
  const std::pair<std::string, std::string> key = absl::StrSplit(part.substr(kGateway.size()), absl::MaxSplits('/', 1));
  if (key.first == adapters::ingress::kScopeNamespace) return ObjectKey{"networking.k8s.io", "IngressClass", "", key.second};
  return ObjectKey{"gateway.networking.k8s.io", "Gateway", key.first, key.second};
}

// Those of "gateway:ns/name+raw:ns/name".
std::vector<ObjectKey> parts_of(std::string_view scope) {
  std::vector<ObjectKey> out;
  for (std::string_view part : absl::StrSplit(scope, '+')) {
    if (std::optional<ObjectKey> key = part_of(part)) out.push_back(*std::move(key));
  }
  return out;
}

bool has_routes(std::string_view kind) { return kind.ends_with("Route") || kind == "Ingress"; }

ObjectKey object_of(const intent::Origin& o) { return {o.group, o.kind, o.ns, o.name}; }

// The field of an object that a message means by a route's name, "NS/NAME/rule/2/match/0", of an Ingress "NS/NAME/rule/2/path/0"; empty: it names none.
std::string field_named(std::string_view message, const ObjectKey& object) {
  const std::string prefix = absl::StrCat(object.ns, "/", object.name, "/rule/");
  const size_t at = message.find(prefix);
  if (at == std::string_view::npos) return "";
  std::string_view rest = message.substr(at + prefix.size());
  auto number = [&rest] {
    const size_t end = std::min(rest.find_first_not_of("0123456789"), rest.size());
    const std::string_view digits = rest.substr(0, end);
    rest.remove_prefix(end);
    return digits;
  };
  const std::string_view rule = number();
  if (rule.empty()) return "";
  std::string field = absl::StrCat("spec.rules[", rule, "]");
  if (rest.starts_with(kMatch)) {
    rest.remove_prefix(kMatch.size());
    if (const std::string_view match = number(); !match.empty()) absl::StrAppend(&field, ".matches[", match, "]");
  } else if (rest.starts_with(kPath)) {
    rest.remove_prefix(kPath.size());
    if (const std::string_view path = number(); !path.empty()) absl::StrAppend(&field, ".http.paths[", path, "]");
  }
  return field;
}

}  // namespace

adapters::kubernetes::Verdicts proxies_said(const verdict::Progress& progress) {
  adapters::kubernetes::Verdicts out;
  for (const verdict::Progress::Scope& scope : progress.scopes) {
    for (const ObjectKey& key : parts_of(scope.name)) {
      if (key == adapters::kubernetes::kMesh) continue;  // clients come and go: only what they refuse says something of an object
      const auto [at, first] = out.gateways.try_emplace(key);
      at->second.synced = (first || at->second.synced) && scope.synced == scope.streams;
      at->second.proxies += scope.streams;
      if (part_of(scope.name) == key && scope.name.find('+') == std::string::npos) at->second.version = scope.version;  // the one that every replica has
    }
  }
  for (const verdict::Progress::RawSet& set : progress.raw) {  // of its scopes a replica has those that proxies came to it for
    if (const auto at = out.gateways.find(raw_of(set.name)); at != out.gateways.end()) at->second.version = set.version;
  }
  for (const verdict::Progress::Refusal& r : progress.refusals) {
    std::map<ObjectKey, std::set<std::string>> objects;  // with the fields that took part
    bool names_routes = false;
    for (const intent::Origin& o : r.origins) {
      const ObjectKey key = object_of(o);
      objects[key].insert(o.field);
      names_routes |= has_routes(o.kind) && !field_named(r.text, key).empty();
    }
    for (const auto& [key, fields] : objects) {
      const std::string named = field_named(r.text, key);
      if (names_routes && has_routes(key.kind) && named.empty()) continue;
      const std::string field = !named.empty() ? named : fields.size() == 1 ? *fields.begin() : "";
      for (const ObjectKey& gateway : parts_of(r.scope)) out.refusals.emplace(key, adapters::kubernetes::Refusal{gateway, field, r.text, r.foreseen});
    }
  }
  for (const verdict::Progress::Fault& f : progress.faults) {
    for (const ObjectKey& gateway : parts_of(f.scope))
      out.refusals.emplace(object_of(f.origin), adapters::kubernetes::Refusal{gateway, f.origin.field, f.text, false, f.reason, f.remark});
  }
  return out;
}

}  // namespace fairlead::pipeline
