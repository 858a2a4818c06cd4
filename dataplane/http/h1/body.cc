// Body framing (body.h).
#include "dataplane/http/h1/body.h"

#include <algorithm>

#include "dataplane/http/h1/fields.h"

namespace fairlead::h1 {

void BodyReader::start(Body kind, uint64_t length) {
  left_ = length;
  switch (kind) {
    case Body::None: state_ = State::Done; break;
    case Body::Length: state_ = length != 0 ? State::Length : State::Done; break;
    case Body::UntilClose:
    case Body::Tunnel: state_ = State::UntilClose; break;
    case Body::Chunked:
      state_ = State::Size;
      any_digit_ = size_ended_ = false;
      line_bytes_ = 0;
      left_ = 0;
      break;
  }
}

BodyReader::Step BodyReader::read(net::Buffer& in, net::Buffer& out) {
  for (;;) {
    switch (state_) {
      case State::Done: return Step::Done;
      case State::Broken: return Step::Broken;
      case State::Trailers: return Step::Trailers;
      default: break;
    }
    if (in.empty()) return Step::NeedMore;
    switch (state_) {
      case State::UntilClose:
        out.append(in);
        return Step::Data;
      case State::Length:
      case State::Data: {
        size_t n = static_cast<size_t>(std::min<uint64_t>(left_, in.size()));
        in.move_to(out, n);
        left_ -= n;
        if (left_ == 0) state_ = state_ == State::Length ? State::Done : State::DataCr;
        return Step::Data;
      }
      default:
        if (!read_size_line(in)) {
          state_ = State::Broken;
          return Step::Broken;
        }
    }
  }
}

// Consumes framing bytes until body bytes, the trailers or the end of the input; false when they are not allowed.
bool BodyReader::read_size_line(net::Buffer& in) {
  while (!in.empty()) {
    std::string_view bytes = in.front();
    size_t used = 0;
    for (char c : bytes) {
      ++used;
      if (!size_byte(c)) return false;
      if (state_ == State::Data || state_ == State::Trailers) break;
    }
    in.drain(used);
    if (state_ == State::Data || state_ == State::Trailers) return true;
  }
  return true;
}

bool BodyReader::size_byte(char c) {
  switch (state_) {
    case State::DataCr:
      state_ = State::DataLf;
      return c == '\r';
    case State::DataLf:
      state_ = State::Size;
      any_digit_ = size_ended_ = false;
      line_bytes_ = 0;
      return c == '\n';
    case State::Size: {
      if (++line_bytes_ > kMaxChunkLine) return false;
      int digit = is_digit(c) ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
      if (digit >= 0) {
        if (size_ended_ || left_ >> 59 != 0) return false;  // the size would reach 2^63
        left_ = left_ * 16 + static_cast<uint64_t>(digit);
        any_digit_ = true;
        return true;
      }
      if (!any_digit_) return false;
      if (is_blank(c)) {
        size_ended_ = true;
        return true;
      }
      if (c == ';') {
        state_ = State::Extension;
        return true;
      }
      state_ = State::SizeLf;
      return c == '\r';
    }
    case State::Extension:
      if (++line_bytes_ > kMaxChunkLine) return false;
      if (c == '\r') {
        state_ = State::SizeLf;
        return true;
      }
      return (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t';
    case State::SizeLf:
      state_ = left_ != 0 ? State::Data : State::Trailers;
      return c == '\n';
    default:
      return false;
  }
}

}  // namespace fairlead::h1
