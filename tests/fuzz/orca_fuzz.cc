// What endpoints say of their load. The first byte says in which header and form; the rest is the value. What is read as text is finite and not
// negative; picking all of it gives no name twice.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "dataplane/upstream/orca.h"

using namespace fairlead;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  constexpr std::string_view forms[] = {"", "TEXT ", "JSON ", "BIN "};
  const bool is_text = data[0] % 5 == 1;
  std::string value(data[0] % 5 == 4 ? std::string_view() : forms[data[0] % 5]);
  value.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::replace_if(value.begin(), value.end(), [](char c) { return c == '\0' || c == '\r' || c == '\n'; }, ' ');  // no codec lets these through
  http::Arena arena;
  http::HeaderMap headers(arena);
  headers.add(data[0] % 5 == 4 ? "endpoint-load-metrics-bin" : "endpoint-load-metrics", value);
  const auto report = upstream::read_orca(headers);
  if (!report.ok()) return 0;
  std::set<std::string> seen;
  upstream::visit_metrics(*report, {"cpu_utilization", "mem_utilization", "application_utilization", "eps", "rps_fractional", "named_metrics.*", "utilization.*", "request_cost.*"},
                          [&](std::string_view name, double number) {
                            if (!seen.insert(std::string(name)).second) std::abort();
                            if (is_text && !(std::isfinite(number) && number >= 0)) std::abort();
                          });
  return 0;
}
