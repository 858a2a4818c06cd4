// `fairlead load`: what clients report of the load they send.
#include <cstdio>
#include <iostream>

#include <absl/strings/str_cat.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

std::string or_dash(std::string s) { return s.empty() ? "-" : s; }

}  // namespace

int show_load(const Client& client, Format format) {
  absl::StatusOr<doc::Value> answer = client.get("/debug/load");
  if (!answer.ok()) {
    std::cerr << "fairlead: " << answer.status().message() << "\n";
    return absl::IsFailedPrecondition(answer.status()) ? 1 : 2;
  }
  if (format != Format::kTable) {
    std::cout << render(*answer, format);
    return 0;
  }
  Table table({"CLUSTER", "SERVICE", "LOCALITY", "PRIORITY", "REPORTERS", "REQUESTS/S", "ERRORS/S", "IN PROGRESS", "ISSUED", "FAILED", "DROPPED"});
  if (const doc::Value* clusters = answer->find("clusters")) {
    for (const doc::Value& c : clusters->items()) {
      const std::string name = text_at(c, "cluster"), service = or_dash(text_at(c, "service")), dropped = text_at(c, "dropped");
      const doc::Value* localities = c.find("localities");
      if (!localities || localities->items().empty()) {
        table.add({name, service, "-", "-", "-", "-", "-", "-", "-", "-", dropped});
        continue;
      }
      for (const doc::Value& l : localities->items()) {
        table.add({name, service, or_dash(text_at(l, "locality")), text_at(l, "priority"), text_at(l, "reporters"), text_at(l, "requests_per_s"), text_at(l, "errors_per_s"),
                   text_at(l, "in_progress"), text_at(l, "issued"), text_at(l, "failed"), dropped});
      }
    }
  }
  const doc::Value* reporters = answer->find("reporters");
  if (!table.empty()) {
    std::cout << table.text(colours());
  } else if (reporters && !reporters->items().empty()) {
    std::cout << reporters->items().size() << " clients report their load, and none has had any yet\n";
  } else {
    std::cout << "no client reports its load: Envoy does with load_stats_config in its cluster_manager, gRPC with lrs_server in its clusters\n";
  }
  return 0;
}

}  // namespace fairlead::cli
