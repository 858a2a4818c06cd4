// gRPC's framing of incoming messages: a flag byte, four bytes of length, the message; pieces of any size in, whole messages out.
// A plain value, one thread. Holds at most one message and what has come behind it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include "dataplane/net/buffer.h"

namespace fairlead::rpc {

// grpc-encoding of a message: what its flag refers to.
enum class Encoding : uint8_t { kIdentity, kGzip, kDeflate, kUnknown };
Encoding encoding_of(std::string_view grpc_encoding);  // "" is identity

class MessageReader {
 public:
  explicit MessageReader(size_t max_message_bytes) : max_(max_message_bytes) {}
  void set_encoding(Encoding encoding) { encoding_ = encoding; }

  // Takes all of `data` and tells each message that is whole, decompressed; the view is valid within the call. Stops, with the rest
  // forgotten, when `on_message` returns false. Errors are what the call is to end with: ResourceExhausted for a message above the limit,
  // Internal for bytes that are not what they say.
  absl::Status read(net::Buffer& data, absl::FunctionRef<bool(std::string_view message)> on_message);
  // Part of a message has come, not all.
  bool amid_message() const { return !pending_.empty(); }

 private:
  absl::Status inflate(std::string_view compressed, std::string& out) const;

  size_t max_;
  Encoding encoding_ = Encoding::kIdentity;
  net::Buffer pending_;
};

}  // namespace fairlead::rpc
