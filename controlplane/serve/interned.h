// Equal values as one object, for as long as somebody has it: what thousands of streams have in common is kept once. One thread's; what is given out
// may outlive the table.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>

namespace fairlead::serve {

template <typename T, typename Less = std::less<T>>
class Interned {
 public:
  using Ptr = std::shared_ptr<const T>;
  Ptr of(T value) {
    const auto [at, fresh] = all_->try_emplace(std::move(value));
    if (!fresh) {
      if (Ptr known = at->second.lock()) return known;
    }
    // The value is the table's key, which goes with the last who has it.
    Ptr made(&at->first, [all = all_](const T* key) { all->erase(all->find(*key)); });
    at->second = made;
    return made;
  }
  size_t size() const { return all_->size(); }

 private:
  std::shared_ptr<std::map<T, std::weak_ptr<const T>, Less>> all_ = std::make_shared<std::map<T, std::weak_ptr<const T>, Less>>();
};

}  // namespace fairlead::serve
