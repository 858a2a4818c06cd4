// See interest.h.
#include "controlplane/push/interest.h"

#include <algorithm>

namespace fairlead::push {

// By a quarter, where the library would double: of a crowd's lists, as many as there are names, half would be empty.
void Interest::add(std::vector<uint32_t>& to, uint32_t group) {
  if (to.size() == to.capacity()) to.reserve(to.size() + to.size() / 4 + 1);
  to.push_back(group);
}

template <typename T>
void Interest::drop(std::vector<T>& from, T what) {
  const auto at = std::find(from.begin(), from.end(), what);
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
  const auto [number, fresh] = numbers_.try_emplace(names.get(), 0u);
  if (fresh) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(groups_.size()));
      groups_.emplace_back();
    }
    number->second = free_.back();
    free_.pop_back();
    groups_[number->second].names = names;
    for (cpstream::NameId id : names->ids()) add(sets_[id], number->second);
    all_ = names->all();
  }
  groups_[number->second].streams.push_back(stream);
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
  const auto found = numbers_.find(names);
  const uint32_t number = found->second;
  Group& group = groups_[number];
  drop(group.streams, stream);
  if (!group.streams.empty()) return;
  for (cpstream::NameId id : names->ids()) {
    const auto at = sets_.find(id);
    drop(at->second, number);
    if (at->second.empty()) sets_.erase(at);
  }
  numbers_.erase(found);
  group = Group();  // with it go the names, perhaps
  free_.push_back(number);
}

}  // namespace fairlead::push
