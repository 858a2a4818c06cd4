// A worker's epoch and spare streams; see worker_context.h.
#include "dataplane/stream/worker_context.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "dataplane/stream/stream.h"

namespace fairlead::stream {

namespace {
constexpr size_t kMaxSpareStreams = 256;  // about 1 KiB each; more than that many requests at once on a worker pay an allocation
constexpr size_t kMaxSpareFormats = 64;   // 0.8 KiB each; most are taken to write a line and come back at once
}

WorkerContext::WorkerContext(net::EventLoop& loop, stats::Cells& cells, uint32_t index, upstream::SharedClusters& shared, uint64_t seed)
    : loop_(loop), cells_(cells), index_(index), random_(seed), clusters_(loop, cells, shared, seed ^ 0x5bf03635f0a5e1d3ULL) {}

WorkerContext::~WorkerContext() = default;

void WorkerContext::apply(std::shared_ptr<const config::Snapshot> snapshot) {
  clusters_.apply(snapshot);
  epoch_ = upstream::Ref<Epoch>(new Epoch(std::move(snapshot)));
}

void WorkerContext::set_overload(const OverloadState& state) {
  const OverloadState before = std::exchange(overload_, state);
  if (before.shorter_timeouts == state.shorter_timeouts) return;
  for (Stream* stream = first_active_; stream != nullptr; stream = stream->next_active_) stream->rescale_timeouts();
}

// Envoy 1.40: eight classes of size, each twice the one before, the smallest from 2^minimum_account_to_track_power_of_two bytes on; the pressure
// says how many of them, from the heaviest; at most 50 streams at a time.
size_t WorkerContext::reset_heavy_streams() {
  constexpr int kClasses = 8;
  constexpr size_t kMost = 50;
  if (overload_.reset_streams <= 0) return 0;
  std::array<std::vector<Stream*>, kClasses> classes;
  for (Stream* stream = first_active_; stream != nullptr; stream = stream->next_active_) {
    const auto width = static_cast<int>(std::bit_width(stream->held_bytes())) - 1 - static_cast<int>(overload_.smallest_account);
    if (width >= 0 && !stream->bypasses_overload()) classes[static_cast<size_t>(std::min(width, kClasses - 1))].push_back(stream);
  }
  const int lowest = kClasses - std::min(kClasses, static_cast<int>(overload_.reset_streams * kClasses) + 1);
  size_t ended = 0;
  for (int i = kClasses - 1; i >= lowest; --i) {
    for (Stream* stream : classes[static_cast<size_t>(i)]) {
      if (ended == kMost) return ended;
      if (!stream->active()) continue;  // with the connection of one before
      stream->reset_for_overload();
      ++ended;
    }
  }
  return ended;
}

std::unique_ptr<Stream> WorkerContext::take_stream() {
  if (spare_.empty()) return std::make_unique<Stream>(*this);
  std::unique_ptr<Stream> stream = std::move(spare_.back());
  spare_.pop_back();
  return stream;
}

void WorkerContext::give_back(std::unique_ptr<Stream> stream) {
  if (spare_.size() < kMaxSpareStreams) spare_.push_back(std::move(stream));
}

std::unique_ptr<format::FormatContext> WorkerContext::take_format() {
  if (spare_formats_.empty()) return std::make_unique<format::FormatContext>();
  std::unique_ptr<format::FormatContext> format = std::move(spare_formats_.back());
  spare_formats_.pop_back();
  *format = {};
  return format;
}

void WorkerContext::give_back(std::unique_ptr<format::FormatContext> format) {
  if (spare_formats_.size() < kMaxSpareFormats) spare_formats_.push_back(std::move(format));
}

}  // namespace fairlead::stream
