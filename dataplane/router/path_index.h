// PathIndex: which routes of one virtual host may match a path, in their configured order. Private to the room.
// Exact paths are in hash tables, prefixes in radix tries, many regexes in one RE2::Set (with single matches when its DFA runs
// out of memory). Built on the main thread, immutable. Invariant: Candidates yields every route whose path matches, in
// ascending order; routes it does not yield cannot match.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "dataplane/router/route.h"
#include "dataplane/router/string_index.h"

namespace re2 {
class RE2;
}

namespace fairlead::router {

// A radix trie from prefixes to the routes that have them, in one array with each node before its children: the end of a walk, where a
// large trie is not in the cache, so reads a few lines that lie together. Made by PrefixTrieBuilder.
class PrefixTrie {
 public:
  class Entry {
   public:
    Entry(uint32_t route, bool separated) : bits_(route << 1 | (separated ? 1 : 0)) {}
    uint32_t route() const { return bits_ >> 1; }
    bool separated() const { return (bits_ & 1) != 0; }  // the prefix must end at the path's end or before '/'

   private:
    uint32_t bits_;
  };

  PrefixTrie() = default;
  bool empty() const { return words_.empty(); }

  // f(std::span<const Entry>, size_t prefix_length) for every node with entries on the way down.
  template <class F>
  void walk(std::string_view path, F&& f) const {
    if (words_.empty()) return;
    const uint32_t* node = words_.data();
    size_t used = 0;
    for (;;) {
      const size_t label = node[0], children = node[1] & child_mask, entries = node[1] >> child_bits;
      const char* const text = reinterpret_cast<const char*>(node + 2);
      if (!path.substr(used).starts_with(std::string_view(text, label))) return;
      used += label;
      const uint32_t* const offsets = node + 2 + words_of(label + children);
      if (entries != 0) f(std::span(reinterpret_cast<const Entry*>(offsets + children), entries), used);
      if (used == path.size()) return;
      const size_t child = std::string_view(text + label, children).find(path[used]);
      if (child == std::string_view::npos) return;
      node = words_.data() + offsets[child];
    }
  }

 private:
  friend class PrefixTrieBuilder;
  static constexpr uint32_t child_bits = 9, child_mask = (1 << child_bits) - 1;  // of 256 bytes each may begin a child
  static constexpr size_t words_of(size_t bytes) { return (bytes + 3) / 4; }

  // Nodes: size of the label on the edge from the parent; number of entries << child_bits | number of children; the label and the children's
  // first bytes; where each child is; the entries, ascending by route.
  std::vector<uint32_t> words_;
};
static_assert(sizeof(PrefixTrie::Entry) == sizeof(uint32_t));

class PathIndex {
 public:
  explicit PathIndex(std::span<const Route> routes);
  ~PathIndex();

  static constexpr uint32_t none = UINT32_MAX;
  // Up to so many routes, trying one after the other costs no more than asking an index, and needs none.
  static constexpr size_t scan_up_to = 4;

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
    void add_list(std::span<const uint32_t> list);
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
  StringIndex exact_;
  StringIndex exact_any_case_;  // keys in lower case
  PrefixTrie prefixes_;
  PrefixTrie prefixes_any_case_;  // in lower case
  std::vector<uint32_t> always_;  // routes whose path is tried one by one: CONNECT matchers, and regexes while they are few
  std::unique_ptr<RegexSet> regexes_;
  bool any_case_ = false;
};

// Does the route's path matcher accept `path` (without query and fragment)? The plain meaning that the index must agree with.
bool path_matches(const PathMatch& matcher, std::string_view path, bool is_connect);

}  // namespace fairlead::router
