// The subscription rules, as set arithmetic on sorted names.
#include "controlplane/stream/subscription.h"

#include <algorithm>
#include <iterator>

#include "base/hash.h"

namespace fairlead::cpstream {
namespace {

uint64_t hash_of(const std::vector<std::string>& names) {
  ContentHasher hasher;
  for (const std::string& name : names) hasher.add_field(name);
  return hasher.finish().low;
}

void sort_unique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

// Takes "*" out; true when it was there. A sorted list.
bool take_star(std::vector<std::string>& names) {
  const auto at = std::lower_bound(names.begin(), names.end(), "*");
  if (at == names.end() || *at != "*") return false;
  names.erase(at);
  return true;
}

const std::vector<std::string>& names_or_none(const NameSetPtr& set) {
  static const std::vector<std::string> none;
  return set ? set->names() : none;
}

}  // namespace

bool NameSet::contains(std::string_view name) const {
  const auto at = std::lower_bound(names_.begin(), names_.end(), name);
  return at != names_.end() && *at == name;
}

NameSetPtr NameTable::intern(std::vector<std::string> sorted) {
  const uint64_t hash = hash_of(sorted);
  const std::lock_guard lock(mutex_);
  if (--inserts_until_sweep_ == 0) {
    std::erase_if(sets_, [](const auto& entry) {
      return std::all_of(entry.second.begin(), entry.second.end(), [](const auto& weak) { return weak.expired(); });
    });
    inserts_until_sweep_ = std::max<size_t>(64, sets_.size());
  }
  auto& bucket = sets_[hash];
  for (const auto& weak : bucket) {
    if (NameSetPtr set = weak.lock(); set && set->names() == sorted) return set;
  }
  auto set = std::make_shared<const NameSet>(std::move(sorted));
  bucket.push_back(set);
  return set;
}

size_t NameTable::size() const {
  const std::lock_guard lock(mutex_);
  size_t live = 0;
  for (const auto& [hash, bucket] : sets_) {
    live += static_cast<size_t>(std::count_if(bucket.begin(), bucket.end(), [](const auto& weak) { return !weak.expired(); }));
  }
  return live;
}

void Subscription::assign(std::vector<std::string> sorted, NameTable& table) {
  names_ = sorted.empty() ? nullptr : table.intern(std::move(sorted));
}

SubscriptionChange Subscription::set(std::vector<std::string> names, NameTable& table) {
  SubscriptionChange change;
  const uint64_t list = hash_of(names);
  if (list == last_list_ && !names.empty()) return change;
  last_list_ = list;
  sort_unique(names);
  const bool legacy = names.empty() && legacy_allowed_ && !named_once_;
  if (!names.empty()) named_once_ = true;
  const bool wildcard = take_star(names) || legacy;
  const auto& old = names_or_none(names_);
  if (wildcard != wildcard_) (wildcard ? change.wildcard_added : change.wildcard_removed) = true;
  wildcard_ = wildcard;
  if (names == old) return change;
  std::set_difference(names.begin(), names.end(), old.begin(), old.end(), std::back_inserter(change.added));
  std::set_difference(old.begin(), old.end(), names.begin(), names.end(), std::back_inserter(change.removed));
  assign(std::move(names), table);
  return change;
}

SubscriptionChange Subscription::update(const std::vector<std::string>& subscribe, const std::vector<std::string>& unsubscribe,
                                        bool first, NameTable& table) {
  SubscriptionChange change;
  const bool was = wildcard_;
  if (first && legacy_allowed_ && subscribe.empty() && unsubscribe.empty()) wildcard_ = true;
  if (subscribe.empty() && unsubscribe.empty()) {
    change.wildcard_added = wildcard_ && !was;
    return change;
  }
  named_once_ = true;
  std::vector<std::string> plus = subscribe;
  std::vector<std::string> minus = unsubscribe;
  sort_unique(plus);
  sort_unique(minus);
  if (take_star(plus)) wildcard_ = true;
  // Nothing asked for by the first request but not to have some names: everything else, where that is allowed.
  if (first && legacy_allowed_ && subscribe.empty()) wildcard_ = true;
  if (take_star(minus)) wildcard_ = false;
  const auto& old = names_or_none(names_);
  std::vector<std::string> with, now;
  std::set_union(old.begin(), old.end(), plus.begin(), plus.end(), std::back_inserter(with));
  std::set_difference(with.begin(), with.end(), minus.begin(), minus.end(), std::back_inserter(now));
  std::set_difference(plus.begin(), plus.end(), minus.begin(), minus.end(), std::back_inserter(change.added));
  std::set_intersection(old.begin(), old.end(), minus.begin(), minus.end(), std::back_inserter(change.removed));
  change.wildcard_added = wildcard_ && !was;
  change.wildcard_removed = !wildcard_ && was;
  if (now != old) assign(std::move(now), table);
  return change;
}

}  // namespace fairlead::cpstream
