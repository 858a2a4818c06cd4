// The cache's rules and its store on any request and response. Two bytes choose status, age and the shapes of numbers; then lines
// `name: value`, the request's, an empty line, the response's, an empty line, those of a 304 that validates it. Whatever comes: nothing
// that forbids it is kept, ages and lifetimes stay within bounds, what is usable was usable when younger, a part lies within its body,
// what is kept is found by the request that brought it and by no other variant.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/filters/http/cache/rules.h"
#include "dataplane/filters/http/cache/store.h"
#include "dataplane/http/status.h"

using namespace fairlead;
using namespace fairlead::filters::cache;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}
std::string trimmed(std::string text) {
  constexpr char space[] = " \t\n\v\f\r";
  text.erase(0, text.find_first_not_of(space));
  text.erase(text.find_last_not_of(space) + 1);
  return text;
}

// Names of directives, read character by character.
std::vector<std::string> directive_names(std::string_view list) {
  std::vector<std::string> names(1);
  bool in_value = false, quoted = false, escaped = false;
  for (const char c : list) {
    if (escaped) {
      escaped = false;
      in_value = in_value || c == '=';
      if (!in_value) names.back() += c;
      continue;
    }
    if (c == ',' && !quoted) {
      names.emplace_back();
      in_value = false;
      continue;
    }
    escaped = quoted && c == '\\';
    if (c == '"') quoted = !quoted;
    in_value = in_value || c == '=';
    if (!in_value) names.back() += c;
  }
  for (std::string& name : names) name = lower(trimmed(name));
  return names;
}
bool has(const std::vector<std::string>& names, std::string_view name) {
  for (const std::string& one : names) {
    if (one == name) return true;
  }
  return false;
}

// Reads lines up to an empty one; returns what follows.
std::string_view read_headers(std::string_view text, http::HeaderMap& out) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) break;
    const size_t colon = line.find(':', 1);
    if (colon == std::string_view::npos) continue;
    out.add(lower(line.substr(0, colon)), trimmed(std::string(line.substr(colon + 1))));
  }
  return text;
}

void check_delta(std::string_view text) {
  std::string digits(text);
  if (digits.size() >= 2 && digits.front() == '"' && digits.back() == '"') digits = digits.substr(1, digits.size() - 2);
  const auto seconds = parse_delta(text);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) return require(!seconds);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  require(seconds == (digits.size() > 10 ? kForever : std::min<int64_t>(kForever, std::atoll(digits.c_str()))));
}

void check_date(std::string_view text) {
  const auto seconds = parse_date(text);
  if (!seconds || *seconds < 0 || *seconds > 9'000'000'000) return;  // a time_point ends in 2262
  require(parse_date(http::http_date(std::chrono::system_clock::time_point(std::chrono::seconds(*seconds)))) == seconds);
}

void check_range(std::string_view header, uint64_t size) {
  const Range range = parse_range(header, size);
  if (range.kind == Range::Kind::Part) require(range.length > 0 && range.first < size && range.length <= size - range.first);
  if (range.kind == Range::Kind::Unsatisfiable) require(size == 0 || header.find_first_of("0123456789") != std::string_view::npos);
  // a range written by us is understood
  if (size == 0) return;
  const uint64_t first = size / 3, last = size - 1;
  const Range own = parse_range("bytes=" + std::to_string(first) + "-" + std::to_string(last), size);
  require(own.kind == Range::Kind::Part && own.first == first && own.length == last - first + 1);
}

void check_store(const http::HeaderMap& request, const http::HeaderMap& response, Head head) {
  Store store(size_t{1} << 20);
  auto kept = std::make_shared<Response>();
  kept->head = std::move(head);
  const std::string vary(response.joined("vary").value_or(std::string_view()));
  for (const std::string& name : directive_names(vary)) {
    if (!name.empty()) kept->vary.emplace_back(name, request.joined(name).value_or(std::string_view()));
  }
  store.insert("key", kept);
  require(store.find("key", request) == kept);
  require(store.find("other", request) == nullptr);
  if (!kept->vary.empty()) {
    http::Arena arena;
    http::HeaderMap other(arena);
    other.add(kept->vary.front().first, kept->vary.front().second + "x");
    require(store.find("key", other) == nullptr);
  }
  const size_t bytes = store.bytes();
  store.insert("key", kept);
  require(store.bytes() == bytes);
  store.erase("key");
  require(store.bytes() == 0 && store.find("key", request) == nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  constexpr uint32_t kStatuses[] = {200, 203, 204, 206, 301, 302, 304, 404, 410, 500, 501, 101, 0};
  const uint32_t status = kStatuses[data[0] % std::size(kStatuses)];
  constexpr int64_t kNow = 1'794'400'000;
  const int64_t age = int64_t{1} << (data[1] % 33);
  http::Arena arena;
  http::HeaderMap request(arena), response(arena), validation(arena);
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  rest = read_headers(rest, request);
  rest = read_headers(rest, response);
  read_headers(rest, validation);

  for (const http::HeaderMap* headers : {&request, &response, &validation}) {
    for (const auto& header : *headers) {
      check_delta(header.value());
      check_date(header.value());
      check_range(header.value(), static_cast<uint64_t>(age) - 1);
    }
  }
  const RequestDirectives asked = request_directives(request);
  const std::string control(response.joined("cache-control").value_or(std::string_view()));
  const ResponseDirectives answered = response_directives(control);
  const std::vector<std::string> names = directive_names(control);
  require(answered.no_store == (has(names, "no-store") || has(names, "private")));
  require(answered.must_validate == has(names, "no-cache"));
  require(answered.max_age.has_value() == (has(names, "max-age") || has(names, "s-maxage")));
  for (const auto& seconds : {asked.max_age, asked.min_fresh, asked.max_stale, answered.max_age}) require(!seconds || (*seconds >= 0 && *seconds <= kForever));
  if (storable(status, response)) {
    require(!has(names, "no-store") && !has(names, "private") && status != 206 && status != 304 && status >= 200);
    require(answered.must_validate || answered.max_age || response.has("expires"));
  }

  Head head = kept_head(response, kNow);
  head.insert(head.begin(), {":status", std::to_string(status)});
  require(parse_date(get(head, "date")).has_value());
  for (const char* name : {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}) require(get(head, name).empty());
  for (int round = 0; round < 2; ++round) {
    const int64_t first = initial_age(head, kNow - age, kNow), fresh = lifetime(head);
    require(first >= 0 && first <= kForever && fresh >= 0 && fresh <= kForever);
    if (usable(asked, head, age)) require(usable(asked, head, age / 2) && usable(asked, head, 0));
    if (usable(asked, head, age)) require(!asked.must_validate && (!asked.max_age || age <= *asked.max_age));
    if (usable(RequestDirectives(), head, age)) require(age < fresh);
    not_modified(request, head);
    range_applies(request, head);
    if (round == 1) break;
    check_store(request, response, head);
    const std::string length = joined(head, "content-length"), type = joined(head, "content-type");
    update_head(head, validation);
    require(get(head, ":status") == std::to_string(status) && joined(head, "content-length") == length && joined(head, "content-type") == type);
  }
  return 0;
}
