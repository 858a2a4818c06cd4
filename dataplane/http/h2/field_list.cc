// Outgoing header lists (field_list.h).
#include "dataplane/http/h2/field_list.h"

#include <vector>

#include <absl/strings/match.h>

#include "dataplane/http/status.h"

namespace fairlead::h2 {

namespace {

using http::Header;
using http::HeaderMap;
using http::Token;

class List {
 public:
  List(const HeaderMap& headers, std::vector<OutField>& scratch) : fields_(scratch) {
    fields_.clear();
    fields_.reserve(headers.size() + kMostPseudo);
  }
  void put(Token token, std::string_view name, std::string_view value) { fields_.push_back({name, value, token}); }
  void put(Token token, std::string_view value) { put(token, http::token_name(token), value); }
  void put_regular(const HeaderMap& headers);
  FieldList done() const { return {fields_.data(), fields_.size()}; }

 private:
  static constexpr size_t kMostPseudo = 6;
  std::vector<OutField>& fields_;
};

thread_local std::vector<OutField> head_scratch, trailer_scratch;

bool has_element(std::string_view list, std::string_view lower_case_word) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) element.remove_prefix(1);
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) element.remove_suffix(1);
    if (absl::EqualsIgnoreCase(element, lower_case_word)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// Everything but pseudo-headers and what belongs to an HTTP/1 connection.
void List::put_regular(const HeaderMap& headers) {
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
    put(h.token(), h.name(), h.value());
  }
}

}  // namespace

FieldList response_fields(const HeaderMap& headers, unsigned status, bool upgraded) {
  List list(headers, head_scratch);
  list.put(Token::PseudoStatus, http::status_text(upgraded && status == 101 ? 200 : status));
  list.put_regular(headers);
  return list.done();
}

std::string_view upgrade_of(const HeaderMap& headers) {
  const Header* upgrade = headers.find(Token::Upgrade);
  if (upgrade == nullptr || upgrade->value().empty()) return {};
  const Header* connection = headers.find(Token::Connection);
  return connection != nullptr && has_element(connection->value(), "upgrade") ? upgrade->value() : std::string_view();
}

FieldList request_fields(const HeaderMap& headers, std::string_view upgrade) {
  List list(headers, head_scratch);
  const std::string_view method = upgrade.empty() ? headers.get(Token::PseudoMethod) : std::string_view("CONNECT");
  list.put(Token::PseudoMethod, method);
  const bool plain_connect = upgrade.empty() && method == "CONNECT" && !headers.has(Token::PseudoProtocol);
  if (!plain_connect) {
    const Header* scheme = headers.find(Token::PseudoScheme);
    list.put(Token::PseudoScheme, scheme != nullptr ? scheme->value() : std::string_view("http"));
    const std::string_view path = headers.get(Token::PseudoPath);
    list.put(Token::PseudoPath, path.empty() ? std::string_view("/") : path);
  }
  const Header* authority = headers.find(Token::PseudoAuthority);
  list.put(Token::PseudoAuthority, authority != nullptr ? authority->value() : headers.get(Token::Host));
  if (!upgrade.empty()) {
    list.put(Token::PseudoProtocol, upgrade);
  } else if (const Header* protocol = headers.find(Token::PseudoProtocol); protocol != nullptr) {
    list.put(Token::PseudoProtocol, protocol->value());
  }
  list.put_regular(headers);
  return list.done();
}

FieldList trailer_fields(const HeaderMap& headers) {
  List list(headers, trailer_scratch);
  list.put_regular(headers);
  return list.done();
}

}  // namespace fairlead::h2
