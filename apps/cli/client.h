// Asks a running fairlead-control over HTTP. One thread.
#pragma once

#include <map>
#include <string>

#include <absl/status/statusor.h>

#include "base/doc.h"

namespace fairlead::cli {

class Client {
 public:
  explicit Client(std::string server) : server_(std::move(server)) {}
  // GET path?parameters as a document. Errors carry the server's own message, or say that nobody answers at the address.
  absl::StatusOr<doc::Value> get(const std::string& path, const std::map<std::string, std::string>& parameters = {}) const;

 private:
  std::string server_;  // HOST:PORT
};

}  // namespace fairlead::cli
