// The command line, read with CLI11.
#include "dataplane/server/options.h"

#include <sched.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "dataplane/server/restart/message.h"

namespace fairlead::server {
namespace {

// Envoy 1.40 has loggers for more parts than there are here. A command line that turns one of them up is fine, and changes nothing.
std::string without_envoys_components(std::string_view list) {
  static const std::set<std::string_view> theirs = {
      "alternate_protocols_cache", "assert", "aws", "backtrace", "basic_auth", "cache_filter", "client", "compression", "conn_handler", "connection",
      "credential_injector", "decompression", "dubbo", "dynamic_modules", "envoy_bug", "ext_authz", "ext_proc", "file", "filter", "forward_proxy", "geolocation",
      "grpc", "happy_eyeballs", "hc", "health_checker", "http2", "hystrix", "init", "io", "jwt", "kafka", "key_value_store", "lua", "matcher", "misc", "mongo",
      "multi_connection", "oauth2", "pool", "quic", "quic_stream", "rate_limit_quota", "rbac", "rds", "redis", "rocketmq", "runtime", "secret", "stats", "stats_sinks",
      "tap", "testing", "thrift", "tracing", "udp", "wasm", "websocket"};
  std::vector<std::string_view> kept;
  for (const std::string_view part : absl::StrSplit(list, ',', absl::SkipEmpty())) {
    const size_t colon = part.rfind(':');
    const bool skip = colon != std::string_view::npos && theirs.contains(part.substr(0, colon)) && log::parse_level(part.substr(colon + 1)).ok();
    if (!skip) kept.push_back(part);
  }
  return absl::StrJoin(kept, ",");
}

absl::Status restart_options(Options& o, const std::string& socket_mode) {
  if (o.restart_epoch > 0 && o.use_dynamic_base_id)  // Envoy 1.40's words
    return absl::InvalidArgumentError(absl::StrCat("cannot use --restart-epoch=", o.restart_epoch, " with --use-dynamic-base-id"));
  char* end = nullptr;
  const unsigned long mode = std::strtoul(socket_mode.c_str(), &end, 8);
  if (socket_mode.empty() || *end != '\0' || mode > 0777) return absl::InvalidArgumentError(absl::StrCat("--socket-mode: '", socket_mode, "' is no octal number up to 777"));
  o.socket_mode = static_cast<uint32_t>(mode);
  return absl::OkStatus();
}

absl::Status refuse(std::string_view flag, std::string_view why) { return absl::InvalidArgumentError(absl::StrCat(flag, ": not supported: ", why)); }

}  // namespace

absl::StatusOr<ParsedOptions> parse_options(const std::vector<std::string>& arguments, const std::string& program, const std::string& version) {
  ParsedOptions out;
  Options& o = out.options;
  CLI::App app("A data plane driven by Envoy's configuration: bootstrap file, static resources and xDS.", program);
  app.set_help_flag("-h,--help", "print this text and exit");
  bool show_version = false, hot_restart_version = false, allow_unknown = false, core_dump = false, mutex_tracing = false, fine_grain = false, log_escaped = false;
  bool ignored_switch = false;
  uint32_t drain_s = 600, parent_s = 900, flush_ms = 10000;
  std::optional<double> delay_s;
  std::string mode = "serve", strategy = "gradual", socket_mode = "600", disabled, bootstrap_version;
  std::vector<std::string> stats_tags;

  app.add_option("-c,--config-path", o.config_path, "bootstrap file: YAML or JSON, told apart by its content");
  app.add_option("--config-yaml", o.config_yaml, "bootstrap text, merged over that of --config-path");
  app.add_option("--concurrency", o.concurrency, "worker threads (default: the processors this process may use)");
  app.add_option("--mode", mode, "serve | validate (read the configuration and exit) | init_only (exit once initialised)");
  app.add_option("--service-node", o.service_node, "node.id");
  app.add_option("--service-cluster", o.service_cluster, "node.cluster");
  app.add_option("--service-zone", o.service_zone, "node.locality.zone");
  app.add_option("-l,--log-level", o.log_level, "trace | debug | info | warning | error | critical | off");
  app.add_option("--component-log-level", o.component_log_level, "e.g. upstream:debug,config:trace");
  app.add_option("--log-format", o.log_format, "log line in spdlog's syntax");
  app.add_option("--log-path", o.log_path, "log file instead of standard error");
  app.add_option("--admin-address-path", o.admin_address_path, "file to write the admin's address to");
  app.add_option("--drain-time-s", drain_s, "longest drain of listeners and of the whole process (600)");
  app.add_option("--drain-strategy", strategy, "gradual | immediate");
  app.add_option("--shutdown-delay-s", delay_s, "how long SIGTERM only fails readiness, before the drain (0; in Kubernetes 5)");
  app.add_option("--parent-shutdown-time-s", parent_s, "after a hot restart the old process ends by then, whatever it still serves (900)");
  app.add_option("--file-flush-interval-msec", flush_ms, "interval of access-log flushes (10000)");
  app.add_option("--file-flush-min-size-kb", o.file_flush_min_size_kb, "access-log bytes that cause a flush (64)");
  app.add_option("--local-address-ip-version", o.local_address_ip_version, "v4 | v6");
  app.add_option("--base-id", o.base_id, "tells apart the proxies of one machine that are to be hot-restarted by --restart-epoch");
  app.add_option("--base-id-path", o.base_id_path, "file to write the base id to");
  app.add_flag("--use-dynamic-base-id", o.use_dynamic_base_id, "a base id that no other process has");
  app.add_option("--restart-epoch", o.restart_epoch, "N > 0: take over from the process of epoch N-1 with the same base id (SIGUSR2 to that process needs no flag)");
  app.add_flag("--disable-hot-restart", o.disable_hot_restart, "neither follow another process nor let one follow");
  app.add_flag("--hot-restart-version", hot_restart_version, "print which versions can take over from each other, and exit");
  app.add_flag("--skip-hot-restart-on-no-parent", o.skip_hot_restart_on_no_parent, "with --restart-epoch: start all the same when there is no process before");
  app.add_flag("--skip-hot-restart-parent-stats", o.skip_hot_restart_parent_stats, "begin with statistics of zero");
  app.add_flag("--skip-deprecated-logs", ignored_switch, "accepted; deprecated fields have no log of their own");
  app.add_flag("--log-stacktrace-single-entry", ignored_switch, "accepted; no stack traces are logged");
  app.add_flag("--enable-fine-grain-logging", fine_grain, "not supported");
  app.add_flag("--log-format-escaped", log_escaped, "escape line breaks in log texts");
  app.add_flag("--allow-unknown-static-fields", o.allow_unknown_static_fields, "unknown fields of the bootstrap are warnings");
  app.add_flag("--allow-unknown-fields", allow_unknown, "the same");
  app.add_flag("--reject-unknown-dynamic-fields", o.reject_unknown_dynamic_fields, "unknown fields in xDS resources refuse them");
  app.add_flag("--ignore-unknown-dynamic-fields", o.ignore_unknown_dynamic_fields, "unknown fields in xDS resources are not even counted");
  app.add_option("--bootstrap-version", bootstrap_version, "3 only");
  app.add_flag("--cpuset-threads", o.cpuset_threads, "accepted; workers always follow the processor set");
  app.add_flag("--enable-core-dump", core_dump, "not supported: use ulimit -c");
  app.add_flag("--enable-mutex-tracing", mutex_tracing, "not supported");
  app.add_option("--socket-path", o.socket_path, "begin of the name of the socket where processes that follow each other meet: a path, or abstract with @");
  app.add_option("--socket-mode", socket_mode, "permissions of such a path, octal (600)");
  app.add_option("--disable-extensions", disabled, "not supported");
  app.add_option("--stats-tag", stats_tags, "not supported");
  app.add_flag("--version", show_version, "print the version and exit");

  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    out.print = app.help();
    return out;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), " (see --help)"));
  }
  if (show_version) {
    out.print = version + "\n";
    return out;
  }
  if (hot_restart_version) {
    out.print = (o.disable_hot_restart ? "disabled" : restart::version_text()) + "\n";
    return out;
  }
  if (absl::Status bad = restart_options(o, socket_mode); !bad.ok()) return bad;
  if (!bootstrap_version.empty() && bootstrap_version != "3") return refuse("--bootstrap-version", absl::StrCat("only 3 (given ", bootstrap_version, ")"));
  if (!disabled.empty()) return refuse("--disable-extensions", "extensions cannot be switched off");
  if (!stats_tags.empty()) return refuse("--stats-tag", "statistics have no universal tags");
  if (fine_grain) return refuse("--enable-fine-grain-logging", "use --component-log-level");
  if (core_dump) return refuse("--enable-core-dump", "use ulimit -c");
  if (mutex_tracing) return refuse("--enable-mutex-tracing", "workers have no mutex on their path");
  if (mode == "serve") {
    o.mode = Options::Mode::serve;
  } else if (mode == "validate") {
    o.mode = Options::Mode::validate;
  } else if (mode == "init_only") {
    o.mode = Options::Mode::init_only;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("--mode: unknown mode '", mode, "' (serve, validate, init_only)"));
  }
  if (strategy != "gradual" && strategy != "immediate")
    return absl::InvalidArgumentError(absl::StrCat("--drain-strategy: unknown strategy '", strategy, "' (gradual, immediate)"));
  o.drain_strategy = strategy == "immediate" ? Options::DrainStrategy::immediate : Options::DrainStrategy::gradual;
  if (o.local_address_ip_version != "v4" && o.local_address_ip_version != "v6")
    return absl::InvalidArgumentError(absl::StrCat("--local-address-ip-version: unknown version '", o.local_address_ip_version, "' (v4, v6)"));
  if (absl::StatusOr<log::Level> level = log::parse_level(o.log_level); !level.ok())
    return absl::InvalidArgumentError(absl::StrCat("--log-level: ", level.status().message()));
  if (o.reject_unknown_dynamic_fields && o.ignore_unknown_dynamic_fields)
    return absl::InvalidArgumentError("--reject-unknown-dynamic-fields and --ignore-unknown-dynamic-fields exclude each other");
  o.allow_unknown_static_fields = o.allow_unknown_static_fields || allow_unknown;
  o.component_log_level = without_envoys_components(o.component_log_level);
  o.concurrency_given = app.get_option("--concurrency")->count() > 0;
  o.drain_time = std::chrono::seconds(drain_s);
  o.parent_shutdown_time = std::chrono::seconds(parent_s);
  // Every container of a pod has this variable. Endpoints are withdrawn while the signal is on its way, and clients learn of it later.
  if (!delay_s.has_value()) delay_s = std::getenv("KUBERNETES_SERVICE_HOST") != nullptr ? 5 : 0;
  if (*delay_s < 0 || *delay_s > 86400) return absl::InvalidArgumentError(absl::StrCat("--shutdown-delay-s: ", *delay_s, " is not from 0 to 86400"));
  o.shutdown_delay = std::chrono::milliseconds(static_cast<int64_t>(*delay_s * 1000));
  o.base_id_given = app.get_option("--base-id")->count() > 0;
  o.file_flush_interval = std::chrono::milliseconds(flush_ms);
  if (log_escaped && o.log_format.empty()) o.log_format = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %_";
  return out;
}

uint32_t worker_count(const Options& options) {
  // Envoy 1.40: --concurrency 0 means one worker
  if (options.concurrency_given) return options.concurrency == 0 ? 1 : options.concurrency;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return static_cast<uint32_t>(CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace fairlead::server
