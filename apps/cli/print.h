// What the CLI prints: documents as YAML or JSON, or as aligned tables with colours on a terminal. One thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "base/doc.h"

namespace fairlead::cli {

enum class Format { kTable, kJson, kYaml };

// Colours only when standard output is a terminal and NO_COLOR is not set.
bool colours();

class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row);
  bool empty() const { return rows_.size() == 1; }
  // Columns as wide as their longest cell; states (SYNCED, STALE, ERROR, True, False…) are coloured.
  std::string text(bool coloured) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The document in the asked form (not kTable).
std::string render(const doc::Value& value, Format format);

// With control characters (what a proxy says may hold any) as spaces, so that nothing but us speaks to the terminal.
std::string plain(std::string_view text);

// What we are called: "fairlead", or "kubectl fairlead" as a plug-in.
const std::string& program();
void call_program(std::string name);

// Says what is wrong on standard error. The exit code: 1 when the server said no, 2 when it could not be carried out.
int fail(const absl::Status& status);

// The items of a list of the document; none when it is not there.
std::vector<doc::Value> items(const doc::Value& value, std::string_view key);
std::string or_dash(std::string text);  // for a cell that would be empty

// A string of the document at a dotted path; "" when it is not there.
std::string text_at(const doc::Value& value, std::string_view path);

}  // namespace fairlead::cli
