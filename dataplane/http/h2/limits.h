// What keeps a peer from making a session work or remember without end; the rules and figures are Envoy 1.40's.
// Pure counters, driven by the session. Room-private; one worker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/http/h2/session.h"

namespace fairlead::h2 {

// Frames that carry nothing or only housekeeping, in proportion to what the connection is used for.
class InboundLimits {
 public:
  explicit InboundLimits(const Settings& settings) : settings_(settings) {}
  void data_frame_sent() { ++data_frames_sent_; }
  // Each call says which limit the frame breaks, if any. `empty`: no payload, and the stream goes on.
  std::optional<Stat> headers(bool empty, bool ends_block) {
    if (ends_block) ++streams_;
    return payload(empty);
  }
  std::optional<Stat> payload(bool empty) {
    if (!empty) {
      empty_in_a_row_ = 0;
      return std::nullopt;
    }
    if (++empty_in_a_row_ > settings_.max_consecutive_inbound_frames_with_empty_payload) return Stat::inbound_empty_frames_flood;
    return std::nullopt;
  }
  std::optional<Stat> priority() {
    if (++priorities_ > settings_.max_inbound_priority_frames_per_stream * (1 + streams_)) return Stat::inbound_priority_frames_flood;
    return std::nullopt;
  }
  std::optional<Stat> window_update() {
    const uint64_t per_data = settings_.max_inbound_window_update_frames_per_data_frame_sent;
    if (++window_updates_ > 5 + 2 * (streams_ + per_data * data_frames_sent_)) return Stat::inbound_window_update_frames_flood;
    return std::nullopt;
  }

 private:
  const Settings& settings_;
  uint32_t empty_in_a_row_ = 0;
  uint64_t streams_ = 0;
  uint64_t priorities_ = 0;
  uint64_t window_updates_ = 0;
  uint64_t data_frames_sent_ = 0;
};

// Frames that lie in the connection's output. Marks say up to which byte of the connection's life how many frames reach; when there
// are too many marks, neighbours are joined, so that frames are counted a little longer than they lie there.
class OutboundFrames {
 public:
  void add(bool control) {
    ++frames_;
    if (control) ++control_;
  }
  // After frames were added: `written` bytes have been appended to the output so far, `pending` of them are still in it.
  void settle(uint64_t written, size_t pending);
  uint32_t frames() const { return frames_; }
  uint32_t control() const { return control_; }

 private:
  struct Mark {
    uint64_t end;  // of the bytes that hold the frames
    uint32_t frames;
    uint32_t control;
  };
  std::array<Mark, 16> marks_;
  uint32_t count_ = 0;
  uint32_t frames_ = 0;
  uint32_t control_ = 0;
  uint32_t marked_frames_ = 0;
  uint32_t marked_control_ = 0;
};

// Which streams a peer may not speak on any more, read off the frame headers that go by. nghttp2 says nothing of frames on closed streams
// unless it keeps as many of those as may be open, some 300 KB a connection, and lets skipped ones pass. What we ended before the peer
// did is not here: frames may be under way.
class StreamHistory {
 public:
  explicit StreamHistory(bool server) : server_(server), left_(server ? kPreface : 0) {}
  struct Breach {
    size_t at;      // where its frame begins, in the bytes given
    uint32_t code;  // for GOAWAY
  };
  // The next bytes of the connection, in pieces as they come. After a breach the connection is over.
  std::optional<Breach> read(std::string_view bytes);

 private:
  static constexpr uint32_t kPreface = 24;
  static constexpr uint32_t kHeader = 9;
  struct Range {
    int32_t from, to;
  };
  uint32_t check(const uint8_t* header);
  bool ended(int32_t id) const {
    if (id > highest_ended_) return false;
    bool found = false;
    for (int32_t one : ended_) found |= one == id;
    return found;
  }
  void end(int32_t id) {
    ended_[ended_count_++ % ended_.size()] = id;
    if (id > highest_ended_) highest_ended_ = id;
  }
  bool may_open(int32_t id);

  const bool server_;
  uint8_t have_ = 0;           // bytes of a header that is not complete
  uint8_t header_[kHeader];
  uint32_t left_;              // of the frame
  std::array<int32_t, 16> ended_{};
  std::array<Range, 4> skipped_{};
  uint32_t ended_count_ = 0;
  uint32_t skipped_count_ = 0;
  int32_t last_ = -1;
  int32_t highest_ended_ = 0;
};

// Streams that the peer opened and gave up at once (rapid reset).
class PrematureResets {
 public:
  explicit PrematureResets(uint32_t limit) : limit_(limit) {}
  // A stream has ended. True: the connection is to be closed.
  bool ended(bool premature) {
    if (limit_ == 0) return false;
    ++closed_;
    if (!premature) return false;
    ++premature_;
    // Below the limit: so many that good ones up to it would not redeem them.
    return uint64_t{premature_} * 2 >= (closed_ < limit_ ? limit_ : closed_);
  }

 private:
  uint32_t limit_;
  uint32_t closed_ = 0;
  uint32_t premature_ = 0;
};

}  // namespace fairlead::h2
