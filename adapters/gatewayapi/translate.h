// Gateway API objects -> intent and conditions. Pure: one snapshot in, one Translation out; any thread.
// Everything that depends on more than one object is decided here: which class is ours, which listeners conflict, which
// routes attach where, which references are permitted and lead somewhere, and in which order matches are tried.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters::core {
struct TlsSecret;
struct CaBundle;
}  // namespace fairlead::adapters::core

namespace fairlead::adapters::gatewayapi {

struct HttpRoute;

struct Translation {
  intent::Model model;
  StatusSink status;
  // What is wrong between objects (dangling and forbidden references, conflicts), each with its place. What is wrong
  // within one object is in the snapshot's own diagnostics.
  std::vector<Diagnostic> diagnostics;

  // Routes and secrets as read, so that the next translation reads only those that changed.
  std::map<ObjectPtr, std::shared_ptr<const HttpRoute>> read_routes;
  std::map<ObjectPtr, std::shared_ptr<const core::TlsSecret>> read_secrets;
  std::map<ObjectPtr, std::shared_ptr<const core::CaBundle>> read_bundles;
};

// Gateways that come out as they were in `previous` keep their pointer. Programmed is Unknown/Pending on whatever is
// accepted: only a proxy's verdict can say more.
Translation translate(const ObjectSnapshot& snapshot, const Translation* previous = nullptr);

// The kinds that those checks take, for sources that ask by kind: CRDs, each of which may be missing.
std::vector<WatchedKind> watched_kinds();

// Registers the checks of the groups that `translate` reads (core kinds included) with a store.
void register_groups(Store& store);

}  // namespace fairlead::adapters::gatewayapi
