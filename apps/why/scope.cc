// See scope.h.
#include "apps/why/scope.h"

#include <algorithm>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::why {

std::string not_among(std::string_view what, std::string_view name, std::vector<std::string> there) {
  constexpr size_t kMost = 10;
  std::sort(there.begin(), there.end());
  there.erase(std::unique(there.begin(), there.end()), there.end());
  std::stable_sort(there.begin(), there.end(), [&](const std::string& a, const std::string& b) { return edit_distance(a, name) < edit_distance(b, name); });
  const auto meant = closest(name, {there.begin(), there.end()});
  const size_t all = there.size();
  if (all > kMost) there.resize(kMost);
  return absl::StrCat("no ", what, " \"", name, "\"", meant ? absl::StrCat("; did you mean \"", *meant, "\"?") : "", " There ", all == 1 ? "is: " : "are: ", all == 0 ? "none" : absl::StrJoin(there, ", "),
                      all > kMost ? absl::StrCat(" and ", all - kMost, " more") : "");
}

absl::StatusOr<snapshot::SnapshotPtr> choose(const std::vector<snapshot::SnapshotPtr>& scopes, const Wanted& wanted) {
  std::vector<std::string> names;
  for (const snapshot::SnapshotPtr& s : scopes) names.push_back(s->scope);
  if (wanted.gateway.empty()) {
    if (scopes.size() == 1) return scopes.front();
    return absl::NotFoundError(scopes.empty() ? "there is no Gateway and no set of raw resources here" : absl::StrCat("which one? --gateway NS/NAME, or a proxy's node id or cluster; there are: ", absl::StrJoin(names, ", ")));
  }
  for (const std::string& scope : {absl::StrCat("gateway:", wanted.gateway), absl::StrCat("raw:", wanted.gateway), wanted.gateway}) {
    const auto at = std::find(names.begin(), names.end(), scope);
    if (at != names.end()) return scopes[static_cast<size_t>(at - names.begin())];
  }
  return absl::NotFoundError(not_among("Gateway", wanted.gateway, names));
}

absl::StatusOr<snapshot::SnapshotPtr> choose(snapshot::Catalog& catalog, const Wanted& wanted) {
  if (wanted.proxy.empty() || !wanted.gateway.empty()) {
    std::vector<snapshot::SnapshotPtr> scopes;
    for (const std::string& scope : catalog.scopes()) scopes.push_back(catalog.find(scope));
    return choose(scopes, wanted);
  }
  snapshot::Node node;
  node.id = node.cluster = wanted.proxy;
  const snapshot::Catalog::Joined joined = catalog.join(node);
  if (joined.matched) return catalog.find(joined.scope);
  return absl::NotFoundError(absl::StrCat("a proxy whose node id or cluster is \"", wanted.proxy, "\" has no configuration here: ", joined.reason, "; there are: ", absl::StrJoin(catalog.scopes(), ", ")));
}

namespace {

std::string string_at(const doc::Value& v, std::string_view key) {
  const doc::Value* found = v.find(key);
  return found && found->is_string() ? found->as_string() : "";
}

// "HTTPRoute default/app" and "routes.yaml:12", taken apart.
intent::Origin origin_from(const doc::Value& v) {
  intent::Origin o;
  const std::string object = string_at(v, "object"), place = string_at(v, "place");
  const size_t space = object.find(' ');
  o.kind = object.substr(0, space);
  if (space != std::string::npos) {
    const std::string name = object.substr(space + 1);
    const size_t slash = name.find('/');
    o.ns = slash == std::string::npos ? "" : name.substr(0, slash);
    o.name = slash == std::string::npos ? name : name.substr(slash + 1);
  }
  if (place != object && !place.starts_with(object + "@")) {
    const size_t colon = place.rfind(':');
    int line = 0;
    if (colon != std::string::npos && absl::SimpleAtoi(place.substr(colon + 1), &line)) {
      o.file = place.substr(0, colon);
      o.line = line;
    } else {
      o.file = place;
    }
  }
  o.field = string_at(v, "field");
  return o;
}

absl::StatusOr<resources::ResourcePtr> resource_from(const doc::Value& v) {
  const auto type = resources::type_from_short_name(string_at(v, "type"));
  const std::string name = string_at(v, "name");
  const doc::Value* config = v.find("config");
  if (!type || config == nullptr) return absl::InvalidArgumentError(absl::StrCat("resource \"", name, "\" has no type or no configuration"));
  FL_ASSIGN_OR_RETURN(const std::unique_ptr<google::protobuf::Message> message, make_message(resources::type_url(*type)));
  FL_RETURN_IF_ERROR(doc::to_message(*config, message.get()));
  intent::Origins origins;
  if (const doc::Value* list = v.find("origins")) {
    for (const doc::Value& o : list->items()) origins.push_back(origin_from(o));
  }
  return resources::make_resource(*type, name, *message, std::move(origins), string_at(v, "version"));
}

}  // namespace

absl::StatusOr<snapshot::SnapshotPtr> snapshot_from_doc(const std::string& scope, const doc::Value& value) {
  std::vector<resources::ResourcePtr> all;
  const doc::Value* list = value.find("resources");
  if (list == nullptr) return absl::InvalidArgumentError("the answer has no resources");
  for (const doc::Value& v : list->items()) {
    FL_ASSIGN_OR_RETURN(resources::ResourcePtr resource, resource_from(v));
    all.push_back(std::move(resource));
  }
  return snapshot::replace(nullptr, scope, all);
}

absl::StatusOr<std::vector<snapshot::SnapshotPtr>> snapshots_from_doc(const doc::Value& value) {
  std::vector<snapshot::SnapshotPtr> out;
  const doc::Value* scopes = value.find("scopes");
  if (scopes == nullptr) return absl::InvalidArgumentError("the answer has no scopes");
  for (const doc::Value& v : scopes->items()) {
    FL_ASSIGN_OR_RETURN(snapshot::SnapshotPtr snapshot, snapshot_from_doc(string_at(v, "scope"), v));
    out.push_back(std::move(snapshot));
  }
  return out;
}

}  // namespace fairlead::why
