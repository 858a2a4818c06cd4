// Frames in the output, and the names of counts (limits.h, session.h).
#include "dataplane/http/h2/limits.h"

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

std::string_view stat_name(Stat stat) {
  static constexpr std::string_view kNames[kStatCount] = {
      "goaway_sent", "header_overflow", "headers_cb_no_stream", "inbound_empty_frames_flood", "inbound_priority_frames_flood",
      "inbound_window_update_frames_flood", "keepalive_timeout", "outbound_control_flood", "outbound_flood", "rx_messaging_error",
      "rx_reset", "stream_refused_errors", "too_many_premature_resets", "trailers", "tx_flush_timeout", "tx_reset",
      "deferred_stream_close", "outbound_control_frames_active", "outbound_frames_active", "pending_send_bytes", "streams_active"};
  return kNames[static_cast<size_t>(stat)];
}

}  // namespace fairlead::h2
