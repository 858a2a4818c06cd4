// What a stream wants of one type, as a pure value. Its names are shared with whoever wants the same (names.h).
// Rule numbers are those of docs/xds-rules.md. One stream's, of one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/stream/names.h"

namespace fairlead::cpstream {

// What one request changed.
struct SubscriptionChange {
  std::vector<std::string> added;    // to be (re)sent whatever was sent before (rules 32, 35)
  std::vector<std::string> removed;  // no longer wanted by name
  bool wildcard_added = false;       // now wants everything and did not before
  bool wildcard_removed = false;
  bool any() const { return !added.empty() || !removed.empty() || wildcard_added || wildcard_removed; }
};

class Subscription {
 public:
  // `legacy_wildcard`: an empty subscription means everything as long as no name was ever sent (LDS and CDS only).
  explicit Subscription(bool legacy_wildcard = false) : legacy_allowed_(legacy_wildcard) {}

  // SotW: `names` is the whole subscription (rules 26-33).
  SubscriptionChange set(std::vector<std::string> names, NameTable& table);
  // Delta: additions, then removals; `first`: the first request of the type on the stream (rules 26, 35-38, 40).
  SubscriptionChange update(const std::vector<std::string>& subscribe, const std::vector<std::string>& unsubscribe, bool first,
                            NameTable& table);

  bool wildcard() const { return wildcard_; }
  bool contains(std::string_view name) const { return wildcard_ || (names_ && (names_->contains(name) || in_glob(name))); }
  bool names_explicitly(std::string_view name) const { return names_ && names_->contains(name); }
  const NameSetPtr& names() const { return names_; }  // null when there is none; "*" is never among them
  bool empty() const { return !wildcard_ && !names_; }
  bool by_name_alone() const { return !wildcard_ && !globs_; }

 private:
  bool in_glob(std::string_view name) const;
  void look_for_globs(const std::vector<std::string>& added);

  NameSetPtr names_;
  uint64_t last_list_ = 0;  // hash of the last list as it was written: every SotW ACK repeats it
  bool wildcard_ = false;
  bool globs_ = false;  // among the names there are, or were, such as end with "/*"
  bool legacy_allowed_ = false;
  bool named_once_ = false;  // a name (or "*") was sent: an empty list no longer means everything
};

}  // namespace fairlead::cpstream
