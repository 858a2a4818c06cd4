// See support_table.h; the table itself is support_table.inc.
#include "dataplane/config/support_table.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/descriptor.h>

#include "base/descriptors.h"

namespace fairlead::config {
namespace {

constexpr std::string_view table_text =
#include "dataplane/config/support_table.inc"
    ;

}  // namespace

const SupportTable& SupportTable::get() {
  static const auto* table = new SupportTable;
  return *table;
}

SupportTable::SupportTable() {
  Rows* rows = nullptr;
  for (std::string_view line : absl::StrSplit(table_text, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    const auto bad = [&](std::string_view what) { problems_.push_back(absl::StrCat(what, ": ", line)); };
    if (absl::StartsWith(line, "message ") || absl::StartsWith(line, "enum ")) {
      auto& blocks = line[0] == 'm' ? messages_ : enums_;
      const auto [it, fresh] = blocks.try_emplace(std::string(line.substr(line.find(' ') + 1)));
      if (!fresh) bad("block given twice");
      rows = &it->second;
      continue;
    }
    SupportRow row;
    const size_t colon = line.find("): ");
    std::string_view names;
    if (absl::StartsWith(line, "implemented: ")) {
      row.state = Support::Implemented;
      names = line.substr(13);
    } else if (colon != std::string_view::npos && absl::StartsWith(line, "refused (")) {
      row.reason = std::string(line.substr(9, colon - 9));
      names = line.substr(colon + 3);
    } else if (colon != std::string_view::npos && absl::StartsWith(line, "ignored (")) {
      row.state = Support::Ignored;
      row.reason = std::string(line.substr(9, colon - 9));
      names = line.substr(colon + 3);
    } else {
      bad("malformed line");
      continue;
    }
    if (rows == nullptr) {
      bad("row outside of a block");
      continue;
    }
    for (std::string_view name : absl::StrSplit(names, ' ', absl::SkipEmpty())) {
      SupportRow entry = row;
      if (const size_t mark = name.find("!="); mark != std::string_view::npos) {
        entry.unless = std::string(name.substr(mark + 2));
        name = name.substr(0, mark);
      }
      if (!rows->emplace(std::string(name), std::move(entry)).second) bad(absl::StrCat("row given twice (", name, ")"));
    }
  }
  for (const auto& [name, message_rows] : messages_) {
    const auto* descriptor = find_message(name);
    if (descriptor == nullptr) continue;
    auto& indexed = by_index_[name];
    indexed.resize(static_cast<size_t>(descriptor->field_count()));
    for (int i = 0; i < descriptor->field_count(); ++i) {
      const auto it = message_rows.find(descriptor->field(i)->name());
      if (it != message_rows.end()) indexed[static_cast<size_t>(i)] = &it->second;
    }
  }
}

const std::vector<const SupportRow*>* SupportTable::rows(const google::protobuf::Descriptor* message) const {
  const auto it = by_index_.find(message->full_name());
  return it == by_index_.end() ? nullptr : &it->second;
}

const SupportRow* SupportTable::value(const google::protobuf::EnumDescriptor* type, std::string_view value) const {
  const auto block = enums_.find(type->full_name());
  if (block == enums_.end()) return nullptr;
  const auto row = block->second.find(value);
  return row == block->second.end() ? nullptr : &row->second;
}

}  // namespace fairlead::config
