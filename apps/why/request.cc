// See request.h.
#include "apps/why/request.h"

#include <algorithm>

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

namespace fairlead::why {
namespace {

constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kTokenMarks.find(c) != std::string_view::npos; });
}

bool is_plain(std::string_view text) {  // nothing that would end a line of a head
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

absl::Status bad(std::string_view what, std::string_view text, std::string_view why) { return absl::InvalidArgumentError(absl::StrCat(what, " \"", text, "\" ", why)); }

// The host and port of "host", "host:80", "[::1]:80".
absl::Status read_authority(std::string_view text, std::string_view url, Request& out) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return bad("URL", url, "has an IPv6 address without ']'");
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return bad("URL", url, "has something else than a port after ']'");
    if (!port.empty()) port.remove_prefix(1);
  } else if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.empty()) return bad("URL", url, "names no host");
  uint32_t number = out.tls() ? 443 : 80;
  if (!port.empty() && (!absl::SimpleAtoi(port, &number) || number == 0 || number > 65535)) return bad("URL", url, absl::StrCat("has \"", port, "\" as its port"));
  out.host = absl::AsciiStrToLower(host);
  out.port = static_cast<uint16_t>(number);
  out.authority = std::string(text);
  return absl::OkStatus();
}

absl::Status read_header(std::string_view line, Request& out) {
  const size_t colon = line.find(':', 1);  // pseudo-headers begin with one
  if (colon == std::string_view::npos) return bad("header", line, "is not \"name: value\"");
  const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(line.substr(0, colon)));
  const std::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (!is_token(name)) return bad("header", line, name.starts_with(':') ? "is made of the method and the URL" : "has a name that HTTP does not know");
  if (!is_plain(value)) return bad("header", line, "has a value that HTTP does not allow");
  if (name == "host") {
    out.authority = std::string(value);
  } else {
    out.headers.emplace_back(name, std::string(value));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Request::str() const {
  if (host.empty() && authority.empty()) return absl::StrCat(method, " ", path);
  return absl::StrCat(method, " ", scheme, "://", authority, path);
}

absl::StatusOr<Request> make_request(std::string_view method, std::string_view url, const std::vector<std::string>& headers) {
  Request out;
  if (!is_token(method)) return bad("method", method, "is none");
  out.method = std::string(method);
  if (!is_plain(url) || url.find(' ') != std::string_view::npos) return bad("URL", url, "has spaces or control characters in it: write them as %XX");
  const std::string_view whole = url;
  url = url.substr(0, url.find('#'));  // a fragment never leaves the client
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos && scheme < url.find_first_of("/?")) {
    out.scheme = absl::AsciiStrToLower(url.substr(0, scheme));
    if (out.scheme != "http" && out.scheme != "https") return bad("URL", whole, "is neither http nor https");
    url.remove_prefix(scheme + 3);
    const size_t end = url.find_first_of("/?");
    if (absl::Status s = read_authority(url.substr(0, end), whole, out); !s.ok()) return s;
    url = end == std::string_view::npos ? std::string_view() : url.substr(end);
    out.path = url.starts_with('/') ? std::string(url) : absl::StrCat("/", url);
  } else if (url.starts_with('/')) {
    out.path = std::string(url);
  } else {
    return bad("URL", whole, "is neither http://HOST/PATH nor https://HOST/PATH nor a path");
  }
  for (const std::string& header : headers) {
    if (absl::Status s = read_header(header, out); !s.ok()) return s;
  }
  if (out.host.empty() && out.authority.empty()) out.authority = "localhost";
  return out;
}

}  // namespace fairlead::why
