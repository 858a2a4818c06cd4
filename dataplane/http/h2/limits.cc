// Frames in the output, and the names of counts (limits.h, session.h).
#include "dataplane/http/h2/limits.h"

#include <algorithm>
#include <cstring>

namespace fairlead::h2 {

void OutboundFrames::settle(uint64_t written, size_t pending) {
  if (pending == 0) {
    count_ = frames_ = control_ = marked_frames_ = marked_control_ = 0;
    return;
  }
  const uint64_t gone = written - pending;
  uint32_t passed = 0;
  while (passed < count_ && marks_[passed].end <= gone) {
    frames_ -= marks_[passed].frames;
    control_ -= marks_[passed].control;
    marked_frames_ -= marks_[passed].frames;
    marked_control_ -= marks_[passed].control;
    ++passed;
  }
  for (uint32_t i = passed; i < count_ && passed != 0; ++i) marks_[i - passed] = marks_[i];
  count_ -= passed;
  const uint32_t frames = frames_ - marked_frames_;
  const uint32_t control = control_ - marked_control_;
  if (frames == 0) return;
  marked_frames_ += frames;
  marked_control_ += control;
  if (count_ == marks_.size()) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i + 1 < count_; i += 2) {
      marks_[kept++] = {marks_[i + 1].end, marks_[i].frames + marks_[i + 1].frames, marks_[i].control + marks_[i + 1].control};
    }
    count_ = kept;
  }
  marks_[count_++] = {written, frames, control};
}

std::optional<StreamHistory::Breach> StreamHistory::read(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  for (size_t at = 0; at < bytes.size();) {
    if (left_ != 0) {
      const size_t n = std::min<size_t>(left_, bytes.size() - at);
      at += n;
      left_ -= static_cast<uint32_t>(n);
      continue;
    }
    const size_t begin = at;
    const uint8_t* header = data + at;
    if (have_ == 0 && bytes.size() - at >= kHeader) {
      at += kHeader;
    } else {
      const size_t n = std::min<size_t>(kHeader - have_, bytes.size() - at);
      std::memcpy(header_ + have_, data + at, n);
      at += n;
      have_ = static_cast<uint8_t>(have_ + n);
      if (have_ < kHeader) break;
      have_ = 0;
      header = header_;
    }
    left_ = static_cast<uint32_t>(header[0]) << 16 | static_cast<uint32_t>(header[1]) << 8 | header[2];
    if (const uint32_t code = check(header); code != 0) return Breach{begin, code};
  }
  return std::nullopt;
}

uint32_t StreamHistory::check(const uint8_t* header) {
  enum : uint8_t { kData = 0, kHeaders = 1, kRst = 3, kEndStream = 1 };
  constexpr uint32_t kProtocolError = 1, kStreamClosed = 5;
  const uint8_t type = header[3];
  if (type != kData && type != kHeaders && type != kRst) return 0;
  const auto id = static_cast<int32_t>((static_cast<uint32_t>(header[5]) << 24 | static_cast<uint32_t>(header[6]) << 16 | static_cast<uint32_t>(header[7]) << 8 | header[8]) & INT32_MAX);
  if (id == 0) return 0;  // nghttp2 sees to that
  const bool over = ended(id);
  if (type != kRst) {
    if (type == kHeaders && server_ && !may_open(id)) return kProtocolError;
    if (over) return kStreamClosed;
    if ((header[4] & kEndStream) == 0) return 0;
  }
  if (!over) end(id);
  return 0;
}

// HEADERS of a client. False: of a stream that a higher number has closed unopened (RFC 9113 section 5.1.1).
bool StreamHistory::may_open(int32_t id) {
  if ((id & 1) == 0) return true;  // nghttp2 sees to that
  if (id > last_) {
    if (id > last_ + 2) skipped_[skipped_count_++ % skipped_.size()] = {last_ + 2, id - 2};
    last_ = id;
    return true;
  }
  for (const auto& [from, to] : skipped_) {
    if (id >= from && id <= to) return false;
  }
  return true;
}

std::string_view stat_name(Stat stat) {
  static constexpr std::string_view kNames[kStatCount] = {
      "goaway_sent", "header_list_size_too_large", "header_overflow", "headers_cb_no_stream", "inbound_empty_frames_flood", "inbound_priority_frames_flood",
      "inbound_window_update_frames_flood", "keepalive_timeout", "outbound_control_flood", "outbound_flood", "rx_messaging_error",
      "rx_reset", "stream_refused_errors", "too_many_premature_resets", "trailers", "tx_flush_timeout", "tx_reset",
      "deferred_stream_close", "outbound_control_frames_active", "outbound_frames_active", "pending_send_bytes", "streams_active"};
  return kNames[static_cast<size_t>(stat)];
}

}  // namespace fairlead::h2
