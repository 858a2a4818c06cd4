// Who wants which names: streams by the names they subscribe to, so that a change of some endpoints is told to those concerned and costs nothing
// for the others, however many they are. Equal sets of names are one object (cpstream::NameTable), and so one entry; of each name it costs four
// bytes. One scope's, all of whose names are one table's; not thread safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "controlplane/push/queue.h"
#include "controlplane/stream/subscription.h"

namespace fairlead::push {

class Interest {
 public:
  // What the stream wants from now on; null names: nothing by name. Cheap when it is what it wanted before.
  void set(StreamId stream, const cpstream::NameSetPtr& names, bool everything);
  void remove(StreamId stream);
  // f(StreamId) for each stream that subscribes to the name, once.
  template <typename F>
  void each_named(std::string_view name, F&& f) const {
    if (all_ == nullptr) return;
    const std::optional<cpstream::NameId> id = all_->find(name);
    const auto found = id ? sets_.find(*id) : sets_.end();
    if (found == sets_.end()) return;
    for (uint32_t group : found->second)
      for (StreamId stream : groups_[group].streams) f(stream);
  }
  // Those that want everything.
  const std::vector<StreamId>& wildcard() const { return wildcard_; }
  bool empty() const { return wants_.empty(); }
  size_t sets() const { return numbers_.size(); }

 private:
  struct Group {
    cpstream::NameSetPtr names;
    std::vector<StreamId> streams;
  };
  struct Want {
    const cpstream::NameSet* names = nullptr;
    bool everything = false;
  };
  void leave(StreamId stream, const cpstream::NameSet* names);
  static void add(std::vector<uint32_t>& to, uint32_t group);
  template <typename T>
  static void drop(std::vector<T>& from, T what);

  absl::flat_hash_map<StreamId, Want> wants_;
  absl::flat_hash_map<const cpstream::NameSet*, uint32_t> numbers_;          // of groups
  std::vector<Group> groups_;                                                // empty ones are free
  std::vector<uint32_t> free_;
  absl::flat_hash_map<cpstream::NameId, std::vector<uint32_t>> sets_;        // groups by each of their names
  std::shared_ptr<const cpstream::Names> all_;
  std::vector<StreamId> wildcard_;
};

}  // namespace fairlead::push
