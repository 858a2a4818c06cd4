// YAML 1.2 through yaml-cpp's event interface: its scanner and grammar, our tree, limits, tags and anchors.
// yaml-cpp's exceptions stay inside this file. One thread per parse.
// Invariants: yaml-cpp refuses nesting beyond 500 levels by itself, and the builder stops it far earlier; text that yaml-cpp
// would read as the end of input or as UTF-16 is refused before it sees it.
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <istream>
#include <optional>
#include <streambuf>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/doc.h"
#include "base/doc_build.h"
#include "base/status.h"

namespace fairlead::doc {
namespace {

constexpr std::string_view core_tag = "tag:yaml.org,2002:";
constexpr std::size_t yaml_cpp_depth = 400;  // yaml-cpp 0.7 refuses more than 500 of its own levels

// Leaves yaml-cpp from inside a callback.
struct Stop {
  absl::Status status;
};

class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // only read from
    setg(begin, begin, begin + text.size());
  }
};

bool all_of_class(std::string_view text, bool (*in_class)(char)) {
  for (const char c : text) {
    if (!in_class(c)) return false;
  }
  return !text.empty();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_octal(char c) { return c >= '0' && c <= '7'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_float(std::string_view text) {
  if (absl::StartsWith(text, "-") || absl::StartsWith(text, "+")) text.remove_prefix(1);
  std::size_t i = 0;
  while (i < text.size() && is_digit(text[i])) ++i;
  const std::size_t whole = i;
  if (i < text.size() && text[i] == '.') {
    const std::size_t dot = i++;
    while (i < text.size() && is_digit(text[i])) ++i;
    if (whole == 0 && i == dot + 1) return false;
  } else if (whole == 0) {
    return false;
  }
  if (i == text.size()) return true;
  if (text[i] != 'e' && text[i] != 'E') return false;
  ++i;
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  return all_of_class(text.substr(i), is_digit);
}

std::optional<Value> resolve_integer(std::string_view text, const Mark& mark) {
  const auto based = [&](std::string_view digits, int base) -> std::optional<Value> {
    std::uint64_t value = 0;
    for (const char c : digits) {
      const unsigned digit = is_digit(c) ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 0x20) - 'a' + 10);
      if (__builtin_mul_overflow(value, static_cast<std::uint64_t>(base), &value) || __builtin_add_overflow(value, digit, &value)) {
        return std::nullopt;
      }
    }
    return unsigned_integer(value, mark);
  };
  if (absl::StartsWith(text, "0o") && all_of_class(text.substr(2), is_octal)) return based(text.substr(2), 8);
  if (absl::StartsWith(text, "0x") && all_of_class(text.substr(2), is_hex)) return based(text.substr(2), 16);
  std::string_view digits = text;
  if (absl::StartsWith(digits, "-") || absl::StartsWith(digits, "+")) digits.remove_prefix(1);
  if (!all_of_class(digits, is_digit)) return std::nullopt;
  std::int64_t value = 0;
  if (text[0] == '-') return absl::SimpleAtoi(text, &value) ? std::optional(integer(value, mark)) : std::nullopt;
  return based(digits, 10);
}

std::optional<Value> resolve_float(std::string_view text, const Mark& mark) {
  if (text == ".inf" || text == ".Inf" || text == ".INF" || text == "+.inf" || text == "+.Inf" || text == "+.INF") {
    return number(HUGE_VAL, mark);
  }
  if (text == "-.inf" || text == "-.Inf" || text == "-.INF") return number(-HUGE_VAL, mark);
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return number(std::nan(""), mark);
  double value = 0;
  if (!is_float(text)) return std::nullopt;
  if (absl::StartsWith(text, "+")) text.remove_prefix(1);
  (void)absl::SimpleAtod(text, &value);  // the form is checked; out of range gives an infinity or zero
  return number(value, mark);
}

std::optional<Value> resolve_boolean(std::string_view text, const Mark& mark) {
  if (text == "true" || text == "True" || text == "TRUE") return boolean(true, mark);
  if (text == "false" || text == "False" || text == "FALSE") return boolean(false, mark);
  return std::nullopt;
}

// yaml-cpp 0.7 turns the escapes \_ and \N into single bytes of Latin-1. All else it gives us is UTF-8, as the text was.
std::string repaired(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(std::string_view(text).substr(i));
    if (length == 0) out += '\xC2';
    out.append(text, i, std::max<std::size_t>(length, 1));
    i += std::max<std::size_t>(length, 1);
  }
  return out;
}

bool is_null_text(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

class Handler final : public YAML::EventHandler {
 public:
  Handler(std::string_view text, std::shared_ptr<const std::string> file, const Limits& limits)
      : text_(text), file_(std::move(file)), limits_(limits), builder_(limits) {
    limits_.max_depth = std::min(limits_.max_depth, yaml_cpp_depth);
  }

  std::vector<Value> take_documents() { return std::move(documents_); }
  Mark mark_of(const YAML::Mark& mark) const {
    return {file_, static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_++ > 0) check_separator(mark);
    // At a token that starts no value, such as a lone ',', yaml-cpp gives empty documents for ever.
    if (mark.pos == document_.pos) stop(mark, "expected a value");
    document_ = mark;
    builder_ = TreeBuilder(limits_);
    anchors_.clear();
    open_anchors_.clear();
    block_.clear();
    key_ = YAML::Mark::null_mark();
  }
  void OnDocumentEnd() override {
    std::optional<Value>& root = builder_.root();
    if (root && !root->is_null()) documents_.push_back(std::move(*root));
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.expects_key()) stop(mark, "a key must be a string, got null; quote it");
    if (!block_.empty() && block_.back() && mark.pos == key_.pos) {
      // yaml-cpp takes a line of a map that lacks its ':' for a key without a value, and puts that value on the key.
      // No field has so long a name: what stands there may be a line of a private key that is not indented as it should be.
      constexpr size_t kLongestName = 40;
      stop(mark, key_text_.size() > kLongestName ? "expected ':' after the key" : absl::StrCat("expected ':' after the key '", key_text_, "'"));
    }
    scalar(null(mark_of(mark)), 0, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(mark, "an alias inside the very value that its anchor names");
    if (builder_.expects_key()) {
      if (!found->second.value.is_string()) stop(mark, "a key must be a string");
      check(builder_.key(found->second.value.as_string(), mark_of(mark)));
      return;
    }
    check(builder_.alias(found->second, mark_of(mark)));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& raw) override {
    // Only a double quoted scalar can hold an escape.
    const std::string value = tag == "?" ? raw : repaired(raw);
    if (builder_.expects_key()) {
      if (tag != "?" && tag != "!" && tag != absl::StrCat(core_tag, "str")) stop(mark, absl::StrCat("a key cannot have the tag ", tag));
      if (tag == "?" && value == "<<") return check(builder_.merge_key(mark_of(mark)));
      if (anchor != YAML::NullAnchor) anchors_[anchor] = {string(value, mark_of(mark)), 1 + value.size() / 256, 0};
      key_ = mark;
      key_text_ = value;
      return check(builder_.key(value, mark_of(mark)));
    }
    scalar(tagged(mark, tag, value), value.size(), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(false, mark, tag, anchor);
    block_.push_back(false);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(true, mark, tag, anchor);
    block_.push_back(style == YAML::EmitterStyle::Block);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  [[noreturn]] void stop(const YAML::Mark& mark, std::string_view text) const { throw Stop{syntax_error(mark_of(mark), text)}; }
  static void check(absl::Status status) {
    if (!status.ok()) throw Stop{std::move(status)};
  }

  void scalar(Value value, std::size_t size, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {value, 1 + size / 256, 0};
    check(builder_.scalar(std::move(value), size));
  }

  void open(bool is_map, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (builder_.expects_key()) stop(mark, absl::StrCat("a key must be a string, got ", is_map ? "a map" : "a list", "; is a bracket left open?"));
    const std::string own = absl::StrCat(core_tag, is_map ? "map" : "seq");
    if (!tag.empty() && tag != "?" && tag != "!" && tag != own) {
      stop(mark, absl::StrCat("the tag ", tag, " does not fit ", is_map ? "a map" : "a list"));
    }
    check(builder_.open(is_map, mark_of(mark)));
    open_anchors_.push_back(anchor);
  }

  void close() {
    absl::StatusOr<Anchored> closed = builder_.close();
    check(closed.status());
    if (open_anchors_.back() != YAML::NullAnchor) anchors_[open_anchors_.back()] = *std::move(closed);
    open_anchors_.pop_back();
    block_.pop_back();
  }

  Value tagged(const YAML::Mark& at, std::string_view tag, const std::string& text) const {
    const Mark mark = mark_of(at);
    if (tag == "?" || tag.empty()) return resolve_plain(text, mark);
    if (tag == "!") return string(text, mark);
    std::string_view name = tag;
    if (absl::StartsWith(tag, core_tag)) {
      name.remove_prefix(core_tag.size());
      std::optional<Value> value;
      if (name == "str") value = string(text, mark);
      if (name == "null" && is_null_text(text)) value = null(mark);
      if (name == "bool") value = resolve_boolean(text, mark);
      if (name == "int") value = resolve_integer(text, mark);
      if (name == "float") {
        value = resolve_float(text, mark);
        if (value) value = number(value->as_number(), mark);
      }
      if (value) return *value;
      for (const std::string_view known : {"null", "bool", "int", "float"}) {
        if (name == known) stop(at, absl::StrCat("\"", text.substr(0, 60), "\" does not fit the tag !!", name));
      }
    }
    stop(at, absl::StrCat("unknown tag ", tag));
  }

  // yaml-cpp takes text that follows a finished value for a new document, also where a wrong indent or a missing space
  // ended the value too early. A document other than the first must begin with '---', or follow a '...' line.
  void check_separator(const YAML::Mark& mark) const {
    std::size_t line_start = text_.rfind('\n', mark.pos > 0 ? static_cast<std::size_t>(mark.pos) - 1 : 0);
    line_start = line_start == std::string_view::npos || mark.pos == 0 ? 0 : line_start + 1;
    if (absl::StartsWith(text_.substr(line_start), "---")) return;
    while (line_start > 0) {
      const std::size_t end = line_start - 1;
      const std::size_t before = end == 0 ? std::string_view::npos : text_.rfind('\n', end - 1);
      line_start = before == std::string_view::npos ? 0 : before + 1;
      const std::string_view line = text_.substr(line_start, end - line_start);
      if (absl::StartsWith(line, "...") || absl::StartsWith(line, "---")) return;
      const std::size_t content = line.find_first_not_of(" \t\r");
      if (content != std::string_view::npos && line[content] != '#' && line[content] != '%') break;
    }
    stop(mark, "text left over after the end of the value above; is the indent wrong, or a space missing after '-' or ':'?");
  }

  std::string_view text_;
  std::shared_ptr<const std::string> file_;
  Limits limits_;
  TreeBuilder builder_;
  absl::flat_hash_map<YAML::anchor_t, Anchored> anchors_;
  std::vector<YAML::anchor_t> open_anchors_;
  std::vector<bool> block_;  // of each open list or map: a map in block style
  YAML::Mark document_ = YAML::Mark::null_mark();  // where the last document started
  YAML::Mark key_;                                 // the last key
  std::string key_text_;
  std::vector<Value> documents_;
  int started_ = 0;
};

}  // namespace

Value resolve_plain(std::string_view text, Mark mark) {
  if (is_null_text(text)) return null(std::move(mark));
  // Cheap way out for the many words: everything else starts with one of these.
  const char first = text[0];
  if (is_digit(first) || first == '-' || first == '+' || first == '.') {
    if (auto value = resolve_integer(text, mark)) return *value;
    if (auto value = resolve_float(text, mark)) return *value;
  } else if (auto value = resolve_boolean(text, mark)) {
    return *value;
  }
  return string(std::string(text), std::move(mark));
}

absl::StatusOr<std::vector<Value>> parse_yaml(std::string_view text, std::string_view file_name, const Limits& limits) {
  const auto file = std::make_shared<const std::string>(file_name);
  FL_RETURN_IF_ERROR(check_text(text, file, limits));
  ViewBuffer buffer(text);
  std::istream stream(&buffer);
  Handler handler(text, file, limits);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(handler)) {
    }
  } catch (const Stop& stop) {
    return stop.status;
  } catch (const YAML::DeepRecursion& error) {
    return syntax_error(handler.mark_of(error.mark), "nested too deeply");
  } catch (const YAML::Exception& error) {
    return syntax_error(error.mark.is_null() ? Mark{file, 0, 0} : handler.mark_of(error.mark), error.msg);
  } catch (const std::exception& error) {
    return syntax_error(Mark{file, 0, 0}, error.what());
  }
  return handler.take_documents();
}

}  // namespace fairlead::doc
