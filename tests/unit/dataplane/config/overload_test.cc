// The overload manager and the watchdogs of a bootstrap: defaults, what pressures call for, and what is refused with which words.
#include "dataplane/config/overload.h"

#include <absl/strings/str_cat.h>
#include <catch2/catch.hpp>

#include "dataplane/config/bootstrap.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "tests/unit/dataplane/config/filters.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace overload_test {

using namespace fairlead;
using namespace fairlead::config;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

absl::StatusOr<std::shared_ptr<const BootstrapConfig>> parse(std::string_view yaml) {
  BootstrapOptions options;
  options.registry = &test::filters();
  return parse_bootstrap(test::from_yaml<envoy::config::bootstrap::v3::Bootstrap>(yaml), options);
}
std::string error_of(std::string_view actions, std::string_view more = "") {
  const auto parsed = parse(absl::StrCat(R"(
overload_manager:
  resource_monitors:
  - name: heap
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000}
)", more, "\n  actions: [", actions, "]\n"));
  return parsed.ok() ? "" : std::string(parsed.status().message());
}
std::string action(std::string_view name, std::string_view trigger = "{name: heap, threshold: {value: 0.5}}", std::string_view more = "") {
  return absl::StrCat("{name: envoy.overload_actions.", name, ", triggers: [", trigger, "]", more, "}");
}

}  // namespace

TEST_CASE("monitors, triggers and timeouts of an overload manager") {
  const auto parsed = parse(R"(
overload_manager:
  refresh_interval: 0.25s
  buffer_factory_config: {minimum_account_to_track_power_of_two: 20}
  resource_monitors:
  - name: heap
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000}
  - name: file
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: /tmp/p}
  - name: group
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig}
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 7}
  actions:
  - name: envoy.overload_actions.stop_accepting_requests
    triggers: [{name: heap, threshold: {value: 0.9}}, {name: file, scaled: {scaling_threshold: 0.5, saturation_threshold: 0.75}}]
  - name: envoy.overload_actions.shrink_heap
    triggers: [{name: heap, threshold: {value: 0.8}}]
    typed_config: {"@type": type.googleapis.com/envoy.config.overload.v3.ShrinkHeapConfig, timer_interval: 3s, max_unfreed_memory_bytes: 5}
  - name: envoy.overload_actions.reset_high_memory_stream
    triggers: [{name: heap, threshold: {value: 0.8}}]
  - name: envoy.overload_actions.reduce_timeouts
    triggers: [{name: heap, threshold: {value: 0.8}}]
    typed_config:
      "@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig
      timer_scale_factors: [{timer: HTTP_DOWNSTREAM_CONNECTION_IDLE, min_timeout: 2s}, {timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_scale: {value: 25}}]
)");
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  REQUIRE((*parsed)->overload.has_value());
  const OverloadConfig& config = *(*parsed)->overload;
  CHECK(config.refresh_interval == 250ms);
  CHECK(config.smallest_account == 20);
  REQUIRE(config.monitors.size() == 4);
  CHECK(config.monitors[0].limit == 1000);
  CHECK(config.monitors[1].file_name == "/tmp/p");
  CHECK(config.monitors[2].limit == 0);
  CHECK(config.monitors[3].kind == ResourceMonitor::Kind::DownstreamConnections);
  CHECK(config.monitors[3].limit == 7);
  CHECK(config.shrink_interval == 3s);
  CHECK(config.shrink_above == 5);
  CHECK(config.timers[static_cast<size_t>(ScaledTimer::ConnectionIdle)].min_timeout == 2000ms);
  CHECK(config.timers[static_cast<size_t>(ScaledTimer::StreamIdle)].min_scale == 0.25);
  CHECK(config.timers[static_cast<size_t>(ScaledTimer::ConnectionMax)].min_scale == 1);
  const auto& triggers = config.find(OverloadAction::Kind::StopAcceptingRequests)->triggers;
  CHECK(triggers[0].level(0.89) == 0);
  CHECK(triggers[0].level(0.9) == 1);
  CHECK(triggers[1].level(0.5) == 0);
  CHECK(triggers[1].level(0.625) == 0.5);
  CHECK(triggers[1].level(2) == 1);
}

TEST_CASE("an overload manager without anything, and none") {
  CHECK_FALSE((*parse("node: {id: n}"))->overload.has_value());
  const auto parsed = parse("overload_manager: {resource_monitors: [{name: heap, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1}}]}");
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  CHECK((*parsed)->overload->refresh_interval == 1000ms);
  CHECK((*parsed)->overload->shrink_interval == 10'000ms);
}

TEST_CASE("what an overload manager refuses") {
  CHECK(error_of(action("stop_accepting_requests")) == "");
  CHECK_THAT(error_of(action("nothing")), Contains("overload_manager.actions[0].name: Unknown Overload Manager Action envoy.overload_actions.nothing"));
  CHECK_THAT(error_of(action("close_idle_http_connections")), Contains("not supported: it concerns HTTP/3 alone"));
  CHECK_THAT(error_of(absl::StrCat(action("shrink_heap"), ", ", action("shrink_heap"))), Contains("Duplicate overload action envoy.overload_actions.shrink_heap"));
  CHECK_THAT(error_of(action("shrink_heap", "{name: disk, threshold: {value: 0.5}}")), Contains("Unknown trigger resource disk for overload action envoy.overload_actions.shrink_heap"));
  CHECK_THAT(error_of(action("shrink_heap", "{name: heap, threshold: {value: 0.5}}, {name: heap, threshold: {value: 0.6}}")), Contains("Duplicate trigger resource"));
  CHECK_THAT(error_of(action("shrink_heap", "{name: heap, scaled: {scaling_threshold: 0.5, saturation_threshold: 0.5}}")), Contains("scaling_threshold must be less than saturation_threshold"));
  CHECK_THAT(error_of(action("reset_high_memory_stream")), Contains("requires buffer_factory_config"));
  CHECK(error_of(action("reset_high_memory_stream"), "  buffer_factory_config: {minimum_account_to_track_power_of_two: 10}") == "");
  CHECK_THAT(error_of(action("reduce_timeouts")), Contains("ScaleTimersOverloadActionConfig"));
  const auto timers = [](std::string_view list) {
    return error_of(action("reduce_timeouts", "{name: heap, threshold: {value: 0.5}}",
                           absl::StrCat(", typed_config: {\"@type\": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig, timer_scale_factors: [", list, "]}")));
  };
  CHECK_THAT(timers("{timer: HTTP_DOWNSTREAM_STREAM_FLUSH, min_timeout: 1s}"), Contains("this timeout is not scaled"));
  CHECK_THAT(timers("{timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_timeout: 1s}, {timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_timeout: 2s}"), Contains("duplicate"));
  const auto shed = [](std::string_view name, std::string_view triggers = "{name: heap, threshold: {value: 0.5}}", std::string_view more = "") {
    return absl::StrCat("  loadshed_points: [{name: envoy.load_shed_points.", name, ", triggers: [", triggers, "]}", more, "]");
  };
  CHECK(error_of("", shed("tcp_listener_accept")).empty());
  CHECK_THAT(error_of("", shed("quic")), Contains("loadshed_points[0].name: envoy.load_shed_points.quic: not supported"));
  CHECK_THAT(error_of("", shed("tcp_listener_accept", "{name: disk, threshold: {value: 0.5}}")), Contains("Unknown trigger resource disk for loadshed point envoy.load_shed_points.tcp_listener_accept"));
  CHECK_THAT(error_of("", shed("tcp_listener_accept", "{name: heap, threshold: {value: 0.5}}, {name: heap, threshold: {value: 0.5}}")), Contains("Duplicate trigger resource for loadshed point"));
  CHECK_THAT(error_of("", shed("tcp_listener_accept", "{name: heap, threshold: {value: 0.5}}", ", {name: envoy.load_shed_points.tcp_listener_accept, triggers: [{name: heap, threshold: {value: 0.5}}]}")),
             Contains("Duplicate loadshed point envoy.load_shed_points.tcp_listener_accept"));
  CHECK_THAT(error_of("", "  - {name: cpu, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig}}"),
             Contains("overload_manager.resource_monitors[1]: Didn't find a registered implementation for 'cpu'"));
  CHECK_THAT(error_of("", "  - {name: heap, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: x}}"),
             Contains("Duplicate resource monitor heap"));
}

TEST_CASE("watchdogs: their defaults, each thread's own, and the old field for both") {
  const Watchdogs none = (*parse("node: {id: n}"))->watchdogs;
  CHECK(none.main.miss == 200ms);
  CHECK(none.main.megamiss == 1000ms);
  CHECK(none.workers.kill == 0ms);
  const Watchdogs each = (*parse("watchdogs: {main_thread_watchdog: {miss_timeout: 1s}, worker_watchdog: {megamiss_timeout: 2s, kill_timeout: 3s, max_kill_timeout_jitter: 1s, multikill_timeout: 4s, multikill_threshold: {value: 50}}}"))->watchdogs;
  CHECK(each.main.miss == 1000ms);
  CHECK(each.workers.miss == 200ms);
  CHECK(each.workers.megamiss == 2000ms);
  CHECK(each.workers.kill == 3000ms);
  CHECK(each.workers.max_kill_jitter == 1000ms);
  CHECK(each.workers.multikill == 4000ms);
  CHECK(each.workers.multikill_percent == 50);
  const Watchdogs both = (*parse("watchdog: {miss_timeout: 0.3s}"))->watchdogs;
  CHECK(both.main.miss == 300ms);
  CHECK(both.workers.miss == 300ms);
  CHECK_THAT(std::string(parse("watchdogs: {worker_watchdog: {actions: [{config: {name: x, typed_config: {\"@type\": type.googleapis.com/google.protobuf.Struct}}, event: MISS}]}}").status().message()), Contains("watchdog actions are not available"));
}

}  // namespace overload_test
