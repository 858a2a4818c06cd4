// Counted references within one worker: plain integers, no atomics, for what streams keep alive beyond a change of configuration
// (an epoch, a cluster, a host). Never hand a Ref to another thread. The object is deleted with its last Ref.
#pragma once

#include <cstdint>
#include <utility>

namespace fairlead::upstream {

class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 protected:
  virtual ~Counted() = default;

 private:
  template <class T>
  friend class Ref;
  uint32_t refs_ = 0;
};

template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) ++counted()->refs_;
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { reset(); }

  void reset() {
    T* object = std::exchange(object_, nullptr);
    if (object != nullptr && --static_cast<Counted*>(object)->refs_ == 0) delete static_cast<Counted*>(object);
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  Counted* counted() const { return object_; }
  T* object_ = nullptr;
};

}  // namespace fairlead::upstream
