// Counting as Envoy 1.40 does: subscription_stats.h.
#include "dataplane/server/subscription_stats.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/hash.h"

namespace fairlead::server {
namespace {

using std::chrono::milliseconds;
using xds::Type;

constexpr std::string_view kCounters[] = {"init_fetch_timeout", "update_attempt", "update_failure", "update_rejected", "update_success"};

stats::ScopeName scope_of(const SubscriptionStats::Followed& followed) {
  const std::string name = absl::StrReplaceAll(followed.name, {{":", "_"}});
  switch (followed.type) {
    case Type::cluster: return stats::plain_scope("cluster_manager.cds.");
    case Type::listener: return stats::plain_scope("listener_manager.lds.");
    case Type::route: {
      stats::ScopeName scope = stats::http_scope(followed.stat_prefix);
      absl::StrAppend(&scope.text, "rds.", name, ".");
      absl::StrAppend(&scope.stem, "rds.");
      scope.tags.push_back({"envoy.rds_route_config", name});
      return scope;
    }
    case Type::secret: return stats::plain_scope(absl::StrCat("sds.", name, "."));
    case Type::runtime: return stats::plain_scope("runtime.");
    default: return stats::plain_scope(absl::StrCat("extension_config_discovery.http_filter.", name, "."));
  }
}

uint64_t wall_milliseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

}  // namespace

void SubscriptionStats::add(const Row& row, std::string_view leaf, uint64_t n) const { registry_.cells(0).add(row.scope->counter(leaf), n); }

template <class Visit>
void SubscriptionStats::each(Type type, const Visit& visit) {
  for (auto it = rows_.lower_bound({type, ""}); it != rows_.end() && it->first.first == type; ++it) visit(it->first, it->second);
}

// Every number is there from the beginning.
void SubscriptionStats::begin(const Followed& followed, Row& row) const {
  row.scope = registry_.scope(scope_of(followed));
  for (const std::string_view leaf : kCounters) row.scope->counter(leaf);
  if (followed.type == Type::cluster || followed.type == Type::route) {
    row.scope->counter("config_reload");
    row.scope->gauge("config_reload_time_ms");
  }
  if (followed.type == Type::route) row.scope->counter("update_empty");
  if (followed.type == Type::extension)
    for (const std::string_view leaf : {"config_reload", "config_fail", "config_conflict"}) row.scope->counter(leaf);
  if (followed.type == Type::secret) row.scope->counter("key_rotation_failed");
  row.scope->gauge("update_time");
  row.scope->gauge("version");
  row.scope->histogram("update_duration");
  row.scope->set_text("version_text", "");
}

void SubscriptionStats::follow(const std::vector<Followed>& all, Time now) {
  std::set<Key> wanted;
  for (const Followed& followed : all) {
    const Key key{followed.type, followed.name};
    const auto [it, fresh] = rows_.try_emplace(key);
    if (wanted.insert(key).second) it->second.sources.clear();
    it->second.sources.insert(followed.source);
    if (!fresh) continue;
    begin(followed, it->second);
    if (followed.name.empty()) continue;  // CDS and LDS: attempted() and timed_out() are told
    if (!followed.source.starts_with("path:")) add(it->second, "update_attempt");  // Envoy 1.40: the first request is one, the wish for a file is not
    if (followed.timeout.count() > 0) it->second.deadline = now + followed.timeout;
  }
  std::erase_if(rows_, [&](const auto& row) { return !wanted.contains(row.first); });
}

void SubscriptionStats::succeeded(const Key& key, Row& row, const xds::Update& update, milliseconds took) const {
  stats::Cells& cells = registry_.cells(0);
  row.waits = false;
  if (!key.second.empty()) add(row, "update_attempt");
  add(row, "update_success");
  cells.set(row.scope->gauge("update_time"), wall_milliseconds());
  cells.set(row.scope->gauge("version"), xx_hash64(update.version));  // Envoy 1.40: xxHash64 of version_info
  cells.record(row.scope->histogram("update_duration"), static_cast<uint64_t>(took.count()));
  row.scope->set_text("version_text", update.version);
}

void SubscriptionStats::rejected(const Key& key, Row& row) const {
  row.waits = false;
  if (!key.second.empty()) add(row, "update_attempt");
  add(row, "update_rejected");
  if (key.first == Type::extension) add(row, "config_fail");
}

void SubscriptionStats::updated(const xds::Update& update, const xds::Outcome& outcome, milliseconds took) {
  const bool good = outcome.status.ok();
  auto reloaded = [&](Row& row, uint64_t times, bool timed) {
    add(row, "config_reload", times);
    if (timed) registry_.cells(0).set(row.scope->gauge("config_reload_time_ms"), wall_milliseconds());
  };
  each(update.type, [&](const Key& key, Row& row) {
    const std::string& name = key.second;
    if (update.type == Type::secret && !row.sources.contains(update.source)) return;
    const bool whole = name.empty();
    const bool told = whole ? good : outcome.applied.contains(name) || std::find(outcome.removed.begin(), outcome.removed.end(), name) != outcome.removed.end();
    if (told) succeeded(key, row, update, took);
    // an incremental answer is an attempt before it is looked at
    if (!whole && update.delta && std::find(outcome.refused.begin(), outcome.refused.end(), name) != outcome.refused.end()) add(row, "update_attempt");
    if (const auto it = outcome.reloads.find(name); it != outcome.reloads.end()) reloaded(row, it->second, update.type == Type::route);
    if (whole && update.type == Type::cluster && good && !outcome.applied.empty()) reloaded(row, 1, true);
    // a refusal is every subscription's of the type, also of those that the response had good news for
    const bool others = update.type == Type::secret && update.source != "ads" && !outcome.refused.empty() &&
                        std::find(outcome.refused.begin(), outcome.refused.end(), name) == outcome.refused.end();
    if (!good && !others) rejected(key, row);
  });
}

void SubscriptionStats::attempted(Type type) {
  if (const auto it = rows_.find({type, ""}); it != rows_.end()) add(it->second, "update_attempt");
}

void SubscriptionStats::failed(Type type) {
  each(type, [&](const Key& key, Row& row) {
    add(row, "update_failure");
    if (!key.second.empty()) add(row, "update_attempt");
  });
}

void SubscriptionStats::unanswered(Type type, const std::string& name) {
  if (const auto it = rows_.find({type, name}); (type == Type::extension || type == Type::secret || type == Type::runtime) && it != rows_.end()) rejected(it->first, it->second);
}

void SubscriptionStats::timed_out(Type type) {
  const auto it = rows_.find({type, ""});
  if (it == rows_.end()) return;
  add(it->second, "init_fetch_timeout");
  add(it->second, "update_attempt");  // Envoy 1.40: whatever ends a wait is one
}

void SubscriptionStats::expire(Time now) {
  for (auto& [key, row] : rows_) {
    if (!row.waits || now < row.deadline) continue;
    row.waits = false;
    add(row, "init_fetch_timeout");
    add(row, "update_attempt");
    if (key.first == Type::extension) add(row, "config_fail");
  }
}

SubscriptionStats::Time SubscriptionStats::next_deadline() const {
  Time first = Time::max();
  for (const auto& [key, row] : rows_)
    if (row.waits) first = std::min(first, row.deadline);
  return first;
}

void SubscriptionStats::conflict(const std::string& name) {
  if (const auto it = rows_.find({Type::extension, name}); it != rows_.end()) add(it->second, "config_conflict");
}

void SubscriptionStats::rotation_failed(const std::string& secret) {
  if (const auto it = rows_.find({Type::secret, secret}); it != rows_.end()) add(it->second, "key_rotation_failed");
}

}  // namespace fairlead::server
