// Reason phrases of HTTP status codes, methods, and the Date header. Immutable tables and one cache per thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace fairlead::http {

// "OK", "Not Found"; "Unknown" for a code without one (Envoy's CodeUtility::toString).
std::string_view reason_phrase(unsigned status);
// "200" for 200: a static string for 100..599.
std::string_view status_text(unsigned status);
// 0 unless text is three digits, 100 or above.
unsigned parse_status(std::string_view text);

// "Sun, 06 Nov 1994 08:49:37 GMT"; formatted once a second per thread; valid until the next call on this thread.
std::string_view http_date(std::chrono::system_clock::time_point now);

}  // namespace fairlead::http
