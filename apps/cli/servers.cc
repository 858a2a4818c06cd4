#include "apps/cli/servers.h"

#include <algorithm>
#include <iostream>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/print.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::cli {

void Servers::tell(const Server& server, const absl::Status& status) {
  std::cerr << "fairlead: " << (server.name.empty() ? "" : server.name + " is left out: ") << status.message() << "\n";
  incomplete_ = true;
}

absl::Status Servers::connect() {
  FL_ASSIGN_OR_RETURN(replicas_, kubectl_->find());
  std::vector<std::pair<const Pod*, absl::StatusOr<std::unique_ptr<Forward>>>> begun;
  for (const Pod& pod : replicas_.ready) begun.emplace_back(&pod, kubectl_->forward(pod));  // all at once
  std::vector<std::pair<const Pod*, absl::Status>> failed;
  for (auto& [pod, forward] : begun) {
    const absl::Status there = forward.ok() ? (*forward)->await() : forward.status();
    if (!there.ok()) {
      failed.emplace_back(pod, there);
      continue;
    }
    Forward* way = forwards_.emplace_back(*std::move(forward)).get();
    servers_.push_back({pod->name, Client(way->address(), pod->id(), [way] { return way->lost(); })});
  }
  if (servers_.empty()) return failed.front().second;
  for (const auto& [pod, status] : failed) tell({pod->name, Client("")}, status);
  return absl::OkStatus();
}

absl::StatusOr<const std::vector<Server>*> Servers::all() {
  if (servers_.empty()) FL_RETURN_IF_ERROR(connect());
  return &servers_;
}

absl::StatusOr<std::vector<Answer>> Servers::get_each(const std::string& path, const Parameters& parameters) {
  FL_ASSIGN_OR_RETURN(const std::vector<Server>* servers, all());
  std::vector<Answer> answers;
  std::vector<std::pair<const Server*, absl::Status>> failed;
  for (const Server& server : *servers) {
    absl::StatusOr<doc::Value> value = server.client.get(path, parameters);
    if (value.ok()) {
      answers.push_back({server.name, *std::move(value)});
    } else {
      failed.emplace_back(&server, value.status());
    }
  }
  if (answers.empty()) return failed.front().second;
  for (const auto& [server, status] : failed) tell(*server, status);
  return answers;
}

absl::StatusOr<doc::Value> Servers::get(const std::string& path, const Parameters& parameters) {
  FL_ASSIGN_OR_RETURN(const std::vector<Answer> answers, get_each(path, parameters));
  std::vector<std::string> others;
  for (const Answer& a : answers) {
    if (!(a.value == answers.front().value)) others.push_back(a.from);
  }
  if (!others.empty()) {
    std::cerr << "fairlead: this is what " << answers.front().from << " says; " << absl::StrJoin(others, ", ") << (others.size() == 1 ? " says" : " say")
              << " otherwise, perhaps for a moment: --pod asks one of them\n";
  }
  return answers.front().value;
}

absl::StatusOr<doc::Value> Servers::get_of(const std::string& proxy, const std::string& path, const Parameters& parameters) {
  FL_ASSIGN_OR_RETURN(const std::vector<Server>* servers, all());
  if (servers->size() == 1) return servers->front().client.get(path, parameters);
  FL_ASSIGN_OR_RETURN(const std::vector<Answer> statuses, get_each("/debug/status"));
  std::string from, since;
  std::vector<std::string> nodes;
  for (const doc::Value& p : items_of(statuses, "proxies")) {
    nodes.push_back(text_at(p, "node"));
    if (nodes.back() != proxy) continue;
    if (std::string at = text_at(p, "connected"); from.empty() || at > since) from = text_at(p, "replica"), since = std::move(at);
  }
  if (from.empty()) {
    std::sort(nodes.begin(), nodes.end());
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    const auto meant = closest(proxy, {nodes.begin(), nodes.end()});
    constexpr size_t kMost = 20;
    const bool more = nodes.size() > kMost;
    if (more) nodes.resize(kMost);
    return absl::FailedPreconditionError(absl::StrCat("no proxy \"", proxy, "\" is connected to any of ", servers->size(), " replicas",
                                                      meant ? absl::StrCat("; did you mean \"", *meant, "\"?") : "",
                                                      "; there are: ", nodes.empty() ? "none" : absl::StrJoin(nodes, ", "), more ? ", …" : ""));
  }
  return std::find_if(servers->begin(), servers->end(), [&](const Server& s) { return s.name == from; })->client.get(path, parameters);
}

std::vector<doc::Value> items_of(const std::vector<Answer>& answers, std::string_view key) {
  std::vector<doc::Value> out;
  for (const Answer& a : answers) {
    for (const doc::Value& item : items(a.value, key)) {
      out.push_back(a.from.empty() || !item.is_map() ? item : doc::with(item, "replica", doc::string(a.from)));
    }
  }
  return out;
}

bool Said::add(const std::string& text, const std::string& by) {
  const auto [at, fresh] = index_.try_emplace(text, all_.size());
  if (fresh) {
    all_.push_back({text, {by}});
  } else if (std::vector<std::string>& names = all_[at->second].by; names.back() != by) {
    names.push_back(by);
  }
  return fresh;
}

std::vector<doc::Value> said_items(const std::vector<Answer>& answers, std::string_view key) {
  Said said;
  std::vector<doc::Value> out;
  for (const Answer& a : answers) {
    for (const doc::Value& item : items(a.value, key)) {
      if (a.from.empty() || said.add(doc::to_json(item), a.from)) out.push_back(item);
    }
  }
  for (size_t i = 0; i < said.all().size(); ++i) {
    std::vector<doc::Value> names;
    for (const std::string& name : said.all()[i].by) names.push_back(doc::string(name));
    out[i] = doc::with(out[i], "replicas", doc::list(std::move(names)));
  }
  return out;
}

}  // namespace fairlead::cli
