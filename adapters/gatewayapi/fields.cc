// Small values of the Gateway API. See fields.h.
#include "adapters/gatewayapi/fields.h"

#include <arpa/inet.h>
#include <re2/re2.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Labels of [a-z0-9-], neither beginning nor ending with '-', joined by dots.
bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  char before = '.';
  for (char c : text) {
    if (c == '.') {
      if (before == '.' || before == '-') return false;
    } else if (c == '-') {
      if (before == '.') return false;
    } else if (!lower_alnum(c)) {
      return false;
    }
    before = c;
  }
  return before != '.' && before != '-';
}

}  // namespace

Spot spot_of(const doc::Reader& reader) { return Spot{reader.path(), static_cast<int>(reader.mark().line)}; }

void ignore_envelope(doc::Object& top) {
  for (std::string_view field : {"apiVersion", "kind", "metadata", "status"}) top.ignore(field);
}

bool is_hostname(std::string_view text, bool allow_wildcard) {
  if (allow_wildcard && absl::StartsWith(text, "*.")) text.remove_prefix(2);
  in_addr v4;
  return is_subdomain(text) && inet_pton(AF_INET, std::string(text).c_str(), &v4) != 1;
}

std::string hostname_field(doc::Object& o, std::string_view key, bool allow_wildcard) {
  std::string name = o.string_or(key, "");
  if (name.empty() || is_hostname(name, allow_wildcard)) return name;
  o.error(key, absl::StrCat("\"", name, "\" is not a hostname: lower-case labels joined by dots",
                            allow_wildcard ? ", with \"*\" only as the whole first label" : ", no wildcard", ", no address"));
  return "";
}

bool is_section_name(std::string_view text) { return is_subdomain(text); }

bool is_header_name(std::string_view text) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), [&](char c) {
    return lower_alnum(c) || (c >= 'A' && c <= 'Z') || kOther.find(c) != std::string_view::npos;
  });
}

bool is_regex(const std::string& pattern, std::string& why_not) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 compiled(pattern, options);
  why_not = compiled.ok() ? "" : compiled.error();
  return compiled.ok();
}

std::optional<std::chrono::milliseconds> duration_field(doc::Object& o, std::string_view key) {
  const std::optional<std::string> text = o.string(key);
  if (!text) return std::nullopt;
  int parts = 0, digits = 0;
  bool good = !text->empty();
  for (size_t i = 0; i < text->size() && good; ++i) {
    const char c = (*text)[i];
    if (c >= '0' && c <= '9') {
      good = ++digits <= 5;
    } else {
      good = digits > 0 && ++parts <= 4 && (c == 'h' || c == 'm' || c == 's');
      if (c == 'm' && i + 1 < text->size() && (*text)[i + 1] == 's') ++i;
      digits = 0;
    }
  }
  good = good && digits == 0;
  if (good) {
    if (auto parsed = parse_duration(*text); parsed.ok()) {
      return std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
    }
  }
  o.error(key, absl::StrCat("expected a duration like \"500ms\" or \"1h30m\", got \"", *text, "\""));
  return std::nullopt;
}

void at_most(doc::Object& o, std::string_view key, size_t count, size_t limit) {
  if (count > limit) o.error(key, absl::StrCat("has ", count, " entries; at most ", limit, " are allowed"));
}

BackendRef backend_ref(doc::Object& o, const Object& owner) {
  BackendRef ref;
  ref.spot = spot_of(o.reader());
  ref.target.group = o.string_or("group", "");
  ref.target.kind = o.string_or("kind", "Service");
  ref.name = o.required_string("name");
  ref.ns = o.string_or("namespace", owner.key.ns);
  ref.port = o.integer_or("port", 0, 1, 65535);
  if (ref.port == 0 && !o.has("port") && ref.target.group.empty() && ref.target.kind == "Service") {
    o.error("port", "is required for a Service");
  }
  return ref;
}

}  // namespace fairlead::adapters::gatewayapi
