// The subscription rules, as set arithmetic on sorted names.
#include "controlplane/stream/subscription.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/hash.h"
#include "controlplane/resources/xdstp.h"

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

}  // namespace

bool Subscription::in_glob(std::string_view name) const {
  if (!globs_ || !resources::is_xdstp(name)) return false;
  const std::string glob = resources::glob_of(name);
  return !glob.empty() && names_->contains(glob);
}

void Subscription::look_for_globs(const std::vector<std::string>& added) {
  globs_ = globs_ || std::any_of(added.begin(), added.end(), resources::is_glob);
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
  if (wildcard != wildcard_) (wildcard ? change.wildcard_added : change.wildcard_removed) = true;
  wildcard_ = wildcard;
  const NameSetPtr old = std::exchange(names_, table.intern(names));
  if (names_ == old) return change;  // equal sets are one
  for (std::string& name : names) {
    if (!old || !old->contains(name)) change.added.push_back(std::move(name));
  }
  look_for_globs(change.added);
  if (!old) return change;
  for (NameId id : old->ids()) {
    if (!names_ || !std::binary_search(names_->ids().begin(), names_->ids().end(), id)) change.removed.push_back(old->all()->text(id));
  }
  std::sort(change.removed.begin(), change.removed.end());
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
  std::set_difference(plus.begin(), plus.end(), minus.begin(), minus.end(), std::back_inserter(change.added));
  for (const std::string& name : minus) {
    if (names_ && names_->contains(name)) change.removed.push_back(name);
  }
  change.wildcard_added = wildcard_ && !was;
  change.wildcard_removed = !wildcard_ && was;
  names_ = table.change(names_, change.added, minus);
  look_for_globs(change.added);
  return change;
}

}  // namespace fairlead::cpstream
