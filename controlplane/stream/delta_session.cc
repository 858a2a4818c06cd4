// Incremental xDS: what a DeltaDiscoveryRequest means.
#include "base/hash.h"
#include "controlplane/stream/session.h"

namespace fairlead::cpstream {

DeltaSession::DeltaSession(SessionOptions options, NameTable& table, SnapshotPtr snapshot)
    : Session(options, table, std::move(snapshot), true) {}

Output DeltaSession::take(const Request& request, MonotonicTime now, const SnapshotPtr& latest) {
  Output out;
  observe_node(request);
  absl::StatusOr<std::optional<Type>> type = type_of(request);
  if (!type.ok()) {
    out.close = type.status();
    return out;
  }
  if (!*type) return out;
  State& s = open(**type);
  const bool first = !s.started;
  s.started = true;
  // Rule 16: whatever becomes of the nonce, the subscription changes below are honoured.
  if (!first && !request.nonce.empty() && !settle(s, request, now, out)) ++ignored_;
  SubscriptionChange change = s.subscription.update(request.names, request.unsubscribe, first, table_);
  if (first || change.any()) adopt(latest);
  const bool reports = first && !request.initial_versions.empty();
  const Settled settled = reports ? compare(s, request, now) : Settled();
  if (change.wildcard_added) {
    force_everything(s, settled);
    s.reply = true;  // rule 49
  }
  force(s, change.added, settled);
  if (s.subscription.wildcard()) force(s, change.removed);  // rule 36
  if (reports && s.forced.empty() && !s.reply) {
    s.sent = s.accepted = snapshot_->set(s.type);
    s.sent_version = s.accepted_version = s.sent->shared_version();
  }
  answer(s, now, out);
  return out;
}

// Rule 50: what the client reports to have already, beside what it shall have. Forces what it has otherwise; what it has as it shall is returned, as
// names in the request.
Session::Settled DeltaSession::compare(State& s, const Request& request, MonotonicTime now) {
  const snapshot::TypeSet& set = snapshot_->of(s.type);
  set.expect(request.initial_versions.size());
  Settled settled;
  settled.reserve(request.initial_versions.size());
  for (auto reported = request.initial_versions.rbegin(); reported != request.initial_versions.rend(); ++reported) {
    const auto& [name, version] = *reported;
    bool* keep = settled.add(name);
    if (!keep) continue;  // of a name given twice the last counts
    const ResourcePtr* r = set.find(name);
    if (!s.subscription.contains(name) && !(r && wants(s, **r))) continue;
    if (r) {
      // Only a content hash says that it has these very bytes; a raw set's own version may have had others before a restart.
      *keep = (*r)->version == version && is_hex64(version, (*r)->hash.low);
      if (!*keep && s.type >= Type::kListener && s.type <= Type::kVirtualHost) s.outdated.own().emplace_back(name);
    } else if (snapshot_->leaves_out(s.type, name)) {
      *keep = true;  // what it has may be better than nothing
      except(s, name, nullptr, now);
    } else if (s.type == Type::kExtensionConfig) {
      s.outdated.own().emplace_back(name);  // it has that: its removal is news
    } else if (options_.incomplete || s.type == Type::kCluster) {
      // What routes name is not known of a client that comes back with a cluster of old: it goes once they have been changed.
      *keep = true;
      s.kept.own().emplace_back(name);
      if (!options_.incomplete) s.kept_until = now + options_.warming_grace;
    }
    if (!*keep) s.forced.own().emplace_back(name);
  }
  return settled;
}

}  // namespace fairlead::cpstream
