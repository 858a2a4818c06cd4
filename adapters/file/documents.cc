// Splitting a multi-document text. The whole text is parsed at once when it can be; only when that fails are the
// documents tried one by one, to find the broken ones. See documents.h.
#include "adapters/file/documents.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fairlead::adapters {

namespace {

constexpr size_t kMaxBrokenReported = 100;        // per file; the rest is counted
constexpr size_t kMaxPadding = size_t{32} << 20;  // bytes of newlines spent on exact places

struct Chunk {
  std::string_view text;
  size_t first_line = 0;  // lines before it
};

bool is_marker(std::string_view line, std::string_view marker) {
  return absl::StartsWith(line, marker) && (line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r');
}

bool says_nothing(std::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  return line.empty() || line.front() == '#' || line.front() == '%';
}

// YAML ends a document at a line `---` or `...` even inside a block or quoted scalar, so cutting there is exact.
// What stands before a `---` without being content (comments, %YAML) goes with the document it introduces.
std::vector<Chunk> split(std::string_view text) {
  std::vector<Chunk> chunks;
  size_t begin = 0, begin_line = 0, line_number = 0;
  bool content = false;
  auto cut = [&](size_t end) {
    if (content) chunks.push_back({text.substr(begin, end - begin), begin_line});
    content = false;
  };
  for (size_t at = 0; at < text.size(); ++line_number) {
    size_t end = text.find('\n', at);
    const size_t next = end == std::string_view::npos ? text.size() : end + 1;
    const std::string_view line = text.substr(at, (end == std::string_view::npos ? text.size() : end) - at);
    if (is_marker(line, "---")) {
      const bool introduced = !content;
      cut(at);
      if (!introduced) begin = at, begin_line = line_number;
      content = true;
    } else if (is_marker(line, "...")) {
      cut(at);
      begin = next, begin_line = line_number + 1;
    } else if (!says_nothing(line)) {
      content = true;
    }
    at = next;
  }
  cut(text.size());
  return chunks;
}

doc::Mark shift(doc::Mark mark, size_t lines) {
  if (mark.line > 0) mark.line += static_cast<uint32_t>(lines);
  return mark;
}

// The same value as if `lines` lines had stood before it.
doc::Value shift(const doc::Value& value, size_t lines) {
  const doc::Mark mark = shift(value.mark(), lines);
  switch (value.kind()) {
    case doc::Kind::null:
      return doc::null(mark);
    case doc::Kind::boolean:
      return doc::boolean(value.as_boolean(), mark);
    case doc::Kind::integer:
      return doc::integer(value.as_integer(), mark);
    case doc::Kind::unsigned_integer:
      return doc::unsigned_integer(value.as_unsigned_integer(), mark);
    case doc::Kind::number:
      return doc::number(value.as_number(), mark);
    case doc::Kind::string:
      return doc::string(value.as_string(), mark);
    case doc::Kind::list: {
      std::vector<doc::Value> items;
      for (const doc::Value& item : value.items()) items.push_back(shift(item, lines));
      return doc::list(std::move(items), mark);
    }
    case doc::Kind::map: {
      std::vector<doc::Entry> entries;
      for (const doc::Entry& e : value.entries()) {
        entries.push_back({e.key, shift(e.value, lines), shift(e.key_mark, lines)});
      }
      return doc::map(std::move(entries), mark);
    }
  }
  return value;
}

// "file:line:column: text" as a diagnostic.
Diagnostic syntax_error(const std::string& file, std::string_view text) {
  Diagnostic d{Severity::kError, {}, file, 0, "", ""};
  if (absl::StartsWith(text, file + ":")) {
    text.remove_prefix(file.size() + 1);
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), d.line);
    if (ec == std::errc()) {
      text.remove_prefix(static_cast<size_t>(end - text.data()));
      if (absl::StartsWith(text, ":")) text.remove_prefix(1);
      int column = 0;
      auto [after, failed] = std::from_chars(text.data(), text.data() + text.size(), column);
      if (failed == std::errc()) {
        text.remove_prefix(static_cast<size_t>(after - text.data()));
        if (absl::StartsWith(text, ":")) text.remove_prefix(1);
      }
    }
    if (absl::StartsWith(text, " ")) text.remove_prefix(1);
  }
  d.message = text;
  return d;
}

void add(const doc::Value& value, std::vector<doc::Value>& out) {
  const doc::Value* kind = value.find("kind");
  const doc::Value* api = value.find("apiVersion");
  const doc::Value* items = value.find("items");
  if (kind && api && items && kind->as_string() == "List" && api->as_string() == "v1" && items->is_list()) {
    for (const doc::Value& item : items->items()) out.push_back(item);
  } else if (!value.is_null()) {
    out.push_back(value);
  }
}

// yaml-cpp takes the end of the text for a missing closing quote; an explicit end of the document makes it tell.
std::string with_end(std::string_view text) {
  std::string all(text);
  if (absl::EndsWith(text, "\n")) all += "...\n";
  return all;
}

void read_chunks(std::string_view text, const std::string& file, const doc::Limits& limits, Documents& out) {
  size_t padded = 0, unlisted = 0;
  for (const Chunk& chunk : split(text)) {
    auto values = doc::parse_yaml(with_end(chunk.text), file, limits);
    if (values.ok()) {
      for (const doc::Value& v : *values) add(chunk.first_line ? shift(v, chunk.first_line) : v, out.values);
      continue;
    }
    padded += chunk.first_line;
    if (out.diagnostics.size() >= kMaxBrokenReported || padded > kMaxPadding) {
      ++unlisted;
      continue;
    }
    // Again with the lines before it left empty, so that every line named in the text is right.
    auto again = doc::parse_yaml(std::string(chunk.first_line, '\n') + with_end(chunk.text), file, limits);
    out.diagnostics.push_back(syntax_error(file, (again.ok() ? values : again).status().message()));
  }
  if (unlisted > 0) {
    out.diagnostics.push_back(
        Diagnostic{Severity::kError, {}, file, 0, "", absl::StrCat(unlisted, " more documents cannot be read")});
  }
}

}  // namespace

Documents read_documents(std::string_view text, const std::string& file, const FileLimits& limits) {
  Documents out;
  doc::Limits parse_limits;
  parse_limits.max_bytes = std::max(limits.max_file_bytes * 2, kMaxPadding + limits.max_file_bytes);
  parse_limits.max_depth = static_cast<size_t>(limits.max_document_depth);
  parse_limits.max_nodes = limits.max_document_nodes;
  const bool json = absl::EndsWith(file, ".json");
  auto whole = json ? doc::parse_any(text, file, parse_limits) : doc::parse_yaml(with_end(text), file, parse_limits);
  if (whole.ok()) {
    for (const doc::Value& v : *whole) add(v, out.values);
  } else if (json) {
    out.diagnostics.push_back(syntax_error(file, whole.status().message()));
  } else {
    read_chunks(text, file, parse_limits, out);
    // Only the whole was too big: then the limit is what to report.
    if (out.diagnostics.empty() && out.values.empty()) {
      out.diagnostics.push_back(syntax_error(file, whole.status().message()));
    }
  }
  return out;
}

}  // namespace fairlead::adapters
