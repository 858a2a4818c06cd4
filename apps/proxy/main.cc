// fairlead-proxy: a data plane that takes Envoy's bootstrap and flags.
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "dataplane/filters/http/builtin.h"
#include "dataplane/filters/listener/builtin.h"
#include "dataplane/filters/network/builtin.h"
#include "dataplane/filters/udp/builtin.h"
#include "dataplane/server/bootstrap_loader.h"
#include "dataplane/server/options.h"
#include "dataplane/server/server.h"
#include "dataplane/stream/listener_filter.h"
#include "dataplane/stream/network_filter.h"

namespace {

int fail(const absl::Status& status) {
  std::fprintf(stderr, "fairlead-proxy: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::Status set_up_log(const fairlead::server::Options& options) {
  namespace log = fairlead::log;
  log::declare_components({"admin", "config", "main", "upstream", "http", "router", "listener", "dns", "cache"});
  if (auto level = log::parse_level(options.log_level); level.ok()) log::set_level(*level);
  if (!options.log_format.empty()) log::set_format(options.log_format);
  if (!options.component_log_level.empty())
    if (absl::Status s = log::set_component_levels(options.component_log_level); !s.ok()) return s;
  return options.log_path.empty() ? absl::OkStatus() : log::log_to_file(options.log_path);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace fairlead::server;
  const std::string version = FAIRLEAD_VERSION;
  auto parsed = parse_options(std::vector<std::string>(argv + 1, argv + argc), "fairlead-proxy", "fairlead-proxy version: " + version);
  if (!parsed.ok()) return fail(parsed.status());
  if (parsed->print.has_value()) {
    std::fputs(parsed->print->c_str(), stdout);
    return 0;
  }
  fairlead::log::take_protobuf_lines();
  // every extension of this binary
  fairlead::filters::register_configs(fairlead::config::Registry::global());
  fairlead::filters::register_filters(fairlead::stream::FilterRegistry::global());
  fairlead::filters::listener::register_configs(fairlead::config::Registry::global());
  fairlead::filters::listener::register_filters(fairlead::stream::ListenerFilterRegistry::global());
  fairlead::filters::network::register_configs(fairlead::config::Registry::global(), [](const std::string& path) { return fairlead::read_file(path); });
  fairlead::filters::network::register_filters(fairlead::stream::NetworkFilterRegistry::global());
  fairlead::filters::udp::register_configs(fairlead::config::Registry::global(), [](const std::string& path) { return fairlead::read_file(path); });
  fairlead::filters::udp::register_filters(fairlead::stream::UdpFilterRegistry::global());
  Options options = parsed->options;
  options.command_line = restart::CommandLine::of(argc, argv);
  if (absl::Status s = set_up_log(options); !s.ok()) return fail(s);
  auto bootstrap = load_bootstrap(options, version);
  if (!bootstrap.ok()) return fail(bootstrap.status());
  if (options.mode == Options::Mode::validate) {
    for (const std::string& w : bootstrap->warnings) std::fprintf(stderr, "warning: %s\n", w.c_str());
    std::printf("configuration '%s' OK\n", options.config_path.c_str());
    return 0;
  }
  auto server = Server::create(options, version, *std::move(bootstrap));
  if (!server.ok()) return fail(server.status());
  return (*server)->run();
}
