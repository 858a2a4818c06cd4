// Numbers and texts to bytes and back, in the machine's own order: for what one process of this program says to another on the same machine.
// A Reader never reads past its end: it turns bad and gives zeros.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace fairlead::packed {

class Writer {
 public:
  template <class Number>
  void number(Number n) {
    static_assert(std::is_integral_v<Number>);
    char bytes[sizeof n];
    std::memcpy(bytes, &n, sizeof n);
    out_.append(bytes, sizeof n);
  }
  void text(std::string_view s) {
    number(static_cast<uint32_t>(s.size()));
    out_.append(s);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  template <class Number>
  Number number() {
    Number n{};
    if (left_.size() < sizeof n) {
      bad_ = true;
      left_ = {};
      return n;
    }
    std::memcpy(&n, left_.data(), sizeof n);
    left_.remove_prefix(sizeof n);
    return n;
  }
  std::string_view text() {
    const auto size = number<uint32_t>();
    if (left_.size() < size) {
      bad_ = true;
      left_ = {};
      return {};
    }
    const std::string_view out = left_.substr(0, size);
    left_.remove_prefix(size);
    return out;
  }
  bool bad() const { return bad_; }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
  bool bad_ = false;
};

}  // namespace fairlead::packed
