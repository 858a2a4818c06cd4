// docs/support.md from the table and the descriptors, and the check that no field of an accepted message lacks a row.
#include <set>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/descriptor.h>

#include "base/descriptors.h"
#include "dataplane/config/registry.h"
#include "dataplane/config/support.h"
#include "dataplane/config/support_table.h"

namespace fairlead::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

std::string_view word(Support state) {
  switch (state) {
    case Support::Implemented: return "implemented";
    case Support::Refused: return "refused";
    case Support::Ignored: return "ignored";
  }
  return "";
}

std::string note(const SupportRow& row) {
  if (row.unless.empty()) return row.reason;
  return absl::StrCat(row.reason, " (`", row.unless, "` is accepted)");
}

// The message type that a field leads to, through maps; null for scalars.
const Descriptor* message_of(const FieldDescriptor* field) {
  if (field->is_map()) field = field->message_type()->map_value();
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? field->message_type() : nullptr;
}

const EnumDescriptor* enum_of(const FieldDescriptor* field) {
  if (field->is_map()) field = field->message_type()->map_value();
  return field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM ? field->enum_type() : nullptr;
}

void check_message(const SupportTable& table, const std::string& name, const SupportTable::Rows& rows, std::set<std::string>& enums_in_use,
                   std::vector<std::string>& missing) {
  const Descriptor* descriptor = find_message(name);
  if (descriptor == nullptr) {
    missing.push_back(absl::StrCat(name, ": no such message"));
    return;
  }
  for (const auto& [field, row] : rows) {
    if (descriptor->FindFieldByName(field) == nullptr) missing.push_back(absl::StrCat(name, ".", field, ": no such field"));
  }
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    const auto row = rows.find(field->name());
    if (row == rows.end()) {
      missing.push_back(absl::StrCat(name, ".", field->name(), ": no row"));
      continue;
    }
    if (row->second.state != Support::Implemented) continue;
    const Descriptor* type = message_of(field);
    if (type != nullptr && !absl::StartsWith(type->full_name(), "google.protobuf.") && !table.has(type->full_name())) {
      missing.push_back(absl::StrCat(type->full_name(), ": no block, but ", name, ".", field->name(), " is implemented"));
    }
    if (const EnumDescriptor* values = enum_of(field)) enums_in_use.insert(values->full_name());
  }
}

}  // namespace

std::vector<std::string> fields_without_row() {
  const SupportTable& table = SupportTable::get();
  std::vector<std::string> missing = table.problems();
  std::set<std::string> enums_in_use;
  for (const auto& [name, rows] : table.messages()) check_message(table, name, rows, enums_in_use, missing);
  for (const std::string& url : Registry::global().type_urls()) {
    if (!table.has(type_name(url))) missing.push_back(absl::StrCat(type_name(url), ": no block, but an extension reads it"));
  }
  for (const std::string& name : enums_in_use) {
    const EnumDescriptor* descriptor = find_enum(name);
    if (descriptor == nullptr || absl::StartsWith(name, "google.protobuf.")) continue;
    for (int i = 0; i < descriptor->value_count(); ++i) {
      if (table.value(descriptor, descriptor->value(i)->name()) == nullptr) {
        missing.push_back(absl::StrCat(name, ".", descriptor->value(i)->name(), ": no row"));
      }
    }
  }
  for (const auto& [name, rows] : table.enums()) {
    const EnumDescriptor* descriptor = find_enum(name);
    if (descriptor == nullptr) {
      missing.push_back(absl::StrCat(name, ": no such enum"));
      continue;
    }
    for (const auto& [value, row] : rows) {
      if (descriptor->FindValueByName(value) == nullptr) missing.push_back(absl::StrCat(name, ".", value, ": no such value"));
    }
  }
  return missing;
}

std::string support_markdown() {
  const SupportTable& table = SupportTable::get();
  size_t counts[3] = {};
  for (const auto& [name, rows] : table.messages()) {
    for (const auto& [field, row] : rows) ++counts[static_cast<size_t>(row.state)];
  }
  std::string out =
      "# What of Envoy's API the proxy supports\n\n"
      "Made from `dataplane/config/support_table.inc` and the descriptors of Envoy 1.40; do not edit. To make it again: "
      "`FAIRLEAD_REGENERATE=1 test_dataplane_config`.\n\n"
      "- **implemented**: does what Envoy 1.40 does, but for `docs/differences.md`.\n"
      "- **refused**: a resource that sets the field is rejected, with the field's path and this reason.\n"
      "- **ignored**: accepted with a warning and a counter. Nothing that touches routing, security or limits is ignored.\n\n"
      "A message that is not listed is not accepted where an extension may stand.\n\n";
  absl::StrAppend(&out, "Of ", counts[0] + counts[1] + counts[2], " fields ", counts[0], " are implemented, ", counts[1], " refused and ", counts[2],
                  " ignored.\n");
  const auto append_rows = [&](const std::string& name, const SupportRow& row) {
    absl::StrAppend(&out, "| `", name, "` | ", word(row.state), " | ", note(row), " |\n");
  };
  for (const auto& [name, rows] : table.messages()) {
    const Descriptor* descriptor = find_message(name);
    if (descriptor == nullptr) continue;
    absl::StrAppend(&out, "\n## ", name, "\n\n");
    if (descriptor->field_count() == 0) {
      out.append("Has no fields.\n");
      continue;
    }
    out.append("| field | state | why |\n|---|---|---|\n");
    for (int i = 0; i < descriptor->field_count(); ++i) {
      const FieldDescriptor* field = descriptor->field(i);
      const auto row = rows.find(field->name());
      if (row == rows.end()) continue;
      append_rows(field->name(), row->second);
      const EnumDescriptor* values = enum_of(field);
      if (values == nullptr || row->second.state != Support::Implemented) continue;
      for (int k = 0; k < values->value_count(); ++k) {
        const SupportRow* value = table.value(values, values->value(k)->name());
        if (value != nullptr && value->state != Support::Implemented) append_rows(absl::StrCat(field->name(), ": ", values->value(k)->name()), *value);
      }
    }
  }
  return out;
}

}  // namespace fairlead::config
