// gRPC's framing: a flag byte, four bytes of length, the message. Counts messages as they begin and finds where they end, whatever the pieces.
// A plain value, one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace fairlead::grpc {

class FrameCounter {
 public:
  // Looks at the next bytes, at most up to the end of a message: returns how many it took. ended(): the last of them ended a message.
  size_t take(std::string_view bytes) {
    size_t used = 0;
    ended_ = false;
    while (used < bytes.size() && have_ < kHead) {
      if (have_ == 0) ++count_;
      if (have_ != 0) left_ = left_ << 8 | static_cast<uint8_t>(bytes[used]);
      ++used;
      ++have_;
    }
    if (have_ < kHead) return used;
    const size_t body = std::min<uint64_t>(left_, bytes.size() - used);
    left_ -= body;
    used += body;
    if (left_ == 0) {
      ended_ = true;
      have_ = 0;
    }
    return used;
  }
  template <class Buffer>
  void inspect(const Buffer& data) {
    data.for_each_slice([this](std::string_view slice) {
      while (!slice.empty()) slice.remove_prefix(take(slice));
    });
  }
  uint64_t count() const { return count_; }  // messages begun
  bool ended() const { return ended_; }

 private:
  static constexpr int kHead = 5;
  uint64_t count_ = 0;
  uint64_t left_ = 0;
  int have_ = 0;
  bool ended_ = false;
};

struct Method {
  std::string_view service, name;
  std::string_view both;  // "service/name"
  bool valid() const { return !name.empty(); }
};
// Of "/service/name", with or without a query; invalid otherwise.
inline Method method_of(std::string_view path) {
  path = path.substr(0, path.find('?'));
  if (path.empty() || path[0] != '/') return {};
  path.remove_prefix(1);
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == path.size() || path.find('/', slash + 1) != std::string_view::npos) return {};
  return {path.substr(0, slash), path.substr(slash + 1), path};
}

}  // namespace fairlead::grpc
