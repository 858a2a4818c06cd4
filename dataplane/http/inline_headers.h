// Which headers Envoy keeps in one line: a further value is joined to the first by a comma, whether it comes in a line of its own or is
// added by configuration. All other names may stand in several lines. Observed with Envoy 1.40; pure functions, any thread.
#pragma once

#include <string_view>

#include "dataplane/http/header_map.h"

namespace fairlead::http {

enum class MessageKind : bool { kRequest, kResponse };

bool is_inline(std::string_view lower_case_name, MessageKind kind);
// Adds a value as configuration does: to the line there is when the name is inline, else as a line of its own.
void add_value(HeaderMap& headers, std::string_view lower_case_name, std::string_view value, MessageKind kind);
// Joins the lines of every inline header that came more than once, so that all who look at the first see all of it: the hops of two
// x-forwarded-for lines must not hide each other.
void join_repeated(HeaderMap& headers, MessageKind kind);

}  // namespace fairlead::http
