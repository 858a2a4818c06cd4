// fairlead: asks a running control plane, checks and translates files, writes bootstraps. Called kubectl-fairlead it is a plug-in of kubectl, which asks the
// control plane in the cluster; called kubectl_complete-fairlead it completes the plug-in's words.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "adapters/provision/bootstrap.h"
#include "apps/cli/commands.h"
#include "base/log.h"
#include "base/strings.h"

namespace {

using namespace fairlead::cli;

const std::map<std::string, Format> kFormats{{"table", Format::kTable}, {"json", Format::kJson}, {"yaml", Format::kYaml}};

std::string usage_hint() { return program() + " --help lists commands and flags.\n"; }

// The words that say who is to be asked. As a plug-in of kubectl: a control plane in the cluster, unless an address is given.
class Whom {
 public:
  Whom(CLI::App& app, bool plugin) : kubernetes_(plugin) {
    const char* of_server = plugin ? "admin address of fairlead-control (HOST:PORT), instead of the cluster's"
                                   : "admin address of fairlead-control (HOST:PORT); before the default comes $FAIRLEAD_SERVER";
    server_option_ = app.add_option("--server", server_, of_server);
    if (!plugin) server_option_->capture_default_str();
    if (!plugin) add(app.add_flag("--kubernetes", kubernetes_, "ask the control plane in the cluster of kubectl's current context; so does each of these:"));
    add(app.add_option("--context", cluster_.context, "a context of the kubeconfig"));
    add(app.add_option("--kubeconfig", cluster_.kubeconfig, "a kubeconfig; else $KUBECONFIG, or ~/.kube/config"));
    add(app.add_option("-n,--namespace", cluster_.name_space, "where the control plane is; else it is looked for in all"));
    add(app.add_option("-l,--selector", cluster_.labels, "labels of its pods, where they are not app.kubernetes.io/name=fairlead"));
    add(app.add_option("--pod", cluster_.pod, "this replica alone, ready or not; else all that are ready"));
  }

  // Once the words are read; empty: nothing.
  std::string wrong() const {
    const CLI::Option* option = given();
    return option && *server_option_ ? "--server is an address, " + option->get_name() + " is of a cluster: one or the other" : "";
  }
  Servers servers() const {
    if (*server_option_) return Servers(Client(server_));
    if (kubernetes_ || given()) return Servers(cluster_);
    const char* from_environment = std::getenv("FAIRLEAD_SERVER");
    return Servers(from_environment && *from_environment ? Client(from_environment) : Client(server_, " One in a cluster is asked with --kubernetes"));
  }

 private:
  void add(CLI::Option* option) {
    option->group("In a cluster, through kubectl");
    of_cluster_.push_back(option);
  }
  const CLI::Option* given() const {
    const auto at = std::find_if(of_cluster_.begin(), of_cluster_.end(), [](const CLI::Option* option) { return option->count() > 0; });
    return at == of_cluster_.end() ? nullptr : *at;
  }

  std::string server_ = "127.0.0.1:18001";
  ClusterOptions cluster_;
  bool kubernetes_;
  CLI::Option* server_option_ = nullptr;
  std::vector<const CLI::Option*> of_cluster_;
};

int run(int argc, char** argv) {
  const std::string path = argv[0], name_called = path.substr(path.rfind('/') + 1);
  const bool plugin = name_called.starts_with("kubectl");
  if (plugin) call_program("kubectl fairlead");
  CLI::App app{"Fairlead: what every proxy was sent, has accepted, and why.", program()};
  app.failure_message([](const CLI::App*, const CLI::Error& error) { return std::string("fairlead: ") + error.what() + "\n" + usage_hint(); });
  app.set_version_flag("--version", (plugin ? "kubectl-fairlead " : "fairlead ") + std::string(FAIRLEAD_VERSION));
  app.require_subcommand(1);
  app.footer("Exit codes: 0 fine, 1 wrong configuration or refused, 2 the command could not be carried out.");
  Format format = Format::kTable;
  bool format_given = false;
  Whom whom(app, plugin);
  app.fallthrough();  // --server, -n and -o also after the command
  app.add_option_function<std::string>(
         "-o,--output", [&](const std::string& name) { format = kFormats.at(name), format_given = true; }, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}))
      ->trigger_on_parse();

  auto* status = app.add_subcommand("status", "every proxy: since when, what it follows, and per type SYNCED, STALE, NOT SENT or ERROR");
  std::string type = "all", proxy, name;
  auto* config = app.add_subcommand("config", "resources with the file and line each came from: of all scopes, or of one proxy");
  config->add_option("type", type, "clusters, endpoints, listeners, routes, secrets, … or all")->capture_default_str();
  config->add_option("proxy", proxy, "node id; without it, every scope");
  config->add_option("--name", name, "one resource");
  auto* diff = app.add_subcommand("diff", "of a proxy: wanted, sent and accepted, where they differ; with -f: what a change of files would alter");
  DiffOptions change;
  diff->add_option("proxy", proxy, "node id");
  diff->add_option("-f,--file", change.paths, "the files as they are to be; a second -f, or --old, says what they are compared with, else the server is")->allow_extra_args(false);
  diff->add_option("--old", change.old_paths, "the files as they were; repeatable")->allow_extra_args(false);
  diff->add_option("--requests", change.requests, "file of requests, as for route-test: whose answers change?");
  diff->add_option("--access-log", change.access_log, "access log, JSON or Envoy's default text: whose answers change?");
  diff->add_flag("--exit-code", change.exit_code, "1 when something differs");
  auto* nacks = app.add_subcommand("nacks", "what clients refused, why, and what they get instead");
  auto* conditions = app.add_subcommand("conditions", "conditions of every object: what was found wrong, what proxies said");
  auto* ready = app.add_subcommand("ready", "whether the control plane serves, or a proxy has its first configuration: for probes");
  std::string ready_proxy;
  ready->add_option("--proxy", ready_proxy, "admin address of a proxy (HOST:PORT), fairlead-proxy or Envoy, instead of the control plane");
  auto* load = app.add_subcommand("load", "what clients report of the load they send, by cluster and locality");

  WhyOptions asked;
  auto* why = app.add_subcommand("why", "what becomes of a request: listener, chain, virtual host, route, cluster, endpoints, with their lines");
  why->add_option("words", asked.words, "[PROXY] METHOD URL: node id (of files: or cluster), GET, http://HOST:PORT/PATH")->required()->expected(1, 3)->option_text("[PROXY] METHOD URL");
  why->add_option("-H,--header", asked.headers, "'name: value'; repeatable")->allow_extra_args(false);
  why->add_option("--gateway", asked.gateway, "NAMESPACE/NAME of a Gateway (or of EnvoyResources), or a scope, mesh:NAMESPACE, instead of a proxy");
  why->add_option("-f,--file", asked.paths, "files instead of a running server: directory or file; repeatable")->allow_extra_args(false);
  RouteTestOptions tests;
  auto* route_test = app.add_subcommand("route-test", "checks a table of requests against what is expected of them, for CI");
  route_test->add_option("table", tests.file, "YAML: tests: [{request: GET URL, headers: {…}, expect: {…}}]")->required();
  route_test->add_option("-f,--file", tests.paths, "files instead of a running server: directory or file; repeatable")->allow_extra_args(false);
  auto* of_gateway = route_test->add_option("--gateway", tests.gateway, "NAMESPACE/NAME of the Gateway; left out: as the table says");
  route_test->add_option("--proxy", tests.proxy, "node id instead")->excludes(of_gateway);
  route_test->add_option("--junit", tests.junit, "writes the results to this file as well, as JUnit XML");
  std::vector<std::string> kinds;
  auto* watched = app.add_subcommand("watch", "changes, pushes and verdicts as they happen");
  watched->add_option("kinds", kinds, "only these: change, connected, disconnected, push, accepted, refused, finding");

  fairlead::adapters::provision::BootstrapOptions options;
  bool sotw = false, delta = false;
  auto* bootstrap = app.add_subcommand("bootstrap", "prints a ready bootstrap for fairlead-proxy, a stock Envoy or a gRPC client");
  bootstrap->add_option("--for", options.client, "proxy, envoy or grpc")->check(CLI::IsMember({"proxy", "envoy", "grpc"}))->capture_default_str();
  bootstrap->add_option("--cluster", options.cluster, "node cluster: the Gateway's name when only one has it");
  bootstrap->add_option("--gateway", options.gateway, "NAMESPACE/NAME of the Gateway, as node metadata");
  bootstrap->add_option("--mesh", options.mesh, "instead: a client of the mesh that runs in this namespace");
  bootstrap->add_option("--id", options.id, "node id; CLUSTER-HOSTNAME when left out");
  bootstrap->add_option("--xds-address", options.xds_address, "where fairlead-control serves xDS")->capture_default_str();
  bootstrap->add_option("--xds-tls-ca", options.tls_ca, "speak TLS, and trust these authorities (PEM file)");
  bootstrap->add_option("--xds-tls-cert", options.tls_cert, "show this certificate (PEM file), with --xds-tls-key");
  bootstrap->add_option("--xds-tls-key", options.tls_key, "its private key (PEM file)");
  bootstrap->add_option("--xds-tls-server-name", options.tls_server_name, "what the server's certificate must be for; the host of --xds-address when left out");
  auto* admin_option = bootstrap->add_option("--admin-address", options.admin_address, "the proxy's own admin address")->capture_default_str();
  auto* report_flag = bootstrap->add_flag("--report-load", options.report_load, "report load to the control plane (LRS), for `fairlead load` and weights of localities by load");
  auto* sotw_flag = bootstrap->add_flag("--sotw", sotw, "ask for the state of the world");
  auto* delta_flag = bootstrap->add_flag("--delta", delta, "ask for changes only (the default)")->excludes(sotw_flag);

  std::vector<std::string> paths;
  bool strict = false;
  std::string scope, shell;
  auto* check = app.add_subcommand("check", "reads files as the control plane would and says what is wrong, for CI");
  check->add_option("-f,--file", paths, "directory or file; repeatable")->required();
  check->add_flag("--strict", strict, "warnings are errors");
  auto* translate = app.add_subcommand("translate", "prints the xDS resources that files turn into");
  translate->add_option("-f,--file", paths, "directory or file; repeatable")->required();
  translate->add_option("--scope", scope, "one scope: NAMESPACE/NAME of a Gateway");
  auto* completion = app.add_subcommand("completion", "prints a completion script");
  completion->add_option("shell", shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));

  if (name_called == "kubectl_complete-fairlead") return complete_for_kubectl(app, {argv + 1, argv + argc});
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    const std::vector<std::string> words = app.remaining();
    if (!app.get_subcommands().empty() || words.empty()) return app.exit(error) == 0 ? 0 : 2;
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) names.push_back(command->get_name());
    const auto meant = fairlead::closest(words.front(), {names.begin(), names.end()});
    std::cerr << "fairlead: unknown command \"" << words.front() << "\"" << (meant ? "; did you mean \"" + *meant + "\"?" : "") << "\n" << usage_hint();
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (const std::string wrong = whom.wrong(); !wrong.empty()) {
    std::cerr << "fairlead: " << wrong << "\n";
    return 2;
  }
  Servers servers = whom.servers();
  if (*status) return show_status(servers, format);
  if (*config) return show_config(servers, format, type, proxy, name);
  if (*diff) {
    if (proxy.empty() == change.paths.empty()) {
      std::cerr << "fairlead: " << (proxy.empty() ? "proxy is required, or -f FILES" : "a proxy or -f FILES, not both") << "\n";
      return 2;
    }
    return change.paths.empty() ? show_diff(servers, format, proxy) : show_file_diff(servers, format, change);
  }
  if (*why) return show_why(servers, format, asked);
  if (*route_test) return run_route_tests(servers, format, tests);
  if (*watched) return watch(servers, format, kinds);
  if (*nacks) return show_nacks(servers, format);
  if (*conditions) return show_conditions(servers, format);
  if (*load) return show_load(servers, format);
  if (*ready) return show_ready(servers, ready_proxy);
  if (*check) return check_files(paths, format, strict);
  if (*translate) return translate_files(paths, format_given ? format : Format::kYaml, scope);
  if (*completion) {
    std::cout << completion_script(shell);
    return 0;
  }
  options.delta = !sotw;
  if (options.client == "grpc" && (*admin_option || *delta_flag)) {
    std::cerr << "fairlead: a gRPC client has no " << (*admin_option ? "admin address: leave out --admin-address\n" : "delta xDS: leave out --delta\n");
    return 2;
  }
  if (options.client == "grpc" && *report_flag) {
    std::cerr << "fairlead: a gRPC client reports load where a cluster says lrs_server, whatever its bootstrap says: leave out --report-load\n";
    return 2;
  }
  const absl::StatusOr<std::string> text = fairlead::adapters::provision::make_bootstrap(options);
  if (!text.ok()) {
    std::cerr << "fairlead: " << text.status().message() << "\n";
    return 2;
  }
  std::cout << *text;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  fairlead::log::take_protobuf_lines();
  const int code = run(argc, argv);
  std::cout.flush();
  if (std::cout) return code;
  std::cerr << "fairlead: the output could not be written\n";  // a full disk must not leave half a bootstrap and a 0
  return 2;
}
