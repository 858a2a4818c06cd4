// Starting the next process: the file that this one was started from, as it is now, with the same arguments.
// Main thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/server/restart/channel.h"

namespace fairlead::server::restart {

// How to start the same program again. Remember it at the start: later the file may be another, and the directory too.
struct CommandLine {
  std::string program;                 // a path, its symbolic links not followed: a link that is turned is a new program
  std::vector<std::string> arguments;  // without the program
  static CommandLine of(int argc, char** argv);
};

struct Launched {
  pid_t pid = -1;
  Channel channel;
};
// Errors: the file is not there, cannot be run. What goes wrong after that shows as the end of the channel.
absl::StatusOr<Launched> launch(const CommandLine& command);

// In a process that was so started: the socket to the one that started it. Clears the variable; call it before any thread.
std::optional<Channel> launched_by();

}  // namespace fairlead::server::restart
