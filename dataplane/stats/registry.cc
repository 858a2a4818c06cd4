// Index allocation, scopes by name, sums over threads.
#include "dataplane/stats/registry.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fairlead::stats {
namespace {

// Envoy: ':' may not stand in a statistic's name.
std::string clean(std::string_view value) { return absl::StrReplaceAll(value, {{":", "_"}}); }

}  // namespace

ScopeName cluster_scope(std::string_view cluster) {
  std::string v = clean(cluster);
  return {absl::StrCat("cluster.", v, "."), "cluster.", {{"envoy.cluster_name", v}}};
}

ScopeName http_scope(std::string_view stat_prefix) {
  std::string v = clean(stat_prefix);
  return {absl::StrCat("http.", v, "."), "http.", {{"envoy.http_conn_manager_prefix", v}}};
}

ScopeName listener_scope(std::string_view address_or_prefix) {
  std::string v = clean(address_or_prefix);
  return {absl::StrCat("listener.", v, "."), "listener.", {{"envoy.listener_address", v}}};
}

ScopeName listener_http_scope(std::string_view address, std::string_view stat_prefix) {
  std::string a = clean(address), p = clean(stat_prefix);
  return {absl::StrCat("listener.", a, ".http.", p, "."), "listener.http.", {{"envoy.http_conn_manager_prefix", p}, {"envoy.listener_address", a}}};
}

ScopeName plain_scope(std::string_view text) { return {std::string(text), std::string(text), {}}; }

Counter CodeCounters::cell(int code) {
  std::lock_guard lock(scope_->registry_->mutex_);
  const bool known = code >= 100 && code < 600;  // Envoy 1.40: all others are counted as one
  return Counter{scope_->find_single(known ? absl::StrCat(stem_, code) : absl::StrCat(stem_, "unknown"), Kind::counter, true)};
}

Scope::Scope(Registry* registry, ScopeName name) : registry_(registry), registry_lives_(registry->lives_), name_(std::move(name)) {}
Scope::~Scope() {
  if (!registry_lives_.expired()) registry_->release(*this);
}

std::pair<CellIndex, uint32_t> Scope::find_block(const StatSet& set) {
  std::lock_guard lock(registry_->mutex_);
  for (const Run& run : runs_)
    if (run.set == &set) return {run.base, run.histogram_base};
  Run run{&set, 0, 0};
  const uint32_t histograms = static_cast<uint32_t>(set.defs.size()) - set.first_histogram;
  if (set.first_histogram > 0) run.base = registry_->take(false, set.first_histogram);
  if (histograms > 0) run.histogram_base = registry_->take(true, histograms);
  runs_.push_back(run);
  return {run.base, run.histogram_base};
}

uint32_t Scope::find_single(std::string_view leaf, Kind kind, bool on_use) {
  for (const Single& s : singles_)
    if (s.leaf == leaf && s.kind == kind) return s.index;
  const uint32_t index = registry_->take(kind == Kind::histogram, 1);
  singles_.push_back({std::string(leaf), kind, index, on_use});
  return index;
}

Counter Scope::counter(std::string_view leaf) {
  std::lock_guard lock(registry_->mutex_);
  return Counter{find_single(leaf, Kind::counter, false)};
}

Counter Scope::counter_on_use(std::string_view leaf) {
  std::lock_guard lock(registry_->mutex_);
  return Counter{find_single(leaf, Kind::counter, true)};
}

Gauge Scope::gauge(std::string_view leaf) {
  std::lock_guard lock(registry_->mutex_);
  return Gauge{find_single(leaf, Kind::gauge, false)};
}

Histogram Scope::histogram(std::string_view leaf) {
  std::lock_guard lock(registry_->mutex_);
  return Histogram{find_single(leaf, Kind::histogram, false)};
}

void Scope::set_text(std::string_view leaf, std::string_view value) {
  std::lock_guard lock(registry_->mutex_);
  texts_.insert_or_assign(std::string(leaf), std::string(value));
}

CodeCounters& Scope::codes(std::string_view stem) {
  std::lock_guard lock(registry_->mutex_);
  auto& family = codes_[std::string(stem)];
  if (family == nullptr) {
    family = std::make_unique<CodeCounters>();
    family->scope_ = this;
    family->stem_ = std::string(stem);
  }
  return *family;
}

Registry::Registry(uint32_t threads) {
  for (uint32_t i = 0; i < threads; ++i) cells_.push_back(std::make_unique<Cells>());
}

Registry::~Registry() = default;

ScopePtr Registry::scope(const ScopeName& name) {
  ScopePtr out;
  std::lock_guard lock(mutex_);
  std::weak_ptr<Scope>& known = scopes_[name.text];
  out = known.lock();
  if (out == nullptr) {
    out.reset(new Scope(this, name));
    known = out;
  }
  live_.insert(out.get());
  return out;
}

uint32_t Registry::take(bool histograms, uint32_t n) {
  auto& free = histograms ? free_histograms_ : free_cells_;
  uint32_t& end = histograms ? histograms_end_ : cells_end_;
  if (!histograms) in_use_ += n;
  if (auto it = free.find(n); it != free.end()) {
    const uint32_t base = it->second;
    free.erase(it);
    return base;
  }
  const uint32_t base = end;
  end += n;
  return base;
}

void Registry::give_back(bool histograms, uint32_t base, uint32_t n) {
  if (n == 0) return;
  for (auto& c : cells_) histograms ? c->clear_histograms(base, n) : c->clear(base, n);
  if (!histograms) {
    in_use_ -= n;
    for (uint32_t i = base; i < base + n; ++i) baseline_.erase(i);
  }
  (histograms ? free_histograms_ : free_cells_).emplace(n, base);
}

void Registry::release(Scope& scope) {
  std::lock_guard lock(mutex_);
  for (const Scope::Run& run : scope.runs_) {
    give_back(false, run.base, run.set->first_histogram);
    give_back(true, run.histogram_base, static_cast<uint32_t>(run.set->defs.size()) - run.set->first_histogram);
  }
  for (const Scope::Single& s : scope.singles_) give_back(s.kind == Kind::histogram, s.index, 1);
  live_.erase(&scope);
  // A new scope of the same name may already have taken the place.
  if (auto it = scopes_.find(scope.name_.text); it != scopes_.end() && it->second.expired()) {
    scopes_.erase(it);
    carried_.erase(scope.name_.text);
  }
}

uint64_t Registry::sum(CellIndex i) const {
  uint64_t total = 0;
  for (const auto& c : cells_) total += c->read(i);
  return total;
}

uint64_t Registry::shown(CellIndex i, Kind kind) const {
  const uint64_t now = sum(i);
  if (kind != Kind::counter || baseline_.empty()) return now;
  auto it = baseline_.find(i);
  return it == baseline_.end() ? now : now - it->second;
}

HistogramSnapshot Registry::snapshot(Histogram h) const {
  HistogramSnapshot out;
  std::array<std::array<uint64_t, 90>, HistogramCells::kDecades> bins{};
  uint64_t zero = 0;
  for (const auto& c : cells_) {
    const HistogramCells* cells = c->read_histogram(h.slot);
    if (cells == nullptr) continue;
    for (size_t i = 0; i < cells->buckets.size(); ++i) out.cumulative[i] += cells->buckets[i].load(std::memory_order_relaxed);
    out.sum += cells->sum.load(std::memory_order_relaxed);
    zero += cells->zero.load(std::memory_order_relaxed);
    for (int d = 0; d < HistogramCells::kDecades; ++d)
      if (const auto* decade = cells->decades[d].load(std::memory_order_acquire))
        for (int b = 0; b < 90; ++b) bins[d][b] += decade->bins[b].load(std::memory_order_relaxed);
  }
  for (size_t i = 1; i < out.cumulative.size(); ++i) out.cumulative[i] += out.cumulative[i - 1];
  out.count = out.cumulative.back();
  if (zero > 0) out.bins.emplace_back(0.0, zero);
  for (int d = 0; d < HistogramCells::kDecades; ++d)
    for (int b = 0; b < 90; ++b)
      if (bins[d][b] > 0) out.bins.emplace_back((b + 10) / 10.0 * std::pow(10.0, d), bins[d][b]);
  return out;
}

double HistogramSnapshot::quantile(double q) const {
  uint64_t total = 0;
  for (const auto& [edge, n] : bins) total += n;
  if (total == 0) return std::nan("");
  const double wanted = q * static_cast<double>(total);
  double below = 0;
  for (const auto& [edge, n] : bins) {
    const double upto = below + static_cast<double>(n);
    if (wanted <= upto || &bins.back().first == &edge) {
      if (edge == 0) return 0;
      const double width = std::pow(10.0, std::floor(std::log10(edge) + 1e-9)) / 10;
      // one value alone is put in the middle of its bin, as circllhist does
      const double part = n == 1 ? 0.5 : std::clamp((wanted - below) / static_cast<double>(n), 0.0, 1.0);
      return edge + width * part;
    }
    below = upto;
  }
  return bins.back().first;
}

void Registry::for_each_sample(void (*f)(void*, const Sample&), void* arg) const {
  std::lock_guard lock(mutex_);
  HistogramSnapshot histogram;
  const Carried* carried = nullptr;  // of the scope that is visited
  auto visit = [&](const Scope& scope, std::string_view leaf, Kind kind, uint32_t index, bool on_use) {
    Sample s{&scope.name_, leaf, kind};
    if (kind == Kind::histogram) {
      histogram = snapshot(Histogram{index});
      s.histogram = &histogram;
      s.used = histogram.count > 0;
    } else {
      s.value = shown(index, kind);
      if (carried != nullptr) {
        if (auto it = carried->find(leaf); it != carried->end() && it->second.kind == kind) s.value += s.carried = it->second.value;
      }
      s.used = s.value != 0;
    }
    if (s.used || !on_use) f(arg, s);
  };
  for (const Scope* scope : live_) {
    const auto found = carried_.find(scope->name_.text);
    carried = found != carried_.end() ? &found->second : nullptr;
    for (const Scope::Run& run : scope->runs_)
      for (uint32_t i = 0; i < run.set->defs.size(); ++i) {
        const StatDef& def = run.set->defs[i];
        const uint32_t index = def.kind == Kind::histogram ? run.histogram_base + i - run.set->first_histogram : run.base + i;
        visit(*scope, def.name, def.kind, index, run.set->hide_unused);
      }
    for (const Scope::Single& s : scope->singles_) visit(*scope, s.leaf, s.kind, s.index, s.on_use);
    for (const auto& [leaf, text] : scope->texts_) {
      const Sample s{.scope = &scope->name_, .leaf = leaf, .kind = Kind::text, .used = !text.empty(), .text = text};
      f(arg, s);
    }
  }
}

uint64_t Registry::find(std::string_view text_name) const {
  uint64_t out = 0;
  for_each([&](const Sample& s) {
    if (absl::StartsWith(text_name, s.scope->text) && text_name.substr(s.scope->text.size()) == s.leaf)
      out = s.histogram != nullptr ? s.histogram->count : s.value;
  });
  return out;
}

void Registry::reset_counters() {
  std::lock_guard lock(mutex_);
  auto remember = [this](CellIndex i) { baseline_[i] = sum(i); };
  for (const Scope* scope : live_) {
    for (const Scope::Run& run : scope->runs_)
      for (uint32_t i = 0; i < run.set->first_histogram; ++i)
        if (run.set->defs[i].kind == Kind::counter) remember(run.base + i);
    for (const Scope::Single& s : scope->singles_)
      if (s.kind == Kind::counter) remember(s.index);
  }
  for (auto& [scope, values] : carried_) std::erase_if(values, [](const auto& v) { return v.second.kind == Kind::counter; });
}

void Registry::carry(std::string_view scope, std::string_view leaf, Kind kind, uint64_t value) {
  std::lock_guard lock(mutex_);
  CarriedValue& sum = carried_[std::string(scope)][std::string(leaf)];
  if (sum.value != 0 && sum.kind != kind) return;  // a name has one kind: somebody talks nonsense
  sum.kind = kind;
  sum.value += value;
}

void Registry::for_each_carried(const std::function<void(std::string_view, std::string_view, Kind, uint64_t)>& visit) const {
  std::lock_guard lock(mutex_);
  for (const auto& [scope, values] : carried_) {
    if (const auto it = scopes_.find(scope); it == scopes_.end() || it->second.expired()) continue;
    for (const auto& [leaf, v] : values) visit(scope, leaf, v.kind, v.value);
  }
}

uint64_t Registry::cells_in_use() const {
  std::lock_guard lock(mutex_);
  return in_use_;
}

}  // namespace fairlead::stats
