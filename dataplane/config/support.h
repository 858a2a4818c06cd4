// The support table: the state of every field of every message this proxy accepts. One reflection walk over each incoming
// resource, before any model is built, refuses what is refused, and reports what is ignored, with its path. Main thread; pure.
// Source of truth: dataplane/config/support_table.inc, compiled in; docs/support.md is generated from it and the descriptors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "base/screen.h"

namespace google::protobuf {
class Descriptor;
class Message;
}

namespace fairlead::config {

enum class Support : uint8_t { Implemented, Refused, Ignored };

struct IgnoredField {
  std::string path;    // "virtual_hosts[0].routes[2].decorator"
  std::string row;     // "envoy.config.route.v3.Route.decorator": the counter's and the table's key
  std::string reason;
};

struct SupportFindings {
  std::vector<IgnoredField> ignored;
};

// Refusals are collected (the first 8) into one InvalidArgument: "field.path: not supported: reason".
// Any fields whose message is in the table are unpacked and walked too; those with unknown types are left to the registry.
absl::Status check_support(const google::protobuf::Message& message, SupportFindings* findings = nullptr);

// What every parse_… does first: base/validate.h, then check_support.
absl::Status admit(const google::protobuf::Message& message, SupportFindings* findings = nullptr);

// Most resources have nothing to be said about, and this says so at a tenth of the cost: what validate() with open_any, a count of unknown fields
// and check_support() need not be asked of the message that `bytes` were parsed as.
Screen::Verdict screen(const google::protobuf::Descriptor* type, std::string_view bytes);

// The whole table as Markdown, and the fields of accepted messages and registered extensions that lack a row (empty when all is well).
std::string support_markdown();
std::vector<std::string> fields_without_row();

}  // namespace fairlead::config
