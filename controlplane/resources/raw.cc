// Selection and versions of raw sets. Pure; any thread.
#include "controlplane/resources/raw.h"

#include <algorithm>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::resources {

bool RawSet::selects(std::string_view node_id, std::string_view node_cluster) const {
  return std::find(node_ids.begin(), node_ids.end(), node_id) != node_ids.end() ||
         std::find(node_clusters.begin(), node_clusters.end(), node_cluster) != node_clusters.end();
}

RawSetPtr accept_raw_set(const RawSetPtr& previous, RawSetPtr next, std::vector<intent::Finding>& findings) {
  if (!previous || next->version.empty()) return next;
  std::map<std::pair<Type, std::string_view>, ResourcePtr> old;
  for (const ResourcePtr& r : previous->resources) old.emplace(std::pair(r->type, std::string_view(r->name)), r);
  auto merged = std::make_shared<RawSet>(*next);
  size_t same = 0;
  const Resource* changed = nullptr;
  for (ResourcePtr& r : merged->resources) {
    auto found = old.find({r->type, r->name});
    if (found != old.end() && found->second->hash == r->hash) {
      ++same;
      // Sent already, under the version of then: a resource's version says when it last changed.
      if (found->second->version != r->version && !previous->version.empty()) r = with_version(*r, found->second->version);
    } else if (!changed) {
      changed = r.get();
    }
  }
  const bool differs = changed || same != old.size();
  if (differs && previous->version == next->version) {
    const std::string what = changed ? absl::StrCat(short_name(changed->type), " \"", changed->name, "\"") : "the list of resources";
    findings.push_back({intent::Severity::kError, next->origin, "", "VersionUnchanged",
                        absl::StrCat(what, " changed under the unchanged version \"", next->version,
                                     "\"; the old resources are still served")});
    return previous;
  }
  return merged;
}

}  // namespace fairlead::resources
