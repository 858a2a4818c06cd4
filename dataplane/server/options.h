// The command line: Envoy's flags. What a stock Envoy command line carries is taken; what would be unsafe to ignore is refused by name.
// Parsed once, at the start of the process.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/server/restart/launch.h"

namespace fairlead::server {

struct Options {
  enum class Mode : uint8_t { serve, validate, init_only };
  enum class DrainStrategy : uint8_t { gradual, immediate };

  std::string config_path, config_yaml;
  bool allow_unknown_static_fields = false;
  bool reject_unknown_dynamic_fields = false;
  bool ignore_unknown_dynamic_fields = false;
  uint32_t concurrency = 0;  // 0: as many as there are processors this process may use
  bool concurrency_given = false;
  std::string service_node, service_cluster, service_zone;
  Mode mode = Mode::serve;
  std::string log_level = "info";
  std::string component_log_level;
  std::string log_format, log_path;
  std::string admin_address_path;
  std::string local_address_ip_version = "v4";
  uint32_t base_id = 0;
  bool base_id_given = false;
  bool use_dynamic_base_id = false;
  std::string base_id_path;
  bool disable_hot_restart = false;
  uint32_t restart_epoch = 0;
  bool skip_hot_restart_on_no_parent = false, skip_hot_restart_parent_stats = false;
  std::string socket_path = "@envoy_domain_socket";  // Envoy 1.40
  uint32_t socket_mode = 0600;                       // Envoy 1.40
  bool cpuset_threads = false;
  std::chrono::seconds drain_time{600};            // Envoy 1.40: 600 s
  std::chrono::seconds parent_shutdown_time{900};  // Envoy 1.40: 900 s
  std::chrono::milliseconds shutdown_delay{0};     // between SIGTERM and the drain; Envoy has none
  DrainStrategy drain_strategy = DrainStrategy::gradual;
  std::chrono::milliseconds file_flush_interval{10000};  // Envoy 1.40: 10 s
  uint32_t file_flush_min_size_kb = 64;                  // Envoy 1.40: 64 KiB
  restart::CommandLine command_line;                     // to start the same again
};

struct ParsedOptions {
  Options options;
  std::optional<std::string> print;  // --help, --version: print this and exit 0
};

// `version` is printed by --version. Errors name the flag and the value.
absl::StatusOr<ParsedOptions> parse_options(const std::vector<std::string>& arguments, const std::string& program, const std::string& version);

// The number of workers: --concurrency, else the processors this process may run on.
uint32_t worker_count(const Options& options);

}  // namespace fairlead::server
