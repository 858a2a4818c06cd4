// The numbers themselves: one Cells per thread that counts (each worker, and the main thread).
// Threads: only the owner adds; any thread may read while it does. No lock and no read-modify-write instruction on the adding side.
// Storage: chunks of 512 cells aligned to cache lines, never shared by two owners and never moved, so an index stays valid until its
// scope goes. The owner makes a chunk when it first counts there: what a thread never counts costs that thread nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace fairlead::stats {

using CellIndex = uint32_t;

struct Counter { CellIndex cell = 0; };
struct Gauge { CellIndex cell = 0; };
struct Histogram { uint32_t slot = 0; };

// A contiguous run of cells for one StatSet of one scope: member i of the set is at base + i. Histogram members have their
// own run of slots. Trivially copyable: keep it by value in the configuration model.
template <class Enum> struct Block {
  CellIndex base = 0;
  uint32_t histogram_base = 0;
  CellIndex at(Enum e) const { return base + static_cast<uint32_t>(e); }
};

// Log-linear sketch: two significant decimal digits (90 bins a decade), the bins Envoy's circllhist uses; plus the 19 bounds that
// Envoy's Prometheus output has, counted exactly. A decade's bins come into being with the first value in it.
class HistogramCells {
 public:
  static constexpr int kBounds = 19;
  static constexpr std::array<double, kBounds> kUpperBounds = {0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};  // Envoy 1.40 default buckets
  static constexpr int kDecades = 20;

  HistogramCells() = default;
  ~HistogramCells();
  HistogramCells(const HistogramCells&) = delete;
  HistogramCells& operator=(const HistogramCells&) = delete;

  void record(uint64_t value);  // owner only

  struct Decade { std::array<std::atomic<uint64_t>, 90> bins{}; };
  std::array<std::atomic<uint64_t>, kBounds + 1> buckets{};  // last: above every bound
  std::atomic<uint64_t> sum{0};
  std::atomic<uint64_t> zero{0};                             // the value 0 has no decade
  std::array<std::atomic<Decade*>, kDecades> decades{};
};

class Cells {
 public:
  static constexpr uint32_t kChunkBits = 9;
  static constexpr uint32_t kChunkCells = 1u << kChunkBits;
  static constexpr uint32_t kMaxChunks = 1u << 15;  // 16 M cells
  static constexpr uint32_t kHistogramChunkBits = 8;
  static constexpr uint32_t kHistogramChunk = 1u << kHistogramChunkBits;
  static constexpr uint32_t kMaxHistogramChunks = 1u << 13;

  Cells();
  ~Cells();
  Cells(const Cells&) = delete;
  Cells& operator=(const Cells&) = delete;

  // Owner's side.
  void add(Counter c, uint64_t n = 1) { bump(c.cell, n); }
  void add(Gauge g, int64_t n = 1) { bump(g.cell, static_cast<uint64_t>(n)); }
  void sub(Gauge g, int64_t n = 1) { bump(g.cell, static_cast<uint64_t>(-n)); }
  void set(Gauge g, uint64_t v) { store(g.cell, v); }  // only for a gauge that one thread owns
  void record(Histogram h, uint64_t value);

  template <class E> void add(const Block<E>& b, E e, uint64_t n = 1) { bump(b.at(e), n); }
  template <class E> void sub(const Block<E>& b, E e, uint64_t n = 1) { bump(b.at(e), uint64_t{0} - n); }
  template <class E> void set(const Block<E>& b, E e, uint64_t v) { store(b.at(e), v); }
  // `e` is the histogram's own enumerator: see StatSet in names.h.
  template <class E> void record(const Block<E>& b, std::type_identity_t<E> e, uint64_t value) {
    record(Histogram{b.histogram_base + static_cast<uint32_t>(e) - static_cast<uint32_t>(E::first_histogram)}, value);
  }

  // Any thread.
  uint64_t read(CellIndex i) const {
    const Chunk* chunk = chunks_[i >> kChunkBits].load(std::memory_order_acquire);
    return chunk == nullptr ? 0 : chunk->cells[i & (kChunkCells - 1)].load(std::memory_order_relaxed);
  }
  const HistogramCells* read_histogram(uint32_t slot) const;

 private:
  friend class Registry;
  struct alignas(64) Chunk { std::array<std::atomic<uint64_t>, kChunkCells> cells{}; };
  struct HistogramChunk { std::array<std::atomic<HistogramCells*>, kHistogramChunk> slots{}; };

  std::atomic<uint64_t>& cell(CellIndex i) {
    Chunk* chunk = chunks_[i >> kChunkBits].load(std::memory_order_acquire);
    if (chunk == nullptr) [[unlikely]] chunk = make_chunk(i >> kChunkBits);
    return chunk->cells[i & (kChunkCells - 1)];
  }
  Chunk* make_chunk(uint32_t n);
  void bump(CellIndex i, uint64_t n) {
    std::atomic<uint64_t>& c = cell(i);
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void store(CellIndex i, uint64_t v) {
    if (v == 0 && chunks_[i >> kChunkBits].load(std::memory_order_relaxed) == nullptr) return;  // zero as it is
    cell(i).store(v, std::memory_order_relaxed);
  }
  // Registry's side, under its lock.
  void clear(CellIndex begin, uint32_t n);
  void clear_histograms(uint32_t begin, uint32_t n);

  std::unique_ptr<std::atomic<Chunk*>[]> chunks_;
  std::unique_ptr<std::atomic<HistogramChunk*>[]> histogram_chunks_;
};

}  // namespace fairlead::stats
