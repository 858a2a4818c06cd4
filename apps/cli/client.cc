#include "apps/cli/client.h"

#include <absl/strings/str_cat.h>
#include <httplib.h>

#include "apps/cli/print.h"

namespace fairlead::cli {

absl::StatusOr<doc::Value> Client::get(const std::string& path, const std::map<std::string, std::string>& parameters) const {
  httplib::Client http(absl::StrCat("http://", server_));
  if (!http.is_valid()) return absl::InvalidArgumentError(absl::StrCat("--server \"", server_, "\" is not HOST:PORT"));
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
  if (answer->status == 200) return value;
  const std::string message = value.ok() ? text_at(*value, "error") : "";
  return absl::FailedPreconditionError(message.empty() ? absl::StrCat("the server answered ", answer->status) : message);
}

}  // namespace fairlead::cli
