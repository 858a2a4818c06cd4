// See discovered_filters.h.
#include "dataplane/server/discovered_filters.h"

namespace fairlead::server {

void DiscoveredFilters::fill(const std::vector<const stream::ConnectionManager*>& managers, config::Snapshot& snapshot) {
  std::map<const config::FilterDiscovery*, Made> now;
  for (const stream::ConnectionManager* manager : managers) {
    for (const auto& entry : manager->filters()) {
      if (entry.discovery == nullptr) continue;
      const auto before = made_.find(entry.discovery.get());
      Made made = make(*manager, entry.discovery, before == made_.end() ? nullptr : &before->second, snapshot);
      snapshot.filters.insert_or_assign(entry.discovery.get(), made.filter);
      now.insert_or_assign(entry.discovery.get(), std::move(made));
    }
  }
  made_ = std::move(now);
}

DiscoveredFilters::Made DiscoveredFilters::make(const stream::ConnectionManager& manager, const std::shared_ptr<const config::FilterDiscovery>& discovery, const Made* before,
                                                const config::Snapshot& snapshot) {
  const auto known = snapshot.extensions.find(discovery->key);
  if (known == snapshot.extensions.end() && before != nullptr) return *before;
  std::shared_ptr<const config::ExtensionConfig> from = known != snapshot.extensions.end() ? known->second : nullptr;
  if (from != nullptr && !discovery->admits(*from->type).ok()) {
    if (before == nullptr && conflict_) conflict_(discovery->name);
    from = nullptr;
  }
  if (before != nullptr && before->from == from) return *before;
  Made made{{discovery, nullptr}, from};
  if (from != nullptr) {
    made.filter.factory = manager.make_factory(*from->type, from->config);
  } else if (discovery->default_config != nullptr) {
    made.filter.factory = manager.make_factory(*discovery->default_type, discovery->default_config);
  }
  return made;
}

}  // namespace fairlead::server
