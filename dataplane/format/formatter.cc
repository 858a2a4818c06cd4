// Formatter and JsonFormatter: parse to operations, render them. See formatter.h.
#include "dataplane/format/formatter.h"

#include <map>

#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>

#include "base/status.h"
#include "dataplane/format/metadata.h"
#include "dataplane/format/ops.h"

namespace fairlead::format {

// Envoy 1.40, the default of every access log without a format.
const std::string_view default_access_log_format =
    "[%START_TIME%] \"%REQUEST_HEADER(:METHOD)% %REQUEST_HEADER(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESPONSE_HEADER(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQUEST_HEADER(X-FORWARDED-FOR)%\" "
    "\"%REQUEST_HEADER(USER-AGENT)%\" \"%REQUEST_HEADER(X-REQUEST-ID)%\" \"%REQUEST_HEADER(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

absl::StatusOr<Formatter> Formatter::parse(std::string_view format, bool omit_empty) {
  FL_ASSIGN_OR_RETURN(std::vector<Op> ops, parse_ops(format));
  Formatter formatter;
  formatter.omit_empty_ = omit_empty;
  for (const Op& op : ops) {
    formatter.literal_ &= op.code == OpCode::Literal;
    formatter.reads_response_ |= op.reads_response;
  }
  if (formatter.literal_ && !ops.empty()) formatter.text_ = ops.front().text;
  formatter.ops_ = std::make_shared<const std::vector<Op>>(std::move(ops));
  return formatter;
}

Formatter Formatter::literal(std::string_view text) {
  Formatter formatter;
  formatter.text_ = std::string(text);
  Op op;
  op.text = formatter.text_;
  formatter.ops_ = std::make_shared<const std::vector<Op>>(1, std::move(op));
  return formatter;
}

void Formatter::render(const FormatContext& context, std::string& out) const {
  if (ops_ == nullptr) return;
  for (const Op& op : *ops_) {
    if (!emit(op, context, false, out) && !omit_empty_) out.push_back('-');
  }
}

std::string Formatter::render(const FormatContext& context) const {
  std::string out;
  render(context, out);
  return out;
}

void append_json_string(std::string_view text, std::string& out) {
  static constexpr char hex[] = "0123456789abcdef";
  out.push_back('"');
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    switch (c) {
      case '"': out.append("\\\""); continue;
      case '\\': out.append("\\\\"); continue;
      case '\n': out.append("\\n"); continue;
      case '\r': out.append("\\r"); continue;
      case '\t': out.append("\\t"); continue;
      case '\b': out.append("\\b"); continue;
      case '\f': out.append("\\f"); continue;
      default: break;
    }
    if (c < 0x20 || c == 0x7f) {
      out.append("\\u00");
      out.push_back(hex[c >> 4]);
      out.push_back(hex[c & 15]);
      continue;
    }
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
      continue;
    }
    const size_t length = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc2 && c < 0xe0 ? 2 : 0;
    bool valid = length != 0 && i + length <= text.size();
    for (size_t k = 1; valid && k < length; ++k) valid = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    if (valid && length >= 3) {
      const auto second = static_cast<unsigned char>(text[i + 1]);
      if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f)) valid = false;
    }
    if (valid) {
      out.append(text.substr(i, length));
      i += length - 1;
    } else {
      out.append("\xef\xbf\xbd");
    }
  }
  out.push_back('"');
}

// A run of fixed JSON text followed by at most one value.
struct JsonFormatter::Piece {
  std::string text;
  std::vector<Op> ops;  // empty: no value
  bool typed = false;   // one operator alone: numbers, null and JSON keep their type
  bool omit_empty = false;
};

namespace {

template <typename Piece>
struct JsonCompiler {
  std::vector<Piece> pieces;
  std::string text;
  bool omit_empty = false;

  absl::Status value(const google::protobuf::Value& value) {
    switch (value.kind_case()) {
      case google::protobuf::Value::kStringValue: return leaf(value.string_value());
      case google::protobuf::Value::kStructValue: return object(value.struct_value());
      case google::protobuf::Value::kListValue: {
        text.push_back('[');
        bool first = true;
        for (const auto& item : value.list_value().values()) {
          if (!first) text.push_back(',');
          first = false;
          FL_RETURN_IF_ERROR(this->value(item));
        }
        text.push_back(']');
        return absl::OkStatus();
      }
      default: append_json(value, text); return absl::OkStatus();
    }
  }

  absl::Status object(const google::protobuf::Struct& object) {
    std::map<std::string_view, const google::protobuf::Value*> sorted;
    for (const auto& [key, field] : object.fields()) sorted.emplace(key, &field);
    text.push_back('{');
    bool first = true;
    for (const auto& [key, field] : sorted) {
      if (!first) text.push_back(',');
      first = false;
      append_json_string(key, text);
      text.push_back(':');
      FL_RETURN_IF_ERROR(fairlead::prefix(key, value(*field)));
    }
    text.push_back('}');
    return absl::OkStatus();
  }

  absl::Status leaf(const std::string& format) {
    FL_ASSIGN_OR_RETURN(std::vector<Op> ops, parse_ops(format));
    bool fixed = true;
    for (const Op& op : ops) fixed &= op.code == OpCode::Literal;
    if (fixed) {
      append_json_string(ops.empty() ? std::string_view() : std::string_view(ops.front().text), text);
      return absl::OkStatus();
    }
    Piece piece;
    piece.text = std::move(text);
    text.clear();
    piece.typed = ops.size() == 1;
    piece.omit_empty = omit_empty;
    piece.ops = std::move(ops);
    pieces.push_back(std::move(piece));
    return absl::OkStatus();
  }
};

}  // namespace

absl::StatusOr<JsonFormatter> JsonFormatter::parse(const google::protobuf::Struct& format, bool omit_empty) {
  JsonCompiler<Piece> compiler;
  compiler.omit_empty = omit_empty;
  FL_RETURN_IF_ERROR(compiler.object(format));
  compiler.text.push_back('\n');
  Piece last;
  last.text = std::move(compiler.text);
  compiler.pieces.push_back(std::move(last));
  JsonFormatter formatter;
  formatter.pieces_ = std::make_shared<const std::vector<Piece>>(std::move(compiler.pieces));
  return formatter;
}

void JsonFormatter::render(const FormatContext& context, std::string& out) const {
  std::string scratch;
  for (const Piece& piece : *pieces_) {
    out.append(piece.text);
    if (piece.ops.empty()) continue;
    if (piece.typed) {
      const Op& op = piece.ops.front();
      if (op.kind != ValueKind::String) {
        if (!emit(op, context, true, out)) out.append("null");
        continue;
      }
      scratch.clear();
      if (emit(op, context, true, scratch)) {
        append_json_string(scratch, out);
      } else {
        out.append("null");
      }
      continue;
    }
    scratch.clear();
    for (const Op& op : piece.ops) {
      if (!emit(op, context, false, scratch) && !piece.omit_empty) scratch.push_back('-');
    }
    append_json_string(scratch, out);
  }
}

}  // namespace fairlead::format
