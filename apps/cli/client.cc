#include "apps/cli/client.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <httplib.h>

#include "apps/cli/print.h"

namespace fairlead::cli {

namespace {

httplib::Params params_of(const Parameters& parameters) {
  httplib::Params params;
  for (const auto& [name, value] : parameters) {
    if (!value.empty()) params.emplace(name, value);
  }
  return params;
}

// Of an answer other than 200.
absl::Status refusal(const std::string& at, const std::string& path, int status, const std::string& body) {
  const absl::StatusOr<doc::Value> value = doc::parse_json(body, path);
  const std::string message = value.ok() ? text_at(*value, "error") : "";
  return absl::FailedPreconditionError(message.empty() ? absl::StrCat("the server ", at, " answered ", path, " with status ", status) : message);
}

}  // namespace

absl::Status Client::check_server() const {
  const size_t colon = server_.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(server_.substr(colon + 1), &port) || port <= 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--server \"", server_, "\" is not HOST:PORT"));
  }
  return absl::OkStatus();
}

absl::Status Client::no_answer(std::string_view error) const {
  return absl::UnavailableError(absl::StrCat("no answer from fairlead-control ", at_, " (", error, ")",
                                             lost_ ? lost() : "; is it running, and is its --admin-address this one?", hint_));
}

std::string Client::lost() const { return lost_ ? absl::StrCat(": ", lost_()) : ""; }

absl::StatusOr<doc::Value> Client::get(const std::string& path, const Parameters& parameters) const {
  if (absl::Status s = check_server(); !s.ok()) return s;
  httplib::Client http(absl::StrCat("http://", server_));
  http.set_connection_timeout(5);
  http.set_read_timeout(30);
  const httplib::Result answer = http.Get(path, params_of(parameters), httplib::Headers());
  if (!answer) return no_answer(httplib::to_string(answer.error()));
  if (answer->status != 200) return refusal(at_, path, answer->status, answer->body);
  absl::StatusOr<doc::Value> value = doc::parse_json(answer->body, absl::StrCat("http://", server_, path));
  if (value.ok()) return value;
  return absl::UnavailableError(absl::StrCat("what answers ", at_, " is not fairlead-control: ", value.status().message()));
}

absl::Status Client::follow(const std::string& path, const Parameters& parameters, const std::function<bool(std::string_view)>& line) const {
  if (absl::Status s = check_server(); !s.ok()) return s;
  httplib::Client http(absl::StrCat("http://", server_));
  http.set_connection_timeout(5);
  http.set_read_timeout(10);  // there is an empty line each second
  int status = 0;
  bool stopped = false;
  std::string rest;
  const httplib::Result answer = http.Get(
      httplib::append_query_params(path, params_of(parameters)), httplib::Headers(), [&](const httplib::Response& head) { return (status = head.status) != 0; },
      [&](const char* data, size_t size) {
        rest.append(data, size);
        if (status != 200) return true;
        size_t begin = 0;
        for (size_t end; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
          if (end != begin && !line(std::string_view(rest).substr(begin, end - begin))) return !(stopped = true);
        }
        rest.erase(0, begin);
        return true;
      });
  if (stopped) return absl::OkStatus();
  if (!answer && status == 0) return no_answer(httplib::to_string(answer.error()));
  if (status != 200) return refusal(at_, path, status, rest);
  return answer ? absl::OkStatus()
                : absl::UnavailableError(absl::StrCat("the connection to the server ", at_, " broke (", httplib::to_string(answer.error()), ")", lost()));
}

absl::Status Client::ask(const std::string& path, std::string_view program) const {
  if (absl::Status s = check_server(); !s.ok()) return s;
  httplib::Client http(absl::StrCat("http://", server_));
  http.set_connection_timeout(2);
  http.set_read_timeout(2);
  const httplib::Result answer = http.Get(path);
  if (!answer) return absl::UnavailableError(absl::StrCat("no answer from ", program, " ", at_, " (", httplib::to_string(answer.error()), ")", lost()));
  if (answer->status == 200) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(program, " ", at_, " is not ready: ", absl::StripAsciiWhitespace(answer->body)));
}

}  // namespace fairlead::cli
