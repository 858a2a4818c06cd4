// The rules of HTTP caching (RFC 9111) as pure functions: directives, ages, freshness, conditions, ranges. Times are seconds since 1970.
// Numbers of peers are hostile: what overflows becomes 2^31 (RFC 9111 1.2.2), what is no number makes a response stale at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/http/header_map.h"

namespace fairlead::filters::cache {

constexpr int64_t kForever = int64_t{1} << 31;  // RFC 9111 1.2.2: the largest delta-seconds

struct RequestDirectives {
  bool must_validate = false;  // no-cache, or pragma: no-cache without any cache-control
  bool no_store = false;
  bool only_if_cached = false;
  std::optional<int64_t> max_age, min_fresh, max_stale;
};
struct ResponseDirectives {
  bool must_validate = false;  // no-cache, with fields or without
  bool no_store = false;       // no-store or private: this cache is shared
  bool no_stale = false;       // must-revalidate, proxy-revalidate, s-maxage
  std::optional<int64_t> max_age;  // s-maxage before max-age
};
RequestDirectives request_directives(const http::HeaderMap& headers);
ResponseDirectives response_directives(std::string_view cache_control);

// The three forms of RFC 9110 5.6.7; nullopt for anything else.
std::optional<int64_t> parse_date(std::string_view text);
// Digits alone, perhaps in quotes.
std::optional<int64_t> parse_delta(std::string_view text);

// A head as it is kept: names in lower case, in order, `:status` first.
using Head = std::vector<std::pair<std::string, std::string>>;
std::string_view get(const Head& head, std::string_view name);
std::string joined(const Head& head, std::string_view name);

// Envoy 1.40: of a status that is cacheable, with enough to know how long it is fresh, or to be validated each time.
bool storable(uint32_t status, const http::HeaderMap& response);
// The part of a response's head that is kept: without fields of the connection, and with a date.
Head kept_head(const http::HeaderMap& response, int64_t now);
// What a 304 brings replaces what was kept, but for what describes the body that stays.
void update_head(Head& kept, const http::HeaderMap& response);

// How old the response was when it came (RFC 9111 4.2.3).
int64_t initial_age(const Head& head, int64_t request_time, int64_t response_time);
int64_t lifetime(const Head& head);
// Whether the response may be served as it is, without asking the upstream.
bool usable(const RequestDirectives& request, const Head& head, int64_t age);

// Whether a GET or HEAD with these conditions is answered 304 by what is kept (RFC 9110 13.2.2).
bool not_modified(const http::HeaderMap& request, const Head& head);

struct Range {
  enum class Kind : uint8_t { Whole, Part, Unsatisfiable } kind = Kind::Whole;
  uint64_t first = 0, length = 0;
};
// One range; several, or what cannot be read, is the whole (RFC 9110 14.2).
Range parse_range(std::string_view header, uint64_t size);
// Whether the range counts, by if-range: a strong validator that is the kept one.
bool range_applies(const http::HeaderMap& request, const Head& head);

}  // namespace fairlead::filters::cache
