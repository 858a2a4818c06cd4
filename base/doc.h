// The document tree: YAML or JSON as values that remember where they were written, so that every error can name file:line.
// Values are handles to immutable shared nodes: cheap to copy, safe to share between threads.
// Invariants: maps keep the order they were written in and have no key twice; depth and size are bounded by Limits at
// parse time, aliases included, so walking a parsed value recursively cannot exhaust the stack.
// Reading values with types and paths: base/doc_reader.h. Protobuf: base/doc_proto.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fairlead::doc {

// A place in a file; line and column count from 1, 0 when unknown (a value made by a program).
struct Mark {
  std::shared_ptr<const std::string> file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;

  std::string to_string() const;  // "file:line"; "file" without a line; "" when unknown
  const std::string& file_name() const;
};

enum class Kind : std::uint8_t { null, boolean, integer, unsigned_integer, number, string, list, map };
// "null", "a boolean", "an integer", "a number", "a string", "a list", "a map": for error texts.
std::string_view kind_name(Kind kind);

struct Entry;

class Value {
 public:
  Value() = default;  // null without a place

  Kind kind() const;
  const Mark& mark() const;
  bool is_null() const { return kind() == Kind::null; }
  bool is_string() const { return kind() == Kind::string; }
  bool is_list() const { return kind() == Kind::list; }
  bool is_map() const { return kind() == Kind::map; }
  // integer, unsigned_integer or number
  bool is_numeric() const;

  // Only when kind() says so; otherwise false, 0 or "".
  bool as_boolean() const;
  std::int64_t as_integer() const;            // kind integer
  std::uint64_t as_unsigned_integer() const;  // kind unsigned_integer: above the range of int64
  double as_number() const;                   // any of the three numeric kinds
  const std::string& as_string() const;

  std::span<const Value> items() const;   // empty unless a list
  std::span<const Entry> entries() const;  // empty unless a map
  std::size_t size() const;               // of a list or map, else 0
  const Value* find(std::string_view key) const;  // null when absent or not a map
  const Entry* find_entry(std::string_view key) const;
  // "a.b.c" down through maps; null when any step is absent.
  const Value* find_path(std::string_view dotted) const;

  // Short form for error texts: `"abc"`, `5`, `a list`; long strings are cut.
  std::string describe() const;

  // Same content; marks and, for maps, order are ignored. 1 and 1.0 differ.
  friend bool operator==(const Value& a, const Value& b);

  struct Node;

 private:
  friend Value make_value(std::shared_ptr<const Node> node);
  std::shared_ptr<const Node> node_;
};

struct Entry {
  std::string key;
  Value value;
  Mark key_mark;
};

// Makers. A uint64 that fits becomes an integer, so that equal numbers are equal values.
Value null(Mark mark = {});
Value boolean(bool value, Mark mark = {});
Value integer(std::int64_t value, Mark mark = {});
Value unsigned_integer(std::uint64_t value, Mark mark = {});
Value number(double value, Mark mark = {});
Value string(std::string value, Mark mark = {});
Value text(std::string_view value);  // a string that is copied
Value list(std::vector<Value> items, Mark mark = {});
Value map(std::vector<Entry> entries, Mark mark = {});  // of keys given twice the last wins
// A copy of the map with `key` set (replaced in place, or added at the end) or left out.
Value with(const Value& map, std::string_view key, Value value);
Value without(const Value& map, std::string_view key);

struct Limits {
  std::size_t max_bytes = std::size_t{64} << 20;  // of one text
  std::size_t max_depth = 100;                    // protobuf's own default for nested messages
  std::size_t max_nodes = 1'000'000;              // aliases count as often as they are used
};

// YAML 1.2, core schema, any number of documents (empty ones are left out). `n`, `yes`, `on` are strings; quoted scalars
// are strings; `!!str` and the other core tags are obeyed, unknown tags refused; a key twice is an error that names both
// lines; `<<` merges. Errors: "file:line:column: text".
absl::StatusOr<std::vector<Value>> parse_yaml(std::string_view text, std::string_view file_name, const Limits& limits = {});

// RFC 8259, strict: one value, no comments, no trailing comma, a key twice is an error.
absl::StatusOr<Value> parse_json(std::string_view text, std::string_view file_name, const Limits& limits = {});

// JSON when the name ends in .json, or when the first byte is '{' or '[' and the text is JSON; else YAML.
absl::StatusOr<std::vector<Value>> parse_any(std::string_view text, std::string_view file_name, const Limits& limits = {});
// Exactly one document (an empty text gives an empty map).
absl::StatusOr<Value> parse_one(std::string_view text, std::string_view file_name, const Limits& limits = {});

// Deterministic; parse_yaml(to_yaml(v)) == v. Block style, two spaces, "- " lists at the indent of their key.
std::string to_yaml(const Value& value);
// parse_json(to_json(v)) == v, but for infinities and NaN, which become strings as in protobuf's JSON.
std::string to_json(const Value& value, bool pretty = false);

}  // namespace fairlead::doc
