#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

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
  if (more > 0) lines.push_back(absl::StrCat("and ", more, " more: see ", program(), " conditions"));
  return lines;
}

// In a cluster each row ends with the replica.
std::vector<std::string> head(std::vector<std::string> columns, bool replicas) {
  if (replicas) columns.push_back("REPLICA");
  return columns;
}

std::vector<doc::Value> sorted_proxies(const std::vector<Answer>& statuses) {
  std::vector<doc::Value> proxies = items_of(statuses, "proxies");
  std::stable_sort(proxies.begin(), proxies.end(), [](const doc::Value& a, const doc::Value& b) {
    return std::pair(text_at(a, "node"), text_at(a, "connected")) < std::pair(text_at(b, "node"), text_at(b, "connected"));
  });
  return proxies;
}

doc::Value whole_status(doc::Value status, const doc::Value& sources, const doc::Value& findings) {
  for (const doc::Value* more : {&sources, &findings}) {
    for (const doc::Entry& e : more->entries()) status = doc::with(status, e.key, e.value);
  }
  return status;
}

// The same of several: every item of every list says whose it is, and findings who all have them.
doc::Value status_of_replicas(const std::vector<Answer>& statuses, const std::vector<Answer>& sources, const std::vector<Answer>& findings,
                              const Replicas& replicas) {
  std::vector<doc::Entry> entries{{"proxies", doc::list(sorted_proxies(statuses)), {}}, {"unmatched", doc::list(items_of(statuses, "unmatched")), {}}};
  for (const Answer& a : sources) {
    for (const doc::Entry& e : a.value.entries()) {
      if (std::none_of(entries.begin(), entries.end(), [&](const doc::Entry& there) { return there.key == e.key; }))
        entries.push_back({e.key, doc::list(items_of(sources, e.key)), {}});
    }
  }
  entries.push_back({"findings", doc::list(said_items(findings, "findings")), {}});
  std::vector<doc::Value> pods;
  for (const std::vector<Pod>* some : {&replicas.ready, &replicas.unready}) {
    for (const Pod& p : *some) {
      const bool asked = std::any_of(statuses.begin(), statuses.end(), [&](const Answer& a) { return a.from == p.name; });
      doc::Value pod = doc::map({{"name", doc::string(p.name), {}}, {"namespace", doc::string(p.name_space), {}}, {"asked", doc::boolean(asked), {}}});
      const std::string why_not = p.ending ? "it is ending" : p.unready;
      pods.push_back(why_not.empty() ? pod : doc::with(pod, "unready", doc::string(why_not)));
    }
  }
  entries.push_back({"replicas", doc::list(std::move(pods)), {}});
  return doc::map(std::move(entries));
}

void print_proxies(const std::vector<Answer>& statuses, bool replicas) {
  Table table(head({"PROXY", "CLUSTER", "SCOPE", "CLIENT", "CONNECTED SINCE", "KIND", "CDS", "EDS", "LDS", "RDS"}, replicas));
  std::vector<std::string> notes;
  for (const doc::Value& p : sorted_proxies(statuses)) {
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
    if (replicas) row.push_back(text_at(p, "replica"));
    table.add(std::move(row));
  }
  for (const doc::Value& u : items_of(statuses, "unmatched"))
    notes.push_back(absl::StrCat(text_at(u, "node"), " has no configuration: ", text_at(u, "reason")));
  if (table.empty()) {
    std::cout << "no proxy is connected"
              << (replicas ? absl::StrCat(" to ", statuses.size() == 1 ? statuses[0].from : absl::StrCat("any of ", statuses.size(), " replicas")) : "")
              << "\n";
  } else {
    std::cout << table.text(colours());
  }
  for (const std::string& note : notes) std::cout << "  " << plain(note) << "\n";
}

// What is wrong; what not all replicas say, with the names of those that do.
void print_wrong(const std::vector<Answer>& sources, const std::vector<Answer>& findings) {
  Said said;
  for (size_t i = 0; i < sources.size(); ++i) {
    for (const std::string& line : wrong_lines(sources[i].value, findings[i].value)) said.add(line, sources[i].from);
  }
  for (const auto& [line, by] : said.all()) {
    const bool error = line.starts_with("error: ");
    const size_t word = error || line.starts_with("warning: ") ? line.find(':') : 0;
    std::cout << (colours() ? (error ? "\033[31m" : "\033[33m") : "") << line.substr(0, word) << (colours() ? "\033[0m" : "") << plain(line.substr(word))
              << (by.size() == sources.size() ? "" : absl::StrCat(" [", absl::StrJoin(by, ", "), "]")) << "\n";
  }
}

// Of conditions that several replicas told, those that say something: a replica without a proxy of a scope knows nothing of it, others may.
std::vector<doc::Value> known_conditions(std::vector<doc::Value> all) {
  const auto key = [](const doc::Value& c) { return std::tuple(text_at(c, "object"), text_at(c, "scope"), text_at(c, "type")); };
  std::set<std::tuple<std::string, std::string, std::string>> known;
  for (const doc::Value& c : all) {
    if (text_at(c, "status") != "Unknown") known.insert(key(c));
  }
  std::erase_if(all, [&](const doc::Value& c) { return text_at(c, "status") == "Unknown" && known.contains(key(c)); });
  std::stable_sort(all.begin(), all.end(), [&](const doc::Value& a, const doc::Value& b) { return key(a) < key(b); });
  return all;
}

// "status of kubernetes: written by POD (Lease NAMESPACE/NAME)", once for each source.
std::vector<std::string> writers(const std::vector<Answer>& sources) {
  std::map<std::string, std::pair<bool, std::string>> lines;  // by source; whether the one that writes has said so
  for (const Answer& a : sources) {
    for (const doc::Value& s : items(a.value, "status")) {
      const std::string source = text_at(s, "source"), leader = text_at(s, "leader"), lease = text_at(s, "lease");
      const bool writes = text_at(s, "writes") == "true";
      const std::string who = writes           ? a.from.empty() ? "written by this replica" : "written by " + a.from
                              : leader.empty() ? "written by nobody at the moment"
                                               : "written by " + leader;
      const auto at = lines.find(source);
      if (at == lines.end() || (writes && !at->second.first)) {
        lines[source] = {writes, absl::StrCat("status of ", source, ": ", who, lease.empty() ? "" : absl::StrCat(" (Lease ", lease, ")"))};
      }
    }
  }
  std::vector<std::string> out;
  for (auto& [source, line] : lines) out.push_back(std::move(line.second));
  return out;
}

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

int show_status(Servers& servers, Format format) {
  const auto asked = servers.all();
  if (!asked.ok()) return fail(asked.status());
  std::vector<Answer> statuses, sources, findings;
  absl::Status last;
  for (const Server& server : **asked) {
    absl::StatusOr<doc::Value> parts[] = {server.client.get("/debug/status"), doc::Value(), doc::Value()};
    if (parts[0].ok()) parts[1] = server.client.get("/debug/sources");
    if (parts[0].ok() && parts[1].ok()) parts[2] = server.client.get("/debug/findings");
    const auto bad = std::find_if(std::begin(parts), std::end(parts), [](const auto& part) { return !part.ok(); });
    if (bad != std::end(parts)) {
      last = bad->status();
      if ((*asked)->size() > 1) servers.tell(server, last);
      continue;
    }
    statuses.push_back({server.name, *parts[0]}), sources.push_back({server.name, *parts[1]}), findings.push_back({server.name, *parts[2]});
  }
  if (statuses.empty()) return (*asked)->size() > 1 ? 2 : fail(last);
  if (format != Format::kTable) {
    std::cout << render(servers.kubectl() ? status_of_replicas(statuses, sources, findings, servers.replicas())
                                          : whole_status(statuses[0].value, sources[0].value, findings[0].value),
                        format);
    return servers.code(0);
  }
  print_proxies(statuses, servers.kubectl() != nullptr);
  print_wrong(sources, findings);
  for (const Pod& pod : servers.replicas().unready) {
    std::cout << "  " << pod.name << " is not asked: " << (pod.ending ? "it is ending" : "it is not ready: " + plain(pod.unready)) << "\n";
  }
  return servers.code(0);
}

int show_config(Servers& servers, Format format, const std::string& type, const std::string& proxy, const std::string& name) {
  const Parameters parameters{{"type", type == "all" ? "" : type}, {"proxy", proxy}, {"name", name}};
  absl::StatusOr<doc::Value> answer = proxy.empty() ? servers.get("/debug/config", parameters) : servers.get_of(proxy, "/debug/config", parameters);
  if (!answer.ok()) return fail(answer.status());
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return servers.code(0);
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
  return servers.code(0);
}

int show_diff(Servers& servers, Format format, const std::string& proxy) {
  absl::StatusOr<doc::Value> answer = servers.get_of(proxy, "/debug/diff", {{"proxy", proxy}});
  if (!answer.ok()) return fail(answer.status());
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return servers.code(0);
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
  return servers.code(0);
}

int show_nacks(Servers& servers, Format format) {
  const absl::StatusOr<std::vector<Answer>> answers = servers.get_each("/debug/nacks");
  if (!answers.ok()) return fail(answers.status());
  const std::vector<doc::Value> nacks = items_of(*answers, "nacks");
  if (format != Format::kTable) {
    std::cout << render(doc::map({{"nacks", doc::list(nacks), {}}}), format);
    return servers.code(0);
  }
  if (nacks.empty()) std::cout << "nothing was refused\n";
  for (const doc::Value& n : nacks) {
    std::vector<std::string> nodes;
    for (const doc::Value& node : items(n, "nodes")) nodes.push_back(node.as_string());
    const std::string serving = text_at(n, "serving"), replica = text_at(n, "replica");
    std::cout << place_of(n) << ": " << text_at(n, "type") << " " << text_at(n, "name") << " refused by " << text_at(n, "class") << " ("
              << absl::StrJoin(nodes, ", ") << "), " << text_at(n, "count") << (text_at(n, "count") == "1" ? " time, " : " times, last ")
              << text_at(n, "latest") << (replica.empty() ? "" : absl::StrCat(" [", replica, "]")) << "\n  " << plain(text_at(n, "message")) << "\n  "
              << (serving.empty() ? "it never accepted one: left out" : absl::StrCat("still served: version ", serving)) << "\n";
  }
  return servers.code(0);
}

int show_conditions(Servers& servers, Format format) {
  const absl::StatusOr<std::vector<Answer>> answers = servers.get_each("/debug/conditions");
  if (!answers.ok()) return fail(answers.status());
  const std::vector<doc::Value> all = said_items(*answers, "conditions"), conditions = answers->size() > 1 ? known_conditions(all) : all;
  if (format != Format::kTable) {
    std::cout << render(doc::map({{"conditions", doc::list(conditions), {}}}), format);
    return servers.code(0);
  }
  Table table(head({"OBJECT", "PLACE", "SCOPE", "CONDITION", "STATUS", "REASON", "MESSAGE"}, servers.kubectl() != nullptr));
  for (const doc::Value& c : conditions) {
    std::vector<std::string> row{text_at(c, "object"), text_at(c, "place"),  or_dash(text_at(c, "scope")), text_at(c, "type"),
                                 text_at(c, "status"), text_at(c, "reason"), text_at(c, "message")};
    if (servers.kubectl()) {
      std::vector<std::string> by;
      for (const doc::Value& name : items(c, "replicas")) by.push_back(name.as_string());
      row.push_back(by.size() == answers->size() && by.size() > 1 ? "all" : absl::StrJoin(by, ", "));
    }
    table.add(std::move(row));
  }
  std::cout << (table.empty() ? "nothing\n" : table.text(colours()));
  // where these are written, and by whom
  if (const absl::StatusOr<std::vector<Answer>> sources = servers.get_each("/debug/sources"); sources.ok()) {
    for (const std::string& line : writers(*sources)) std::cout << line << "\n";
  }
  return servers.code(0);
}

}  // namespace fairlead::cli
