// The parsed support table, and for each message type the rows by field index, so that a walk does no lookups by name.
// Private to the room. Built on first use, immutable then; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/config/support.h"

namespace google::protobuf {
class Descriptor;
class EnumDescriptor;
}

namespace fairlead::config {

struct SupportRow {
  Support state = Support::Refused;
  std::string reason;  // empty when implemented
  std::string unless;  // a refused field is fine with this value
};

class SupportTable {
 public:
  static const SupportTable& get();

  // Null when the message is not in the table.
  const std::vector<const SupportRow*>* rows(const google::protobuf::Descriptor* message) const;
  const SupportRow* value(const google::protobuf::EnumDescriptor* type, std::string_view value) const;  // null: no row
  bool has(std::string_view message) const { return messages_.find(message) != messages_.end(); }

  using Rows = std::map<std::string, SupportRow, std::less<>>;
  const std::map<std::string, Rows, std::less<>>& messages() const { return messages_; }
  const std::map<std::string, Rows, std::less<>>& enums() const { return enums_; }
  const std::vector<std::string>& problems() const { return problems_; }  // malformed lines, names given twice

 private:
  SupportTable();
  std::map<std::string, Rows, std::less<>> messages_, enums_;
  absl::flat_hash_map<std::string, std::vector<const SupportRow*>> by_index_;  // by full name, so generated and dynamic types share it
  std::vector<std::string> problems_;
};

}  // namespace fairlead::config
