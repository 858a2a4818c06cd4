// See proxies_said.h.
#include "apps/pipeline/proxies_said.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

namespace fairlead::pipeline {

namespace {

using adapters::ObjectKey;

constexpr std::string_view kGateway = "gateway:", kMatch = "/match/";

// The Gateways of "gateway:ns/name+raw:ns/name".
std::vector<ObjectKey> gateways_of(std::string_view scope) {
  std::vector<ObjectKey> out;
  for (std::string_view part : absl::StrSplit(scope, '+')) {
    if (!part.starts_with(kGateway)) continue;
    const std::pair<std::string, std::string> key = absl::StrSplit(part.substr(kGateway.size()), absl::MaxSplits('/', 1));
    out.push_back({"gateway.networking.k8s.io", "Gateway", key.first, key.second});
  }
  return out;
}

// The field of an object that a message means by a route's name, "NS/NAME/rule/2/match/0"; empty: it names none.
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
  }
  return field;
}

}  // namespace

adapters::kubernetes::Verdicts proxies_said(const verdict::Progress& progress) {
  adapters::kubernetes::Verdicts out;
  for (const verdict::Progress::Scope& scope : progress.scopes) {
    for (const ObjectKey& key : gateways_of(scope.name)) {
      const auto [at, first] = out.gateways.try_emplace(key);
      at->second.synced = (first || at->second.synced) && scope.synced == scope.streams;
      at->second.proxies += scope.streams;
      if (scope.name == absl::StrCat(kGateway, key.ns, "/", key.name)) at->second.version = scope.version;  // the one that every replica has
    }
  }
  for (const verdict::Progress::Refusal& r : progress.refusals) {
    std::map<ObjectKey, std::set<std::string>> objects;  // with the fields that took part
    bool names_routes = false;
    for (const intent::Origin& o : r.origins) {
      const ObjectKey key{o.group, o.kind, o.ns, o.name};
      objects[key].insert(o.field);
      names_routes |= o.kind.ends_with("Route") && !field_named(r.text, key).empty();
    }
    for (const auto& [key, fields] : objects) {
      const std::string named = field_named(r.text, key);
      if (names_routes && key.kind.ends_with("Route") && named.empty()) continue;
      const std::string field = !named.empty() ? named : fields.size() == 1 ? *fields.begin() : "";
      for (const ObjectKey& gateway : gateways_of(r.scope)) out.refusals.emplace(key, adapters::kubernetes::Refusal{gateway, field, r.text, r.foreseen});
    }
  }
  return out;
}

}  // namespace fairlead::pipeline
