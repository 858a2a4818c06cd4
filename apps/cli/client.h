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

using Parameters = std::map<std::string, std::string>;

class Client {
 public:
  // `hint`: what else may be done when nobody answers.
  explicit Client(std::string server, std::string hint = {}) : server_(std::move(server)), at_("at " + server_), hint_(std::move(hint)) {}
  // Of a pod, at the near end of a way to it. `lost`: what is known of the way when nobody answers.
  Client(std::string server, const std::string& pod, std::function<std::string()> lost)
      : server_(std::move(server)), at_("in pod " + pod), lost_(std::move(lost)) {}
  // GET path?parameters as a document. Errors carry the server's own message, or say that nobody answers at the address.
  absl::StatusOr<doc::Value> get(const std::string& path, const Parameters& parameters = {}) const;
  // GET of lines without end: each is given to `line`, which says whether to go on; empty ones are not. OK once it says no or the server ends.
  absl::Status follow(const std::string& path, const Parameters& parameters, const std::function<bool(std::string_view)>& line) const;
  // GET path: OK when the answer is 200. FailedPrecondition: another, in its own words. `program`: what should answer.
  absl::Status ask(const std::string& path, std::string_view program) const;

 private:
  absl::Status check_server() const;
  absl::Status no_answer(std::string_view error) const;
  std::string lost() const;  // what is known of the way, behind a colon; empty without one
  std::string server_;  // HOST:PORT
  std::string at_;      // for messages
  std::string hint_;
  std::function<std::string()> lost_;
};

}  // namespace fairlead::cli
