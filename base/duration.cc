// Durations and times as text: Go's form ("1h30m"), protobuf's ("0.250s") and RFC 3339.
// Pure; any thread. Parsers take the whole text or fail.
// Invariant: what a formatter writes, its parser reads back exactly.
#include <array>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/strings.h"

namespace fairlead {
namespace {

constexpr std::int64_t billion = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes the digits at the front; nothing when there is none or they pass int64.
std::optional<std::int64_t> take_digits(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  std::int64_t value = 0;
  if (n == 0 || !absl::SimpleAtoi(text.substr(0, n), &value)) return std::nullopt;
  text.remove_prefix(n);
  return value;
}

// Takes ".123" as parts of a billion; more than nine digits do not fit. Nothing at all is 0.
std::optional<std::int32_t> take_nanos(std::string_view& text) {
  if (text.empty() || text[0] != '.') return 0;
  text.remove_prefix(1);
  std::int32_t nanos = 0;
  int digits = 0;
  while (!text.empty() && is_digit(text[0])) {
    if (++digits > 9) return std::nullopt;
    nanos = nanos * 10 + (text[0] - '0');
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

// "", ".123", ".123456" or ".123456789".
std::string nanos_text(std::int32_t nanos) {
  if (nanos == 0) return "";
  char digits[16];
  if (nanos % 1'000'000 == 0) {
    std::snprintf(digits, sizeof digits, ".%03d", nanos / 1'000'000);
  } else if (nanos % 1000 == 0) {
    std::snprintf(digits, sizeof digits, ".%06d", nanos / 1000);
  } else {
    std::snprintf(digits, sizeof digits, ".%09d", nanos);
  }
  return digits;
}

// Days since 1970-01-01.
std::int64_t days_of(std::int64_t year, int month, int day) {
  return (std::chrono::sys_days(std::chrono::year(static_cast<int>(year)) / month / day)).time_since_epoch().count();
}

struct Unit {
  std::string_view name;
  std::int64_t nanos;
};
constexpr std::array<Unit, 7> units{{{"h", 3600 * billion},
                                     {"ms", 1'000'000},  // before "m"
                                     {"m", 60 * billion},
                                     {"s", billion},
                                     {"us", 1000},
                                     {"µs", 1000},
                                     {"ns", 1}}};

const Unit* take_unit(std::string_view& text) {
  for (const Unit& unit : units) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      return &unit;
    }
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  const auto wrong = [text] {
    return absl::InvalidArgumentError(absl::StrCat("expected a duration like 250ms, 1.5s or 1h30m, got \"", text, "\""));
  };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) return wrong();
  std::int64_t total = 0;
  while (!rest.empty()) {
    const auto whole = take_digits(rest);
    if (!whole) return wrong();
    const auto fraction = take_nanos(rest);
    const Unit* unit = fraction ? take_unit(rest) : nullptr;
    if (unit == nullptr) return wrong();
    std::int64_t part = 0;
    // A fraction below a nanosecond is cut off. Halves in 128 bits: a fraction of an hour passes 64.
    const auto extra = static_cast<std::int64_t>(static_cast<__int128>(*fraction) * unit->nanos / billion);
    if (__builtin_mul_overflow(*whole, unit->nanos, &part) || __builtin_add_overflow(part, extra, &part) ||
        __builtin_add_overflow(total, part, &total)) {
      return wrong();
    }
  }
  return std::chrono::nanoseconds(negative ? -total : total);
}

std::string format_duration(std::chrono::nanoseconds duration) {
  if (duration.count() == 0) return "0s";
  std::string out = duration.count() < 0 ? "-" : "";
  // Unsigned, so that the lowest int64 has a magnitude.
  std::uint64_t left = duration.count() < 0 ? 0 - static_cast<std::uint64_t>(duration.count()) : static_cast<std::uint64_t>(duration.count());
  const auto append_fraction = [&out, &left](std::uint64_t unit, std::string_view name) {
    absl::StrAppend(&out, left / unit);
    std::string digits;
    for (std::uint64_t u = unit / 10; u > 0; u /= 10) digits.push_back(static_cast<char>('0' + left / u % 10));
    while (digits.ends_with('0')) digits.pop_back();
    if (!digits.empty()) absl::StrAppend(&out, ".", digits);
    absl::StrAppend(&out, name);
  };
  if (left < 1000) {
    append_fraction(1, "ns");
  } else if (left < 1'000'000) {
    append_fraction(1000, "us");
  } else if (left < static_cast<std::uint64_t>(billion)) {
    append_fraction(1'000'000, "ms");
  } else {
    const std::uint64_t hour = 3600ULL * billion, minute = 60ULL * billion;
    if (left >= hour) absl::StrAppend(&out, left / hour, "h");
    left %= hour;
    if (left >= minute) absl::StrAppend(&out, left / minute, "m");
    left %= minute;
    if (left > 0) append_fraction(billion, "s");
  }
  return out;
}

std::string format_proto_duration(std::int64_t seconds, std::int32_t nanos) {
  const bool negative = seconds < 0 || nanos < 0;
  const std::uint64_t magnitude = seconds < 0 ? 0 - static_cast<std::uint64_t>(seconds) : static_cast<std::uint64_t>(seconds);
  return absl::StrCat(negative ? "-" : "", magnitude, nanos_text(nanos < 0 ? -nanos : nanos), "s");
}

std::optional<SecondsNanos> parse_proto_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto seconds = take_digits(text);
  if (!seconds || *seconds > 315'576'000'000) return std::nullopt;  // protobuf: duration.proto, 10,000 years
  const auto nanos = take_nanos(text);
  if (!nanos || text != "s") return std::nullopt;
  return SecondsNanos{negative ? -*seconds : *seconds, negative ? -*nanos : *nanos};
}

std::string format_rfc3339(std::int64_t seconds, std::int32_t nanos) {
  std::int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(rest / 3600),
                static_cast<int>(rest / 60 % 60), static_cast<int>(rest % 60));
  return absl::StrCat(text, nanos_text(nanos), "Z");
}

std::string format_time(std::chrono::system_clock::time_point time) {
  const auto millis = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::int64_t seconds = millis >= 0 ? millis / 1000 : (millis - 999) / 1000;
  std::string text = format_rfc3339(seconds, 0);
  text.pop_back();
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(millis - seconds * 1000));
  return text + fraction;
}

std::optional<SecondsNanos> parse_rfc3339(std::string_view text) {
  // YYYY-MM-DDTHH:MM:SS, then an optional fraction, then Z or an offset.
  static constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  if (text.size() <= form.size()) return std::nullopt;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const char c = text[i];
    const bool fits = form[i] == 'd' ? is_digit(c) : form[i] == 'T' ? c == 'T' || c == 't' : c == form[i];
    if (!fits) return std::nullopt;
  }
  const auto number = [&text](std::size_t at, std::size_t width) {
    int value = 0;
    for (std::size_t i = at; i < at + width; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  const std::chrono::year_month_day date{std::chrono::year(year) / month / day};
  if (year < 1 || !date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  std::int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;

  std::string_view rest = text.substr(form.size());
  const auto nanos = take_nanos(rest);
  if (!nanos || rest.empty()) return std::nullopt;
  if (rest != "Z" && rest != "z") {
    if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':') return std::nullopt;
    for (const std::size_t i : {1, 2, 4, 5}) {
      if (!is_digit(rest[i])) return std::nullopt;
    }
    const int hours = (rest[1] - '0') * 10 + (rest[2] - '0'), minutes = (rest[4] - '0') * 10 + (rest[5] - '0');
    if (hours > 23 || minutes > 59) return std::nullopt;
    const int offset = hours * 3600 + minutes * 60;
    seconds += rest[0] == '+' ? -offset : offset;
  }
  return SecondsNanos{seconds, *nanos};
}

}  // namespace fairlead
