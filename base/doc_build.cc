// What the YAML and the JSON parser share: limits, duplicate keys, merge keys, checks of the raw text.
// One builder per document, one thread.
// Invariant: every refusal names its place.
#include "base/doc_build.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace fairlead::doc {
namespace {

constexpr std::size_t linear_keys = 16;

}  // namespace

std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && at(i) >= low && at(i) <= high;
  };
  const unsigned lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

absl::Status syntax_error(const Mark& mark, std::string_view text) {
  const std::string place = mark.to_string();
  if (place.empty()) return absl::InvalidArgumentError(text);
  if (mark.column == 0) return absl::InvalidArgumentError(absl::StrCat(place, ": ", text));
  return absl::InvalidArgumentError(absl::StrCat(place, ":", mark.column, ": ", text));
}

absl::Status check_text(std::string_view text, const std::shared_ptr<const std::string>& file, const Limits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(*file, ": ", text.size(), " bytes, more than the limit of ", limits.max_bytes));
  }
  std::uint32_t line = 1;
  std::size_t line_start = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n') {
      ++line;
      line_start = i + 1;
    }
    const bool control = byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r';
    const std::size_t length = byte < 0x80 ? 1 : utf8_length(text.substr(i));
    if (control || length == 0) {
      const Mark mark{file, line, static_cast<std::uint32_t>(i - line_start + 1)};
      return syntax_error(mark, control ? absl::StrCat("control character ", static_cast<int>(byte), " is not allowed in text")
                                        : std::string("the text is not UTF-8"));
    }
    i += length;
  }
  return absl::OkStatus();
}

absl::Status TreeBuilder::charge(std::size_t nodes, const Mark& mark) {
  nodes_ += nodes;
  if (nodes_ <= limits_.max_nodes) return absl::OkStatus();
  return syntax_error(mark, absl::StrCat("the document is too large: more than ", limits_.max_nodes, " values once aliases are expanded"));
}

absl::Status TreeBuilder::key(std::string key, Mark mark) {
  Frame& frame = frames_.back();
  std::optional<std::uint32_t> first;
  if (frame.entries.size() <= linear_keys) {
    for (std::uint32_t i = 0; i < frame.entries.size() && !first; ++i) {
      if (frame.entries[i].key == key) first = i;
    }
  } else {
    for (std::size_t i = frame.places.size(); i < frame.entries.size(); ++i) {
      frame.places.emplace(frame.entries[i].key, static_cast<std::uint32_t>(i));
    }
    if (const auto found = frame.places.find(key); found != frame.places.end()) first = found->second;
  }
  if (first) {
    return syntax_error(mark, absl::StrCat("the key '", key.substr(0, 100), "' is given twice; first on line ",
                                           frame.entries[*first].key_mark.line));
  }
  frame.next.key = std::move(key);
  frame.next.key_mark = std::move(mark);
  frame.has_key = true;
  frame.key_is_merge = false;
  return absl::OkStatus();
}

absl::Status TreeBuilder::merge_key(Mark mark) {
  Frame& frame = frames_.back();
  if (!frame.merges.empty()) return syntax_error(mark, "the key '<<' is given twice; give it a list of aliases");
  frame.next.key_mark = std::move(mark);
  frame.has_key = true;
  frame.key_is_merge = true;
  return absl::OkStatus();
}

// Long texts weigh more, so that aliases cannot multiply them without end.
absl::Status TreeBuilder::scalar(Value value, std::size_t text_size) {
  const std::size_t nodes = 1 + text_size / 256;
  FL_RETURN_IF_ERROR(charge(nodes, value.mark()));
  add(std::move(value), nodes, 0);
  return absl::OkStatus();
}

absl::Status TreeBuilder::alias(const Anchored& anchored, const Mark& mark) {
  if (frames_.size() + anchored.height > limits_.max_depth) {
    return syntax_error(mark, absl::StrCat("nested deeper than ", limits_.max_depth, " levels once the alias is expanded"));
  }
  FL_RETURN_IF_ERROR(charge(anchored.nodes, mark));
  add(anchored.value, anchored.nodes, anchored.height);
  return absl::OkStatus();
}

absl::Status TreeBuilder::open(bool is_map, Mark mark) {
  if (frames_.size() >= limits_.max_depth) {
    return syntax_error(mark, absl::StrCat("nested deeper than ", limits_.max_depth, " levels"));
  }
  FL_RETURN_IF_ERROR(charge(1, mark));
  Frame& frame = frames_.emplace_back();
  frame.is_map = is_map;
  frame.mark = std::move(mark);
  return absl::OkStatus();
}

absl::StatusOr<Anchored> TreeBuilder::close() {
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (frame.is_map) FL_RETURN_IF_ERROR(merge(frame));
  Value value = frame.is_map ? map_without_duplicates(std::move(frame.entries), std::move(frame.mark))
                             : list(std::move(frame.items), std::move(frame.mark));
  add(value, frame.nodes, frame.height);
  return Anchored{std::move(value), frame.nodes, frame.height};
}

void TreeBuilder::add(Value value, std::size_t nodes, std::size_t height) {
  if (frames_.empty()) {
    root_ = std::move(value);
    return;
  }
  Frame& frame = frames_.back();
  frame.nodes += nodes;
  frame.height = std::max(frame.height, height + 1);
  if (!frame.is_map) {
    frame.items.push_back(std::move(value));
  } else if (frame.key_is_merge) {
    frame.merges.push_back(std::move(value));
  } else {
    frame.next.value = std::move(value);
    frame.entries.push_back(std::move(frame.next));
    frame.next = Entry();
  }
  frame.has_key = false;
}

// Own keys win over merged ones, earlier merged maps over later ones.
absl::Status TreeBuilder::merge(Frame& frame) {
  if (frame.merges.empty()) return absl::OkStatus();
  const Value& source = frame.merges.front();
  std::vector<Value> maps;
  if (source.is_list()) {
    maps.assign(source.items().begin(), source.items().end());
  } else {
    maps.push_back(source);
  }
  absl::flat_hash_set<std::string> taken;
  for (const Entry& entry : frame.entries) taken.insert(entry.key);
  for (const Value& from : maps) {
    if (!from.is_map()) {
      return syntax_error(frame.mark, absl::StrCat("'<<' merges maps, got ", kind_name(from.kind())));
    }
    for (const Entry& entry : from.entries()) {
      if (taken.insert(entry.key).second) frame.entries.push_back(entry);
    }
  }
  return absl::OkStatus();
}

}  // namespace fairlead::doc
