// What reaches the file, when, and what happens when memory is short or the file is rotated.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "dataplane/accesslog/log_file.h"

using namespace fairlead::accesslog;
using namespace std::chrono_literals;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/fairlead-accesslog-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& leaf) const { return path + "/" + leaf; }
  std::string path;
};

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("lines wait in memory until a flush") {
  Folder folder;
  LogFiles files(2, {.interval = 1h});
  auto file = files.open(folder / "a.log").value();
  file->write(0, "one\n");
  file->write(1, "two\n");
  CHECK(slurp(folder / "a.log").empty());
  file->flush();
  CHECK(slurp(folder / "a.log") == "one\ntwo\n");
}

TEST_CASE("a full buffer is written without being asked") {
  Folder folder;
  LogFiles files(1, {.flush_bytes = 100, .interval = 1h});
  auto file = files.open(folder / "a.log").value();
  file->write(0, std::string(99, 'x'));
  file->write(0, "y");
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (slurp(folder / "a.log").size() < 100 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(slurp(folder / "a.log").size() == 100);
}

TEST_CASE("one destination is opened once and closed with its last user") {
  Folder folder;
  LogFiles files(1);
  auto first = files.open(folder / "a.log").value();
  auto second = files.open(folder / "a.log").value();
  CHECK(first == second);
  first->write(0, "line\n");
  first.reset();
  second.reset();
  CHECK(slurp(folder / "a.log") == "line\n");
}

TEST_CASE("beyond the memory bound lines are dropped and counted") {
  Folder folder;
  LogFiles files(1, {.flush_bytes = 1 << 20, .interval = 1h, .max_buffered_bytes = 10});
  auto file = files.open(folder / "a.log").value();
  file->write(0, "12345678\n");
  file->write(0, "lost\n");
  CHECK(file->dropped_lines() == 1);
  file->flush();
  file->write(0, "again\n");
  file->flush();
  CHECK(slurp(folder / "a.log") == "12345678\nagain\n");
}

TEST_CASE("reopen follows a rename") {
  Folder folder;
  LogFiles files(1, {.interval = 1h});
  auto file = files.open(folder / "a.log").value();
  file->write(0, "old\n");
  std::filesystem::rename(folder / "a.log", folder / "a.log.1");
  files.reopen_all();
  file->write(0, "new\n");
  files.flush_all();
  CHECK(slurp(folder / "a.log.1") == "old\n");
  CHECK(slurp(folder / "a.log") == "new\n");
}

TEST_CASE("a path that cannot be opened is an error with its name") {
  LogFiles files(1);
  const auto file = files.open("/nonexistent/dir/a.log");
  REQUIRE_FALSE(file.ok());
  CHECK(std::string(file.status().message()).find("'/nonexistent/dir/a.log'") != std::string::npos);
}
