// Which number has which name: scopes, sets of statistics, and the scrape that sums all Cells.
// Threads: everything here may be called from any thread (one mutex), but belongs to configuration time and scrapes. The two
// exceptions on a worker's path, both at most once per (worker, new status code): CodeCounters::cell.
// Owner: the server. Scopes are shared by name (an updated cluster goes on counting where the old one stopped) and their cells are
// freed with the last reference, which by the rule of publication is dropped only after every worker has left the snapshot that held it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "dataplane/stats/cells.h"

namespace fairlead::stats {

enum class Kind : uint8_t { counter, gauge, histogram, text };  // text: Envoy's "text readout"

struct StatDef {
  std::string_view name;  // leaf, static storage: "upstream_rq_total"; a leaf may itself have dots ("http1.dropped_headers_with_underscores")
  Kind kind;
};

// A static table of leaves, one per enumerator, histograms last; the enumeration has `first_histogram` after its last counter or
// gauge, with the value of its first histogram. `hide_unused`: Envoy makes these on first use, so while zero they are not shown.
struct StatSet {
  std::span<const StatDef> defs;
  uint32_t first_histogram;
  bool hide_unused = false;
};

// One piece of a scope's name. `cluster.` + up (tag envoy.cluster_name) + `.`
struct Tag { std::string name, value; };
struct ScopeName {
  std::string text;        // Envoy's: "cluster.up." (with the trailing dot; ':' in values already '_')
  std::string stem;        // the same without tag values, for Prometheus: "cluster."
  std::vector<Tag> tags;   // {"envoy.cluster_name","up"}
};
ScopeName cluster_scope(std::string_view cluster);                               // cluster.<name>.
ScopeName http_scope(std::string_view stat_prefix);                              // http.<prefix>.
ScopeName listener_scope(std::string_view address_or_prefix);                    // listener.<address>.   '127.0.0.1:80' is written 127.0.0.1_80
ScopeName listener_http_scope(std::string_view address, std::string_view stat_prefix);  // listener.<address>.http.<prefix>.
ScopeName plain_scope(std::string_view text);                                    // "server.", "cluster_manager.", …

class Registry;

// Status-code counters of a scope, made on first use: "<stem>200" … "<stem>599". Names: stem "upstream_rq_" → upstream_rq_503.
class CodeCounters {
 public:
  Counter cell(int code);  // takes the registry's lock: remember the answer (see CodeCache)

 private:
  friend class Scope;
  class Scope* scope_ = nullptr;
  std::string stem_;
};

class Scope {
 public:
  ~Scope();
  const ScopeName& name() const { return name_; }
  // Same arguments, same cells.
  template <class Enum> Block<Enum> block(const StatSet& set) { auto [b, h] = find_block(set); return Block<Enum>{b, h}; }
  Counter counter(std::string_view leaf);
  Counter counter_on_use(std::string_view leaf);  // not shown while zero
  Gauge gauge(std::string_view leaf);
  Histogram histogram(std::string_view leaf);
  void set_text(std::string_view leaf, std::string_view value);  // a readout, shown from its first setting on; rare: takes the registry's lock
  CodeCounters& codes(std::string_view stem);  // "upstream_rq_", "downstream_rq_", "external.upstream_rq_"

 private:
  friend class Registry;
  friend class CodeCounters;
  struct Run { const StatSet* set; CellIndex base; uint32_t histogram_base; };
  struct Single { std::string leaf; Kind kind; uint32_t index; bool on_use; };
  Scope(Registry* registry, ScopeName name);
  std::pair<CellIndex, uint32_t> find_block(const StatSet& set);
  uint32_t find_single(std::string_view leaf, Kind kind, bool on_use);
  Registry* registry_;
  std::weak_ptr<const bool> registry_lives_;  // configuration that is freed at the very end may outlive the registry
  ScopeName name_;
  std::vector<Run> runs_;
  std::vector<Single> singles_;
  std::map<std::string, std::string, std::less<>> texts_;
  std::map<std::string, std::unique_ptr<CodeCounters>, std::less<>> codes_;
};
using ScopePtr = std::shared_ptr<Scope>;

// The cells of something that is configured without a registry at hand (a route's part of a filter): made by whichever worker needs
// them first. Any thread; no lock once made.
template <class Enum> class LazyBlock {
 public:
  LazyBlock() = default;
  ~LazyBlock() { delete made_.load(std::memory_order_acquire); }
  LazyBlock(const LazyBlock&) = delete;
  LazyBlock& operator=(const LazyBlock&) = delete;
  // Null until someone has called get(): spares callers the making of the name.
  const Block<Enum>* made() const {
    const Made* made = made_.load(std::memory_order_acquire);
    return made == nullptr ? nullptr : &made->block;
  }
  const Block<Enum>& get(Registry& registry, const ScopeName& name, const StatSet& set) const {
    const Made* made = made_.load(std::memory_order_acquire);
    return made != nullptr ? made->block : make(registry, name, set);
  }

 private:
  struct Made {
    ScopePtr scope;
    Block<Enum> block;
  };
  const Block<Enum>& make(Registry& registry, const ScopeName& name, const StatSet& set) const;
  mutable std::atomic<const Made*> made_{nullptr};
};

// A worker's memory of the code counters it has met; lives beside the worker's other per-cluster state.
class CodeCache {
 public:
  Counter find(CodeCounters& family, int code) {
    for (const auto& [c, counter] : seen_)
      if (c == code) return counter;
    seen_.emplace_back(code, family.cell(code));
    return seen_.back().second;
  }

 private:
  std::vector<std::pair<int, Counter>> seen_;
};

struct HistogramSnapshot {
  uint64_t count = 0, sum = 0;
  std::array<uint64_t, HistogramCells::kBounds + 1> cumulative{};  // cumulative[i]: values ≤ kUpperBounds[i]; last: all
  std::vector<std::pair<double, uint64_t>> bins;                   // lower edge of a sketch bin, its count; ascending
  double quantile(double q) const;                                 // NaN when empty
};

struct Sample {
  const ScopeName* scope;
  std::string_view leaf;
  Kind kind;
  uint64_t value = 0;               // counters; gauges as two's complement
  const HistogramSnapshot* histogram = nullptr;
  bool used = false;                // non-zero, a histogram with values, a text that is not empty
  std::string_view text = {};
  uint64_t carried = 0;             // how much of the value other processes have counted: Registry::carry()
};

class Registry {
 public:
  // `threads`: how many Cells; 0 is the main thread's by custom, 1… the workers'.
  explicit Registry(uint32_t threads);
  ~Registry();

  Cells& cells(uint32_t thread) { return *cells_[thread]; }
  uint32_t threads() const { return static_cast<uint32_t>(cells_.size()); }
  ScopePtr scope(const ScopeName& name);

  uint64_t value(Counter c) const { return sum(c.cell); }
  uint64_t value(Gauge g) const { return sum(g.cell); }
  uint64_t sum(CellIndex i) const;
  HistogramSnapshot snapshot(Histogram h) const;
  // Value by Envoy's text name ("cluster.up.upstream_rq_total"); 0 when there is none. For tests and admin.
  uint64_t find(std::string_view text_name) const;

  // Every statistic that is to be shown, in no particular order; `visit` must not call back into the registry.
  template <class F> void for_each(F&& visit) const { for_each_sample([](void* f, const Sample& s) { (*static_cast<std::remove_reference_t<F>*>(f))(s); }, &visit); }
  // /reset_counters: remembers the present values and subtracts them from then on.
  void reset_counters();
  uint64_t cells_in_use() const;

  // What processes counted that this one follows: adds to what is shown as soon as, and as long as, the statistic exists here. Any thread.
  // `value` may be a negative difference, as two's complement.
  void carry(std::string_view scope, std::string_view leaf, Kind kind, uint64_t value);
  // All that was carried into scopes that exist, also for statistics that do not yet. `visit` must not call back into the registry.
  void for_each_carried(const std::function<void(std::string_view scope, std::string_view leaf, Kind kind, uint64_t value)>& visit) const;

 private:
  friend class Scope;
  friend class CodeCounters;
  struct CarriedValue { Kind kind = Kind::counter; uint64_t value = 0; };
  using Carried = std::map<std::string, CarriedValue, std::less<>>;  // by leaf
  void for_each_sample(void (*f)(void*, const Sample&), void* arg) const;
  uint32_t take(bool histograms, uint32_t n);                         // under mutex_
  void give_back(bool histograms, uint32_t base, uint32_t n);         // under mutex_
  void release(Scope& scope);
  uint64_t shown(CellIndex i, Kind kind) const;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Cells>> cells_;
  std::unordered_map<std::string, std::weak_ptr<Scope>> scopes_;
  std::unordered_set<const Scope*> live_;
  std::multimap<uint32_t, uint32_t> free_cells_, free_histograms_;  // size → base
  uint32_t cells_end_ = 0, histograms_end_ = 0;
  uint64_t in_use_ = 0;
  std::unordered_map<CellIndex, uint64_t> baseline_;
  std::unordered_map<std::string, Carried> carried_;  // by scope
  std::shared_ptr<const bool> lives_ = std::make_shared<const bool>(true);  // for scopes that are freed after it
};

template <class Enum>
const Block<Enum>& LazyBlock<Enum>::make(Registry& registry, const ScopeName& name, const StatSet& set) const {
  auto fresh = std::make_unique<Made>();
  fresh->scope = registry.scope(name);
  fresh->block = fresh->scope->template block<Enum>(set);
  const Made* none = nullptr;
  if (made_.compare_exchange_strong(none, fresh.get(), std::memory_order_acq_rel)) return fresh.release()->block;
  return none->block;  // another worker was faster
}

}  // namespace fairlead::stats
