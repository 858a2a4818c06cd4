// See time_format.h.
#include "dataplane/format/time_format.h"

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

namespace fairlead::format {
namespace {

constexpr int64_t nanos_per_second = 1'000'000'000;

void append_digits(uint64_t value, int width, std::string& out) {
  char buffer[20];
  for (int i = width - 1; i >= 0; --i, value /= 10) buffer[i] = static_cast<char>('0' + value % 10);
  out.append(buffer, static_cast<size_t>(width));
}

struct Split {
  int64_t seconds;
  int64_t nanos;  // 0 … 999,999,999 also before 1970
};

Split split(std::chrono::system_clock::time_point time) {
  const int64_t total = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  int64_t seconds = total / nanos_per_second, nanos = total % nanos_per_second;
  if (nanos < 0) {
    nanos += nanos_per_second;
    --seconds;
  }
  return {seconds, nanos};
}

// The log line of every request needs this form: worth doing without a time zone library.
void append_default(const Split& at, std::string& out) {
  using namespace std::chrono;
  int64_t day_count = at.seconds / 86400, rest = at.seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --day_count;
  }
  const year_month_day date{sys_days{days{day_count}}};
  append_digits(static_cast<uint64_t>(static_cast<int>(date.year())), 4, out);
  out.push_back('-');
  append_digits(static_cast<unsigned>(date.month()), 2, out);
  out.push_back('-');
  append_digits(static_cast<unsigned>(date.day()), 2, out);
  out.push_back('T');
  append_digits(static_cast<uint64_t>(rest / 3600), 2, out);
  out.push_back(':');
  append_digits(static_cast<uint64_t>(rest / 60 % 60), 2, out);
  out.push_back(':');
  append_digits(static_cast<uint64_t>(rest % 60), 2, out);
  out.push_back('.');
  append_digits(static_cast<uint64_t>(at.nanos / 1'000'000), 3, out);
  out.push_back('Z');
}

}  // namespace

TimeFormat::TimeFormat(std::string_view pattern, bool local) : local_(local) {
  if (pattern.empty() && local) pattern = "%Y-%m-%dT%H:%M:%S.%3f%z";
  std::string plain;
  const auto flush = [&] {
    if (!plain.empty()) parts_.push_back({std::move(plain), 0, false});
    plain.clear();
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%' || i + 1 == pattern.size()) {
      plain.push_back(pattern[i]);
      continue;
    }
    const char next = pattern[i + 1];
    if (next == 's') {
      flush();
      parts_.push_back({{}, 0, true});
      ++i;
    } else if (next == 'f') {
      flush();
      parts_.push_back({{}, 9, false});
      ++i;
    } else if (next >= '1' && next <= '9' && i + 2 < pattern.size() && pattern[i + 2] == 'f') {
      flush();
      parts_.push_back({{}, next - '0', false});
      i += 2;
    } else {
      plain.push_back('%');
      plain.push_back(next);
      ++i;
    }
  }
  flush();
}

void TimeFormat::append(std::chrono::system_clock::time_point time, std::string& out) const {
  const Split at = split(time);
  if (parts_.empty()) {
    append_default(at, out);
    return;
  }
  const absl::Time instant = absl::FromUnixSeconds(at.seconds) + absl::Nanoseconds(at.nanos);
  const absl::TimeZone zone = local_ ? absl::LocalTimeZone() : absl::UTCTimeZone();
  for (const Part& part : parts_) {
    if (part.epoch_seconds) {
      absl::StrAppend(&out, at.seconds);
    } else if (part.fraction_digits > 0) {
      uint64_t value = static_cast<uint64_t>(at.nanos);
      for (int i = part.fraction_digits; i < 9; ++i) value /= 10;
      append_digits(value, part.fraction_digits, out);
    } else {
      out.append(absl::FormatTime(part.strftime, instant, zone));
    }
  }
}

}  // namespace fairlead::format
