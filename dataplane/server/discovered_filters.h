// The factories of discovered filters: one per filter of each connection manager, made anew only when its configuration changes, so that what a
// factory counts or limits goes on over every other change. Main thread, owned by the ListenerSet.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/snapshot.h"
#include "dataplane/stream/connection_manager.h"

namespace fairlead::server {

class DiscoveredFilters {
 public:
  // `conflict`: told of a filter that comes to a subscription whose present configuration it does not admit.
  explicit DiscoveredFilters(std::function<void(const std::string& name)> conflict) : conflict_(std::move(conflict)) {}

  // Sets snapshot.filters from snapshot.extensions for these managers; forgets all others'. A filter whose subscription the snapshot does not know
  // at all keeps what it has: its listener is about to be replaced.
  void fill(const std::vector<const stream::ConnectionManager*>& managers, config::Snapshot& snapshot);

 private:
  struct Made {
    config::DiscoveredFilter filter;
    std::shared_ptr<const config::ExtensionConfig> from;  // null: the default, if there is one
  };
  Made make(const stream::ConnectionManager& manager, const std::shared_ptr<const config::FilterDiscovery>& discovery, const Made* before, const config::Snapshot& snapshot);

  std::function<void(const std::string& name)> conflict_;
  std::map<const config::FilterDiscovery*, Made> made_;
};

}  // namespace fairlead::server
