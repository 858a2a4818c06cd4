// Any text as YAML or JSON, then as messages, then written and read back. Neither may crash, hang or change the value.
// The first byte chooses the message; the rest is the text.
#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace {

using fairlead::doc::Value;

void require(bool holds) {
  if (!holds) std::abort();
}

void read_back(const Value& value) {
  // Documents that are only null are left out by design.
  if (value.is_null()) return;
  const std::string yaml = fairlead::doc::to_yaml(value);
  const auto again = fairlead::doc::parse_yaml(yaml, "again.yaml");
  require(again.ok() && again->size() == 1 && again->front() == value);
  require(fairlead::doc::to_yaml(again->front()) == yaml);
  require(fairlead::doc::parse_json(fairlead::doc::to_json(value), "again.json").ok());
}

template <typename T>
void as_message(const Value& value) {
  T message;
  fairlead::doc::FieldMarks marks;
  fairlead::doc::ToMessageOptions options;
  options.marks = &marks;
  if (!fairlead::doc::to_message(value, &message, options).ok()) return;
  const Value printed = fairlead::doc::from_message(message);
  T again;
  require(fairlead::doc::to_message(printed, &again).ok());
  require(fairlead::doc::from_message(again) == printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Small limits keep one run short; they are what is under test as well.
  const fairlead::doc::Limits limits{.max_bytes = 1 << 16, .max_depth = 50, .max_nodes = 10'000};
  const auto documents = fairlead::doc::parse_any(text, data[0] & 1 ? "fuzz.json" : "fuzz.yaml", limits);
  if (!documents.ok()) {
    require(!documents.status().message().empty());
    return 0;
  }
  for (const Value& value : *documents) {
    read_back(value);
    if (data[0] & 2) {
      as_message<envoy::config::bootstrap::v3::Bootstrap>(value);
    } else {
      as_message<google::protobuf::Struct>(value);
    }
  }
  return 0;
}
