// See names.h.
#include "controlplane/stream/names.h"

#include <algorithm>
#include <utility>

#include <absl/hash/hash.h>

namespace fairlead::cpstream {

size_t Names::ByContent::operator()(const std::vector<NameId>& ids) const { return absl::Hash<std::vector<NameId>>()(ids); }
size_t Names::ByContent::operator()(const NameSet* set) const { return (*this)(set->ids()); }
bool Names::ByContent::operator()(const NameSet* a, const std::vector<NameId>& ids) const { return a->ids() == ids; }

std::optional<NameId> Names::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  if (at == by_name_.end()) return std::nullopt;
  return at->second;
}

// A new one is in no set yet.
NameId Names::number(const std::string& name) {
  if (const std::optional<NameId> known = find(name)) return *known;
  NameId id = static_cast<NameId>(entries_.size());
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  entries_[id].text = name;
  by_name_.emplace(entries_[id].text, id);
  return id;
}

void Names::release(NameId id) {
  Entry& entry = entries_[id];
  if (--entry.sets != 0) return;
  by_name_.erase(entry.text);
  entry.text = std::string();
  free_.push_back(id);
}

NameSet::NameSet(std::shared_ptr<Names> names, std::vector<NameId> ids) : names_(std::move(names)), ids_(std::move(ids)) {
  for (NameId id : ids_) ++names_->entries_[id].sets;
  names_->sets_.insert(this);
}

NameSet::~NameSet() {
  names_->sets_.erase(static_cast<const NameSet*>(this));
  for (NameId id : ids_) names_->release(id);
}

bool NameSet::contains(std::string_view name) const {
  const std::optional<NameId> id = names_->find(name);
  return id && std::binary_search(ids_.begin(), ids_.end(), *id);
}

std::vector<std::string> NameSet::texts() const {
  std::vector<std::string> out;
  out.reserve(ids_.size());
  for (NameId id : ids_) out.push_back(names_->text(id));
  std::sort(out.begin(), out.end());
  return out;
}

NameSetPtr NameTable::change(const NameSetPtr& from, const std::vector<std::string>& add, const std::vector<std::string>& remove) {
  std::vector<NameId> more, fewer, ids;
  more.reserve(add.size());
  for (const std::string& name : add) more.push_back(names_->number(name));
  for (const std::string& name : remove) {
    if (const std::optional<NameId> id = names_->find(name)) fewer.push_back(*id);
  }
  std::sort(more.begin(), more.end());
  std::sort(fewer.begin(), fewer.end());
  static const std::vector<NameId> none;
  const std::vector<NameId>& had = from ? from->ids() : none;
  std::vector<NameId> with;
  with.reserve(had.size() + more.size());
  std::set_union(had.begin(), had.end(), more.begin(), more.end(), std::back_inserter(with));
  ids.reserve(with.size());
  std::set_difference(with.begin(), with.end(), fewer.begin(), fewer.end(), std::back_inserter(ids));
  if (ids.empty()) return nullptr;
  if (const auto known = names_->sets_.find(ids); known != names_->sets_.end()) return (*known)->shared_from_this();  // then no name was new
  ids.shrink_to_fit();
  return std::make_shared<NameSet>(names_, std::move(ids));
}

}  // namespace fairlead::cpstream
