// Base64 as it streams: four characters for three bytes, in whatever pieces they come. Plain values, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/net/buffer.h"

namespace fairlead::filters::grpc_web {

class Base64Encoder {
 public:
  void add(std::string_view bytes, net::Buffer& out);
  void pad(net::Buffer& out);  // what is left, with '='; the next byte begins a new group

 private:
  uint8_t kept_[3] = {};
  uint8_t count_ = 0;
};

class Base64Decoder {
 public:
  // False when the text is not base64. Padding may end any group: each message may have been encoded by itself.
  bool add(std::string_view text, net::Buffer& out);
  bool whole() const { return count_ == 0; }

 private:
  uint8_t kept_[4] = {};
  uint8_t count_ = 0;
  uint8_t padding_ = 0;
};

}  // namespace fairlead::filters::grpc_web
