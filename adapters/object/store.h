// The Store joins what all sources deliver into immutable snapshots: objects by kind, the last good version of
// each, and everything that is wrong with the rest. Owned and driven by the pipeline's thread; the snapshots it
// hands out may be read anywhere. Invariant: an object in a snapshot passed every check registered for its group.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/object/object.h"

namespace fairlead::adapters {

// What one source reports in one step. `diagnostics` is everything wrong in the source now (it replaces the
// list of the step before); `objects` and `removed` are only what differs.
struct SourceUpdate {
  std::string source;
  bool synced = false;  // the source has been read completely at least once
  std::vector<ObjectPtr> upserted;
  std::vector<ObjectKey> removed;
  // Objects whose new text could not be read, but whose last good version stays.
  std::vector<ObjectKey> kept;
  std::vector<Diagnostic> diagnostics;
  std::string lost;  // why the source cannot be read at the moment; empty when it can
  std::chrono::system_clock::time_point at{};
};

struct SourceStatus {
  std::string name;
  bool synced = false;
  std::string lost;
  std::chrono::system_clock::time_point last_good{};  // its age is how stale the kept objects may be
  size_t objects = 0;
};

// The objects of one kind, in the order of their keys; goes through them as a map from key to object would. A list of pointers: with one of ten thousand
// changed a copy costs a reference count for each.
class KindObjects {
 public:
  class Iterator {
   public:
    explicit Iterator(std::vector<ObjectPtr>::const_iterator at) : at_(at) {}
    std::pair<const ObjectKey&, const ObjectPtr&> operator*() const { return {(*at_)->key, *at_}; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    std::vector<ObjectPtr>::const_iterator at_;
  };

  // What becomes of a key: its object, or null when it goes.
  using Change = std::pair<ObjectKey, ObjectPtr>;
  // `changes` in the order of their keys, each once.
  KindObjects with(const std::vector<Change>& changes) const;

  // f(was, is) of each key whose object is another one in `after`, in their order; null where there is none.
  template <typename F>
  static void for_each_difference(const KindObjects& before, const KindObjects& after, F&& f) {
    if (&before == &after) return;
    auto was = before.sorted_.begin();
    auto is = after.sorted_.begin();
    const ObjectPtr none;
    while (was != before.sorted_.end() || is != after.sorted_.end()) {
      if (was == before.sorted_.end()) {
        f(none, *is++);
      } else if (is == after.sorted_.end()) {
        f(*was++, none);
      } else if (*was == *is) {
        ++was;
        ++is;
      } else if (const auto order = (*was)->key <=> (*is)->key; order < 0) {
        f(*was++, none);
      } else if (order > 0) {
        f(none, *is++);
      } else {
        f(*was++, *is++);
      }
    }
  }

  Iterator begin() const { return Iterator(sorted_.begin()); }
  Iterator end() const { return Iterator(sorted_.end()); }
  size_t size() const { return sorted_.size(); }
  bool empty() const { return sorted_.empty(); }
  ObjectPtr find(const ObjectKey& key) const;  // null: there is none

 private:
  std::vector<ObjectPtr> sorted_;
};

// One immutable state of the world. Iteration order is that of ObjectKey, so translations are reproducible.
class ObjectSnapshot {
 public:
  using ByName = std::map<ObjectKey, ObjectPtr>;

  // All objects of a kind in the order of namespace and name; empty when there are none.
  const KindObjects& of(std::string_view group, std::string_view kind) const;
  ObjectPtr find(const ObjectKey& key) const;
  template <typename F>
  void for_each(F&& f) const {  // every object, by group, kind, namespace and name
    for (const auto& [kind, objects] : kinds_) {
      for (const auto& [key, object] : *objects) f(object);
    }
  }
  // The newest version of objects that failed their check. A last good version, where there is one, is found as any other.
  const ByName& rejected() const { return *rejected_; }
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }
  const std::vector<SourceStatus>& sources() const { return sources_; }
  // True when every registered source has been read once: before that nothing may be served.
  bool synced() const;
  size_t size() const;
  uint64_t revision() const { return revision_; }

 private:
  friend class Store;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const KindObjects>> kinds_;
  std::shared_ptr<const ByName> rejected_ = std::make_shared<const ByName>();
  std::vector<Diagnostic> diagnostics_;
  std::vector<SourceStatus> sources_;
  uint64_t revision_ = 0;
};

using ObjectSnapshotPtr = std::shared_ptr<const ObjectSnapshot>;

struct ChangeSet {
  std::vector<ObjectPtr> added;
  std::vector<ObjectPtr> changed;  // the new versions
  std::vector<ObjectPtr> removed;  // the last versions
  bool diagnostics_changed = false;  // or what was rejected
  bool empty() const { return added.empty() && changed.empty() && removed.empty() && !diagnostics_changed; }
};

class Store {
 public:
  // Strict validation of one object, without a look at any other. Appends errors; no error means good. Warnings
  // and notes are kept but do not make the object bad. False: a kind nobody here reads, the object is dropped.
  using Check = std::function<bool(const Object&, std::vector<Diagnostic>&)>;

  Store();
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Every object of `group` passes through `check`. Objects of other groups are dropped: with a note when the
  // group is one of Kubernetes' own, with a warning otherwise, with an error when it looks like a misspelling.
  void register_group(std::string group, Check check);

  // Sources in order of rank: of two sources with the same object the earlier one wins, and the later is told.
  void register_source(std::string name);

  ChangeSet apply(const SourceUpdate& update);
  ObjectSnapshotPtr snapshot() const { return current_; }

 private:
  struct Layer;
  using KindChanges = std::map<std::pair<std::string, std::string>, std::vector<KindObjects::Change>>;

  Layer& layer(const std::string& source);
  void accept(Layer& layer, const ObjectPtr& object);
  bool check_foreign_group(const Object& object, std::vector<Diagnostic>& out) const;
  void refresh(const ObjectKey& key, KindChanges& kinds, ChangeSet& changes);
  std::vector<Diagnostic> gather_diagnostics() const;
  std::shared_ptr<const ObjectSnapshot::ByName> gather_rejected() const;

  std::map<std::string, Check> checks_;
  std::vector<std::unique_ptr<Layer>> layers_;
  ObjectSnapshotPtr current_;
};

}  // namespace fairlead::adapters
