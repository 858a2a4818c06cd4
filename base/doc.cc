// The document tree: nodes, makers and comparison. Parsers are in doc_yaml.cc and doc_json.cc, writers in doc_emit.cc.
// Values are immutable after they are made; any thread may read them.
// Invariant: a map node has no key twice; maps above the index threshold carry a sorted index for lookup.
#include "base/doc.h"

#include <algorithm>
#include <cmath>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/doc_build.h"

namespace fairlead::doc {
namespace {

// Below this a linear search is faster than anything with an index.
constexpr std::size_t index_threshold = 16;

struct MapData {
  std::vector<Entry> entries;
  std::vector<std::uint32_t> by_key;  // sorted by key; only for maps above the threshold
};

const std::string empty_string;

}  // namespace

struct Value::Node {
  Mark mark;
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, std::vector<Value>, MapData> data;
};

Value make_value(std::shared_ptr<const Value::Node> node) {
  Value value;
  value.node_ = std::move(node);
  return value;
}

namespace {

template <typename T>
Value make(T data, Mark mark) {
  auto node = std::make_shared<Value::Node>();
  node->mark = std::move(mark);
  node->data = std::move(data);
  return make_value(std::move(node));
}

std::vector<std::uint32_t> sorted_index(const std::vector<Entry>& entries) {
  std::vector<std::uint32_t> index(entries.size());
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::uint32_t>(i);
  std::sort(index.begin(), index.end(), [&](std::uint32_t a, std::uint32_t b) { return entries[a].key < entries[b].key; });
  return index;
}

// Of keys given twice the last value stays, at the place of the first.
std::vector<Entry> last_wins(std::vector<Entry> entries) {
  absl::flat_hash_map<std::string, std::size_t> place;
  std::vector<Entry> out;
  out.reserve(entries.size());
  for (Entry& entry : entries) {
    const auto [found, fresh] = place.try_emplace(entry.key, out.size());
    if (fresh) {
      out.push_back(std::move(entry));
    } else {
      out[found->second] = std::move(entry);
    }
  }
  return out;
}

}  // namespace

std::string Mark::to_string() const {
  if (file == nullptr || file->empty()) return line == 0 ? std::string() : absl::StrCat("line ", line);
  return line == 0 ? *file : absl::StrCat(*file, ":", line);
}

const std::string& Mark::file_name() const { return file == nullptr ? empty_string : *file; }

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::null: return "null";
    case Kind::boolean: return "a boolean";
    case Kind::integer:
    case Kind::unsigned_integer: return "an integer";
    case Kind::number: return "a number";
    case Kind::string: return "a string";
    case Kind::list: return "a list";
    case Kind::map: return "a map";
  }
  return "";
}

Kind Value::kind() const { return node_ == nullptr ? Kind::null : static_cast<Kind>(node_->data.index()); }

const Mark& Value::mark() const {
  static const Mark unknown;
  return node_ == nullptr ? unknown : node_->mark;
}

bool Value::is_numeric() const {
  return kind() == Kind::integer || kind() == Kind::unsigned_integer || kind() == Kind::number;
}

bool Value::as_boolean() const { return kind() == Kind::boolean && std::get<bool>(node_->data); }

std::int64_t Value::as_integer() const { return kind() == Kind::integer ? std::get<std::int64_t>(node_->data) : 0; }

std::uint64_t Value::as_unsigned_integer() const {
  return kind() == Kind::unsigned_integer ? std::get<std::uint64_t>(node_->data) : 0;
}

double Value::as_number() const {
  switch (kind()) {
    case Kind::integer: return static_cast<double>(as_integer());
    case Kind::unsigned_integer: return static_cast<double>(as_unsigned_integer());
    case Kind::number: return std::get<double>(node_->data);
    default: return 0;
  }
}

const std::string& Value::as_string() const {
  return kind() == Kind::string ? std::get<std::string>(node_->data) : empty_string;
}

std::span<const Value> Value::items() const {
  if (kind() != Kind::list) return {};
  return std::get<std::vector<Value>>(node_->data);
}

std::span<const Entry> Value::entries() const {
  if (kind() != Kind::map) return {};
  return std::get<MapData>(node_->data).entries;
}

std::size_t Value::size() const { return is_list() ? items().size() : entries().size(); }

const Entry* Value::find_entry(std::string_view key) const {
  if (kind() != Kind::map) return nullptr;
  const MapData& map = std::get<MapData>(node_->data);
  if (map.by_key.empty()) {
    for (const Entry& entry : map.entries) {
      if (entry.key == key) return &entry;
    }
    return nullptr;
  }
  const auto found = std::lower_bound(map.by_key.begin(), map.by_key.end(), key,
                                      [&](std::uint32_t i, std::string_view wanted) { return map.entries[i].key < wanted; });
  if (found == map.by_key.end() || map.entries[*found].key != key) return nullptr;
  return &map.entries[*found];
}

const Value* Value::find(std::string_view key) const {
  const Entry* entry = find_entry(key);
  return entry == nullptr ? nullptr : &entry->value;
}

const Value* Value::find_path(std::string_view dotted) const {
  const Value* at = this;
  while (at != nullptr && !dotted.empty()) {
    const std::size_t dot = dotted.find('.');
    at = at->find(dotted.substr(0, dot));
    dotted = dot == std::string_view::npos ? std::string_view() : dotted.substr(dot + 1);
  }
  return at;
}

std::string Value::describe() const {
  constexpr std::size_t shown = 60;
  switch (kind()) {
    case Kind::string: {
      const std::string& text = as_string();
      if (text.size() <= shown) return to_json(*this);
      std::size_t cut = shown;
      while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
      return absl::StrCat(to_json(doc::string(text.substr(0, cut))), "…");
    }
    case Kind::list:
    case Kind::map: return std::string(kind_name(kind()));
    default: return to_json(*this);
  }
}

bool operator==(const Value& a, const Value& b) {
  if (a.node_ == b.node_) return true;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::null: return true;
    case Kind::boolean: return a.as_boolean() == b.as_boolean();
    case Kind::integer: return a.as_integer() == b.as_integer();
    case Kind::unsigned_integer: return a.as_unsigned_integer() == b.as_unsigned_integer();
    case Kind::number: return a.as_number() == b.as_number() || (std::isnan(a.as_number()) && std::isnan(b.as_number()));
    case Kind::string: return a.as_string() == b.as_string();
    case Kind::list: {
      const auto left = a.items(), right = b.items();
      return std::equal(left.begin(), left.end(), right.begin(), right.end());
    }
    case Kind::map: {
      if (a.size() != b.size()) return false;
      for (const Entry& entry : a.entries()) {
        const Value* other = b.find(entry.key);
        if (other == nullptr || !(entry.value == *other)) return false;
      }
      return true;
    }
  }
  return false;
}

Value null(Mark mark) { return make(std::monostate(), std::move(mark)); }
Value boolean(bool value, Mark mark) { return make(value, std::move(mark)); }
Value integer(std::int64_t value, Mark mark) { return make(value, std::move(mark)); }

Value unsigned_integer(std::uint64_t value, Mark mark) {
  if (value <= static_cast<std::uint64_t>(INT64_MAX)) return integer(static_cast<std::int64_t>(value), std::move(mark));
  return make(value, std::move(mark));
}

Value number(double value, Mark mark) { return make(value, std::move(mark)); }
Value string(std::string value, Mark mark) { return make(std::move(value), std::move(mark)); }
Value text(std::string_view value) { return string(std::string(value)); }
Value list(std::vector<Value> items, Mark mark) { return make(std::move(items), std::move(mark)); }

Value map_without_duplicates(std::vector<Entry> entries, Mark mark) {
  MapData data;
  if (entries.size() > index_threshold) data.by_key = sorted_index(entries);
  data.entries = std::move(entries);
  return make(std::move(data), std::move(mark));
}

Value map(std::vector<Entry> entries, Mark mark) {
  return map_without_duplicates(last_wins(std::move(entries)), std::move(mark));
}

Value with(const Value& map, std::string_view key, Value value) {
  std::vector<Entry> entries(map.entries().begin(), map.entries().end());
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.key == key; });
  if (found != entries.end()) {
    found->value = std::move(value);
  } else {
    Mark mark = value.mark();
    entries.push_back({std::string(key), std::move(value), std::move(mark)});
  }
  return map_without_duplicates(std::move(entries), map.mark());
}

Value without(const Value& map, std::string_view key) {
  std::vector<Entry> entries;
  for (const Entry& entry : map.entries()) {
    if (entry.key != key) entries.push_back(entry);
  }
  return map_without_duplicates(std::move(entries), map.mark());
}

}  // namespace fairlead::doc
