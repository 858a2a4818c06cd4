// See rules.h.
#include "dataplane/filters/http/cache/rules.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <absl/time/time.h>

#include <algorithm>

#include "dataplane/http/status.h"

namespace fairlead::filters::cache {

using http::Token;

namespace {

// f(name in lower case, value) for each member of a list whose values may be quoted.
template <class F>
void for_each_directive(std::string_view list, F&& f) {
  while (!list.empty()) {
    bool quoted = false;
    size_t end = 0;
    for (; end < list.size() && (quoted || list[end] != ','); ++end) {
      if (quoted && list[end] == '\\' && end + 1 < list.size()) {
        ++end;
      } else if (list[end] == '"') {
        quoted = !quoted;
      }
    }
    const std::string_view member = absl::StripAsciiWhitespace(list.substr(0, end));
    const size_t equals = member.find('=');
    const std::string_view name = absl::StripAsciiWhitespace(member.substr(0, equals));
    if (!name.empty()) f(absl::AsciiStrToLower(name), equals == std::string_view::npos ? std::string_view() : std::string_view(absl::StripAsciiWhitespace(member.substr(equals + 1))));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

// Of two values of one directive the stricter counts.
void lower(std::optional<int64_t>& to, std::optional<int64_t> value) {
  const int64_t seconds = value.value_or(0);
  to = to ? std::min(*to, seconds) : seconds;
}

std::string_view opaque(std::string_view etag) { return absl::StartsWith(etag, "W/") ? etag.substr(2) : etag; }

bool of_connection(std::string_view name) {
  for (const std::string_view other : {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authentication-info", "te", "trailer", "transfer-encoding", "upgrade", "age", "x-envoy-upstream-service-time"}) {
    if (name == other) return true;
  }
  return false;
}

bool nominated(std::string_view connection, std::string_view name) {
  for (const std::string_view one : absl::StrSplit(connection, ',')) {
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(one), name)) return true;
  }
  return false;
}

}  // namespace

std::optional<int64_t> parse_delta(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (text.empty()) return std::nullopt;
  int64_t out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    out = std::min(kForever, out * 10 + (c - '0'));
  }
  return out;
}

std::optional<int64_t> parse_date(std::string_view text) {
  if (text.size() < 24 || text.size() > 40) return std::nullopt;
  for (const char* form : {"%a, %d %b %E4Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %E4Y"}) {
    absl::Time time;
    if (absl::ParseTime(form, text, &time, nullptr) && time != absl::InfiniteFuture() && time != absl::InfinitePast()) return absl::ToUnixSeconds(time);
  }
  return std::nullopt;
}

RequestDirectives request_directives(const http::HeaderMap& headers) {
  RequestDirectives out;
  const auto list = headers.joined("cache-control");
  if (!list) {
    out.must_validate = absl::StrContains(absl::AsciiStrToLower(headers.get("pragma")), "no-cache");
    return out;
  }
  for_each_directive(*list, [&](const std::string& name, std::string_view value) {
    if (name == "no-cache") out.must_validate = true;
    if (name == "no-store") out.no_store = true;
    if (name == "only-if-cached") out.only_if_cached = true;
    if (name == "max-age") lower(out.max_age, parse_delta(value));
    if (name == "max-stale") lower(out.max_stale, value.empty() ? kForever : parse_delta(value));
    if (name == "min-fresh") {
      if (const auto seconds = parse_delta(value)) out.min_fresh = std::max(out.min_fresh.value_or(0), *seconds);
    }
  });
  return out;
}

ResponseDirectives response_directives(std::string_view cache_control) {
  ResponseDirectives out;
  std::optional<int64_t> shared;
  for_each_directive(cache_control, [&](const std::string& name, std::string_view value) {
    if (name == "no-cache") out.must_validate = true;
    if (name == "no-store" || name == "private") out.no_store = true;
    if (name == "must-revalidate" || name == "proxy-revalidate") out.no_stale = true;
    if (name == "max-age") lower(out.max_age, parse_delta(value));
    if (name == "s-maxage") lower(shared, parse_delta(value));
  });
  if (shared) {
    out.max_age = shared;
    out.no_stale = true;
  }
  return out;
}

std::string_view get(const Head& head, std::string_view name) {
  for (const auto& [n, value] : head) {
    if (n == name) return value;
  }
  return {};
}

std::string joined(const Head& head, std::string_view name) {
  std::string out;
  for (const auto& [n, value] : head) {
    if (n == name) out.append(out.empty() ? "" : ",").append(value);
  }
  return out;
}

bool storable(uint32_t status, const http::HeaderMap& response) {
  switch (status) {
    case 200: case 203: case 204: case 300: case 301: case 308: case 404: case 405: case 410: case 414: case 451: case 501: break;
    default: return false;
  }
  const ResponseDirectives directives = response_directives(response.joined("cache-control").value_or(std::string_view()));
  if (directives.no_store || response.has("content-range")) return false;
  return directives.must_validate || directives.max_age || (response.has("date") && response.has("expires"));
}

Head kept_head(const http::HeaderMap& response, int64_t now) {
  Head out;
  const std::string_view connection = response.joined("connection").value_or(std::string_view());
  for (const auto& header : response) {
    // the age is for initial_age(); it is not served
    const bool age = header.name() == "age";
    if (age || (!of_connection(header.name()) && !nominated(connection, header.name()))) out.emplace_back(header.name(), header.value());
  }
  if (!parse_date(get(out, "date"))) {
    out.erase(std::remove_if(out.begin(), out.end(), [](const auto& h) { return h.first == "date"; }), out.end());
    out.emplace_back("date", http::http_date(std::chrono::system_clock::time_point(std::chrono::seconds(now))));
  }
  return out;
}

void update_head(Head& kept, const http::HeaderMap& response) {
  const std::string_view connection = response.joined("connection").value_or(std::string_view());
  const auto stays = [&](std::string_view name) {
    return name.empty() || name[0] == ':' || (of_connection(name) && name != "age") || nominated(connection, name) || name == "content-length" || name == "content-encoding" || name == "content-range" ||
           name == "content-type" || name == "vary";
  };
  kept.erase(std::remove_if(kept.begin(), kept.end(), [&](const auto& h) { return h.first == "age" || (!stays(h.first) && response.has(h.first)); }), kept.end());
  for (const auto& header : response) {
    if (!stays(header.name())) kept.emplace_back(header.name(), header.value());
  }
}

int64_t initial_age(const Head& head, int64_t request_time, int64_t response_time) {
  const int64_t apparent = std::max<int64_t>(0, response_time - parse_date(get(head, "date")).value_or(response_time));
  const int64_t corrected = parse_delta(get(head, "age")).value_or(0) + std::max<int64_t>(0, response_time - request_time);
  return std::min(kForever, std::max(apparent, corrected));
}

int64_t lifetime(const Head& head) {
  if (const auto directives = response_directives(joined(head, "cache-control")); directives.max_age) return *directives.max_age;
  const auto expires = parse_date(get(head, "expires")), date = parse_date(get(head, "date"));
  return expires && date ? std::clamp<int64_t>(*expires - *date, 0, kForever) : 0;
}

bool usable(const RequestDirectives& request, const Head& head, int64_t age) {
  const ResponseDirectives response = response_directives(joined(head, "cache-control"));
  if (response.must_validate || request.must_validate || (request.max_age && age > *request.max_age)) return false;
  const int64_t fresh_for = lifetime(head) - age;
  if (fresh_for > 0) return !request.min_fresh || *request.min_fresh <= fresh_for;
  return !response.no_stale && !request.min_fresh && request.max_stale && *request.max_stale >= -fresh_for;
}

bool not_modified(const http::HeaderMap& request, const Head& head) {
  if (const auto tags = request.joined("if-none-match")) {
    if (absl::StripAsciiWhitespace(*tags) == "*") return true;
    const std::string_view own = opaque(get(head, "etag"));
    bool found = false;
    std::string_view rest = *tags;
    while (!own.empty() && !rest.empty() && !found) {  // a comma may stand inside a tag's quotes
      rest = absl::StripLeadingAsciiWhitespace(rest);
      if (absl::StartsWith(rest, ",")) {
        rest.remove_prefix(1);
        continue;
      }
      rest = opaque(rest);
      const size_t end = rest.empty() || rest[0] != '"' ? std::string_view::npos : rest.find('"', 1);
      if (end == std::string_view::npos) break;
      found = rest.substr(0, end + 1) == own;
      rest.remove_prefix(end + 1);
    }
    return found;
  }
  const auto since = parse_date(request.get("if-modified-since")), modified = parse_date(get(head, "last-modified"));
  return since && modified && *modified <= *since;
}

Range parse_range(std::string_view header, uint64_t size) {
  if (!absl::StartsWithIgnoreCase(header, "bytes=") || header.find(',') != std::string_view::npos) return {};
  header.remove_prefix(6);
  header = absl::StripAsciiWhitespace(header);
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.size() > 40) return {};
  const auto digits = [](std::string_view text) { return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }); };
  const std::string_view from = header.substr(0, dash), to = header.substr(dash + 1);
  if (!digits(from) || !digits(to) || (from.empty() && to.empty())) return {};
  uint64_t first = 0, last = 0;
  if (from.empty()) {  // the last so many bytes
    if (!absl::SimpleAtoi(to, &last)) last = size;
    if (last == 0 || size == 0) return {Range::Kind::Unsatisfiable};
    const uint64_t length = std::min(last, size);
    return {Range::Kind::Part, size - length, length};
  }
  if (!absl::SimpleAtoi(from, &first)) return {Range::Kind::Unsatisfiable};
  if (to.empty() || !absl::SimpleAtoi(to, &last)) last = UINT64_MAX;
  if (last < first) return {};
  if (first >= size) return {Range::Kind::Unsatisfiable};
  last = std::min(last, size - 1);
  return {Range::Kind::Part, first, last - first + 1};
}

bool range_applies(const http::HeaderMap& request, const Head& head) {
  const http::Header* condition = request.find("if-range");
  if (condition == nullptr) return true;
  const std::string_view value = condition->value();
  if (absl::StartsWith(value, "\"")) return value == get(head, "etag");
  return !absl::StartsWith(value, "W/") && parse_date(value) && value == get(head, "last-modified");
}

}  // namespace fairlead::filters::cache
