// `fairlead load`: what clients report of the load they send.
#include <cstdio>
#include <iostream>

#include <absl/strings/str_cat.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

int show_load(Servers& servers, Format format) {
  const absl::StatusOr<std::vector<Answer>> answers = servers.get_each("/debug/load");
  if (!answers.ok()) return fail(answers.status());
  const bool replicas = servers.kubectl() != nullptr;  // each knows what its own clients report
  const std::vector<doc::Value> clusters = items_of(*answers, "clusters"), reporters = items_of(*answers, "reporters");
  if (format != Format::kTable) {
    std::cout << render(replicas ? doc::map({{"clusters", doc::list(clusters), {}}, {"reporters", doc::list(reporters), {}}}) : answers->front().value, format);
    return servers.code(0);
  }
  std::vector<std::string> head{"CLUSTER",  "SERVICE",     "LOCALITY", "PRIORITY", "REPORTERS", "REQUESTS/S",
                                "ERRORS/S", "IN PROGRESS", "ISSUED",   "FAILED",   "DROPPED"};
  if (replicas) head.push_back("REPLICA");
  Table table(std::move(head));
  auto add = [&](std::vector<std::string> row, const doc::Value& cluster) {
    row.push_back(text_at(cluster, "dropped"));
    if (replicas) row.push_back(text_at(cluster, "replica"));
    table.add(std::move(row));
  };
  for (const doc::Value& c : clusters) {
    const std::string name = text_at(c, "cluster"), service = or_dash(text_at(c, "service"));
    const doc::Value* localities = c.find("localities");
    if (!localities || localities->items().empty()) {
      add({name, service, "-", "-", "-", "-", "-", "-", "-", "-"}, c);
      continue;
    }
    for (const doc::Value& l : localities->items()) {
      add({name, service, or_dash(text_at(l, "locality")), text_at(l, "priority"), text_at(l, "reporters"), text_at(l, "requests_per_s"),
           text_at(l, "errors_per_s"), text_at(l, "in_progress"), text_at(l, "issued"), text_at(l, "failed")},
          c);
    }
  }
  if (!table.empty()) {
    std::cout << table.text(colours());
  } else if (!reporters.empty()) {
    std::cout << reporters.size() << " clients report their load, and none has had any yet\n";
  } else {
    std::cout << "no client reports its load: Envoy does with load_stats_config in its cluster_manager, gRPC with lrs_server in its clusters\n";
  }
  return servers.code(0);
}

}  // namespace fairlead::cli
