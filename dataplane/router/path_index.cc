// See path_index.h.
#include "dataplane/router/path_index.h"

#include <algorithm>
#include <string>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <re2/re2.h>
#include <re2/set.h>

#include "dataplane/router/text_pool.h"

namespace fairlead::router {
namespace {

// Below this many regexes, trying each is cheaper than one pass over their union.
constexpr size_t regex_set_from = 8;
// The union's DFA may grow to this before it gives up and single matches take over.
constexpr int64_t regex_set_memory = 64 << 20;

}  // namespace

// Labels are views of the prefixes added, which must stay until finish().
class PrefixTrieBuilder {
 public:
  void add(std::string_view prefix, PrefixTrie::Entry entry);
  PrefixTrie finish() const;

 private:
  struct Node {
    std::string_view label;  // edge from the parent; its first byte is in the parent's `first`
    std::string first;       // first bytes of the children, in their order
    std::vector<uint32_t> children;
    std::vector<PrefixTrie::Entry> entries;  // ascending by route
  };
  std::vector<Node> nodes_{1};
};

void PrefixTrieBuilder::add(std::string_view prefix, PrefixTrie::Entry entry) {
  uint32_t at = 0;
  while (!prefix.empty()) {
    const size_t child = nodes_[at].first.find(prefix[0]);
    if (child == std::string::npos) {
      const auto fresh = static_cast<uint32_t>(nodes_.size());
      nodes_[at].first.push_back(prefix[0]);
      nodes_[at].children.push_back(fresh);
      nodes_.emplace_back().label = prefix;
      at = fresh;
      break;
    }
    const uint32_t next = nodes_[at].children[child];
    const std::string_view label = nodes_[next].label;
    const auto common = static_cast<size_t>(std::mismatch(label.begin(), label.end(), prefix.begin(), prefix.end()).first - label.begin());
    if (common < label.size()) {  // split the edge
      const auto middle = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back().label = label.substr(0, common);
      nodes_[middle].first.push_back(label[common]);
      nodes_[middle].children.push_back(next);
      nodes_[next].label = label.substr(common);
      nodes_[at].children[child] = middle;
      at = middle;
    } else {
      at = next;
    }
    prefix.remove_prefix(common);
  }
  nodes_[at].entries.push_back(entry);
}

PrefixTrie PrefixTrieBuilder::finish() const {
  PrefixTrie trie;
  std::vector<uint32_t>& words = trie.words_;
  if (nodes_.size() == 1 && nodes_[0].entries.empty()) return trie;
  struct Todo {
    uint32_t node;
    size_t parent;  // the word that is to hold where the node is; no_parent for the root
  };
  constexpr size_t no_parent = SIZE_MAX;
  std::vector<Todo> todo{{0, no_parent}};
  while (!todo.empty()) {
    const auto [number, parent] = todo.back();
    todo.pop_back();
    const Node& node = nodes_[number];
    if (parent != no_parent) words[parent] = static_cast<uint32_t>(words.size());
    words.push_back(static_cast<uint32_t>(node.label.size()));
    words.push_back(static_cast<uint32_t>(node.entries.size() << PrefixTrie::child_bits | node.children.size()));
    const size_t text = words.size(), offsets = text + PrefixTrie::words_of(node.label.size() + node.first.size());
    words.resize(offsets + node.children.size() + node.entries.size());
    char* const bytes = reinterpret_cast<char*>(words.data() + text);
    std::copy(node.label.begin(), node.label.end(), bytes);
    std::copy(node.first.begin(), node.first.end(), bytes + node.label.size());
    std::copy(node.entries.begin(), node.entries.end(), reinterpret_cast<PrefixTrie::Entry*>(words.data() + offsets + node.children.size()));
    for (size_t i = node.children.size(); i > 0; --i) todo.push_back({node.children[i - 1], offsets + i - 1});
  }
  words.shrink_to_fit();
  return trie;
}

struct PathIndex::RegexSet {
  std::vector<uint32_t> routes;  // by number in the set, ascending
  std::unique_ptr<re2::RE2::Set> set;  // null when it could not be compiled: every regex is a candidate
};

PathIndex::PathIndex(std::span<const Route> routes) {
  PrefixTrieBuilder prefixes, prefixes_any_case;
  TextPool lower;
  auto regexes = std::make_unique<RegexSet>();
  for (uint32_t i = 0; i < routes.size(); ++i) {
    const PathMatch& path = routes[i].path;
    any_case_ |= !path.case_sensitive;
    switch (path.kind) {
      case PathMatch::Kind::Exact:
        if (path.case_sensitive) {
          exact_.add(path.text, i);
        } else {
          exact_any_case_.add(lower.add(absl::AsciiStrToLower(path.text)), i);
        }
        break;
      case PathMatch::Kind::Prefix:
      case PathMatch::Kind::SeparatedPrefix: {
        const PrefixTrie::Entry entry(i, path.kind == PathMatch::Kind::SeparatedPrefix);
        if (path.case_sensitive) {
          prefixes.add(path.text, entry);
        } else {
          prefixes_any_case.add(lower.add(absl::AsciiStrToLower(path.text)), entry);
        }
        break;
      }
      case PathMatch::Kind::Regex: regexes->routes.push_back(i); break;
      case PathMatch::Kind::Connect: always_.push_back(i); break;
    }
  }
  exact_.finish();
  exact_any_case_.finish();
  prefixes_ = prefixes.finish();
  prefixes_any_case_ = prefixes_any_case.finish();
  if (regexes->routes.size() < regex_set_from) {
    always_.insert(always_.end(), regexes->routes.begin(), regexes->routes.end());
    std::sort(always_.begin(), always_.end());
    return;
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(regex_set_memory);
  auto set = std::make_unique<re2::RE2::Set>(options, re2::RE2::ANCHOR_BOTH);
  bool complete = true;
  for (uint32_t i : regexes->routes) complete &= set->Add({routes[i].path.text.data(), routes[i].path.text.size()}, nullptr) >= 0;
  if (complete && set->Compile()) regexes->set = std::move(set);
  regexes_ = std::move(regexes);
}

PathIndex::~PathIndex() = default;

PathIndex::Candidates::Candidates(const PathIndex& index, std::string_view path) : index_(index), path_(path) {
  add_list(index.always_);
  add_list(index.exact_.find(path));
  add_trie(index.prefixes_, path);
  if (index.any_case_) {
    static thread_local std::string lower;
    lower.assign(path);
    absl::AsciiStrToLower(&lower);
    add_list(index.exact_any_case_.find(lower));
    add_trie(index.prefixes_any_case_, lower);
  }
}

void PathIndex::Candidates::add_list(std::span<const uint32_t> list) {
  if (!list.empty()) lists_.push_back({list.data(), list.data() + list.size()});
}

void PathIndex::Candidates::add_trie(const PrefixTrie& trie, std::string_view path) {
  trie.walk(path, [&](std::span<const PrefixTrie::Entry> entries, size_t used) {
    tries_.push_back({entries.data(), entries.data() + entries.size(), used == path.size() || path[used] == '/'});
  });
}

void PathIndex::Candidates::run_regexes() {
  regexes_run_ = true;
  static thread_local std::vector<int> hits;
  static thread_local std::vector<uint32_t> found;
  hits.clear();
  found.clear();
  const RegexSet& regexes = *index_.regexes_;
  re2::RE2::Set::ErrorInfo error{re2::RE2::Set::kNoError};
  if (regexes.set != nullptr && regexes.set->Match({path_.data(), path_.size()}, &hits, &error)) {
    for (int hit : hits) found.push_back(regexes.routes[static_cast<size_t>(hit)]);
    std::sort(found.begin(), found.end());
  } else if (regexes.set == nullptr || error.kind != re2::RE2::Set::kNoError) {
    add_list(regexes.routes);
    return;
  }
  add_list(found);
}

uint32_t PathIndex::Candidates::next() {
  for (;;) {
    uint32_t lowest = none;
    for (const Cursor& list : lists_) {
      if (list.at != list.end) lowest = std::min(lowest, *list.at);
    }
    for (TrieCursor& trie : tries_) {
      while (trie.at != trie.end && trie.at->separated() && !trie.at_boundary) ++trie.at;
      if (trie.at != trie.end) lowest = std::min(lowest, trie.at->route());
    }
    // The union of regexes is run only when a regex could come before the best of the rest.
    if (!regexes_run_ && index_.regexes_ != nullptr && index_.regexes_->routes.front() < lowest) {
      run_regexes();
      continue;
    }
    if (lowest == none) return none;
    for (Cursor& list : lists_) {
      if (list.at != list.end && *list.at == lowest) ++list.at;
    }
    for (TrieCursor& trie : tries_) {
      if (trie.at != trie.end && trie.at->route() == lowest) ++trie.at;
    }
    return lowest;
  }
}

bool path_matches(const PathMatch& matcher, std::string_view path, bool is_connect) {
  const auto starts = [&] {
    if (path.size() < matcher.text.size()) return false;
    const std::string_view head = path.substr(0, matcher.text.size());
    return matcher.case_sensitive ? head == matcher.text : absl::EqualsIgnoreCase(head, matcher.text);
  };
  switch (matcher.kind) {
    case PathMatch::Kind::Prefix: return starts();
    case PathMatch::Kind::SeparatedPrefix:
      return starts() && (path.size() == matcher.text.size() || path[matcher.text.size()] == '/');
    case PathMatch::Kind::Exact: return path.size() == matcher.text.size() && starts();
    case PathMatch::Kind::Regex: return matcher.regex->full_match(path);
    case PathMatch::Kind::Connect: return is_connect;
  }
  return false;
}

}  // namespace fairlead::router
