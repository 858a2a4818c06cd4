// Who wants which names: streams by the names they subscribe to, so that a change of some endpoints is told to those concerned and costs nothing
// for the others, however many they are. Equal sets of names are one object (cpstream::NameTable), and so one entry. One scope's; not thread safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

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
    const auto found = sets_.find(name);
    if (found == sets_.end()) return;
    for (const Group* group : found->second)
      for (StreamId stream : group->streams) f(stream);
  }
  // Those that want everything.
  const std::vector<StreamId>& wildcard() const { return wildcard_; }
  bool empty() const { return wants_.empty(); }
  size_t sets() const { return groups_.size(); }

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
  static void drop(std::vector<StreamId>& from, StreamId stream);

  std::unordered_map<StreamId, Want> wants_;
  std::unordered_map<const cpstream::NameSet*, Group> groups_;          // its address is stable
  std::unordered_map<std::string_view, std::vector<Group*>> sets_;      // names live in the groups' sets
  std::vector<StreamId> wildcard_;
};

}  // namespace fairlead::push
