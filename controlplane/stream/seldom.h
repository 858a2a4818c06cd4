// A vector that is empty nearly always, in the room of a pointer: of thousands of streams each has a dozen of them, and all are looked at with each push.
// One thread's, as a vector is.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace fairlead::cpstream {

template <class T>
class Seldom {
 public:
  bool empty() const { return items_ == nullptr || items_->empty(); }
  size_t size() const { return items_ == nullptr ? 0 : items_->size(); }
  const std::vector<T>& all() const {
    static const std::vector<T> none;
    return items_ == nullptr ? none : *items_;
  }
  auto begin() const { return all().begin(); }
  auto end() const { return all().end(); }

  // To be changed.
  std::vector<T>& own() {
    if (items_ == nullptr) items_ = std::make_unique<std::vector<T>>();
    return *items_;
  }
  // All of it, and there is nothing left. What points to the elements goes on doing so.
  std::vector<T> take() {
    if (items_ == nullptr) return {};
    return std::move(*std::exchange(items_, nullptr));
  }
  void set(std::vector<T> items) {
    items_.reset();
    if (!items.empty()) own() = std::move(items);
  }

 private:
  std::unique_ptr<std::vector<T>> items_;
};

}  // namespace fairlead::cpstream
