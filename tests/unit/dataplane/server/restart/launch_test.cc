// Starting the same program again, whatever has become of its file.
#include "dataplane/server/restart/launch.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "base/file.h"

namespace fairlead::server::restart {
namespace {

using Catch::Matchers::Contains;

std::string script(const TemporaryDirectory& dir, const std::string& name, const std::string& body) {
  const std::string path = dir.write(name, "#!/bin/sh\n" + body);
  chmod(path.c_str(), 0755);
  return path;
}

int exit_code(pid_t pid) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("the child gets the arguments, the socket, and an environment without what is this process's alone") {
  TemporaryDirectory dir;
  setenv("LISTEN_FDS", "1", 1);
  setenv("WATCHDOG_PID", "5", 1);
  const CommandLine command{script(dir, "p", "echo \"$1,$2,$FAIRLEAD_PREDECESSOR_FD,$LISTEN_FDS,$WATCHDOG_PID,$KEPT\" > " + dir.path("out") + "\n[ -S /proc/self/fd/3 ] && ls /proc/self/fd | wc -l >> " + dir.path("out") + "\n"),
                            {"a b", "c"}};
  setenv("KEPT", "kept", 1);
  auto child = launch(command);
  REQUIRE(child.ok());
  CHECK(exit_code(child->pid) == 0);
  CHECK(*read_file(dir.path("out")) == "a b,c,3,,,kept\n5\n");  // 0 to 3, and that of ls
  CHECK(absl::IsUnavailable(child->channel.await().status()));
  for (const char* name : {"LISTEN_FDS", "WATCHDOG_PID", "KEPT"}) unsetenv(name);
}

TEST_CASE("a file that is missing or cannot be run is an error with its name") {
  TemporaryDirectory dir;
  CHECK_THAT(std::string(launch({dir.path("none"), {}}).status().message()), Contains(dir.path("none")));
  CHECK_FALSE(launch({dir.write("text", "no program"), {}}).ok());
}

TEST_CASE("the program is the one that was named, links unfollowed, and found again from any directory") {
  TemporaryDirectory dir;
  const std::string program = script(dir, "v1", "");
  REQUIRE(symlink(program.c_str(), dir.path("current").c_str()) == 0);
  std::string link = dir.path("current"), flag = "--flag";
  char* argv[] = {link.data(), flag.data(), nullptr};
  const CommandLine command = CommandLine::of(2, argv);
  CHECK(command.program == link);
  CHECK(command.arguments == std::vector<std::string>{"--flag"});

  const std::string path = getenv("PATH");
  setenv("PATH", ("/nowhere:" + dir.path()).c_str(), 1);
  std::string name = "current";
  char* short_argv[] = {name.data(), nullptr};
  CHECK(CommandLine::of(1, short_argv).program == link);
  setenv("PATH", path.c_str(), 1);

  std::string odd = "some text";
  char* odd_argv[] = {odd.data(), nullptr};
  CHECK_THAT(CommandLine::of(1, odd_argv).program, Contains("test_dataplane_server_restart"));
}

TEST_CASE("a process that nobody launched, or with a variable that means nothing, has no predecessor") {
  unsetenv("FAIRLEAD_PREDECESSOR_FD");
  CHECK_FALSE(launched_by().has_value());
  setenv("FAIRLEAD_PREDECESSOR_FD", "1", 1);
  CHECK_FALSE(launched_by().has_value());
  CHECK(getenv("FAIRLEAD_PREDECESSOR_FD") == nullptr);
  auto ends = *Channel::pair();
  const int fd = ends.second.release().release();
  setenv("FAIRLEAD_PREDECESSOR_FD", std::to_string(fd).c_str(), 1);
  auto channel = launched_by();
  REQUIRE(channel.has_value());
  CHECK(channel->send(Ready{}).ok());
  CHECK(ends.first.await().ok());
}

}  // namespace
}  // namespace fairlead::server::restart
