// Builds local replies; see local_reply.h.
#include "dataplane/stream/local_reply.h"

#include <absl/strings/str_cat.h>

#include "dataplane/http/status.h"
#include "dataplane/stream/stream.h"

namespace fairlead::stream {
namespace {

using http::Token;

using Format = std::variant<format::Formatter, format::JsonFormatter>;

void render(const Format& format, const format::FormatContext& context, std::string& out) {
  std::visit([&](const auto& f) { f.render(context, out); }, format);
}

struct Body {
  std::string text;
  std::string content_type = "text/plain";
};

std::string type_of(const Format& format, const std::string& configured) {
  if (!configured.empty()) return configured;
  return std::holds_alternative<format::JsonFormatter>(format) ? "application/json" : "text/plain";
}

// The first mapper that matches may change status and body; then a format, the mapper's or the general one, wraps the body.
uint32_t apply_config(const config::LocalReplyConfig& config, uint32_t status, format::FormatContext& context, uint64_t random, const matching::Runtime* runtime,
                      http::HeaderMap& headers, Body& body) {
  const Format* format = config.body_format ? &*config.body_format : nullptr;
  std::string content_type = config.content_type;
  for (const config::LocalReplyMapper& mapper : config.mappers) {
    if (!mapper.filter.match({.context = &context, .random = random, .runtime = runtime})) continue;
    if (mapper.status_code) context.response_code = status = *mapper.status_code;
    if (mapper.body) body.text = *mapper.body;
    if (mapper.body_format) {
      format = &*mapper.body_format;
      content_type = mapper.content_type;
    }
    mapper.headers.apply(headers, context);
    break;
  }
  if (format != nullptr) {
    std::string text;
    context.local_reply_body = body.text;
    render(*format, context, text);
    context.local_reply_body = {};
    body.text = std::move(text);
    body.content_type = type_of(*format, content_type);
  }
  return status;
}

}  // namespace

void append_grpc_message(std::string_view text, std::string& out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const unsigned char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
}

std::string_view make_local_reply(const LocalReply& reply, const config::HcmConfig& config, bool grpc, bool head, format::FormatContext& context, uint64_t random,
                                  const matching::Runtime* runtime, http::HeaderMap& headers) {
  http::Arena& arena = headers.arena();
  Body body{std::string(reply.body)};
  uint32_t status = reply.status;
  context.response_code = status;
  headers.add_ref(Token::PseudoStatus, http::status_text(status));
  if (reply.modify_headers) reply.modify_headers(headers);
  if (config.local_reply) {
    context.response_headers = &headers;
    status = apply_config(*config.local_reply, status, context, random, runtime, headers, body);
  }
  if (grpc) {
    headers.set_ref(Token::PseudoStatus, "200");
    headers.set_ref(Token::ContentType, "application/grpc");
    headers.set(Token::GrpcStatus, absl::StrCat(reply.grpc_status.value_or(grpc_status_of_http(status))));
    if (!body.text.empty() && !head) {
      std::string message;
      append_grpc_message(body.text, message);
      headers.set(Token::GrpcMessage, message);
    }
    return {};
  }
  headers.set_ref(Token::PseudoStatus, http::status_text(status));
  if (!body.text.empty()) {
    headers.set(Token::ContentLength, absl::StrCat(body.text.size()));
    if (!headers.has(Token::ContentType) || body.content_type != "text/plain") headers.set(Token::ContentType, body.content_type);
  } else {
    headers.remove(Token::ContentLength);
    headers.remove(Token::ContentType);
  }
  return head ? std::string_view() : arena.copy(body.text);
}

}  // namespace fairlead::stream
