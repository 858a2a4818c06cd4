// Completion of `kubectl fairlead`: kubectl runs the program kubectl_complete-fairlead with the words so far, the last of which is not complete, and reads
// a candidate a line ("candidate<tab>description"), at the end ":N" with what the shell is to do besides.
#include <algorithm>
#include <iostream>
#include <map>

#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <CLI/CLI.hpp>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

constexpr int kNoFiles = 4, kFiles = 0;  // directives of cobra, the library that kubectl's own completion is made with

using Words = std::vector<std::string>;

const std::map<std::string, Words> kValues{{"--output", {"table", "json", "yaml"}}, {"--for", {"proxy", "envoy", "grpc"}}};
const std::vector<std::string> kFileOptions{"--file",       "--old",        "--requests",     "--access-log", "--junit",
                                            "--kubeconfig", "--xds-tls-ca", "--xds-tls-cert", "--xds-tls-key"};

// What was understood of the words before the last.
struct Given {
  const CLI::App* command = nullptr;
  const CLI::Option* pending = nullptr;  // its value is what is asked for
  Words positionals;
  std::map<std::string, std::string> values;
};

const CLI::Option* option_of(const CLI::App& app, const CLI::App* command, const std::string& word) {
  const CLI::Option* option = command ? command->get_option_no_throw(word) : nullptr;
  return option ? option : app.get_option_no_throw(word);
}

Given understand(const CLI::App& app, const Words& words) {
  Given given;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (given.pending) {
      given.values[given.pending->get_name()] = word;
      given.pending = nullptr;
    } else if (word.size() > 1 && word[0] == '-') {
      const size_t equals = word.find('=');
      const CLI::Option* option = option_of(app, given.command, word.substr(0, equals));
      if (!option) continue;
      if (equals != word.npos) {
        given.values[option->get_name()] = word.substr(equals + 1);
      } else if (option->get_expected_max() > 0 && option->get_type_size() != 0) {
        given.pending = option;
      }
    } else if (!given.command) {
      for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (command->get_name() == word) given.command = command;
      }
    } else {
      given.positionals.push_back(word);
    }
  }
  return given;
}

Servers servers_of(const Given& given) {
  const auto value = [&](const char* name) {
    const auto at = given.values.find(name);
    return at == given.values.end() ? std::string() : at->second;
  };
  if (const std::string server = value("--server"); !server.empty()) return Servers(Client(server));
  return Servers(ClusterOptions{value("--kubeconfig"), value("--context"), value("--namespace"), value("--selector"), value("--pod")});
}

Words lines_of(const absl::StatusOr<std::string>& text) {
  Words out;
  if (!text.ok()) return out;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipWhitespace())) out.emplace_back(absl::StripPrefix(line, "namespace/"));
  return out;
}

Words proxies_of(const Given& given) {
  Words out;
  Servers servers = servers_of(given);
  const auto statuses = servers.get_each("/debug/status");
  if (!statuses.ok()) return out;
  for (const doc::Value& p : items_of(*statuses, "proxies")) out.push_back(text_at(p, "node"));
  return out;
}

Words pods_of(const Given& given) {
  Words out;
  const Servers servers = servers_of(given);
  const auto found = servers.kubectl() ? servers.kubectl()->find() : absl::StatusOr<Replicas>(Replicas());
  if (!found.ok()) return out;
  for (const std::vector<Pod>* pods : {&found->ready, &found->unready}) {
    for (const Pod& p : *pods) out.push_back(p.name);
  }
  return out;
}

Words of_option(const Given& given, const std::string& name, int& directive) {
  if (const auto at = kValues.find(name); at != kValues.end()) return at->second;
  if (std::find(kFileOptions.begin(), kFileOptions.end(), name) != kFileOptions.end()) directive = kFiles;
  const Servers servers = servers_of(given);
  if (name == "--context" && servers.kubectl()) return lines_of(servers.kubectl()->run({"config", "get-contexts", "-o", "name"}));
  if (name == "--namespace" && servers.kubectl()) return lines_of(servers.kubectl()->run({"get", "namespaces", "-o", "name", "--request-timeout=5s"}));
  if (name == "--pod") return pods_of(given);
  return {};
}

Words of_command(const Given& given, int& directive) {
  const std::string command = given.command->get_name();
  const size_t n = given.positionals.size();
  if (command == "config" && n == 0) return {"all", "clusters", "endpoints", "listeners", "routes", "secrets"};
  if ((command == "config" && n == 1) || ((command == "diff" || command == "why") && n == 0)) return proxies_of(given);
  if (command == "why" && n == 1) return {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  if (command == "watch") return {"change", "connected", "disconnected", "push", "accepted", "refused", "finding"};
  if (command == "completion" && n == 0) return {"bash", "zsh", "fish"};
  if (command == "route-test" && n == 0) directive = kFiles;
  return {};
}

void add_options(const CLI::App& app, Words& out) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name + "\t" + option->get_description());
  }
}

}  // namespace

int complete_for_kubectl(const CLI::App& app, const std::vector<std::string>& words) {
  std::cerr.setstate(std::ios::failbit);  // whoever presses a key wants candidates, or none
  const std::string current = words.empty() ? "" : words.back();
  const Given given = understand(app, words);
  int directive = kNoFiles;
  Words candidates;
  if (given.pending) {
    candidates = of_option(given, given.pending->get_name(), directive);
  } else if (current.starts_with("-")) {
    if (given.command) add_options(*given.command, candidates);
    add_options(app, candidates);
  } else if (!given.command) {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
      candidates.push_back(command->get_name() + "\t" + command->get_description());
  } else {
    candidates = of_command(given, directive);
  }
  for (const std::string& candidate : candidates) {
    if (candidate.starts_with(current)) std::cout << candidate << "\n";
  }
  std::cout << ":" << directive << "\n";
  return 0;
}

}  // namespace fairlead::cli
