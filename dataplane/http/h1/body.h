// Bodies of HTTP/1 messages: takes a message's body out of the bytes of a connection. Pure state machine; one message at a time.
// Chunk framing is strict: CRLF only, no blank in front of a size, extensions skipped up to a limit. (Envoy 1.40 skips whatever
// stands between chunk data and the next line end; we refuse it.)
#pragma once

#include <cstdint>

#include "dataplane/http/h1/head.h"
#include "dataplane/net/buffer.h"

namespace fairlead::h1 {

class BodyReader {
 public:
  // Trailers: the last chunk has been read; the trailer section is at the front of the input (find_head finds its end).
  enum class Step { NeedMore, Data, Trailers, Done, Broken };
  static constexpr uint32_t kMaxChunkLine = 4096;  // size, extensions and line end

  void start(Body kind, uint64_t length);
  // Takes what it can from `in`. Data: `out` holds body bytes, call again; the last Data may already be followed by Done.
  Step read(net::Buffer& in, net::Buffer& out);
  bool done() const { return state_ == State::Done; }

 private:
  enum class State : uint8_t { Length, UntilClose, Size, Extension, SizeLf, Data, DataCr, DataLf, Trailers, Done, Broken };
  bool read_size_line(net::Buffer& in);
  bool size_byte(char c);

  State state_ = State::Done;
  bool any_digit_ = false;
  bool size_ended_ = false;  // blanks follow the digits: only ';' or the line end may come
  uint32_t line_bytes_ = 0;
  uint64_t left_ = 0;
};

}  // namespace fairlead::h1
