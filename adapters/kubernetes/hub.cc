// See hub.h.
#include "adapters/kubernetes/hub.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "base/strings.h"

namespace fairlead::adapters::kubernetes {

namespace {

MonotonicTime monotonic_now() { return RealClock::instance().monotonic(); }
SystemTime wall() { return RealClock::instance().system(); }

// Whole seconds: it stands in texts that people compare.
std::string time_text(SystemTime at) { return format_rfc3339(std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count(), 0); }

}  // namespace

Hub::Hub(Options options, std::vector<Watcher> watchers, std::function<void(SourceUpdate)> callback)
    : options_(std::move(options)), watchers_(std::move(watchers)), callback_(std::move(callback)), states_(watchers_.size()) {}

void Hub::changed() {
  dirty_ = true;
  wake_.notify_one();
}

void Hub::put(ObjectPtr object) {
  std::lock_guard lock(mutex_);
  put_off_.erase(object->key);
  unreadable_.erase(object->key);
  ObjectKey key = object->key;
  pending_[std::move(key)] = std::move(object);
  changed();
}

void Hub::remove(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  put_off_.erase(key);
  unreadable_.erase(key);
  pending_[key] = nullptr;
  changed();
}

void Hub::remove_at(const ObjectKey& key, MonotonicTime when) {
  std::lock_guard lock(mutex_);
  put_off_[key] = when;
  wake_.notify_one();
}

void Hub::unreadable(const ObjectKey& key, std::vector<Diagnostic> why) {
  std::lock_guard lock(mutex_);
  if (why.empty()) {
    if (unreadable_.erase(key) == 0) return;
  } else {
    unreadable_[key] = std::move(why);
  }
  changed();
}

void Hub::listed(size_t watcher) {
  std::lock_guard lock(mutex_);
  states_[watcher].listed = true;
  states_[watcher].absent = false;
  states_[watcher].trouble = {};
  urgent_ = true;
  changed();
}

void Hub::absent(size_t watcher) {
  std::lock_guard lock(mutex_);
  if (states_[watcher].absent && states_[watcher].trouble.kind == Trouble::Kind::kNone) return;
  states_[watcher].absent = true;
  states_[watcher].trouble = {};
  urgent_ = true;
  changed();
}

void Hub::watching(size_t watcher) {
  std::lock_guard lock(mutex_);
  if (states_[watcher].trouble.kind == Trouble::Kind::kNone) return;
  states_[watcher].trouble = {};
  urgent_ = true;
  changed();
}

void Hub::trouble(size_t watcher, Trouble::Kind kind, std::string text) {
  std::lock_guard lock(mutex_);
  Trouble& trouble = states_[watcher].trouble;
  if (trouble.kind == kind) return;  // since when and why it began is what matters
  trouble = {kind, std::move(text), wall()};
  urgent_ = true;
  changed();
}

bool Hub::synced() const {
  for (size_t i = 0; i < states_.size(); ++i) {
    if (!states_[i].listed && !(states_[i].absent && watchers_[i].may_be_absent)) return false;
  }
  return true;
}

// The first of the watchers that lost the server speaks for all.
std::string Hub::lost() const {
  const Trouble* first = nullptr;
  for (const State& s : states_) {
    if (s.trouble.kind == Trouble::Kind::kLost && (first == nullptr || s.trouble.since < first->since)) first = &s.trouble;
  }
  return first == nullptr ? "" : absl::StrCat(first->text, " (since ", time_text(first->since), ")");
}

SourceUpdate Hub::make(MonotonicTime at) {
  for (auto it = put_off_.begin(); it != put_off_.end();) {
    if (it->second <= at) {
      pending_[it->first] = nullptr;
      it = put_off_.erase(it);
    } else {
      ++it;
    }
  }
  SourceUpdate update;
  update.source = options_.source;
  for (auto& [key, object] : pending_) {
    if (object) {
      update.upserted.push_back(std::move(object));
    } else {
      update.removed.push_back(key);
    }
  }
  pending_.clear();
  for (const auto& [key, list] : unreadable_) update.diagnostics.insert(update.diagnostics.end(), list.begin(), list.end());
  for (size_t i = 0; i < states_.size(); ++i) {
    const Trouble& t = states_[i].trouble;
    if (t.kind != Trouble::Kind::kForbidden && t.kind != Trouble::Kind::kGone) continue;
    Diagnostic d;
    d.object = ObjectKey{watchers_[i].group, watchers_[i].kind, watchers_[i].ns, ""};
    d.message = absl::StrCat(t.text, " (since ", time_text(t.since), ")");
    update.diagnostics.push_back(std::move(d));
  }
  synced_ = synced_ || synced();
  update.synced = synced_;
  update.lost = lost();
  update.at = wall();
  dirty_ = urgent_ = false;
  return update;
}

void Hub::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    MonotonicTime until = last_update_ + options_.heartbeat;
    for (const auto& [key, when] : put_off_) until = std::min(until, when);
    wake_.wait_until(lock, until, [&] { return stopping_ || dirty_; });
    if (stopping_) return;
    const bool due = std::any_of(put_off_.begin(), put_off_.end(), [at = monotonic_now()](const auto& p) { return p.second <= at; });
    if (!dirty_ && !due && !lost().empty()) {  // nothing is fresh
      last_update_ = monotonic_now();
      continue;
    }
    if (dirty_ && !urgent_) {
      const MonotonicTime first = monotonic_now();
      const bool busy = first - last_update_ < 2 * options_.busy_batch;
      wake_.wait_until(lock, first + (busy ? options_.busy_batch : options_.batch), [&] { return stopping_ || urgent_; });
      if (stopping_) return;
    }
    SourceUpdate update = make(monotonic_now());
    lock.unlock();
    callback_(std::move(update));
    lock.lock();
    last_update_ = monotonic_now();
  }
}

void Hub::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
  stopped_.notify_all();
}

bool Hub::stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

bool Hub::sleep(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stopped_.wait_for(lock, time, [&] { return stopping_; });
}

}  // namespace fairlead::adapters::kubernetes
