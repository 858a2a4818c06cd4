// Incremental xDS: what a DeltaDiscoveryRequest means.
#include <algorithm>
#include <iterator>
#include <unordered_map>

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
  if (change.wildcard_added) {
    force_everything(s);
    s.reply = true;  // rule 49
  }
  force(s, change.added);
  if (s.subscription.wildcard()) force(s, change.removed);  // rule 36
  if (first && !request.initial_versions.empty()) {  // rule 50
    std::unordered_map<std::string_view, std::string_view> known;
    for (const auto& [name, version] : request.initial_versions) {
      known.emplace(name, version);
      const ResourcePtr r = snapshot_->find(s.type, name);
      if (s.subscription.contains(name) || (r && wants(s, *r))) s.forced.push_back(name);
    }
    std::erase_if(s.forced, [&](const std::string& name) {
      auto at = known.find(name);
      if (at == known.end()) return false;
      const ResourcePtr r = snapshot_->find(s.type, name);
      if (r) {
        // Only a content hash says that it has these very bytes; a raw set's own version may have had others before a restart.
        const bool current = r->version == at->second && r->version == hex64(r->hash.low);
        if (!current && s.type >= Type::kListener && s.type <= Type::kVirtualHost) s.outdated.push_back(name);
        return current;
      }
      if (s.type == Type::kExtensionConfig) s.outdated.push_back(name);  // it has that: its removal is news
      // What routes name is not known of a client that comes back with a cluster of old: it goes once they have been changed.
      const bool keep = options_.incomplete || s.type == Type::kCluster;
      if (keep) s.kept.push_back(name);
      if (keep && !options_.incomplete) s.kept_until = now + options_.warming_grace;
      return keep;
    });
    if (s.forced.empty() && !s.reply) {
      s.sent = s.accepted = snapshot_->set(s.type);
      s.sent_version = s.accepted_version = s.sent->version();
    }
  }
  answer(s, now, out);
  return out;
}

}  // namespace fairlead::cpstream
