#include "apps/cli/print.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::cli {

namespace {
std::string called = "fairlead";
}  // namespace

const std::string& program() { return called; }
void call_program(std::string name) { called = std::move(name); }

bool colours() { return isatty(STDOUT_FILENO) && std::getenv("NO_COLOR") == nullptr; }

namespace {

const char* colour_of(std::string_view cell) {
  if (cell == "SYNCED" || cell == "True") return "\033[32m";
  if (cell == "STALE" || cell == "NOT SENT" || cell == "Unknown" || cell == "warning") return "\033[33m";
  if (cell == "ERROR" || cell == "False" || cell == "error") return "\033[31m";
  return nullptr;
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = plain(cell);
  rows_.push_back(std::move(row));
}

std::string Table::text(bool coloured) const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      const char* colour = coloured ? colour_of(row[i]) : nullptr;
      absl::StrAppend(&out, colour ? colour : "", row[i], colour ? "\033[0m" : "");
      if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + 3, ' ');
    }
    while (out.ends_with(' ')) out.pop_back();  // of cells that are empty
    out.push_back('\n');
  }
  return out;
}

std::string plain(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

std::string render(const doc::Value& value, Format format) {
  return format == Format::kJson ? doc::to_json(value, true) + "\n" : doc::to_yaml(value);
}

int fail(const absl::Status& status) {
  std::cerr << "fairlead: " << status.message() << "\n";
  return absl::IsFailedPrecondition(status) ? 1 : 2;
}

std::vector<doc::Value> items(const doc::Value& value, std::string_view key) {
  const doc::Value* list = value.find(key);
  if (!list) return {};
  return {list->items().begin(), list->items().end()};
}

std::string or_dash(std::string text) { return text.empty() ? "-" : text; }

std::string text_at(const doc::Value& value, std::string_view path) {
  const doc::Value* at = value.find_path(path);
  if (!at) return "";
  if (at->is_string()) return at->as_string();
  return doc::to_json(*at);
}

}  // namespace fairlead::cli
