// Gateway API objects -> intent and conditions. Pure: one snapshot in, one Translation out; any thread.
// Everything that depends on more than one object is decided here: which class is ours, which listeners conflict, which
// routes attach where, which references are permitted and lead somewhere, and in which order matches are tried.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
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

struct Translation {
  intent::Model model;
  StatusSink status;
  // What is wrong between objects (dangling and forbidden references, conflicts), each with its place. What is wrong
  // within one object is in the snapshot's own diagnostics.
  std::vector<Diagnostic> diagnostics;

  // Secrets as read, so that the next translation reads only those that changed. Routes are kept with their objects.
  std::map<ObjectPtr, std::shared_ptr<const core::TlsSecret>> read_secrets;
  std::map<ObjectPtr, std::shared_ptr<const core::CaBundle>> read_bundles;
};

// Gateways that come out as they were in `previous` keep their pointer. Programmed is Unknown/Pending on whatever is
// accepted: only a proxy's verdict can say more.
Translation translate(const ObjectSnapshot& snapshot, const Translation* previous = nullptr);

// HTTPRoutes and GRPCRoutes.
bool is_request_route(const ObjectKey& key);

// A translation that follows its objects. Where only HTTPRoutes and GRPCRoutes have changed, in a way that concerns no other route's verdict, just
// these are resolved and attached again, and just the virtual hosts that they left or joined are made again; else all of it is translated.
// Invariant: what stands here is what translate() would say of the same objects. One thread at a time.
class KeptTranslation {
 public:
  KeptTranslation();
  ~KeptTranslation();
  KeptTranslation(KeptTranslation&&) noexcept;
  KeptTranslation& operator=(KeptTranslation&&) noexcept;

  // `changed`: every object that came, changed or went since the last update but for those that differ in their own status alone, where no
  // diagnostic of the snapshot and nothing of what it rejects has changed; null: anything may have.
  const Translation& update(const ObjectSnapshot& snapshot, const std::set<ObjectKey>* changed);
  const Translation& now() const;

  struct Counts {
    uint64_t whole = 0, followed = 0;
  };
  const Counts& counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The kinds that those checks take, for sources that ask by kind: CRDs, each of which may be missing.
std::vector<WatchedKind> watched_kinds();

// Registers the checks of the groups that `translate` reads (core kinds included) with a store.
void register_groups(Store& store);

}  // namespace fairlead::adapters::gatewayapi
