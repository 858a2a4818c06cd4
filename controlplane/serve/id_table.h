// What has an ascending number, by that number: pages of 64, so that whoever goes over many in their order looks for a page once in 64 times.
// One thread's. A page stays until the last one on it goes: at most 0.5 KB for one of long life among millions that have gone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <absl/container/btree_map.h>

namespace fairlead::serve {

// `Pointer`: std::unique_ptr<T> or T*; null is none.
template <typename Pointer>
class IdTable {
  static constexpr size_t kPage = 64;
  struct Page {
    std::array<Pointer, kPage> entries{};
    size_t count = 0;
  };

 public:
  using T = typename std::pointer_traits<Pointer>::element_type;

  T* find(uint64_t id) const {
    const Page* page = page_of(id);
    return page == nullptr ? nullptr : std::to_address(page->entries[id % kPage]);
  }
  T& at(uint64_t id) const { return *find(id); }  // one that is there
  // Of a number that is not there.
  void add(uint64_t id, Pointer entry) {
    std::unique_ptr<Page>& page = pages_[id / kPage];
    if (!page) page = std::make_unique<Page>();
    page->entries[id % kPage] = std::move(entry);
    ++page->count;
    ++size_;
  }
  // Does nothing to a number that is not there.
  void erase(uint64_t id) {
    const auto at = pages_.find(id / kPage);
    if (at == pages_.end() || !at->second->entries[id % kPage]) return;
    --size_;
    at->second->entries[id % kPage] = nullptr;
    if (--at->second->count > 0) return;
    if (last_ == at->second.get()) last_ = nullptr;
    pages_.erase(at);
  }
  size_t size() const { return size_; }
  // Those there are, in the order of their numbers. None comes or goes while they are gone over.
  class Iterator {
   public:
    T& operator*() const { return *at_->second->entries[i_]; }
    Iterator& operator++() {
      ++i_;
      skip();
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_ || i_ != other.i_; }

   private:
    friend class IdTable;
    using At = typename absl::btree_map<uint64_t, std::unique_ptr<Page>>::const_iterator;
    Iterator(At at, At end) : at_(at), end_(end) { skip(); }
    void skip() {  // to where one is
      for (; at_ != end_; ++at_, i_ = 0) {
        for (; i_ < kPage; ++i_) {
          if (at_->second->entries[i_]) return;
        }
      }
    }
    At at_, end_;
    size_t i_ = 0;
  };
  Iterator begin() const { return {pages_.begin(), pages_.end()}; }
  Iterator end() const { return {pages_.end(), pages_.end()}; }

 private:
  const Page* page_of(uint64_t id) const {
    if (last_ != nullptr && last_number_ == id / kPage) return last_;
    const auto at = pages_.find(id / kPage);
    if (at == pages_.end()) return nullptr;
    last_number_ = at->first;
    return last_ = at->second.get();
  }

  absl::btree_map<uint64_t, std::unique_ptr<Page>> pages_;
  size_t size_ = 0;
  mutable const Page* last_ = nullptr;  // looked at
  mutable uint64_t last_number_ = 0;
};

}  // namespace fairlead::serve
