// Growth, clearing and the histogram's arithmetic; the adding side is inline in cells.h.
#include "dataplane/stats/cells.h"

namespace fairlead::stats {
namespace {

void bump(std::atomic<uint64_t>& c, uint64_t n) { c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }

}  // namespace

HistogramCells::~HistogramCells() {
  for (auto& d : decades) delete d.load(std::memory_order_relaxed);
}

void HistogramCells::record(uint64_t value) {
  int bucket = 0;
  while (bucket < kBounds && static_cast<double>(value) > kUpperBounds[bucket]) ++bucket;
  bump(buckets[bucket], 1);
  bump(sum, value);
  if (value == 0) {
    bump(zero, 1);
    return;
  }
  // value = d.d × 10^decade with two significant digits, cut off: bin 0 is 1.0, bin 89 is 9.9.
  int decade = 0;
  uint64_t scale = 1;
  while (value / scale >= 10) {
    scale *= 10;
    ++decade;
  }
  const uint64_t two_digits = decade == 0 ? value * 10 : value / (scale / 10);
  Decade* d = decades[decade].load(std::memory_order_relaxed);
  if (d == nullptr) {
    d = new Decade;
    decades[decade].store(d, std::memory_order_release);
  }
  bump(d->bins[two_digits - 10], 1);
}

Cells::Cells()
    : chunks_(std::make_unique<std::atomic<Chunk*>[]>(kMaxChunks)),
      histogram_chunks_(std::make_unique<std::atomic<HistogramChunk*>[]>(kMaxHistogramChunks)) {}

Cells::~Cells() {
  for (uint32_t i = 0; i < kMaxChunks; ++i) delete chunks_[i].load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < kMaxHistogramChunks; ++i) {
    HistogramChunk* chunk = histogram_chunks_[i].load(std::memory_order_relaxed);
    if (chunk == nullptr) continue;
    for (auto& slot : chunk->slots) delete slot.load(std::memory_order_relaxed);
    delete chunk;
  }
}

void Cells::record(Histogram h, uint64_t value) {
  auto& place = histogram_chunks_[h.slot >> kHistogramChunkBits];
  if (place.load(std::memory_order_relaxed) == nullptr) place.store(new HistogramChunk, std::memory_order_release);
  auto& slot = place.load(std::memory_order_relaxed)->slots[h.slot & (kHistogramChunk - 1)];
  HistogramCells* cells = slot.load(std::memory_order_relaxed);
  if (cells == nullptr) {
    cells = new HistogramCells;
    slot.store(cells, std::memory_order_release);
  }
  cells->record(value);
}

const HistogramCells* Cells::read_histogram(uint32_t slot) const {
  const HistogramChunk* chunk = histogram_chunks_[slot >> kHistogramChunkBits].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : chunk->slots[slot & (kHistogramChunk - 1)].load(std::memory_order_acquire);
}

Cells::Chunk* Cells::make_chunk(uint32_t n) {
  Chunk* made = new Chunk;
  chunks_[n].store(made, std::memory_order_release);
  return made;
}

void Cells::clear(CellIndex begin, uint32_t n) {
  for (CellIndex i = begin; i < begin + n; ++i) {
    Chunk* chunk = chunks_[i >> kChunkBits].load(std::memory_order_acquire);
    if (chunk != nullptr) chunk->cells[i & (kChunkCells - 1)].store(0, std::memory_order_relaxed);
  }
}

void Cells::clear_histograms(uint32_t begin, uint32_t n) {
  for (uint32_t i = begin; i < begin + n; ++i) {
    HistogramChunk* chunk = histogram_chunks_[i >> kHistogramChunkBits].load(std::memory_order_acquire);
    if (chunk != nullptr) delete chunk->slots[i & (kHistogramChunk - 1)].exchange(nullptr);
  }
}

}  // namespace fairlead::stats
