// What the CLI and the debug endpoints ask, as plain structs and as documents (doc::to_json, doc::to_yaml print them).
// Pure: the caller collects streams and snapshots under its own lock or on its own thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/snapshot/node.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/stream/session.h"
#include "controlplane/verdict/ledger.h"
#include "controlplane/verdict/quarantine.h"

namespace fairlead::inspect {

using resources::ResourcePtr;
using resources::Type;

// One stream, as the caller knows it. Copied out, so it may be printed on another thread.
struct StreamRecord {
  snapshot::Node node;
  std::string scope;
  std::string reason;  // why this scope, or why none
  bool matched = false;
  std::string peer;    // address
  std::string kind;    // "delta", "sotw", "delta/cds", …
  SystemTime connected{};
  struct PerType {
    Type type;
    cpstream::TypeStatus status;
  };
  std::vector<PerType> types;  // those the stream asked for
};
// `wall` and `mono` are the same moment on both clocks, to turn the session's times into wall time in status().
StreamRecord record(const snapshot::Node& node, std::string scope, std::string reason, bool matched, std::string peer,
                    std::string kind, SystemTime connected, const cpstream::Session& session);

std::string_view state_name(cpstream::TypeStatus::State s);  // "SYNCED", "STALE", "NOT SENT", "ERROR", "NOT REQUESTED"

struct Now {
  SystemTime wall;
  MonotonicTime mono;
};

// {"proxies": [{node, cluster, scope, class, connected, peer, kind, types: {cds: {state, sent, accepted, error…}}}],
//  "unmatched": [{node, cluster, reason}]}, sorted by node and connection time.
doc::Value status(const std::vector<StreamRecord>& streams, const Now& now);
// {"resources": [{type, name, version, hash, origins, config: {…}}]}: of a snapshot; `type` and `name` narrow it. Of a secret also
// certificates: [{subject, names, not_before, not_after, sha256}], its own first.
doc::Value config(const snapshot::Snapshot& snapshot, std::optional<Type> type, std::string_view name = {});
// A resource as it is shown: what is secret in it is not.
doc::Value shown(const resources::Resource& resource);
doc::Value certificates(const resources::Resource& resource);
// {"proxy", "types": {cds: [{name, wanted, sent, accepted, why}]}}: only what differs. `accepted` is the version in use.
doc::Value diff(const StreamRecord& stream, const snapshot::Snapshot& wanted, const cpstream::Session& session);
// {"nacks": [{type, name, hash, class, nodes, count, message, origins, frozen, serving}]}
doc::Value nacks(const verdict::Quarantine& quarantine);
// {"conditions": [{object, place, scope, type, status, reason, message}]}
doc::Value conditions(const std::vector<verdict::Condition>& conditions);
doc::Value findings(const std::vector<intent::Finding>& findings);

}  // namespace fairlead::inspect
