// Headers of one line; see inline_headers.h.
#include "dataplane/http/inline_headers.h"

#include <array>

namespace fairlead::http {
namespace {

using Set = std::array<bool, kTokenCount>;

constexpr Set set_of(std::initializer_list<Token> tokens) {
  Set set{};
  for (Token token : tokens) set[static_cast<size_t>(token)] = true;
  return set;
}

constexpr Set kRequest = set_of({
    Token::Accept, Token::AcceptEncoding, Token::AccessControlRequestMethod, Token::Authorization, Token::CacheControl, Token::ContentType,
    Token::Expect, Token::GrpcTimeout, Token::IfNoneMatch, Token::Origin, Token::Referer, Token::Te, Token::UserAgent, Token::Via,
    Token::XClientTraceId, Token::XEnvoyDecoratorOperation, Token::XEnvoyExpectedRqTimeoutMs, Token::XEnvoyExternalAddress,
    Token::XEnvoyInternal, Token::XEnvoyMaxRetries, Token::XEnvoyOriginalHost, Token::XEnvoyOriginalPath, Token::XEnvoyRetriableHeaderNames,
    Token::XEnvoyRetriableStatusCodes, Token::XEnvoyRetryGrpcOn, Token::XEnvoyRetryOn, Token::XEnvoyUpstreamAltStatName,
    Token::XEnvoyUpstreamRqPerTryTimeoutMs, Token::XEnvoyUpstreamRqTimeoutMs, Token::XForwardedClientCert, Token::XForwardedFor,
    Token::XForwardedHost, Token::XForwardedPort, Token::XForwardedProto, Token::XRequestId});

constexpr Set kResponse = set_of({
    Token::AccessControlAllowOrigin, Token::Age, Token::CacheControl, Token::ContentEncoding, Token::ContentType, Token::Date, Token::Etag,
    Token::GrpcMessage, Token::GrpcStatus, Token::LastModified, Token::Location, Token::Server, Token::Vary, Token::Via,
    Token::XEnvoyAttemptCount, Token::XEnvoyDecoratorOperation, Token::XEnvoyImmediateHealthCheckFail, Token::XEnvoyOverloaded,
    Token::XEnvoyRatelimited, Token::XEnvoyUpstreamServiceTime, Token::XRequestId});

const Set& set_for(MessageKind kind) { return kind == MessageKind::kRequest ? kRequest : kResponse; }

}  // namespace

bool is_inline(std::string_view name, MessageKind kind) {
  const Token token = token_of(name);
  if (token != Token::Other) return set_for(kind)[static_cast<size_t>(token)];
  if (kind == MessageKind::kRequest) return name == "pragma";
  return name == "expires" || name == "access-control-expose-headers";
}

void add_value(HeaderMap& headers, std::string_view name, std::string_view value, MessageKind kind) {
  if (headers.has(name) && is_inline(name, kind)) {
    headers.append(name, value);
  } else {
    headers.add(name, value);
  }
}

void join_repeated(HeaderMap& headers, MessageKind kind) {
  const Set& set = set_for(kind);
  for (uint32_t i = 0; i < headers.size();) {
    const Header& h = headers[i];
    if (!set[static_cast<size_t>(h.token())] || headers.find(h.token()) == &h) {
      ++i;
      continue;
    }
    const Token token = h.token();
    headers.set_ref(token, *headers.joined(h.name()));  // in the first's place; the others are gone, so what follows stands at i now
  }
}

}  // namespace fairlead::http
