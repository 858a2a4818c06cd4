#include <algorithm>
#include <iostream>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

int fail(const absl::Status& status) {
  std::cerr << "fairlead: " << status.message() << "\n";
  return absl::IsFailedPrecondition(status) ? 1 : 2;
}

std::vector<doc::Value> items(const doc::Value& value, std::string_view key) {
  const doc::Value* list = value.find(key);
  if (!list) return {};
  return {list->items().begin(), list->items().end()};
}

// "routes.yaml:12" of the first origin, and how many more there are.
std::string place_of(const doc::Value& value) {
  const std::vector<doc::Value> origins = items(value, "origins");
  if (origins.empty()) return "-";
  return absl::StrCat(text_at(origins.front(), "place"), origins.size() > 1 ? absl::StrCat(" +", origins.size() - 1) : "");
}

constexpr size_t kMostFindings = 40;  // under a table; all of them are in `conditions`, and with -o json

// "error: routes.yaml:12: HTTPRoute default/app: spec.rules[0]: message"
std::string finding_line(const doc::Value& f) {
  std::string line = text_at(f, "severity");
  for (const char* part : {"place", "object", "field", "reason", "message"}) {
    const std::string text = text_at(f, part);
    if (!text.empty() && text != "Invalid" && (part == std::string_view("place") || text != text_at(f, "place"))) absl::StrAppend(&line, ": ", text);
  }
  return line;
}

// What is wrong, as lines: lost sources, and each finding; before anything is served, what was found in reading.
std::vector<std::string> wrong_lines(const doc::Value& sources, const doc::Value& findings) {
  std::vector<std::string> lines, lost_sources;
  for (const doc::Value& s : items(sources, "sources")) {
    const std::string lost = text_at(s, "lost"), age = text_at(s, "age_s");
    const bool synced = text_at(s, "synced") == "true";
    if (!lost.empty()) {
      lost_sources.push_back(lost);
      lines.push_back(absl::StrCat("error: ", text_at(s, "name"), ": ", lost,
                                   synced ? absl::StrCat("; what was read ", age.substr(0, age.find('.')), " s ago stays in use") : "; nothing is served yet"));
    } else if (!synced) {
      lines.push_back(absl::StrCat("error: ", text_at(s, "name"), ": not read yet; nothing is served before"));
    }
  }
  // a lost source is a finding too, without a place
  auto told = [&](const std::string& text) {
    return std::any_of(lost_sources.begin(), lost_sources.end(), [&](const std::string& lost) { return text.starts_with(lost) || text.starts_with("error: " + lost); });
  };
  std::vector<std::string> found;
  for (const doc::Value& f : items(findings, "findings")) {
    const std::string message = text_at(f, "message");
    if (!(text_at(f, "place").empty() && told(message)) && text_at(f, "severity") != "note") found.push_back(finding_line(f));
  }
  if (found.empty()) {
    for (const doc::Value& d : items(sources, "diagnostics")) {
      if (!told(d.as_string())) found.push_back(d.as_string());
    }
  }
  const size_t more = found.size() > kMostFindings ? found.size() - kMostFindings : 0;
  lines.insert(lines.end(), found.begin(), found.end() - static_cast<ptrdiff_t>(more));
  if (more > 0) lines.push_back(absl::StrCat("and ", more, " more: see fairlead conditions"));
  return lines;
}

std::string or_dash(std::string s) { return s.empty() ? "-" : s; }

// Its first certificate, with the number of those behind it.
void add_secret(Table& table, const std::string& scope, const doc::Value& r) {
  const std::vector<doc::Value> certificates = items(r, "certificates");
  std::string subject, expires;
  std::vector<std::string> names;
  if (!certificates.empty()) {
    subject = absl::StrCat(text_at(certificates[0], "subject"), certificates.size() > 1 ? absl::StrCat(" +", certificates.size() - 1) : "");
    expires = text_at(certificates[0], "not_after");
    for (const doc::Value& name : items(certificates[0], "names")) names.push_back(name.as_string());
  }
  table.add({scope, text_at(r, "name"), or_dash(subject), or_dash(absl::StrJoin(names, ", ")), or_dash(expires), text_at(r, "version"), place_of(r)});
}

}  // namespace

int show_status(const Client& client, Format format) {
  absl::StatusOr<doc::Value> status = client.get("/debug/status");
  if (!status.ok()) return fail(status.status());
  const absl::StatusOr<doc::Value> sources = client.get("/debug/sources");
  if (!sources.ok()) return fail(sources.status());
  const absl::StatusOr<doc::Value> findings = client.get("/debug/findings");
  if (!findings.ok()) return fail(findings.status());
  if (format != Format::kTable) {
    for (const doc::Value* more : {&*sources, &*findings}) {
      for (const doc::Entry& e : more->entries()) *status = doc::with(*status, e.key, e.value);
    }
    std::cout << render(*status, format);
    return 0;
  }
  Table table({"PROXY", "CLUSTER", "SCOPE", "CLIENT", "CONNECTED SINCE", "KIND", "CDS", "EDS", "LDS", "RDS"});
  std::vector<std::string> notes;
  for (const doc::Value& p : items(*status, "proxies")) {
    std::string client_class = text_at(p, "class");
    client_class = client_class.substr(0, client_class.find('#'));
    std::vector<std::string> row{text_at(p, "node"), text_at(p, "cluster"), text_at(p, "scope"), client_class, text_at(p, "connected"), text_at(p, "kind")};
    for (const char* type : {"cds", "eds", "lds", "rds"}) {
      row.push_back(or_dash(text_at(p, absl::StrCat("types.", type, ".state"))));
      const std::string error = text_at(p, absl::StrCat("types.", type, ".error"));
      if (!error.empty()) notes.push_back(absl::StrCat(text_at(p, "node"), " refused ", type, ": ", error));
      if (text_at(p, absl::StrCat("types.", type, ".held")) == "true") {
        notes.push_back(absl::StrCat(text_at(p, "node"), " keeps the ", type, " it has: something that cannot be read has no last good version"));
      }
    }
    table.add(std::move(row));
  }
  for (const doc::Value& u : items(*status, "unmatched")) notes.push_back(absl::StrCat(text_at(u, "node"), " has no configuration: ", text_at(u, "reason")));
  if (table.empty()) {
    std::cout << "no proxy is connected\n";
  } else {
    std::cout << table.text(colours());
  }
  for (const std::string& note : notes) std::cout << "  " << plain(note) << "\n";
  for (const std::string& line : wrong_lines(*sources, *findings)) {
    const bool error = line.starts_with("error: ");
    const size_t word = error || line.starts_with("warning: ") ? line.find(':') : 0;
    std::cout << (colours() ? (error ? "\033[31m" : "\033[33m") : "") << line.substr(0, word) << (colours() ? "\033[0m" : "") << plain(line.substr(word)) << "\n";
  }
  return 0;
}

int show_config(const Client& client, Format format, const std::string& type, const std::string& proxy, const std::string& name) {
  absl::StatusOr<doc::Value> answer = client.get("/debug/config", {{"type", type == "all" ? "" : type}, {"proxy", proxy}, {"name", name}});
  if (!answer.ok()) return fail(answer.status());
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return 0;
  }
  const bool secrets = type == "sds" || type == "secret" || type == "secrets";
  Table table(secrets ? std::vector<std::string>{"SCOPE", "NAME", "CERTIFICATE", "FOR", "EXPIRES", "VERSION", "FROM"} : std::vector<std::string>{"SCOPE", "TYPE", "NAME", "VERSION", "FROM"});
  auto add = [&](const std::string& scope, const doc::Value& holder) {
    for (const doc::Value& r : items(holder, "resources")) {
      if (secrets) {
        add_secret(table, scope, r);
      } else {
        table.add({scope, text_at(r, "type"), text_at(r, "name"), text_at(r, "version"), place_of(r)});
      }
    }
  };
  if (!proxy.empty()) {
    add(proxy, *answer);
  } else {
    for (const doc::Value& s : items(*answer, "scopes")) add(text_at(s, "scope"), s);
  }
  std::cout << (table.empty() ? "nothing\n" : table.text(colours()));
  return 0;
}

int show_diff(const Client& client, Format format, const std::string& proxy) {
  absl::StatusOr<doc::Value> answer = client.get("/debug/diff", {{"proxy", proxy}});
  if (!answer.ok()) return fail(answer.status());
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return 0;
  }
  Table table({"TYPE", "NAME", "WANTED", "SENT", "ACCEPTED", "WHY"});
  if (const doc::Value* types = answer->find("types")) {
    for (const doc::Entry& type : types->entries()) {
      for (const doc::Value& r : type.value.items()) {
        table.add({type.key, text_at(r, "name"), or_dash(text_at(r, "wanted")), or_dash(text_at(r, "sent")), or_dash(text_at(r, "accepted")), text_at(r, "why")});
      }
    }
  }
  std::cout << (table.empty() ? absl::StrCat(proxy, " has accepted all it should have\n") : table.text(colours()));
  return 0;
}

int show_nacks(const Client& client, Format format) {
  absl::StatusOr<doc::Value> answer = client.get("/debug/nacks");
  if (!answer.ok()) return fail(answer.status());
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return 0;
  }
  const std::vector<doc::Value> nacks = items(*answer, "nacks");
  if (nacks.empty()) std::cout << "nothing was refused\n";
  for (const doc::Value& n : nacks) {
    std::vector<std::string> nodes;
    for (const doc::Value& node : items(n, "nodes")) nodes.push_back(node.as_string());
    const std::string serving = text_at(n, "serving");
    std::cout << place_of(n) << ": " << text_at(n, "type") << " " << text_at(n, "name") << " refused by " << text_at(n, "class") << " (" << absl::StrJoin(nodes, ", ")
              << "), " << text_at(n, "count") << (text_at(n, "count") == "1" ? " time, " : " times, last ") << text_at(n, "latest") << "\n  " << plain(text_at(n, "message")) << "\n  "
              << (serving.empty() ? "it never accepted one: left out" : absl::StrCat("still served: version ", serving)) << "\n";
  }
  return 0;
}

int show_conditions(const Client& client, Format format) {
  absl::StatusOr<doc::Value> answer = client.get("/debug/conditions");
  if (!answer.ok()) return fail(answer.status());
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return 0;
  }
  Table table({"OBJECT", "PLACE", "SCOPE", "CONDITION", "STATUS", "REASON", "MESSAGE"});
  for (const doc::Value& c : items(*answer, "conditions")) {
    table.add({text_at(c, "object"), text_at(c, "place"), or_dash(text_at(c, "scope")), text_at(c, "type"), text_at(c, "status"), text_at(c, "reason"), text_at(c, "message")});
  }
  std::cout << (table.empty() ? "nothing\n" : table.text(colours()));
  // where these are written, and by whom
  if (const absl::StatusOr<doc::Value> sources = client.get("/debug/sources"); sources.ok()) {
    for (const doc::Value& s : items(*sources, "status")) {
      const std::string leader = text_at(s, "leader"), lease = text_at(s, "lease");
      const bool writes = text_at(s, "writes") == "true";
      std::cout << "status of " << text_at(s, "source") << ": " << (writes ? "written by this replica" : leader.empty() ? "written by nobody at the moment" : absl::StrCat("written by ", leader))
                << (lease.empty() ? "" : absl::StrCat(" (Lease ", lease, ")")) << "\n";
    }
  }
  return 0;
}

}  // namespace fairlead::cli
