// Which proxy's configuration is meant: by the name of a Gateway, or as a proxy of that node id or cluster would get it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "controlplane/snapshot/catalog.h"
#include "controlplane/snapshot/snapshot.h"

namespace fairlead::why {

struct Wanted {
  std::string gateway;  // "NS/NAME", or a scope's whole name
  std::string proxy;    // node id or cluster
  bool empty() const { return gateway.empty() && proxy.empty(); }
};

// Without any word: the only scope there is. NotFound names what there is, the nearest first.
absl::StatusOr<snapshot::SnapshotPtr> choose(snapshot::Catalog& catalog, const Wanted& wanted);
absl::StatusOr<snapshot::SnapshotPtr> choose(const std::vector<snapshot::SnapshotPtr>& scopes, const Wanted& wanted);  // `proxy` is not looked at

// "no proxy \"x\" …; did you mean \"y\"? there are: …": for names that lead nowhere. At most ten are listed.
std::string not_among(std::string_view what, std::string_view name, std::vector<std::string> there);

// Scopes as /debug/snapshots gives them ({scopes: [{scope, resources: [{type, name, version, origins, config}]}]}) as snapshots again.
absl::StatusOr<std::vector<snapshot::SnapshotPtr>> snapshots_from_doc(const doc::Value& value);
// One of them: {resources: […]}, as /debug/config?proxy= gives it.
absl::StatusOr<snapshot::SnapshotPtr> snapshot_from_doc(const std::string& scope, const doc::Value& value);

}  // namespace fairlead::why
