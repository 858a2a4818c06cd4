// Names that streams subscribe to, each kept once however many streams want it. A set of them is its names' numbers, four bytes each, and equal
// sets are one object: a thousand streams that want the same thousand names hold one set, and a thousand that want two hundred each of the same
// thousand hold their numbers alone. One thread's. A set keeps alive what it needs of its table.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

namespace fairlead::cpstream {

using NameId = uint32_t;  // means its name as long as a set holds it
class NameSet;
using NameSetPtr = std::shared_ptr<const NameSet>;

// What a table and its sets share.
class Names {
 public:
  std::optional<NameId> find(std::string_view name) const;
  const std::string& text(NameId id) const { return entries_[id].text; }
  size_t size() const { return by_name_.size(); }

 private:
  friend class NameSet;
  friend class NameTable;
  struct Entry {
    std::string text;
    uint32_t sets = 0;  // that hold it
  };
  struct ByContent {
    using is_transparent = void;
    size_t operator()(const std::vector<NameId>& ids) const;
    size_t operator()(const NameSet* set) const;
    bool operator()(const NameSet* a, const NameSet* b) const { return a == b; }  // equal ones are one
    bool operator()(const NameSet* a, const std::vector<NameId>& ids) const;
  };
  NameId number(const std::string& name);
  void release(NameId id);

  std::deque<Entry> entries_;  // their texts stay where they are
  std::vector<NameId> free_;
  absl::flat_hash_map<std::string_view, NameId> by_name_;
  absl::flat_hash_set<const NameSet*, ByContent, ByContent> sets_;
};

class NameSet : public std::enable_shared_from_this<NameSet> {
 public:
  NameSet(std::shared_ptr<Names> names, std::vector<NameId> ids);
  ~NameSet();
  NameSet(const NameSet&) = delete;
  NameSet& operator=(const NameSet&) = delete;

  bool contains(std::string_view name) const;
  const std::vector<NameId>& ids() const { return ids_; }  // ascending
  std::vector<std::string> texts() const;                  // sorted; made anew
  size_t size() const { return ids_.size(); }
  std::shared_ptr<const Names> all() const { return names_; }

 private:
  const std::shared_ptr<Names> names_;
  const std::vector<NameId> ids_;
};

class NameTable {
 public:
  // The set of these names, which are unique; null for none.
  NameSetPtr intern(const std::vector<std::string>& names) { return change(nullptr, names, {}); }
  // `from`, with some names more and some fewer; null for none. A name may be there already, or be missing; none is in both lists.
  NameSetPtr change(const NameSetPtr& from, const std::vector<std::string>& add, const std::vector<std::string>& remove);
  size_t size() const { return names_->sets_.size(); }    // sets
  size_t names() const { return names_->size(); }

 private:
  std::shared_ptr<Names> names_ = std::make_shared<Names>();
};

}  // namespace fairlead::cpstream
