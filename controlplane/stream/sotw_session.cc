// State of the world: what a DiscoveryRequest means.
#include "controlplane/stream/session.h"

namespace fairlead::cpstream {

SotwSession::SotwSession(SessionOptions options, NameTable& table, SnapshotPtr snapshot)
    : Session(options, table, std::move(snapshot), false) {}

Output SotwSession::take(const Request& request, MonotonicTime now, const SnapshotPtr& latest) {
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
  if (!first) {  // rule 14: whatever nonce the first request carries comes from another stream
    const bool settled = settle(s, request, now, out);
    const bool current = s.last_nonce == 0 ? !issued(request.nonce) : request.nonce == std::to_string(s.last_nonce);
    if (!current) {  // rule 15, but an outstanding response's fate is known now
      if (settled) {
        answer(s, now, out);
      } else {
        ++ignored_;
      }
      return out;
    }
  }
  SubscriptionChange change = s.subscription.set(request.names, table_);
  if (first || change.any()) adopt(latest);
  const TypeSetPtr& target = snapshot_->set(s.type);
  const bool root = resources::is_root(s.type);
  if (first && root && s.subscription.wildcard() && request.version_info == target->version() && !target->verbatim() && target->size() > 0) {
    // Rule 24: a content hash says it has these very bytes.
    s.sent = s.accepted = target;
    s.sent_version = s.accepted_version = target->shared_version();
    out.acceptances.push_back({s.type, target, target->shared_version()});
    return out;
  }
  // It has something, and what ours lacks would be deleted.
  if (first && root && options_.incomplete && !request.version_info.empty()) {
    s.held = request.version_info != target->version() || target->verbatim();
  }
  if (change.wildcard_added) force_everything(s);
  s.reply |= root && (change.wildcard_added || !change.added.empty());
  force(s, change.added);
  answer(s, now, out);
  return out;
}

}  // namespace fairlead::cpstream
