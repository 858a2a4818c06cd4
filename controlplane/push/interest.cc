// See interest.h.
#include "controlplane/push/interest.h"

#include <algorithm>

namespace fairlead::push {

void Interest::drop(std::vector<StreamId>& from, StreamId stream) {
  const auto at = std::find(from.begin(), from.end(), stream);
  if (at == from.end()) return;
  *at = from.back();
  from.pop_back();
}

void Interest::set(StreamId stream, const cpstream::NameSetPtr& names, bool everything) {
  if (names == nullptr && !everything) return remove(stream);
  Want& want = wants_[stream];
  if (want.everything != everything) {
    want.everything = everything;
    if (everything) {
      wildcard_.push_back(stream);
    } else {
      drop(wildcard_, stream);
    }
  }
  if (want.names == names.get()) return;
  leave(stream, want.names);
  want.names = names.get();
  if (names == nullptr) return;
  Group& group = groups_[names.get()];
  if (group.names == nullptr) {
    group.names = names;
    for (const std::string& name : names->names()) sets_[name].push_back(&group);
  }
  group.streams.push_back(stream);
}

void Interest::remove(StreamId stream) {
  const auto want = wants_.find(stream);
  if (want == wants_.end()) return;
  if (want->second.everything) drop(wildcard_, stream);
  leave(stream, want->second.names);
  wants_.erase(want);
}

void Interest::leave(StreamId stream, const cpstream::NameSet* names) {
  if (names == nullptr) return;
  const auto found = groups_.find(names);
  Group& group = found->second;
  drop(group.streams, stream);
  if (!group.streams.empty()) return;
  for (const std::string& name : names->names()) {
    const auto at = sets_.find(name);
    std::erase(at->second, &group);
    if (!at->second.empty()) {  // its key is a view into this group's names, perhaps
      std::vector<Group*> others = std::move(at->second);
      sets_.erase(at);
      const std::vector<std::string>& theirs = others.front()->names->names();
      sets_.emplace(*std::lower_bound(theirs.begin(), theirs.end(), name), std::move(others));
    } else {
      sets_.erase(at);
    }
  }
  groups_.erase(found);
}

}  // namespace fairlead::push
