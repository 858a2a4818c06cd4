// Private to base: what the YAML and the JSON parser share. A TreeBuilder takes events, enforces the limits and makes values.
// One per document, one thread.
// Invariants: depth and nodes never pass the limits, aliases counted as often as they are used; a key twice is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/doc.h"

namespace fairlead::doc {

// A map whose keys are known to differ.
Value map_without_duplicates(std::vector<Entry> entries, Mark mark);

// "file:line:column: text", InvalidArgument.
absl::Status syntax_error(const Mark& mark, std::string_view text);

// Refuses what is not UTF-8 or holds control characters other than tab and line breaks; names the place.
absl::Status check_text(std::string_view text, const std::shared_ptr<const std::string>& file, const Limits& limits);

// Length of the UTF-8 sequence at the front of a text, 0 when it is none (overlong, surrogate, beyond U+10FFFF, cut off).
std::size_t utf8_length(std::string_view text);

// The value of a plain (unquoted) YAML scalar under the core schema.
Value resolve_plain(std::string_view text, Mark mark);

// What an anchor stands for, and what using it costs.
struct Anchored {
  Value value;
  std::size_t nodes = 0;
  std::size_t height = 0;
};

class TreeBuilder {
 public:
  explicit TreeBuilder(const Limits& limits) : limits_(limits) {}

  // True when the next scalar is a key of the map being built.
  bool expects_key() const { return !frames_.empty() && frames_.back().is_map && !frames_.back().has_key; }
  std::size_t depth() const { return frames_.size(); }

  absl::Status key(std::string key, Mark mark);
  absl::Status merge_key(Mark mark);  // YAML's <<
  absl::Status scalar(Value value, std::size_t text_size);
  absl::Status alias(const Anchored& anchored, const Mark& mark);
  absl::Status open(bool is_map, Mark mark);
  absl::StatusOr<Anchored> close();  // of the innermost list or map

  // The finished document; nothing while it is empty.
  std::optional<Value>& root() { return root_; }

 private:
  struct Frame {
    bool is_map = false;
    bool has_key = false;
    bool key_is_merge = false;
    Mark mark;
    Entry next;  // the key read, waiting for its value
    std::vector<Value> items;
    std::vector<Entry> entries;
    std::vector<Value> merges;
    absl::flat_hash_map<std::string, std::uint32_t> places;  // filled once a linear search is too slow
    std::size_t nodes = 1;
    std::size_t height = 1;
  };

  void add(Value value, std::size_t nodes, std::size_t height);
  absl::Status charge(std::size_t nodes, const Mark& mark);
  static absl::Status merge(Frame& frame);

  Limits limits_;
  std::vector<Frame> frames_;
  std::optional<Value> root_;
  std::size_t nodes_ = 0;
};

}  // namespace fairlead::doc
