// The commands that ask a running server, and those that work on files alone. Each prints and returns the exit code:
// 0 fine, 1 something is wrong with the configuration or the server said no, 2 the command could not be carried out.
#pragma once

#include <string>
#include <vector>

#include "apps/cli/print.h"
#include "apps/cli/servers.h"

namespace CLI {
class App;
}

namespace fairlead::cli {

int show_status(Servers& servers, Format format);
int show_config(Servers& servers, Format format, const std::string& type, const std::string& proxy, const std::string& name);
int show_diff(Servers& servers, Format format, const std::string& proxy);
int show_nacks(Servers& servers, Format format);
int show_conditions(Servers& servers, Format format);
int show_load(Servers& servers, Format format);
// Whether the control plane serves or, with `proxy`, the one with that admin address has its first configuration: for probes.
int show_ready(Servers& servers, const std::string& proxy);

// Findings on standard output. `strict`: warnings count as errors.
int check_files(const std::vector<std::string>& paths, Format format, bool strict);
// What every scope would be served. `scope`: one of them, "gateway:NS/NAME" or just "NS/NAME".
int translate_files(const std::vector<std::string>& paths, Format format, const std::string& scope);

// Requests, explained: by a running server, or with `paths` over files.
struct WhyOptions {
  std::vector<std::string> words;    // [PROXY] METHOD URL
  std::vector<std::string> headers;  // "name: value"
  std::string gateway;               // "NS/NAME", instead of a proxy
  std::vector<std::string> paths;
};
int show_why(Servers& servers, Format format, const WhyOptions& options);  // 1: the request would fail

struct RouteTestOptions {
  std::string file;
  std::string gateway, proxy;  // whose routes; empty: as the file says
  std::vector<std::string> paths;
  std::string junit;           // a file to write; empty: none
};
int run_route_tests(Servers& servers, Format format, const RouteTestOptions& options);  // 1: some failed

struct DiffOptions {
  std::vector<std::string> paths, old_paths;  // none old: what the server has
  std::string requests, access_log;           // files; empty: none
  bool exit_code = false;                     // 1 where something differs
};
int show_file_diff(Servers& servers, Format format, const DiffOptions& options);

// Changes, pushes and verdicts as they come, until the server ends or the reader does. `kinds`: those alone. In a cluster of all replicas, also of those
// that come later: it looks for them again whenever one is lost.
int watch(Servers& servers, Format format, const std::vector<std::string>& kinds);

std::string completion_script(const std::string& shell);  // bash, zsh or fish; empty for others
// What kubectl offers for the last of the words after `kubectl fairlead`, in the form that it asks of a plug-in.
int complete_for_kubectl(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace fairlead::cli
