// Ingresses -> intent and conditions. Pure: one snapshot in, one Translation out; any thread. All Ingresses of a class are one Gateway of the
// intent, with one listener for HTTP and one for each name that has a certificate; its scope is ("IngressClass", name), which no namespace can
// be called. Everything that depends on more than one object is decided here: which class is whose, which of two Ingresses has a path, which
// references lead somewhere.
#pragma once

#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters::core {
struct TlsSecret;
}  // namespace fairlead::adapters::core

namespace fairlead::adapters::ingress {

struct Ingress;

inline constexpr std::string_view kScopeNamespace = "IngressClass";

struct Translation {
  intent::Model model;
  // Of an Ingress at its class: conditions are ours alone, since the API has no place for them; that it stands here means that
  // status.loadBalancer is to have the addresses at which the class is served.
  StatusSink status;
  // What is wrong between objects (dangling references, conflicts), each with its place. What is wrong within one object is in the snapshot's
  // own diagnostics.
  std::vector<Diagnostic> diagnostics;

  // As read, so that the next translation reads only what changed.
  std::map<ObjectPtr, std::shared_ptr<const Ingress>> read_ingresses;
  std::map<ObjectPtr, std::shared_ptr<const core::TlsSecret>> read_secrets;
};

// Gateways that come out as they were in `previous` keep their pointer.
Translation translate(const ObjectSnapshot& snapshot, const Translation* previous = nullptr);

// The kinds that it takes, for sources that ask by kind. With those of adapters/core it has all it reads.
std::vector<WatchedKind> watched_kinds();

// The check of the group networking.k8s.io. Those of Services and Secrets are registered elsewhere.
void register_groups(Store& store);

}  // namespace fairlead::adapters::ingress
