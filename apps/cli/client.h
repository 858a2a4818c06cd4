// Asks a running fairlead-control over HTTP. One thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/doc.h"

namespace fairlead::cli {

class Client {
 public:
  explicit Client(std::string server) : server_(std::move(server)) {}
  // GET path?parameters as a document. Errors carry the server's own message, or say that nobody answers at the address.
  absl::StatusOr<doc::Value> get(const std::string& path, const std::map<std::string, std::string>& parameters = {}) const;
  // GET of lines without end: each is given to `line`, which says whether to go on; empty ones are not. OK once it says no or the server ends.
  absl::Status follow(const std::string& path, const std::map<std::string, std::string>& parameters, const std::function<bool(std::string_view)>& line) const;
  // GET path: OK when the answer is 200. FailedPrecondition: another, in its own words. `program`: what should answer.
  absl::Status ask(const std::string& path, std::string_view program) const;

 private:
  absl::Status check_server() const;
  std::string server_;  // HOST:PORT
};

}  // namespace fairlead::cli
