// A value that many hold and nobody changes: copying one costs a reference count, and two are compared by pointer before they are by content. What is
// made of small parts that seldom change is cheap to copy, to compare and to remember that way. Never null; any thread may read.
#pragma once

#include <memory>
#include <utility>

namespace fairlead {

template <typename T>
class Shared {
 public:
  using Pointer = std::shared_ptr<const T>;

  Shared(T value) : value_(std::make_shared<const T>(std::move(value))) {}
  Shared(Pointer value) : value_(std::move(value)) {}

  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  operator const T&() const { return *value_; }
  const T* get() const { return value_.get(); }

  friend bool operator==(const Shared& a, const Shared& b) { return a.value_ == b.value_ || *a.value_ == *b.value_; }

 private:
  Pointer value_;
};

}  // namespace fairlead
