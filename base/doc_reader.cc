// Typed reading of documents with the place and path in every error.
// Value types for one thread.
// Invariant: null counts as absent.
#include "base/doc_reader.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/strings.h"

namespace fairlead::doc {
namespace {

std::string got(const Value& value) { return value.is_string() || value.is_numeric() || value.kind() == Kind::boolean ? value.describe() : std::string(kind_name(value.kind())); }

}  // namespace

absl::Status error_at(const Mark& mark, std::string_view path, std::string_view message) {
  std::string text = mark.to_string();
  if (!text.empty()) text += ": ";
  if (!path.empty()) absl::StrAppend(&text, path, ": ");
  absl::StrAppend(&text, message);
  return absl::InvalidArgumentError(text);
}

std::string join_path(std::string_view path, std::string_view key) {
  const auto simple = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '@' || c == '/';
  };
  if (key.empty() || !std::all_of(key.begin(), key.end(), simple)) {
    return absl::StrCat(path, "[", to_json(string(std::string(key))), "]");
  }
  return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
}

std::string join_path(std::string_view path, std::size_t index) { return absl::StrCat(path, "[", index, "]"); }

Reader Reader::get(std::string_view key) const {
  const Value* found = value_.find(key);
  const bool placed = found != nullptr && found->mark().line != 0;
  return Reader(found == nullptr ? Value() : *found, placed ? found->mark() : mark_, join_path(path_, key));
}

Reader Reader::at(std::size_t index) const {
  const auto items = value_.items();
  const bool inside = index < items.size();
  const bool placed = inside && items[index].mark().line != 0;
  return Reader(inside ? items[index] : Value(), placed ? items[index].mark() : mark_, join_path(path_, index));
}

absl::Status Reader::expected(std::string_view what) const {
  if (!present()) return error(absl::StrCat("is required (", what, ")"));
  return error(absl::StrCat("expected ", what, ", got ", got(value_)));
}

absl::StatusOr<std::string> Reader::string() const {
  if (!value_.is_string()) return expected("a string");
  return value_.as_string();
}

absl::StatusOr<bool> Reader::boolean() const {
  if (value_.kind() != Kind::boolean) return expected("true or false");
  return value_.as_boolean();
}

absl::StatusOr<std::int64_t> Reader::integer(std::int64_t low, std::int64_t high) const {
  const auto outside = [&] {
    return error(absl::StrCat("expected an integer from ", low, " to ", high, ", got ", value_.describe()));
  };
  if (value_.kind() == Kind::unsigned_integer) return outside();
  std::int64_t number = value_.as_integer();
  if (value_.kind() == Kind::number) {
    // 8080.0 is an integer too; the bounds are the doubles within int64.
    const double real = value_.as_number();
    if (real != std::floor(real) || !(real >= -9223372036854775808.0 && real < 9223372036854775808.0)) return expected("an integer");
    number = static_cast<std::int64_t>(real);
  } else if (value_.kind() != Kind::integer) {
    return expected("an integer");
  }
  if (number < low || number > high) return outside();
  return number;
}

absl::StatusOr<double> Reader::number() const {
  if (!value_.is_numeric()) return expected("a number");
  return value_.as_number();
}

absl::StatusOr<std::chrono::nanoseconds> Reader::duration() const {
  if (!value_.is_string()) return expected("a duration like \"250ms\"");
  const auto parsed = parse_duration(value_.as_string());
  if (!parsed.ok()) return error(parsed.status().message());
  return *parsed;
}

absl::StatusOr<std::vector<Reader>> Reader::list() const {
  if (!value_.is_list()) return expected("a list");
  std::vector<Reader> out;
  out.reserve(value_.size());
  for (std::size_t i = 0; i < value_.size(); ++i) out.push_back(at(i));
  return out;
}

absl::StatusOr<std::vector<std::string>> Reader::strings() const {
  FL_ASSIGN_OR_RETURN(const std::vector<Reader> readers, list());
  std::vector<std::string> out;
  for (const Reader& reader : readers) {
    FL_ASSIGN_OR_RETURN(std::string text, reader.string());
    out.push_back(std::move(text));
  }
  return out;
}

absl::StatusOr<std::vector<std::pair<std::string, Reader>>> Reader::map() const {
  if (!value_.is_map()) return expected("a map");
  std::vector<std::pair<std::string, Reader>> out;
  out.reserve(value_.size());
  for (const Entry& entry : value_.entries()) {
    Mark mark = entry.value.mark().line != 0 ? entry.value.mark() : mark_;
    out.emplace_back(entry.key, Reader(entry.value, std::move(mark), join_path(path_, entry.key)));
  }
  return out;
}

absl::StatusOr<std::map<std::string, std::string>> Reader::string_map() const {
  FL_ASSIGN_OR_RETURN(const auto readers, map());
  std::map<std::string, std::string> out;
  for (const auto& [key, reader] : readers) {
    FL_ASSIGN_OR_RETURN(std::string text, reader.string());
    out.emplace(key, std::move(text));
  }
  return out;
}

Object::Object(Reader reader, ErrorList& errors) : reader_(std::move(reader)), errors_(&errors) {
  if (reader_.present() && !reader_.value().is_map()) {
    errors_->add(reader_.expected("a map"));
    finished_ = true;
  }
}

Object::Object(Object&& other) noexcept
    : reader_(std::move(other.reader_)),
      errors_(other.errors_),
      asked_(std::move(other.asked_)),
      finished_(other.finished_),
      allow_unknown_(other.allow_unknown_) {
  other.finished_ = true;
}

Object::~Object() { finish(); }

bool Object::has(std::string_view key) const {
  const Value* found = reader_.value().find(key);
  return found != nullptr && !found->is_null();
}

Reader Object::get(std::string_view key) {
  ignore(key);
  return reader_.get(key);
}

Object Object::object(std::string_view key) { return Object(get(key), *errors_); }

namespace {

// The typed value of a field that is there; a wrong type goes to the errors.
template <typename T>
std::optional<T> value_or_error(absl::StatusOr<T> value, ErrorList& errors) {
  if (!errors.check(value)) return std::nullopt;
  return *std::move(value);
}

}  // namespace

// Most fields that may be given are not, and most that are have the right type: paths and places are made for errors alone.
std::optional<std::string> Object::string(std::string_view key) {
  ignore(key);
  const Value* found = reader_.value().find(key);
  if (found == nullptr || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->as_string();
  return value_or_error(reader_.get(key).string(), *errors_);
}

std::optional<bool> Object::boolean(std::string_view key) {
  ignore(key);
  const Value* found = reader_.value().find(key);
  if (found == nullptr || found->is_null()) return std::nullopt;
  if (found->kind() == Kind::boolean) return found->as_boolean();
  return value_or_error(reader_.get(key).boolean(), *errors_);
}

std::optional<std::int64_t> Object::integer(std::string_view key, std::int64_t low, std::int64_t high) {
  ignore(key);
  const Value* found = reader_.value().find(key);
  if (found == nullptr || found->is_null()) return std::nullopt;
  if (found->kind() == Kind::integer && found->as_integer() >= low && found->as_integer() <= high) return found->as_integer();
  return value_or_error(reader_.get(key).integer(low, high), *errors_);
}

std::optional<double> Object::number(std::string_view key) {
  ignore(key);
  return has(key) ? value_or_error(reader_.get(key).number(), *errors_) : std::nullopt;
}

std::optional<std::chrono::nanoseconds> Object::duration(std::string_view key) {
  ignore(key);
  return has(key) ? value_or_error(reader_.get(key).duration(), *errors_) : std::nullopt;
}

std::vector<Reader> Object::list(std::string_view key) {
  ignore(key);
  if (!has(key)) return {};
  return value_or_error(reader_.get(key).list(), *errors_).value_or(std::vector<Reader>());
}

std::vector<std::string> Object::strings(std::string_view key) {
  std::vector<std::string> out;
  const Value* found = reader_.value().find(key);
  if (found != nullptr && found->is_list() && std::all_of(found->items().begin(), found->items().end(), [](const Value& item) { return item.is_string(); })) {
    ignore(key);
    out.reserve(found->size());
    for (const Value& item : found->items()) out.push_back(item.as_string());
    return out;
  }
  for (const Reader& item : list(key)) {
    absl::StatusOr<std::string> text = item.string();
    if (errors_->check(text)) out.push_back(*std::move(text));
  }
  return out;
}

std::vector<std::pair<std::string, Reader>> Object::map(std::string_view key) {
  ignore(key);
  if (!has(key)) return {};
  return value_or_error(reader_.get(key).map(), *errors_).value_or(std::vector<std::pair<std::string, Reader>>());
}

std::map<std::string, std::string> Object::string_map(std::string_view key) {
  std::map<std::string, std::string> out;
  for (const auto& [name, item] : map(key)) {
    absl::StatusOr<std::string> text = item.string();
    if (errors_->check(text)) out.emplace(name, *std::move(text));
  }
  return out;
}

std::optional<std::string> Object::choice(std::string_view key, const std::vector<std::string_view>& choices) {
  std::optional<std::string> text = string(key);
  if (!text || std::find(choices.begin(), choices.end(), *text) != choices.end()) return text;
  errors_->add(reader_.get(key).expected(absl::StrCat("one of ", absl::StrJoin(choices, ", "))));
  return std::nullopt;
}

std::string Object::string_or(std::string_view key, std::string_view fallback) {
  std::optional<std::string> text = string(key);
  return text ? *std::move(text) : std::string(fallback);
}

bool Object::boolean_or(std::string_view key, bool fallback) { return boolean(key).value_or(fallback); }

std::int64_t Object::integer_or(std::string_view key, std::int64_t fallback, std::int64_t low, std::int64_t high) {
  return integer(key, low, high).value_or(fallback);
}

std::string Object::required_string(std::string_view key) {
  ignore(key);
  const Value* found = reader_.value().find(key);
  if (found != nullptr && found->is_string() && !found->as_string().empty()) return found->as_string();
  const Reader reader = reader_.get(key);
  absl::StatusOr<std::string> text = reader.string();
  if (!errors_->check(text)) return "";
  if (text->empty()) errors_->add(reader.error("must not be empty"));
  return *std::move(text);
}

void Object::ignore(std::string_view key) {
  if (asked_.capacity() == 0) asked_.reserve(8);
  if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) asked_.emplace_back(key);
}

void Object::allow_unknown() { allow_unknown_ = true; }

void Object::error(std::string_view key, std::string_view message) { errors_->add(get(key).error(message)); }

void Object::error(std::string_view message) { errors_->add(reader_.error(message)); }

void Object::finish() {
  if (finished_) return;
  finished_ = true;
  if (allow_unknown_) return;
  for (const Entry& entry : reader_.value().entries()) {
    if (std::find(asked_.begin(), asked_.end(), entry.key) != asked_.end()) continue;
    std::vector<std::string_view> absent;  // what is there already was not meant
    for (const std::string& asked : asked_) {
      if (reader_.value().find(asked) == nullptr) absent.push_back(asked);
    }
    const auto meant = closest(entry.key, absent);
    const Mark& mark = entry.key_mark.line != 0 ? entry.key_mark : reader_.mark();
    errors_->add(error_at(mark, join_path(reader_.path(), entry.key),
                          meant ? absl::StrCat("unknown field; did you mean '", *meant, "'?") : std::string("unknown field")));
  }
}

}  // namespace fairlead::doc
