// Typed reading of documents. A Reader is a value with the path that led to it; an Object reads a map's fields, remembers
// which were asked for, and reports the rest as unknown, with a suggestion.
// Value types for one thread. Every error reads `file:line: path: what was expected, what was there`, for example
// `examples/a.yaml:12: spec.rules[0].name: expected a string, got a list`, under code InvalidArgument.
// Invariant: null counts as absent, as in Kubernetes and proto3 JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/doc.h"
#include "base/status.h"

namespace fairlead::doc {

// "file:line: path: message"; parts that are unknown are left out.
absl::Status error_at(const Mark& mark, std::string_view path, std::string_view message);
// Joins "a.b" and "c" to "a.b.c"; a key with other than [A-Za-z0-9_-@/] is written a.b["k.x"].
std::string join_path(std::string_view path, std::string_view key);
std::string join_path(std::string_view path, std::size_t index);

class Reader {
 public:
  explicit Reader(Value value, std::string path = "") : value_(std::move(value)), mark_(value_.mark()), path_(std::move(path)) {}

  const Value& value() const { return value_; }
  const std::string& path() const { return path_; }
  const Mark& mark() const { return mark_; }  // of an absent field: its parent's
  bool present() const { return !value_.is_null(); }

  // Never fail: an absent field gives an absent reader, whose typed reads fail with "is required".
  Reader get(std::string_view key) const;
  Reader at(std::size_t index) const;

  absl::StatusOr<std::string> string() const;
  absl::StatusOr<bool> boolean() const;
  absl::StatusOr<std::int64_t> integer(std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                                       std::int64_t high = std::numeric_limits<std::int64_t>::max()) const;
  absl::StatusOr<double> number() const;
  absl::StatusOr<std::chrono::nanoseconds> duration() const;  // a string as parse_duration reads it
  absl::StatusOr<std::vector<Reader>> list() const;
  absl::StatusOr<std::vector<std::string>> strings() const;
  absl::StatusOr<std::vector<std::pair<std::string, Reader>>> map() const;
  absl::StatusOr<std::map<std::string, std::string>> string_map() const;

  absl::Status error(std::string_view message) const { return error_at(mark_, path_, message); }
  absl::Status expected(std::string_view what) const;  // "expected WHAT, got …"

 private:
  Reader(Value value, Mark mark, std::string path) : value_(std::move(value)), mark_(std::move(mark)), path_(std::move(path)) {}
  Value value_;
  Mark mark_;
  std::string path_;
};

// Errors go to the list given (never null), reading goes on; call finish() last, or let the destructor do so.
class Object {
 public:
  Object(Reader reader, ErrorList& errors);  // an error when present but not a map; then all fields are absent
  ~Object();
  Object(Object&& other) noexcept;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  const Reader& reader() const { return reader_; }
  bool present() const { return reader_.present(); }
  bool has(std::string_view key) const;  // does not count as asked for

  Reader get(std::string_view key);      // counts as asked for
  Object object(std::string_view key);
  std::optional<std::string> string(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                                      std::int64_t high = std::numeric_limits<std::int64_t>::max());
  std::optional<double> number(std::string_view key);
  std::optional<std::chrono::nanoseconds> duration(std::string_view key);
  std::vector<Reader> list(std::string_view key);
  std::vector<std::string> strings(std::string_view key);
  std::vector<std::pair<std::string, Reader>> map(std::string_view key);
  std::map<std::string, std::string> string_map(std::string_view key);
  // One of `choices`; the error lists them.
  std::optional<std::string> choice(std::string_view key, const std::vector<std::string_view>& choices);

  std::string string_or(std::string_view key, std::string_view fallback);
  bool boolean_or(std::string_view key, bool fallback);
  std::int64_t integer_or(std::string_view key, std::int64_t fallback, std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                          std::int64_t high = std::numeric_limits<std::int64_t>::max());
  std::string required_string(std::string_view key);  // absent or "" is an error; then ""

  void ignore(std::string_view key);  // known, not read
  void allow_unknown();               // finish() will not complain
  void error(std::string_view key, std::string_view message);
  void error(std::string_view message);
  // Reports every field that was not asked for: `a.yaml:3: spec.hostname: unknown field; did you mean 'hostnames'?`
  void finish();

 private:
  Reader reader_;
  ErrorList* errors_;
  std::vector<std::string> asked_;
  bool finished_ = false;
  bool allow_unknown_ = false;
};

}  // namespace fairlead::doc
