// See request_line.h.
#include "dataplane/filters/listener/http_inspector/request_line.h"

#include <absl/strings/ascii.h>

#include <algorithm>

namespace fairlead::filters::listener::http_inspector {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

bool is_token_character(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos); }

// Envoy's parser takes all control characters for blanks.
bool is_blank(char c) { return static_cast<unsigned char>(c) <= ' '; }

bool is_version(std::string_view text) {
  const auto digit = [&](size_t at) { return absl::ascii_isdigit(static_cast<unsigned char>(text[at])); };
  return text.size() == 8 && text.substr(0, 5) == "HTTP/" && digit(5) && text[6] == '.' && digit(7);
}

bool is_authority(std::string_view text) {
  const auto good = [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || (c != '\0' && std::string_view("-._~:[]@!$&'()*+,;=%").find(c) != std::string_view::npos); };
  return std::all_of(text.begin(), text.end(), good);
}

// A path, "*", or a scheme with an authority; after CONNECT an authority alone will do.
bool is_target(std::string_view target, bool connect) {
  if (target.empty() || !std::all_of(target.begin(), target.end(), [](unsigned char c) { return absl::ascii_isgraph(c); })) return false;
  if (target[0] == '/' || target[0] == '*') return true;
  if (connect) return is_authority(target);
  const size_t colon = target.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto in_scheme = [](unsigned char c) { return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.'; };
  if (!std::all_of(target.begin(), target.begin() + static_cast<std::ptrdiff_t>(colon), in_scheme)) return false;
  const std::string_view rest = target.substr(colon + 3);
  return is_authority(rest.substr(0, rest.find_first_of("/?")));
}

std::string_view word(std::string_view& line) {
  const auto begin = std::find_if_not(line.begin(), line.end(), is_blank);
  const auto end = std::find_if(begin, line.end(), is_blank);
  const std::string_view out(begin, end);
  line = std::string_view(end, line.end());
  return out;
}

// `line` without its end.
Verdict judge(std::string_view line) {
  while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
  const std::string_view method = word(line);
  const std::string_view target = word(line);
  if (!is_target(target, method == "CONNECT")) return Verdict::kNotHttp;
  const std::string_view version(std::find_if_not(line.begin(), line.end(), is_blank), line.end());
  if (version.empty()) return Verdict::kHttp10;  // HTTP/0.9 is counted as 1.0
  if (!is_version(version)) return Verdict::kNotHttp;
  return version == "HTTP/1.1" ? Verdict::kHttp11 : Verdict::kHttp10;
}

}  // namespace

Verdict inspect(std::string_view stream) {
  if (stream.substr(0, kPreface.size()) == kPreface.substr(0, stream.size())) return stream.size() >= kPreface.size() ? Verdict::kHttp2 : Verdict::kMore;
  // A method is a token: the first byte of anything else tells that this is not HTTP.
  const auto after_method = std::find_if_not(stream.begin(), stream.end(), is_token_character);
  if (after_method == stream.begin()) return Verdict::kNotHttp;
  if (after_method != stream.end() && !absl::ascii_isspace(static_cast<unsigned char>(*after_method))) return Verdict::kNotHttp;
  const size_t end = stream.find('\n');
  if (end == std::string_view::npos) return Verdict::kMore;
  return judge(stream.substr(0, end));
}

}  // namespace fairlead::filters::listener::http_inspector
