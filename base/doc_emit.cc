// Documents as text: YAML in block style and JSON.
// Pure; any thread.
// Invariants: the same value always gives the same text; reading the text back gives an equal value. What is not UTF-8 is
// written as U+FFFD. Words that YAML 1.1 readers take for booleans are quoted, so that every reader agrees.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/doc.h"
#include "base/doc_build.h"

namespace fairlead::doc {
namespace {

// yaml-cpp, like the standard, reads a key without '?' only up to 1,024 characters.
constexpr std::size_t longest_simple_key = 900;

std::string shortest(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // stays a number when read back
  return text;
}

// The inside of a double quoted string, good for JSON and YAML alike.
void append_escaped(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      ++i;
      switch (byte) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
          if (byte < 0x20 || byte == 0x7F) {
            absl::StrAppend(&out, "\\u00", std::string{digits[byte >> 4], digits[byte & 15]});
          } else {
            out.push_back(static_cast<char>(byte));
          }
      }
      continue;
    }
    const std::size_t length = utf8_length(text.substr(i));
    const std::string_view sequence = text.substr(i, std::max<std::size_t>(length, 1));
    if (length == 0) {
      out += "\\ufffd";
    } else if (sequence == "\xC2\x85") {  // these four are line breaks or marks to some YAML readers
      out += "\\u0085";
    } else if (sequence == "\xE2\x80\xA8") {
      out += "\\u2028";
    } else if (sequence == "\xE2\x80\xA9") {
      out += "\\u2029";
    } else if (sequence == "\xEF\xBB\xBF") {
      out += "\\ufeff";
    } else {
      out += sequence;
    }
    i += sequence.size();
  }
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text);
  out += '"';
  return out;
}

bool yaml11_word(std::string_view text) {
  for (const std::string_view word : {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}) {
    if (text.size() == word.size() && absl::AsciiStrToLower(text) == word) return true;
  }
  return false;
}

// Whether the text may stand unquoted, for this reader and for YAML 1.1's.
bool plain(std::string_view text) {
  if (text.empty() || text.size() > 500) return false;
  const char first = text.front();
  const bool digit_first = absl::ascii_isdigit(static_cast<unsigned char>(first));
  if (!digit_first && !absl::ascii_isalpha(static_cast<unsigned char>(first)) && first != '_' && first != '/') return false;
  bool letter = false;
  int dots = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    letter = letter || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '/';
    dots += c == '.';
    if (c == ' ' && (i + 1 == text.size() || text[i + 1] == ' ')) return false;
    if (c == ':' && (digit_first || i + 1 == text.size() || text[i + 1] == ' ')) return false;
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && std::string_view(" _./@%+=~-:,*()$<>;").find(c) == std::string_view::npos) {
      return false;
    }
  }
  // Without a telling letter a number, date or 1.1 sexagesimal may be meant; two dots make an address.
  if (digit_first && !letter && dots < 2) return false;
  return !yaml11_word(text) && resolve_plain(text, {}).is_string();
}

// Whether the text may stand as a literal block.
bool block(std::string_view text) {
  const std::size_t line_break = text.find('\n');
  if (line_break == std::string_view::npos || line_break == 0 || text.front() == ' ' || text.front() == '\t') return false;
  if (text.ends_with("\n\n")) return false;
  std::string escaped;
  append_escaped(escaped, text);
  // Escapes other than for line breaks, quotes and backslashes are characters that a block cannot carry.
  for (std::size_t i = 0; i + 1 < escaped.size(); ++i) {
    if (escaped[i] != '\\') continue;
    ++i;
    if (escaped[i] != 'n' && escaped[i] != '"' && escaped[i] != '\\') return false;
  }
  return true;
}

class YamlWriter {
 public:
  void document(const Value& value) {
    if (value.size() == 0) {
      out_ += inline_text(value);
      out_ += '\n';
    } else {
      collection(value, 0, false);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string inline_text(const Value& value) {
    switch (value.kind()) {
      case Kind::null: return "null";
      case Kind::boolean: return value.as_boolean() ? "true" : "false";
      case Kind::integer: return absl::StrCat(value.as_integer());
      case Kind::unsigned_integer: return absl::StrCat(value.as_unsigned_integer());
      case Kind::number:
        if (std::isnan(value.as_number())) return ".nan";
        if (std::isinf(value.as_number())) return value.as_number() > 0 ? ".inf" : "-.inf";
        return shortest(value.as_number());
      case Kind::string: return plain(value.as_string()) ? value.as_string() : quoted(value.as_string());
      case Kind::list: return "[]";
      case Kind::map: return "{}";
    }
    return "";
  }

  // After "key:" or "-": the rest of the line, and the lines below it.
  void scalar(const Value& value, std::size_t indent) {
    out_ += ' ';
    if (!value.is_string() || !block(value.as_string())) {
      out_ += inline_text(value);
      out_ += '\n';
      return;
    }
    std::string_view text = value.as_string();
    out_ += text.ends_with('\n') ? "|\n" : "|-\n";
    if (text.ends_with('\n')) text.remove_suffix(1);
    for (;;) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      if (!line.empty()) {
        out_.append(indent + 2, ' ');
        out_ += line;
      }
      out_ += '\n';
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
    }
  }

  void key(const std::string& key) {
    const std::string text = plain(key) ? key : quoted(key);
    if (text.size() <= longest_simple_key) {
      absl::StrAppend(&out_, text, ":");
    } else {
      absl::StrAppend(&out_, "? ", text, "\n");
    }
  }

  // `started`: the first line already stands behind a "- ".
  void collection(const Value& value, std::size_t indent, bool started) {
    const auto pad = [&] {
      if (!started) out_.append(indent, ' ');
      started = false;
    };
    for (const Value& item : value.items()) {
      pad();
      out_ += '-';
      if (item.size() == 0) {
        scalar(item, indent);
      } else {
        out_ += ' ';
        collection(item, indent + 2, true);
      }
    }
    for (const Entry& entry : value.entries()) {
      pad();
      const std::size_t before = out_.size();
      key(entry.key);
      if (out_[before] == '?') {
        pad();
        out_ += ':';
      }
      if (entry.value.size() == 0) {
        scalar(entry.value, indent);
      } else {
        out_ += '\n';
        collection(entry.value, indent + (entry.value.is_map() ? 2 : 0), false);
      }
    }
  }

  std::string out_;
};

class JsonWriter {
 public:
  explicit JsonWriter(bool pretty) : pretty_(pretty) {}

  void write(const Value& value, std::size_t depth) {
    switch (value.kind()) {
      case Kind::null: out_ += "null"; return;
      case Kind::boolean: out_ += value.as_boolean() ? "true" : "false"; return;
      case Kind::integer: absl::StrAppend(&out_, value.as_integer()); return;
      case Kind::unsigned_integer: absl::StrAppend(&out_, value.as_unsigned_integer()); return;
      case Kind::number: return write_number(value.as_number());
      case Kind::string: return write_string(value.as_string());
      case Kind::list: {
        out_ += '[';
        bool first = true;
        for (const Value& item : value.items()) {
          next(first, depth + 1);
          write(item, depth + 1);
        }
        return end(first, depth, ']');
      }
      case Kind::map: {
        out_ += '{';
        bool first = true;
        for (const Entry& entry : value.entries()) {
          next(first, depth + 1);
          write_string(entry.key);
          out_ += pretty_ ? ": " : ":";
          write(entry.value, depth + 1);
        }
        return end(first, depth, '}');
      }
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void write_string(std::string_view text) {
    out_ += '"';
    append_escaped(out_, text);
    out_ += '"';
  }
  void write_number(double value) {
    if (std::isnan(value)) {
      out_ += "\"NaN\"";
    } else if (std::isinf(value)) {
      out_ += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    } else {
      out_ += shortest(value);
    }
  }
  void next(bool& first, std::size_t depth) {
    if (!first) out_ += ',';
    first = false;
    line(depth);
  }
  void end(bool empty, std::size_t depth, char bracket) {
    if (!empty) line(depth);
    out_ += bracket;
  }
  void line(std::size_t depth) {
    if (!pretty_) return;
    out_ += '\n';
    out_.append(depth * 2, ' ');
  }

  bool pretty_;
  std::string out_;
};

}  // namespace

std::string to_yaml(const Value& value) {
  YamlWriter writer;
  writer.document(value);
  return writer.take();
}

std::string to_json(const Value& value, bool pretty) {
  JsonWriter writer(pretty);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace fairlead::doc
