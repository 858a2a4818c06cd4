#include "apps/cli/client.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <httplib.h>

#include "apps/cli/print.h"

namespace fairlead::cli {

absl::StatusOr<doc::Value> Client::get(const std::string& path, const std::map<std::string, std::string>& parameters) const {
  const size_t colon = server_.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(server_.substr(colon + 1), &port) || port <= 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--server \"", server_, "\" is not HOST:PORT"));
  }
  httplib::Client http(absl::StrCat("http://", server_));
  http.set_connection_timeout(5);
  http.set_read_timeout(30);
  httplib::Params params;
  for (const auto& [name, value] : parameters) {
    if (!value.empty()) params.emplace(name, value);
  }
  const httplib::Result answer = http.Get(path, params, httplib::Headers());
  if (!answer) {
    return absl::UnavailableError(absl::StrCat("no answer from fairlead-control at ", server_, " (", httplib::to_string(answer.error()),
                                               "); is it running, and is its --admin-address this one?"));
  }
  absl::StatusOr<doc::Value> value = doc::parse_json(answer->body, absl::StrCat("http://", server_, path));
  if (answer->status == 200) {
    if (value.ok()) return value;
    return absl::UnavailableError(absl::StrCat("what answers at ", server_, " is not fairlead-control: ", value.status().message()));
  }
  const std::string message = value.ok() ? text_at(*value, "error") : "";
  return absl::FailedPreconditionError(message.empty() ? absl::StrCat("the server at ", server_, " answered ", path, " with status ", answer->status) : message);
}

}  // namespace fairlead::cli
