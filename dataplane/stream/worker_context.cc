// A worker's epoch and spare streams; see worker_context.h.
#include "dataplane/stream/worker_context.h"

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
