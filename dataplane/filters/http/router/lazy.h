// An optional whose value lies elsewhere: what few requests need takes up no room, and so no cache, in those that do not. One worker.
#pragma once

#include <memory>
#include <utility>

namespace fairlead::filters::router {

template <class T>
class Lazy {
 public:
  template <class... Args>
  T& emplace(Args&&... args) {
    value_ = std::make_unique<T>(std::forward<Args>(args)...);
    return *value_;
  }
  void reset() { value_.reset(); }
  explicit operator bool() const { return value_ != nullptr; }
  T* operator->() const { return value_.get(); }
  T& operator*() const { return *value_; }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace fairlead::filters::router
