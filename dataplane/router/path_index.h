// PathIndex: which routes of one virtual host may match a path, in their configured order. Private to the room.
// Exact paths are in hash maps, prefixes in radix tries, many regexes in one RE2::Set (with single matches when its DFA runs
// out of memory). Built on the main thread, immutable. Invariant: Candidates yields every route whose path matches, in
// ascending order; routes it does not yield cannot match.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include "dataplane/router/route.h"

namespace re2 {
class RE2;
}

namespace fairlead::router {

// A radix trie from prefixes to the routes that have them.
class PrefixTrie {
 public:
  PrefixTrie() : nodes_(1) {}
  struct Entry {
    uint32_t route;
    bool separated;  // the prefix must end at the path's end or before '/'
  };
  void add(std::string_view prefix, Entry entry);
  bool empty() const { return nodes_.size() == 1 && nodes_[0].entries.empty(); }

  // f(const std::vector<Entry>&, size_t prefix_length) for every node on the way down.
  template <class F>
  void walk(std::string_view path, F&& f) const {
    uint32_t at = 0;
    size_t used = 0;
    for (;;) {
      const Node& node = nodes_[at];
      if (!node.entries.empty()) f(node.entries, used);
      if (used == path.size()) return;
      const size_t child = node.first.find(path[used]);
      if (child == std::string::npos) return;
      const Node& next = nodes_[node.children[child]];
      if (path.size() - used < next.label.size() || path.compare(used, next.label.size(), next.label) != 0) return;
      used += next.label.size();
      at = node.children[child];
    }
  }

 private:
  struct Node {
    std::string label;  // edge from the parent; its first byte is in the parent's `first`
    std::string first;  // first bytes of the children, in their order
    std::vector<uint32_t> children;
    std::vector<Entry> entries;  // ascending by route
  };
  std::vector<Node> nodes_;
};

class PathIndex {
 public:
  explicit PathIndex(const std::vector<Route>& routes);
  ~PathIndex();

  static constexpr uint32_t none = UINT32_MAX;

  // The candidates for one path (without query and fragment), lowest route first.
  class Candidates {
   public:
    Candidates(const PathIndex& index, std::string_view path);
    // The next route index, or none.
    uint32_t next();

   private:
    struct Cursor {
      const uint32_t* at;
      const uint32_t* end;
    };
    struct TrieCursor {
      const PrefixTrie::Entry* at;
      const PrefixTrie::Entry* end;
      bool at_boundary;  // the path ends here or goes on with '/'
    };
    void add_trie(const PrefixTrie& trie, std::string_view path);
    void run_regexes();

    const PathIndex& index_;
    std::string_view path_;
    absl::InlinedVector<Cursor, 4> lists_;
    absl::InlinedVector<TrieCursor, 16> tries_;
    bool regexes_run_ = false;
  };

  // True when a candidate's path still has to be tried: regexes and CONNECT matchers.
  static bool needs_check(const Route& route) {
    return route.path.kind == PathMatch::Kind::Regex || route.path.kind == PathMatch::Kind::Connect;
  }

 private:
  struct RegexSet;
  absl::flat_hash_map<std::string, std::vector<uint32_t>> exact_;
  absl::flat_hash_map<std::string, std::vector<uint32_t>> exact_any_case_;  // keys in lower case
  PrefixTrie prefixes_;
  PrefixTrie prefixes_any_case_;  // in lower case
  std::vector<uint32_t> always_;  // routes whose path is tried one by one: CONNECT matchers, and regexes while they are few
  std::unique_ptr<RegexSet> regexes_;
  bool any_case_ = false;
};

// Does the route's path matcher accept `path` (without query and fragment)? The plain meaning that the index must agree with.
bool path_matches(const PathMatch& matcher, std::string_view path, bool is_connect);

}  // namespace fairlead::router
