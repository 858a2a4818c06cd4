// Methods whose every request is answered by itself: unary calls, and streams of questions and answers. Who asks without reading is not read from.
// The loop's thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "controlplane/rpc/server.h"

namespace fairlead::rpc {

enum class Asking { kOnce, kStream };

// The answer to one request, both serialised; an error ends the call with it.
using Answer = std::function<absl::StatusOr<std::string>(const Call& call, std::string_view request)>;

void add_answers(Server& server, std::string method, Asking asking, Answer answer);

}  // namespace fairlead::rpc
