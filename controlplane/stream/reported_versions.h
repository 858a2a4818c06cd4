// What a client that comes back reports to have: the name and version of each resource. Tens of thousands in a request, and thousands of such requests
// at once, so they are left where they stand in it; those that stand nowhere are copied.
#pragma once

#include <cstddef>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fairlead::cpstream {

class ReportedVersions {
 public:
  using Entry = std::pair<std::string_view, std::string_view>;  // name, version

  ReportedVersions() = default;
  ReportedVersions(std::initializer_list<Entry> copied) {
    for (const auto& [name, version] : copied) add_copy(name, version);
  }
  // Both have to outlive this and its copies.
  void add(std::string_view name, std::string_view version) { entries_.emplace_back(name, version); }
  void add_copy(std::string_view name, std::string_view version) { entries_.emplace_back(keep(name), keep(version)); }
  void rename(size_t i, std::string_view name) { entries_[i].first = keep(name); }

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  const Entry& operator[](size_t i) const { return entries_[i]; }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  auto rbegin() const { return entries_.rbegin(); }
  auto rend() const { return entries_.rend(); }

 private:
  std::string_view keep(std::string_view text) {
    if (!own_) own_ = std::make_shared<std::deque<std::string>>();
    return own_->emplace_back(text);
  }
  std::vector<Entry> entries_;
  std::shared_ptr<std::deque<std::string>> own_;  // copies of this look into it, too
};

}  // namespace fairlead::cpstream
