// Looks values up in protobuf Metadata and prints them as text or JSON. Private to the room; the only part that knows protobuf values.
#pragma once

#include <string>

#include "dataplane/format/ops.h"

namespace google::protobuf {
class Value;
class Struct;
}

namespace fairlead::format {

bool emit_metadata(const Op& op, const FormatContext& context, bool as_json, std::string& out);

// Compact JSON; numbers as JSON.stringify prints them, object keys sorted.
void append_json(const google::protobuf::Value& value, std::string& out);
void append_json(const google::protobuf::Struct& value, std::string& out);
void append_json_number(double value, std::string& out);

}  // namespace fairlead::format
