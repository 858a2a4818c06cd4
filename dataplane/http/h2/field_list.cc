// Outgoing header lists (field_list.h).
#include "dataplane/http/h2/field_list.h"

#include <vector>

#include "dataplane/http/status.h"

namespace fairlead::h2 {

namespace {

using http::Header;
using http::HeaderMap;
using http::Token;

// Names are lower case in a HeaderMap and its bytes outlive the encoding: nghttp2 copies nothing.
constexpr uint8_t kNoCopy = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;

thread_local std::vector<nghttp2_nv> scratch;

uint8_t* bytes(std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); }

void put(std::string_view name, std::string_view value) {
  scratch.push_back({bytes(name), bytes(value), name.size(), value.size(), kNoCopy});
}

void put(Token token, std::string_view value) { put(http::token_name(token), value); }

bool is_word(std::string_view text, std::string_view lower_case_word) {
  if (text.size() != lower_case_word.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
    if (c != lower_case_word[i]) return false;
  }
  return true;
}

bool has_element(std::string_view list, std::string_view lower_case_word) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) element.remove_prefix(1);
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) element.remove_suffix(1);
    if (is_word(element, lower_case_word)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// Everything but pseudo-headers and what belongs to an HTTP/1 connection.
void put_regular(const HeaderMap& headers) {
  for (const Header& h : headers) {
    switch (h.token()) {
      case Token::Other:
        if (h.is_pseudo()) continue;
        break;
      case Token::PseudoAuthority:
      case Token::PseudoMethod:
      case Token::PseudoPath:
      case Token::PseudoProtocol:
      case Token::PseudoScheme:
      case Token::PseudoStatus:
      case Token::Connection:
      case Token::Host:
      case Token::Http2Settings:
      case Token::KeepAlive:
      case Token::ProxyConnection:
      case Token::TransferEncoding:
      case Token::Upgrade:
        continue;
      case Token::Te:
        if (!has_element(h.value(), "trailers")) continue;
        put(Token::Te, "trailers");
        continue;
      default:
        break;
    }
    put(h.name(), h.value());
  }
}

FieldList list() { return {scratch.data(), scratch.size()}; }

}  // namespace

FieldList response_fields(const HeaderMap& headers, unsigned status, bool upgraded) {
  scratch.clear();
  put(Token::PseudoStatus, http::status_text(upgraded && status == 101 ? 200 : status));
  put_regular(headers);
  return list();
}

std::string_view upgrade_of(const HeaderMap& headers) {
  const Header* upgrade = headers.find(Token::Upgrade);
  if (upgrade == nullptr || upgrade->value().empty()) return {};
  const Header* connection = headers.find(Token::Connection);
  return connection != nullptr && has_element(connection->value(), "upgrade") ? upgrade->value() : std::string_view();
}

FieldList request_fields(const HeaderMap& headers, std::string_view upgrade) {
  scratch.clear();
  const std::string_view method = upgrade.empty() ? headers.get(Token::PseudoMethod) : std::string_view("CONNECT");
  put(Token::PseudoMethod, method);
  const bool plain_connect = upgrade.empty() && method == "CONNECT" && !headers.has(Token::PseudoProtocol);
  if (!plain_connect) {
    const Header* scheme = headers.find(Token::PseudoScheme);
    put(Token::PseudoScheme, scheme != nullptr ? scheme->value() : std::string_view("http"));
    const std::string_view path = headers.get(Token::PseudoPath);
    put(Token::PseudoPath, path.empty() ? std::string_view("/") : path);
  }
  const Header* authority = headers.find(Token::PseudoAuthority);
  put(Token::PseudoAuthority, authority != nullptr ? authority->value() : headers.get(Token::Host));
  if (!upgrade.empty()) {
    put(Token::PseudoProtocol, upgrade);
  } else if (const Header* protocol = headers.find(Token::PseudoProtocol); protocol != nullptr) {
    put(Token::PseudoProtocol, protocol->value());
  }
  put_regular(headers);
  return list();
}

FieldList trailer_fields(const HeaderMap& headers) {
  scratch.clear();
  put_regular(headers);
  return list();
}

}  // namespace fairlead::h2
