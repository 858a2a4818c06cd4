// Formatters for access logs and header values: a format string is parsed once to a list of operations and then
// rendered into a caller's buffer from a FormatContext. Pure; parse on the main thread, render on any worker.
// Invariant: a Formatter is immutable after parse, and render neither throws nor touches anything but `out`.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/format/context.h"

namespace google::protobuf {
class Struct;
}

namespace fairlead::format {

struct Op;  // one literal or operator, private to the room (format/ops.h)

// Envoy 1.40's default access log line, with the final newline.
extern const std::string_view default_access_log_format;

class Formatter {
 public:
  // `omit_empty`: an unset value prints as nothing instead of "-".
  // Errors carry Envoy's own texts, e.g. "Not supported field in StreamInfo: BOGUS".
  static absl::StatusOr<Formatter> parse(std::string_view format, bool omit_empty = false);
  static Formatter literal(std::string_view text);

  void render(const FormatContext& context, std::string& out) const;  // appends
  std::string render(const FormatContext& context) const;

  // A format without operators: its text never changes, so callers may keep `text()` and skip render.
  bool is_literal() const { return literal_; }
  const std::string& text() const { return text_; }  // of a literal, with %% unescaped

  // True when an operator reads the response side (such a header value is only meaningful after a response).
  bool reads_response() const { return reads_response_; }

 private:
  friend class JsonFormatter;
  std::shared_ptr<const std::vector<Op>> ops_;
  std::string text_;
  bool literal_ = true;
  bool omit_empty_ = false;
  bool reads_response_ = false;
};

// A JSON object whose string leaves are format strings. Keys are printed sorted, as Envoy 1.40 does; a leaf that is exactly one
// operator keeps its type (numbers stay numbers, unset is null), other leaves are strings.
class JsonFormatter {
 public:
  static absl::StatusOr<JsonFormatter> parse(const google::protobuf::Struct& format, bool omit_empty = false);
  void render(const FormatContext& context, std::string& out) const;  // appends the object and a newline

 private:
  struct Piece;
  std::shared_ptr<const std::vector<Piece>> pieces_;
};

// Appends `text` as a JSON string with quotes; invalid UTF-8 bytes become U+FFFD, so that a log line always parses.
void append_json_string(std::string_view text, std::string& out);

}  // namespace fairlead::format
