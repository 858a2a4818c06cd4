// Levels per component, lazy evaluation, line format and files.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>

#include <google/protobuf/wrappers.pb.h>

#include "base/file.h"
#include "base/log.h"

namespace fairlead::log {
namespace {

// Puts the defaults back, whatever a test did.
struct Restore {
  ~Restore() {
    set_capture(nullptr, nullptr);
    set_level(Level::info);
    set_format("");
    (void)log_to_file("");
  }
};

std::vector<std::string> lines_of(void (*body)()) {
  std::vector<std::string> lines;
  set_capture([](void* to, std::string_view component, Level level,
                 std::string_view text) { static_cast<std::vector<std::string>*>(to)->push_back(absl::StrCat(component, " ", level_name(level), " ", text)); },
              &lines);
  body();
  set_capture(nullptr, nullptr);
  return lines;
}

TEST_CASE("a level is a threshold and arguments below it are not evaluated") {
  const Restore restore;
  static int evaluated = 0;
  evaluated = 0;
  set_level(Level::warning);
  const auto lines = lines_of([] {
    FL_LOG(info, "test_a", ++evaluated);
    FL_LOG(warning, "test_a", "n=", ++evaluated);
    FL_LOG(critical, "test_a", "last");
  });
  CHECK(lines == std::vector<std::string>{"test_a warning n=1", "test_a critical last"});
  CHECK(evaluated == 1);
}

TEST_CASE("levels are set by component, all or nothing") {
  const Restore restore;
  declare_components({"test_b", "test_c"});
  CHECK(set_component_levels("test_b:debug,test_c:off").ok());
  CHECK(component("test_b").level() == Level::debug);
  CHECK_FALSE(component("test_c").enabled(Level::critical));
  const absl::Status wrong = set_component_levels("test_b:trace,tset_b:info");
  CHECK(wrong.code() == absl::StatusCode::kNotFound);
  CHECK(wrong.message().find("did you mean 'test_b'") != std::string::npos);
  CHECK(component("test_b").level() == Level::debug);
  CHECK_FALSE(set_component_levels("test_b:loud").ok());
  CHECK_FALSE(set_component_levels("test_b").ok());
  CHECK(set_component_levels("").ok());
  CHECK(*parse_level("warn") == Level::warning);
  const auto all = levels();
  CHECK(std::is_sorted(all.begin(), all.end()));
}

TEST_CASE("lines in a file have Envoy's form and a path within the source tree") {
  const Restore restore;
  const TemporaryDirectory directory;
  const std::string path = directory.path("x.log");
  REQUIRE(log_to_file(path).ok());
  FL_LOG(info, "test_e", "hello ", 5);
  const std::string line = *read_file(path);
  CHECK(line.starts_with("[20"));
  CHECK(line.find("][info][test_e] [tests/unit/base/log_test.cc:") != std::string::npos);
  CHECK(line.ends_with("] hello 5\n"));

  set_format("%_|%j");
  FL_LOG(info, "test_e", "a\n\"b\"");
  CHECK(read_file(path)->ends_with("a\\n\"b\"|a\\n\\\"b\\\"\n"));

  REQUIRE(std::rename(path.c_str(), directory.path("old.log").c_str()) == 0);
  REQUIRE(reopen().ok());
  FL_LOG(info, "test_e", "new");
  CHECK(*read_file(path) == "new|new\n");
  CHECK_FALSE(log_to_file(directory.path("none/x.log")).ok());
}

TEST_CASE("protobuf's own lines go to our log, and only when asked for") {
  const Restore restore;
  take_protobuf_lines();
  static google::protobuf::StringValue value;
  static const std::string broken("\x0a\x01\xff", 3);  // a text that is not UTF-8
  CHECK(lines_of([] { CHECK_FALSE(value.ParseFromString(broken)); }).empty());
  component("protobuf").set_level(Level::debug);
  const auto lines = lines_of([] { CHECK_FALSE(value.ParseFromString(broken)); });
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("protobuf debug ") == 0);
  CHECK(lines[0].find("UTF-8") != std::string::npos);
}

}  // namespace
}  // namespace fairlead::log
