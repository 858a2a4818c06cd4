// The command line: what stock Envoy command lines carry, and what is refused by name.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "dataplane/server/options.h"

namespace fairlead::server::options_test {
namespace {

using Catch::Matchers::Contains;
using namespace std::chrono_literals;

absl::StatusOr<ParsedOptions> parse(const std::vector<std::string>& arguments) { return parse_options(arguments, "fairlead-proxy", "v"); }
std::string error(const std::vector<std::string>& arguments) { return std::string(parse(arguments).status().message()); }

TEST_CASE("command lines as Envoy's users write them") {
  auto p = parse({"-c", "/etc/envoy.yaml", "--concurrency", "4", "--service-node", "n", "--service-cluster=c", "--service-zone", "z", "-l", "debug", "--component-log-level",
                  "upstream:trace,config:info", "--drain-time-s", "30", "--parent-shutdown-time-s", "45", "--drain-strategy", "immediate", "--admin-address-path", "/tmp/a",
                  "--base-id", "3", "--restart-epoch", "0", "--disable-hot-restart", "--local-address-ip-version", "v6", "--file-flush-interval-msec", "500",
                  "--allow-unknown-static-fields", "--reject-unknown-dynamic-fields", "--bootstrap-version", "3", "--log-path", "/tmp/l", "--cpuset-threads", "--mode", "init_only"});
  REQUIRE(p.ok());
  const Options& o = p->options;
  CHECK(o.config_path == "/etc/envoy.yaml");
  CHECK(worker_count(o) == 4);
  CHECK(o.service_cluster == "c");
  CHECK(o.log_level == "debug");
  CHECK(o.drain_time == 30s);
  CHECK(o.drain_strategy == Options::DrainStrategy::immediate);
  CHECK(o.file_flush_interval == 500ms);
  CHECK(o.allow_unknown_static_fields);
  CHECK(o.reject_unknown_dynamic_fields);
  CHECK(o.mode == Options::Mode::init_only);
}

TEST_CASE("defaults are Envoy's") {
  auto p = parse({"--config-path", "x"});
  REQUIRE(p.ok());
  CHECK(p->options.drain_time == 600s);
  CHECK(p->options.parent_shutdown_time == 900s);
  CHECK(p->options.file_flush_interval == 10s);
  CHECK(p->options.mode == Options::Mode::serve);
  CHECK(worker_count(p->options) >= 1);
  CHECK(worker_count(parse({"--concurrency", "0"})->options) == 1);
}

TEST_CASE("levels of components that only Envoy has are taken and change nothing") {
  CHECK(parse({"--component-log-level", "connection:trace,upstream:debug,http2:info"})->options.component_log_level == "upstream:debug");
  CHECK(parse({"--component-log-level", "connection:loud,nobody:debug"})->options.component_log_level == "connection:loud,nobody:debug");  // refused when set
}

TEST_CASE("what cannot be honoured is refused by name") {
  CHECK_THAT(error({"--disable-extensions", "x"}), Contains("--disable-extensions"));
  CHECK_THAT(error({"--stats-tag", "a:b"}), Contains("--stats-tag"));
  CHECK_THAT(error({"--bootstrap-version", "2"}), Contains("--bootstrap-version"));
  CHECK_THAT(error({"--enable-fine-grain-logging"}), Contains("--enable-fine-grain-logging"));
  CHECK_THAT(error({"--mode", "sing"}), Contains("'sing'"));
  CHECK_THAT(error({"--drain-strategy", "fast"}), Contains("'fast'"));
  CHECK_THAT(error({"-l", "loud"}), Contains("--log-level") && Contains("loud"));
  CHECK_THAT(error({"--no-such-flag"}), Contains("--no-such-flag"));
  CHECK_THAT(error({"--concurrency", "many"}), Contains("many"));
  CHECK_THAT(error({"--reject-unknown-dynamic-fields", "--ignore-unknown-dynamic-fields"}), Contains("exclude"));
}

TEST_CASE("hot restart: Envoy's flags and defaults") {
  const Options o = parse({"--restart-epoch", "2", "--base-id", "4", "--socket-path", "/run/x", "--socket-mode", "640", "--skip-hot-restart-on-no-parent", "--skip-hot-restart-parent-stats"})->options;
  CHECK(o.restart_epoch == 2);
  CHECK(o.base_id_given);
  CHECK(o.socket_path == "/run/x");
  CHECK(o.socket_mode == 0640);
  CHECK(o.skip_hot_restart_on_no_parent);
  CHECK(o.skip_hot_restart_parent_stats);
  const Options plain = parse({})->options;
  CHECK(plain.socket_path == "@envoy_domain_socket");
  CHECK(plain.socket_mode == 0600);
  CHECK_FALSE(plain.base_id_given);
  CHECK_THAT(error({"--socket-mode", "9"}), Contains("--socket-mode"));
  CHECK_THAT(error({"--restart-epoch", "1", "--use-dynamic-base-id"}), Contains("cannot use --restart-epoch=1 with --use-dynamic-base-id"));
  CHECK(*parse({"--hot-restart-version"})->print == "fairlead.2\n");
  CHECK(*parse({"--hot-restart-version", "--disable-hot-restart"})->print == "disabled\n");
}

TEST_CASE("SIGTERM is followed by the drain at once, but in Kubernetes after five seconds, unless a flag says otherwise") {
  unsetenv("KUBERNETES_SERVICE_HOST");
  CHECK(parse({})->options.shutdown_delay == 0s);
  CHECK(parse({"--shutdown-delay-s", "0.25"})->options.shutdown_delay == 250ms);
  CHECK_THAT(error({"--shutdown-delay-s", "-1"}), Contains("--shutdown-delay-s"));
  setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
  CHECK(parse({})->options.shutdown_delay == 5s);
  CHECK(parse({"--shutdown-delay-s", "0"})->options.shutdown_delay == 0s);
  unsetenv("KUBERNETES_SERVICE_HOST");
}

TEST_CASE("--version and --help print and end") {
  CHECK(*parse({"--version"})->print == "v\n");
  CHECK_THAT(*parse({"--help"})->print, Contains("--admin-address-path"));
}

}  // namespace
}  // namespace fairlead::server::options_test
