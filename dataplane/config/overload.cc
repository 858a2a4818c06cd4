// OverloadManager and Watchdogs → model; see overload.h.
#include "dataplane/config/overload.h"

#include <algorithm>
#include <set>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "dataplane/config/fields.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/overload/v3/overload.pb.h"

namespace fairlead::config {
namespace overload_v3 = envoy::config::overload::v3;
namespace {

using Monitor = ResourceMonitor;
using Action = OverloadAction;

constexpr std::string_view kConnections = "envoy.resource_monitors.global_downstream_max_connections";  // known by this name, not by its type

struct MonitorType {
  std::string_view message;  // below envoy.extensions.resource_monitors.
  Monitor::Kind kind;
  const char* field;
};
constexpr MonitorType kMonitors[] = {
    {"fixed_heap.v3.FixedHeapConfig", Monitor::Kind::FixedHeap, "max_heap_size_bytes"},
    {"cgroup_memory.v3.CgroupMemoryConfig", Monitor::Kind::CgroupMemory, "max_memory_bytes"},
    {"injected_resource.v3.InjectedResourceConfig", Monitor::Kind::InjectedResource, "filename"},
    {"downstream_connections.v3.DownstreamConnectionsConfig", Monitor::Kind::DownstreamConnections, "max_active_downstream_connections"},
};

constexpr std::pair<std::string_view, Action::Kind> kActions[] = {
    {"envoy.overload_actions.stop_accepting_requests", Action::Kind::StopAcceptingRequests},
    {"envoy.overload_actions.disable_http_keepalive", Action::Kind::DisableHttpKeepalive},
    {"envoy.overload_actions.stop_accepting_connections", Action::Kind::StopAcceptingConnections},
    {"envoy.overload_actions.reject_incoming_connections", Action::Kind::RejectIncomingConnections},
    {"envoy.overload_actions.shrink_heap", Action::Kind::ShrinkHeap},
    {"envoy.overload_actions.reduce_timeouts", Action::Kind::ReduceTimeouts},
    {"envoy.overload_actions.reset_high_memory_stream", Action::Kind::ResetHighMemoryStream},
};

constexpr std::pair<std::string_view, ShedAt> kShedPointNames[] = {
    {"envoy.load_shed_points.tcp_listener_accept", ShedAt::TcpAccept},
    {"envoy.load_shed_points.hcm_ondata_creating_codec", ShedAt::CodecCreation},
    {"envoy.load_shed_points.http_connection_manager_decode_headers", ShedAt::RequestHeaders},
    {"envoy.load_shed_points.http1_server_abort_dispatch", ShedAt::Http1Dispatch},
    {"envoy.load_shed_points.http2_server_go_away_on_dispatch", ShedAt::Http2Dispatch},
};
static_assert(std::size(kShedPointNames) == kShedPoints);

// These four messages have one field that counts, and no class of their own here.
void read_value(const google::protobuf::Message& message, const char* name, Monitor& out) {
  const auto* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr) return;
  const auto* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case google::protobuf::FieldDescriptor::CPPTYPE_STRING: out.file_name = reflection->GetString(message, field); break;
    case google::protobuf::FieldDescriptor::CPPTYPE_UINT64: out.limit = reflection->GetUInt64(message, field); break;
    case google::protobuf::FieldDescriptor::CPPTYPE_INT64: out.limit = static_cast<uint64_t>(reflection->GetInt64(message, field)); break;
    default: break;
  }
}

void read_monitor(const overload_v3::ResourceMonitor& proto, const std::string& field, OverloadConfig& out, ErrorList& errors) {
  const std::string_view type = type_name(proto.typed_config().type_url());
  const auto* known = std::find_if(std::begin(kMonitors), std::end(kMonitors), [&](const MonitorType& t) { return type == absl::StrCat("envoy.extensions.resource_monitors.", t.message); });
  if (known == std::end(kMonitors) || (known->kind == Monitor::Kind::DownstreamConnections) != (proto.name() == kConnections))
    return errors.add(unknown_extension(field, proto.name(), proto.typed_config().type_url()));
  for (const Monitor& other : out.monitors)
    if (other.name == proto.name()) return errors.add(field + ".name", absl::StrCat("Duplicate resource monitor ", proto.name()));
  auto config = unpack(proto.typed_config(), field + ".typed_config");
  if (!errors.check(config)) return;
  Monitor monitor{.kind = known->kind, .name = proto.name()};
  read_value(**config, known->field, monitor);
  if (monitor.limit == 0 && known->kind == Monitor::Kind::FixedHeap) return errors.add(field + ".typed_config.max_heap_size_bytes", "must be greater than 0");
  out.monitors.push_back(std::move(monitor));
}

// Of an action, or of a load shed point; `what`: which of them, in Envoy 1.40's words.
template <class Proto>
void read_triggers(const Proto& proto, const std::string& field, std::string_view what, const OverloadConfig& known, std::vector<OverloadTrigger>& out, ErrorList& errors) {
  std::set<std::string> names;
  for (int i = 0; i < proto.triggers_size(); ++i) {
    const auto& trigger = proto.triggers(i);
    const std::string place = absl::StrCat(field, ".triggers[", i, "]");
    OverloadTrigger read{.resource = trigger.name()};
    if (trigger.has_scaled()) {
      read.scaled = true;
      read.from = trigger.scaled().scaling_threshold();
      read.to = trigger.scaled().saturation_threshold();
      if (read.from >= read.to) errors.add(place + ".scaled", "scaling_threshold must be less than saturation_threshold");
    } else {
      read.to = trigger.threshold().value();
    }
    if (!names.insert(trigger.name()).second) errors.add(place + ".name", absl::StrCat("Duplicate trigger resource for ", what, " ", proto.name()));
    if (std::none_of(known.monitors.begin(), known.monitors.end(), [&](const Monitor& m) { return m.name == trigger.name(); }))
      errors.add(place + ".name", absl::StrCat("Unknown trigger resource ", trigger.name(), " for ", what, " ", proto.name()));
    out.push_back(std::move(read));
  }
}

void read_timers(const google::protobuf::Any& any, const std::string& field, OverloadConfig& out, ErrorList& errors) {
  auto config = unpack_as<overload_v3::ScaleTimersOverloadActionConfig>(any, field);
  if (!errors.check(config)) return;
  for (int i = 0; i < config->timer_scale_factors_size(); ++i) {
    const auto& proto = config->timer_scale_factors(i);
    using Proto = overload_v3::ScaleTimersOverloadActionConfig;
    ScaledTimer timer;
    switch (proto.timer()) {
      case Proto::HTTP_DOWNSTREAM_CONNECTION_IDLE: timer = ScaledTimer::ConnectionIdle; break;
      case Proto::HTTP_DOWNSTREAM_STREAM_IDLE: timer = ScaledTimer::StreamIdle; break;
      case Proto::HTTP_DOWNSTREAM_CONNECTION_MAX: timer = ScaledTimer::ConnectionMax; break;
      default: continue;  // refused by the support table, or by its rules
    }
    TimerScale scale;
    if (proto.has_min_timeout()) {
      scale.min_timeout = ms(proto.min_timeout());
    } else {
      scale.min_scale = proto.min_scale().value() / 100;
    }
    TimerScale& slot = out.timers[static_cast<size_t>(timer)];
    if (slot.min_timeout || slot.min_scale != 1)
      errors.add(absl::StrCat(field, ".timer_scale_factors[", i, "].timer"), absl::StrCat("Found duplicate entry for timer type ", Proto::TimerType_Name(proto.timer())));
    slot = scale;
  }
}

void read_action(const overload_v3::OverloadAction& proto, const std::string& field, bool accounts, OverloadConfig& out, ErrorList& errors) {
  const auto* known = std::find_if(std::begin(kActions), std::end(kActions), [&](const auto& a) { return a.first == proto.name(); });
  if (proto.name() == "envoy.overload_actions.close_idle_http_connections")
    return errors.add(field + ".name", absl::StrCat(proto.name(), ": not supported: it concerns HTTP/3 alone"));
  if (known == std::end(kActions)) return errors.add(field + ".name", absl::StrCat("Unknown Overload Manager Action ", proto.name()));
  if (out.find(known->second) != nullptr) return errors.add(field + ".name", absl::StrCat("Duplicate overload action ", proto.name()));
  Action action{.kind = known->second, .name = proto.name()};
  read_triggers(proto, field, "overload action", out, action.triggers, errors);
  switch (action.kind) {
    case Action::Kind::ReduceTimeouts: read_timers(proto.typed_config(), field + ".typed_config", out, errors); break;
    case Action::Kind::ShrinkHeap:
      if (proto.has_typed_config()) {
        auto config = unpack_as<overload_v3::ShrinkHeapConfig>(proto.typed_config(), field + ".typed_config");
        if (!errors.check(config)) break;
        if (config->has_timer_interval()) out.shrink_interval = ms(config->timer_interval());
        if (config->has_max_unfreed_memory_bytes()) out.shrink_above = config->max_unfreed_memory_bytes().value();
      }
      break;
    default:
      if (proto.has_typed_config()) errors.add(field + ".typed_config", absl::StrCat("Overload action ", proto.name(), " has a typed_config, and none is used"));
  }
  if (action.kind == Action::Kind::ResetHighMemoryStream && !accounts)
    errors.add(field, absl::StrCat("Overload action \"", proto.name(), "\" requires buffer_factory_config."));
  out.actions.push_back(std::move(action));
}

void read_shed_point(const overload_v3::LoadShedPoint& proto, const std::string& field, OverloadConfig& out, ErrorList& errors) {
  const auto* known = std::find_if(std::begin(kShedPointNames), std::end(kShedPointNames), [&](const auto& p) { return p.first == proto.name(); });
  // Envoy takes any name, and does nothing at one that it does not know
  if (known == std::end(kShedPointNames)) return errors.add(field + ".name", absl::StrCat(proto.name(), ": not supported: there is no such load shed point"));
  if (std::any_of(out.shed_points.begin(), out.shed_points.end(), [&](const LoadShedPoint& p) { return p.at == known->second; }))
    return errors.add(field + ".name", absl::StrCat("Duplicate loadshed point ", proto.name()));
  LoadShedPoint point{.at = known->second, .name = proto.name()};
  read_triggers(proto, field, "loadshed point", out, point.triggers, errors);
  out.shed_points.push_back(std::move(point));
}

WatchdogConfig read_watchdog(const envoy::config::bootstrap::v3::Watchdog& proto) {
  WatchdogConfig out;
  if (proto.has_miss_timeout()) out.miss = ms(proto.miss_timeout());
  if (proto.has_megamiss_timeout()) out.megamiss = ms(proto.megamiss_timeout());
  out.kill = ms(proto.kill_timeout());
  out.max_kill_jitter = ms(proto.max_kill_timeout_jitter());
  out.multikill = ms(proto.multikill_timeout());
  out.multikill_percent = proto.multikill_threshold().value();
  return out;
}

}  // namespace

OverloadConfig parse_overload(const overload_v3::OverloadManager& proto, const std::string& field, ErrorList& errors) {
  OverloadConfig out;
  if (proto.has_refresh_interval()) out.refresh_interval = ms(proto.refresh_interval());
  out.refresh_interval = std::max(out.refresh_interval, milliseconds(1));
  for (int i = 0; i < proto.resource_monitors_size(); ++i) read_monitor(proto.resource_monitors(i), absl::StrCat(field, ".resource_monitors[", i, "]"), out, errors);
  out.smallest_account = proto.buffer_factory_config().minimum_account_to_track_power_of_two();
  for (int i = 0; i < proto.actions_size(); ++i) read_action(proto.actions(i), absl::StrCat(field, ".actions[", i, "]"), proto.has_buffer_factory_config(), out, errors);
  for (int i = 0; i < proto.loadshed_points_size(); ++i) read_shed_point(proto.loadshed_points(i), absl::StrCat(field, ".loadshed_points[", i, "]"), out, errors);
  return out;
}

Watchdogs parse_watchdogs(const envoy::config::bootstrap::v3::Bootstrap& proto) {
  if (proto.has_watchdog()) return {read_watchdog(proto.watchdog()), read_watchdog(proto.watchdog())};
  return {read_watchdog(proto.watchdogs().main_thread_watchdog()), read_watchdog(proto.watchdogs().worker_watchdog())};
}

}  // namespace fairlead::config
