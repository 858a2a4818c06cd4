// Status helpers, clocks, hashes, files and strings.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead {
namespace {

absl::StatusOr<int> half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::StatusOr<int> quarter(int n) {
  FL_ASSIGN_OR_RETURN(const int once, half(n));
  FL_ASSIGN_OR_RETURN(int twice, half(once));
  FL_RETURN_IF_ERROR(absl::OkStatus());
  return twice;
}

TEST_CASE("the macros hand on values and errors") {
  CHECK(*quarter(8) == 2);
  CHECK(quarter(6).status().message() == "odd");
}

TEST_CASE("a prefix keeps the code and leaves success alone") {
  const absl::Status status = prefix("a.yaml:3", absl::NotFoundError("no such name"));
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(status.message() == "a.yaml:3: no such name");
  CHECK(prefix("a.yaml:3", absl::OkStatus()).ok());
}

TEST_CASE("an error list keeps order, bounds memory and counts the rest") {
  ErrorList errors(2);
  CHECK(errors.status().ok());
  errors.add(absl::OkStatus());
  CHECK(errors.empty());
  errors.add("x", "first");
  CHECK(errors.status().message() == "x: first");
  errors.add(absl::NotFoundError("second"));
  errors.add("y", "third");
  CHECK_FALSE(errors.check(absl::StatusOr<int>(absl::InternalError("fourth"))));
  CHECK(errors.count() == 4);
  CHECK(errors.status().message() == "x: first\nsecond\nand 2 more");
  CHECK(errors.status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("simulated time moves only when told, and never back") {
  SimulatedClock clock;
  const MonotonicTime start = clock.monotonic();
  CHECK(clock.system() == SimulatedClock::default_start);
  clock.advance(std::chrono::milliseconds(250));
  CHECK(clock.monotonic() - start == std::chrono::milliseconds(250));
  CHECK(clock.system() - SimulatedClock::default_start == std::chrono::milliseconds(250));
  clock.advance(std::chrono::seconds(-5));
  CHECK(clock.monotonic() - start == std::chrono::milliseconds(250));
  clock.set_system(SimulatedClock::default_start - std::chrono::hours(1));
  CHECK(clock.monotonic() - start == std::chrono::milliseconds(250));
  const MonotonicTime before = RealClock::instance().monotonic();
  CHECK(before <= RealClock::instance().monotonic());
  CHECK(RealClock::instance().system() > SimulatedClock::default_start);
}

TEST_CASE("xxHash64 gives the published values") {
  CHECK(xx_hash64("") == 0xEF46DB3751D8E999ULL);
  CHECK(xx_hash64("abc") == 0x44BC2CF5AD770999ULL);
  CHECK(xx_hash64("abc", 1) != xx_hash64("abc"));
}

TEST_CASE("content hashes do not depend on how the bytes are cut") {
  const std::string text(1000, 'x');
  ContentHasher pieces;
  pieces.add(text.substr(0, 1)).add(text.substr(1, 500)).add(text.substr(501));
  CHECK(pieces.finish() == content_hash(text));
  CHECK(content_hash("a") != content_hash("b"));
  CHECK(content_hash("").hex() == "99aa06d3014798d86001c324468d497f");  // XXH3's published value
  CHECK(ContentHasher().add_field("ab").add_field("c").finish() != ContentHasher().add_field("a").add_field("bc").finish());
  CHECK(hex("\x01\xff") == "01ff");
  CHECK(hex64(255) == "00000000000000ff");
  CHECK(is_hex64("00000000000000ff", 255));
  CHECK(is_hex64(hex64(0xfedcba9876543210), 0xfedcba9876543210));
  CHECK_FALSE(is_hex64("00000000000000ff", 254));
  CHECK_FALSE(is_hex64("10000000000000ff", 255));
  CHECK_FALSE(is_hex64("00000000000000FF", 255));
  CHECK_FALSE(is_hex64("ff", 255));
  CHECK_FALSE(is_hex64("", 0));
}

TEST_CASE("files are read whole, within a limit, and errors name the path") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("a/b.txt", "hello");
  CHECK(*read_file(path) == "hello");
  CHECK(*read_file(path, 5) == "hello");
  CHECK(read_file(path, 4).status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(read_file(directory.path("none")).status().code() == absl::StatusCode::kNotFound);
  CHECK(read_file(directory.path("none")).status().ToString().find(directory.path("none")) != std::string::npos);
  CHECK(read_file(directory.path("a")).status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(*read_file(directory.write("empty", "")) == "");
  CHECK(read_file("/proc/self/status")->size() > 100);  // no size is known beforehand
  const std::string large(300'000, 'z');
  CHECK(*read_file(directory.write("large", large)) == large);
}

TEST_CASE("a file is replaced whole, with its mode, and nothing is left beside it") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("state");
  REQUIRE(replace_file(path, "one", 0600).ok());
  REQUIRE(replace_file(path, "two", 0640).ok());
  CHECK(*read_file(path) == "two");
  struct stat info;
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0640);
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
  CHECK_FALSE(replace_file(directory.path("no/such/dir"), "x").ok());
}

TEST_CASE("a temporary directory goes away with all it holds") {
  std::string path;
  {
    const TemporaryDirectory directory;
    path = directory.path();
    directory.write("deep/er/file", "x");
    CHECK(std::filesystem::exists(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("suggestions find what was probably meant") {
  const std::vector<std::string_view> names{"hostnames", "parentRefs", "rules", "connect_timeout"};
  CHECK(closest("hostname", names) == "hostnames");
  CHECK(closest("connectTimeout", names) == "connect_timeout");
  CHECK(closest("parnetRefs", names) == "parentRefs");
  CHECK_FALSE(closest("backend", names));
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("aaaaaaaaaaaa", "b", 3) == 4);
}

TEST_CASE("globs match, also the slow ones") {
  CHECK(glob_match("*", ""));
  CHECK(glob_match("a*c", "abbbc"));
  CHECK(glob_match("a?c", "abc"));
  CHECK_FALSE(glob_match("a?c", "ac"));
  CHECK_FALSE(glob_match("*.yaml", "a.yml"));
  CHECK_FALSE(glob_match("*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST_CASE("durations are read and written") {
  using namespace std::chrono_literals;
  CHECK(*parse_duration("250ms") == 250ms);
  CHECK(*parse_duration("1h30m") == 90min);
  CHECK(*parse_duration("1.5s") == 1500ms);
  CHECK(*parse_duration("-10us") == -10us);
  CHECK(*parse_duration("0") == 0s);
  for (const char* wrong : {"", "-", "5", "5 s", "s", "1x", "1s ", ".5s", "1.s", "99999999999h"}) {
    INFO(wrong);
    CHECK_FALSE(parse_duration(wrong).ok());
  }
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(250ms) == "250ms");
  CHECK(format_duration(1500us) == "1.5ms");
  CHECK(format_duration(0s) == "0s");
  for (const auto d : {1ns, 999ns, 1001ns, 123456789ns, 3600000000001ns, -61000000001ns}) CHECK(*parse_duration(format_duration(d)) == d);
}

TEST_CASE("protobuf's durations and times are read and written") {
  CHECK(format_proto_duration(1, 500'000'000) == "1.500s");
  CHECK(format_proto_duration(0, -1) == "-0.000000001s");
  CHECK(parse_proto_duration("-1.5s")->seconds == -1);
  CHECK(parse_proto_duration("-1.5s")->nanos == -500'000'000);
  for (const char* wrong : {"1", "1ms", "1.s", ".5s", "+1s", "315576000001s", "1.0000000001s", "", "s"}) CHECK_FALSE(parse_proto_duration(wrong));
  CHECK(format_rfc3339(1577836800, 1'000'000) == "2020-01-01T00:00:00.001Z");
  CHECK(parse_rfc3339("2020-01-01T01:00:00+01:00")->seconds == 1577836800);
  CHECK(parse_rfc3339("1969-12-31T23:59:59.5Z")->seconds == -1);
  for (const char* wrong : {"2020-02-30T00:00:00Z", "2020-01-01", "2020-01-01T00:00:00", "2020-01-01T24:00:00Z", "2020-01-01T00:00:00+1:00"}) {
    CHECK_FALSE(parse_rfc3339(wrong));
  }
  CHECK(format_time(SystemTime(std::chrono::milliseconds(-1))) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("byte sizes and base64 are read") {
  CHECK(*parse_byte_size("64KiB") == 65536);
  CHECK(*parse_byte_size("12") == 12);
  CHECK(*parse_byte_size("1 MB") == 1000000);
  for (const char* wrong : {"", "KiB", "-1", "1.5MiB", "99999999999999999999", "20000000000GiB"}) CHECK_FALSE(parse_byte_size(wrong).ok());
  CHECK(format_byte_size(1536) == "1.5 KiB");
  CHECK(format_byte_size(std::uint64_t{1} << 30) == "1 GiB");
  CHECK(decode_base64("aGk=") == "hi");
  CHECK(decode_base64("aGk") == "hi");
  CHECK(decode_base64("__8") == "\xff\xff");
  CHECK_FALSE(decode_base64("a"));
  CHECK_FALSE(decode_base64("a b="));
}

}  // namespace
}  // namespace fairlead
