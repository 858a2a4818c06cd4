// What a change of configuration alters: per scope the resources with the fields that differ, and the answers to recorded requests that do.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "apps/why/answer.h"
#include "base/doc.h"
#include "controlplane/snapshot/snapshot.h"

namespace fairlead::why {

struct FieldChange {
  std::string path;           // `virtual_hosts["shop"].routes["default/app/rule/0/match/0"].route.timeout`
  std::string before, after;  // as JSON; empty: not there
};
// Of lists whose entries have names, no two alike, entries are told apart by name; of others by position. `most`: further ones are left out.
std::vector<FieldChange> field_changes(const doc::Value& before, const doc::Value& after, size_t most = 1000);

struct ResourceChange {
  enum class Kind : uint8_t { Added, Changed, Removed };
  Kind kind = Kind::Changed;
  resources::ResourcePtr before, after;  // one of them is null unless Changed
  std::vector<FieldChange> fields;       // of Changed
};
std::vector<ResourceChange> resource_changes(const snapshot::Snapshot& before, const snapshot::Snapshot& after);

// A request and how often it was seen.
struct Recorded {
  Request request;
  uint64_t count = 1;
};
struct AnswerChange {
  const Recorded* recorded;
  Answer before, after;
};
std::vector<AnswerChange> answer_changes(World& before, World& after, const std::vector<Recorded>& requests);

// Lines of an access log as requests, equal ones together: each an object of JSON with the keys `method` and `path` and, where they are
// there, `authority`, `scheme`, `port` (the listener's), and request headers under `headers`; names that Envoy's own and other common formats use
// are known, too: see change.cc. Or Envoy's default line of text. Lines of which no request can be made are counted in `skipped`.
struct AccessLog {
  std::vector<Recorded> requests;
  uint64_t lines = 0, skipped = 0;
  std::string first_error;  // "access.log:7: …"
};
AccessLog read_access_log(std::string_view text, const std::string& file_name);

struct ScopeChange {
  std::string scope;
  enum class Kind : uint8_t { Added, Changed, Removed } kind = Kind::Changed;
  std::vector<ResourceChange> resources;
  std::vector<AnswerChange> answers;
  uint64_t asked = 0, moved = 0;  // requests, counted as often as they were seen
};
// Scopes in which nothing differs are left out.
std::vector<ScopeChange> scope_changes(const std::vector<snapshot::SnapshotPtr>& before, const std::vector<snapshot::SnapshotPtr>& after, const std::vector<Recorded>& requests);
doc::Value changes_doc(const std::vector<ScopeChange>& changes);

}  // namespace fairlead::why
