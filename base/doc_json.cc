// Strict JSON (RFC 8259) with places, and the choice between JSON and YAML.
// Recursive descent; one thread per parse.
// Invariant: recursion is bounded by Limits::max_depth, itself held under a bound that no stack minds.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/doc.h"
#include "base/doc_build.h"
#include "base/status.h"

namespace fairlead::doc {
namespace {

constexpr std::size_t depth_bound = 2000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

class JsonParser {
 public:
  JsonParser(std::string_view text, std::shared_ptr<const std::string> file, const Limits& limits)
      : text_(text), file_(std::move(file)), builder_(limits) {}

  absl::StatusOr<Value> parse() {
    skip_space();
    if (at_ == text_.size()) return error("expected a value, got the end of the text");
    FL_RETURN_IF_ERROR(value());
    skip_space();
    if (at_ != text_.size()) return error("text left over after the value");
    return *std::move(builder_.root());
  }

 private:
  Mark mark() const { return {file_, line_, static_cast<std::uint32_t>(at_ - line_start_ + 1)}; }
  absl::Status error(std::string_view text) const { return syntax_error(mark(), text); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  void skip_space() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        line_start_ = at_ + 1;
      } else if (c != ' ' && c != '\t' && c != '\r') {
        return;
      }
    }
  }

  absl::Status value() {
    const Mark place = mark();
    const char c = peek();
    if (c == '{') return object(place);
    if (c == '[') return array(place);
    if (c == '"') {
      FL_ASSIGN_OR_RETURN(std::string text, quoted());
      const std::size_t size = text.size();
      return builder_.scalar(string(std::move(text), place), size);
    }
    if (c == '-' || is_digit(c)) return numeric(place);
    const std::string_view rest = text_.substr(at_);
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!absl::StartsWith(rest, word)) continue;
      at_ += word.size();
      return builder_.scalar(word == "null" ? null(place) : boolean(word == "true", place), 0);
    }
    return error(at_ == text_.size() ? "expected a value, got the end of the text" : "expected a value");
  }

  absl::Status object(const Mark& place) {
    FL_RETURN_IF_ERROR(builder_.open(true, place));
    ++at_;
    skip_space();
    if (!take('}')) {
      do {
        skip_space();
        const Mark key_mark = mark();
        if (peek() != '"') return error("expected a key in double quotes");
        FL_ASSIGN_OR_RETURN(std::string key, quoted());
        skip_space();
        if (!take(':')) return error("expected ':' after the key");
        FL_RETURN_IF_ERROR(builder_.key(std::move(key), key_mark));
        skip_space();
        FL_RETURN_IF_ERROR(value());
        skip_space();
      } while (take(','));
      if (!take('}')) return error("expected ',' or '}'");
    }
    return builder_.close().status();
  }

  absl::Status array(const Mark& place) {
    FL_RETURN_IF_ERROR(builder_.open(false, place));
    ++at_;
    skip_space();
    if (!take(']')) {
      do {
        skip_space();
        FL_RETURN_IF_ERROR(value());
        skip_space();
      } while (take(','));
      if (!take(']')) return error("expected ',' or ']'");
    }
    return builder_.close().status();
  }

  absl::Status numeric(const Mark& place) {
    const std::size_t start = at_;
    take('-');
    if (!is_digit(peek())) return error("expected a digit");
    if (take('0')) {
      if (is_digit(peek())) return error("a number cannot start with 0");
    }
    while (is_digit(peek())) ++at_;
    bool whole = true;
    if (take('.')) {
      whole = false;
      if (!is_digit(peek())) return error("expected a digit after '.'");
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit(peek())) return error("expected a digit in the exponent");
      while (is_digit(peek())) ++at_;
    }
    const std::string_view digits = text_.substr(start, at_ - start);
    std::int64_t small = 0;
    std::uint64_t large = 0;
    double real = 0;
    if (whole && absl::SimpleAtoi(digits, &small)) return builder_.scalar(integer(small, place), 0);
    if (whole && absl::SimpleAtoi(digits, &large)) return builder_.scalar(unsigned_integer(large, place), 0);
    (void)absl::SimpleAtod(digits, &real);  // the form is checked; out of range gives an infinity or zero
    return builder_.scalar(number(real, place), 0);
  }

  absl::StatusOr<std::string> quoted() {
    std::string out;
    ++at_;
    for (;;) {
      const std::size_t stop = std::min(text_.find_first_of("\"\\\n\r\t", at_), text_.size());
      out.append(text_.substr(at_, stop - at_));
      at_ = stop;
      if (at_ == text_.size()) return error("the string has no closing quote");
      if (take('"')) return out;
      if (!take('\\')) return error("a line break or tab inside a string must be escaped");
      FL_RETURN_IF_ERROR(escape(out));
    }
  }

  absl::Status escape(std::string& out) {
    static constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
    const char c = peek();
    if (const std::size_t i = names.find(c); i != std::string_view::npos && at_ < text_.size()) {
      ++at_;
      out.push_back(values[i]);
      return absl::OkStatus();
    }
    if (!take('u')) return error("unknown escape in a string");
    FL_ASSIGN_OR_RETURN(std::uint32_t code, hex4());
    if (code >= 0xDC00 && code <= 0xDFFF) return error("a low surrogate without its high one");
    if (code >= 0xD800 && code <= 0xDBFF) {
      if (!take('\\') || !take('u')) return error("a high surrogate without its low one");
      FL_ASSIGN_OR_RETURN(const std::uint32_t low, hex4());
      if (low < 0xDC00 || low > 0xDFFF) return error("a high surrogate without its low one");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
    return absl::OkStatus();
  }

  absl::StatusOr<std::uint32_t> hex4() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      if (is_digit(c)) {
        code = code << 4 | static_cast<std::uint32_t>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        code = code << 4 | static_cast<std::uint32_t>((c | 0x20) - 'a' + 10);
      } else {
        return error("expected four hexadecimal digits");
      }
    }
    return code;
  }

  std::string_view text_;
  std::shared_ptr<const std::string> file_;
  TreeBuilder builder_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
};

}  // namespace

absl::StatusOr<Value> parse_json(std::string_view text, std::string_view file_name, const Limits& limits) {
  const auto file = std::make_shared<const std::string>(file_name);
  FL_RETURN_IF_ERROR(check_text(text, file, limits));
  if (constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF"; absl::StartsWith(text, byte_order_mark)) {
    text.remove_prefix(byte_order_mark.size());
  }
  Limits bounded = limits;
  bounded.max_depth = std::min(limits.max_depth, depth_bound);
  return JsonParser(text, file, bounded).parse();
}

absl::StatusOr<std::vector<Value>> parse_any(std::string_view text, std::string_view file_name, const Limits& limits) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool named_json = absl::EndsWithIgnoreCase(file_name, ".json");
  if (named_json || (first != std::string_view::npos && (text[first] == '{' || text[first] == '['))) {
    absl::StatusOr<Value> value = parse_json(text, file_name, limits);
    if (value.ok()) return std::vector<Value>{*std::move(value)};
    if (named_json) return value.status();
  }
  return parse_yaml(text, file_name, limits);
}

absl::StatusOr<Value> parse_one(std::string_view text, std::string_view file_name, const Limits& limits) {
  FL_ASSIGN_OR_RETURN(std::vector<Value> documents, parse_any(text, file_name, limits));
  if (documents.size() > 1) return syntax_error(documents[1].mark(), "a second document; expected one");
  if (documents.empty()) return map({}, Mark{std::make_shared<const std::string>(file_name), 1, 1});
  return std::move(documents.front());
}

}  // namespace fairlead::doc
