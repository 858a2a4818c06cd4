// fairlead watch: what happens in a running control plane, line by line.
#include <iostream>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

std::string names(const doc::Value& event, std::string_view key, std::string_view sign) {
  constexpr size_t kMost = 4;
  const doc::Value* list = event.find(key);
  if (list == nullptr || list->size() == 0) return "";
  std::string out;
  for (size_t i = 0; i < list->size() && i < kMost; ++i) absl::StrAppend(&out, " ", sign, list->items()[i].as_string());
  if (list->size() > kMost) out += " …";
  return out;
}

// "12:00:01.250  push          edge-1  rds  1: default/quickstart/0.0.0.0/8080"
std::string line_of(const doc::Value& e) {
  const std::string at = text_at(e, "at"), kind = text_at(e, "kind"), type = text_at(e, "type"), from = text_at(e, "from"), message = text_at(e, "message"), reason = text_at(e, "reason");
  std::string out = absl::StrCat(at.size() > 11 ? at.substr(11, 12) : at, "  ", kind);
  out.append(kind.size() < 12 ? 12 - kind.size() : 0, ' ');
  std::vector<std::string> parts;
  for (const char* key : {"node", "scope", "object", "type"}) {
    if (const std::string part = text_at(e, key); !part.empty()) parts.push_back(part);
  }
  if (const std::string count = text_at(e, "resources"); !count.empty()) parts.push_back(absl::StrCat(count, ":", names(e, "set", ""), names(e, "removed", "-")));
  if (!from.empty()) parts.push_back(from);
  if (!reason.empty() && kind != "finding") parts.push_back(reason);
  if (!message.empty()) parts.push_back(message);
  if (const std::string version = text_at(e, "version"); !version.empty()) parts.push_back(absl::StrCat("version ", version));
  return absl::StrCat(out, "  ", absl::StrJoin(parts, "  "));
}

}  // namespace

int watch(const Client& client, Format format, const std::vector<std::string>& kinds) {
  bool lost = false;
  const absl::Status followed = client.follow("/debug/watch", {{"kind", absl::StrJoin(kinds, ",")}}, [&](std::string_view line) {
    const absl::StatusOr<doc::Value> event = doc::parse_json(line, "event");
    lost |= event.ok() && text_at(*event, "kind") == "dropped";
    if (format == Format::kJson) {
      std::cout << line << "\n";
    } else if (event.ok()) {
      std::cout << (format == Format::kTable ? plain(line_of(*event)) + "\n" : "---\n" + render(*event, format));
    }
    std::cout.flush();
    return static_cast<bool>(std::cout);  // nobody reads any more
  });
  if (!followed.ok()) {
    std::cerr << "fairlead: " << followed.message() << "\n";
    return absl::IsFailedPrecondition(followed) ? 1 : 2;
  }
  return lost ? 1 : 0;
}

}  // namespace fairlead::cli
