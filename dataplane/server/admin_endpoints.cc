// Handlers of the admin endpoints, in Envoy's shapes.
#include "dataplane/server/admin_endpoints.h"

#include <re2/re2.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/log.h"
#include "dataplane/admin/cluster_status.h"
#include "dataplane/admin/config_dump.h"
#include "dataplane/server/certs.h"
#include "dataplane/server/server.h"
#include "dataplane/stats/render.h"
#include "envoy/admin/v3/listeners.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace fairlead::server {
namespace {

using admin::Request;
using admin::Response;

Response ok() { return Response::text("OK\n"); }

using doc::text;
doc::Value seconds(int64_t s) { return doc::string(absl::StrCat(s, "s")); }

Response error(const absl::Status& status) {
  const int code = absl::IsNotFound(status) ? 404 : 400;
  return Response::text(std::string(status.message()), code);
}

}  // namespace

std::vector<admin::Endpoint> AdminEndpoints::all() {
  auto plain = [](auto f) { return [f](const Request&) { return f(); }; };
  return {
      {"/certs", false, "print certs on machine", {}, plain([this] { return Response::json(certificates_json(server_.snapshot(), std::chrono::system_clock::now())); })},
      {"/clusters", false, "upstream cluster status", {{"filter", "Regular expression (Google re2) for filtering clusters by name"}, {"format", "json or text"}},
       [this](const Request& r) { return clusters(r); }},
      {"/config_dump", false, "dump the configuration in use",
       {{"resource", "field of a dump, such as dynamic_active_clusters"}, {"mask", "field paths to keep, comma-separated"}, {"name_regex", "only resources whose name matches"},
        {"include_eds", "also endpoints"}},
       [this](const Request& r) { return config_dump(r); }},
      {"/drain_listeners", true, "drain listeners", {{"graceful", "first let responses close their connections, for the drain time"}, {"skip_exit", "drain but never stop listening"}, {"inboundonly", "only inbound listeners"}},
       [this](const Request& r) {
         server_.drain_listeners(r.has("graceful"), r.has("inboundonly"), r.has("skip_exit"));
         return ok();
       }},
      {"/healthcheck/fail", true, "cause the server to fail health checks", {}, [this](const Request&) {
         server_.set_healthcheck_failed(true);
         return ok();
       }},
      {"/healthcheck/ok", true, "cause the server to pass health checks", {}, [this](const Request&) {
         server_.set_healthcheck_failed(false);
         return ok();
       }},
      {"/hot_restart_version", false, "print the hot restart compatibility version", {}, plain([this] { return Response::text(server_.handover().version()); })},
      {"/init_dump", false, "print what initialisation and warming wait for", {}, plain([this] { return init_dump(); })},
      {"/listeners", false, "print listener info", {{"format", "json or text"}}, [this](const Request& r) { return listeners(r); }},
      {"/logging", true, "query/change logging levels", {{"level", "level of all components"}, {"paths", "component:level,…"}}, [this](const Request& r) { return logging(r); }},
      {"/memory", false, "print current allocation/heap usage", {}, plain([this] { return memory(); })},
      {"/quitquitquit", true, "exit the server", {}, [this](const Request&) {
         server_.shut_down();
         return ok();
       }},
      {"/ready", false, "print server state, return 200 if LIVE, otherwise return 503", {}, plain([this] { return ready(); })},
      {"/reopen_logs", true, "reopen access logs", {}, [this](const Request&) {
         server_.reopen_logs();
         return ok();
       }},
      {"/reset_counters", true, "reset all counters to zero", {}, [this](const Request&) {
         server_.stats().reset_counters();
         return ok();
       }},
      {"/runtime", false, "print runtime values", {}, plain([this] { return Response::json(server_.runtime().to_json()); })},
      {"/runtime_modify", true, "add, change or (with an empty value) remove values of the admin layer: ?key1=value1&key2=value2", {}, [this](const Request& r) { return runtime_modify(r); }},
      {"/server_info", false, "print server version/status information", {}, plain([this] { return server_info(); })},
      {"/stalls", false, "print threads that stayed away from their event loop for too long, with where they were", {}, plain([this] { return Response::json(server_.stalls().to_json()); })},
      {"/stats", false, "print server stats",
       {{"usedonly", "only statistics that have been written"}, {"filter", "Regular expression (Google re2) for filtering stats"}, {"invert_filter", "invert the filter"},
        {"format", "text, json or prometheus"}, {"type", "All, Counters, Gauges, Histograms, TextReadouts"}},
       [this](const Request& r) { return stats(r, false); }},
      {"/stats/prometheus", false, "print server stats in prometheus format", {{"usedonly", "only statistics that have been written"}, {"filter", "regular expression"}},
       [this](const Request& r) { return stats(r, true); }},
  };
}

Response AdminEndpoints::ready() const {
  const State state = server_.state();
  return Response::text(absl::StrCat(state_name(state), "\n"), state == State::live ? 200 : 503);
}

Response AdminEndpoints::server_info() const {
  const Options& o = server_.options();
  std::vector<doc::Entry> flags = {
      {"base_id", text(absl::StrCat(server_.handover().base_id())), {}},
      {"concurrency", doc::integer(server_.workers()), {}},
      {"config_path", text(o.config_path), {}},
      {"config_yaml", text(o.config_yaml), {}},
      {"allow_unknown_static_fields", doc::boolean(o.allow_unknown_static_fields), {}},
      {"reject_unknown_dynamic_fields", doc::boolean(o.reject_unknown_dynamic_fields), {}},
      {"ignore_unknown_dynamic_fields", doc::boolean(o.ignore_unknown_dynamic_fields), {}},
      {"admin_address_path", text(o.admin_address_path), {}},
      {"local_address_ip_version", text(o.local_address_ip_version), {}},
      {"log_level", text(o.log_level), {}},
      {"component_log_level", text(o.component_log_level), {}},
      {"log_format", text(o.log_format), {}},
      {"log_path", text(o.log_path), {}},
      {"service_cluster", text(o.service_cluster), {}},
      {"service_node", text(o.service_node), {}},
      {"service_zone", text(o.service_zone), {}},
      {"file_flush_interval", text(absl::StrCat(static_cast<double>(o.file_flush_interval.count()) / 1000, "s")), {}},
      {"drain_time", seconds(o.drain_time.count()), {}},
      {"parent_shutdown_time", seconds(o.parent_shutdown_time.count()), {}},
      {"mode", text(o.mode == Options::Mode::serve ? "Serve" : o.mode == Options::Mode::validate ? "Validate" : "InitOnly"), {}},
      {"disable_hot_restart", doc::boolean(o.disable_hot_restart), {}},
      {"restart_epoch", doc::integer(server_.handover().epoch()), {}},
      {"skip_hot_restart_on_no_parent", doc::boolean(o.skip_hot_restart_on_no_parent), {}},
      {"skip_hot_restart_parent_stats", doc::boolean(o.skip_hot_restart_parent_stats), {}},
      {"drain_strategy", text(o.drain_strategy == Options::DrainStrategy::gradual ? "Gradual" : "Immediate"), {}},
      {"cpuset_threads", doc::boolean(o.cpuset_threads), {}},
      {"use_dynamic_base_id", doc::boolean(o.use_dynamic_base_id), {}},
      {"base_id_path", text(o.base_id_path), {}},
      {"file_flush_min_size", doc::integer(o.file_flush_min_size_kb), {}},
  };
  // Flags that do not exist here, as Envoy 1.40 shows them unset: for tools that read its answer into a fixed shape.
  for (const char* name : {"enable_mutex_tracing", "log_format_escaped", "enable_fine_grain_logging", "enable_core_dump", "skip_deprecated_logs", "log_stacktrace_single_entry"}) {
    flags.push_back({name, doc::boolean(false), {}});
  }
  for (const char* name : {"disabled_extensions", "stats_tag"}) flags.push_back({name, doc::list({}), {}});
  flags.push_back({"socket_path", text(o.socket_path), {}});
  flags.push_back({"socket_mode", doc::integer(o.socket_mode), {}});
  doc::Value node = doc::from_message(server_.bootstrap().proto->node());
  for (const char* name : {"id", "cluster"}) {
    if (node.find(name) == nullptr) node = doc::with(node, name, text(""));
  }
  const doc::Value info = doc::map({
      {"version", text(server_.version()), {}},
      {"state", text(state_name(server_.state())), {}},
      {"uptime_current_epoch", seconds(server_.uptime().count()), {}},
      {"uptime_all_epochs", seconds(server_.handover().uptime_of_all().count()), {}},
      {"hot_restart_version", text(server_.handover().version()), {}},
      {"hot_restart_initializing", doc::boolean(server_.handover().taking_over()), {}},
      {"command_line_options", doc::map(std::move(flags)), {}},
      {"node", std::move(node), {}},
  });
  return Response::json(doc::to_json(info, true) + "\n");
}

Response AdminEndpoints::stats(const Request& request, bool prometheus) {
  const std::string format = request.param("format");
  stats::Selection selection;
  selection.used_only = request.has("usedonly");
  selection.filter = request.param("filter");
  selection.invert_filter = request.has("invert_filter");
  const std::string type = request.param("type");
  if (type == "Counters") {
    selection.type = stats::TypeFilter::counters;
  } else if (type == "Gauges") {
    selection.type = stats::TypeFilter::gauges;
  } else if (type == "Histograms") {
    selection.type = stats::TypeFilter::histograms;
  } else if (type == "TextReadouts") {
    selection.type = stats::TypeFilter::text_readouts;
  } else if (!type.empty() && type != "All") {
    return Response::text("invalid &type= param", 400);
  }
  server_.refresh_gauges();
  absl::StatusOr<std::string> out;
  if (prometheus || format == "prometheus") {
    out = stats::render_prometheus(server_.stats(), selection);
  } else if (format == "json") {
    out = stats::render_json(server_.stats(), selection);
    if (out.ok()) return Response::json(*std::move(out));
  } else if (format.empty() || format == "text") {
    out = stats::render_text(server_.stats(), selection);
  } else {
    return Response::text("usage: /stats?format=(json|prometheus|text)\n\n", 400);
  }
  if (!out.ok()) return error(out.status());
  return Response::text(*std::move(out));
}

Response AdminEndpoints::config_dump(const Request& request) const {
  admin::DumpInput in;
  in.bootstrap = &server_.bootstrap().bytes;
  in.bootstrap_at = std::chrono::system_clock::now() - server_.uptime();
  in.ledger = &server_.ledger();
  in.epoch = &server_.epoch();
  const absl::StatusOr<std::string> out =
      admin::config_dump(in, {request.param("resource"), request.param("mask"), request.param("name_regex"), request.has("include_eds")});
  return out.ok() ? Response::json(*out) : error(out.status());
}

Response AdminEndpoints::clusters(const Request& request) {
  std::unique_ptr<re2::RE2> filter;
  if (request.has("filter")) {
    re2::RE2::Options quiet;
    quiet.set_log_errors(false);
    filter = std::make_unique<re2::RE2>(request.param("filter"), quiet);
    if (!filter->ok()) return Response::text(absl::StrCat("Invalid re2 regex: ", filter->error()), 400);
  }
  std::vector<admin::ClusterRow> rows;
  const config::Snapshot* snapshot = server_.snapshot();
  if (snapshot != nullptr) {
    std::map<std::string, const config::ClusterEntry*> sorted;
    for (const auto& [name, entry] : snapshot->clusters)
      if (filter == nullptr || re2::RE2::PartialMatch(name, *filter)) sorted[name] = &entry;
    std::vector<std::string> names;
    for (const auto& [name, entry] : sorted) names.push_back(name);
    auto hosts = server_.hosts(names);
    for (const auto& [name, entry] : sorted) {
      const xds::LedgerEntry* known = server_.ledger().find(xds::Type::cluster, name);
      rows.push_back({entry->config.get(), known == nullptr || !known->is_static, std::move(hosts[name])});
    }
  }
  return request.param("format") == "json" ? Response::json(admin::clusters_json(rows)) : Response::text(admin::clusters_text(rows));
}

Response AdminEndpoints::listeners(const Request& request) const {
  if (request.param("format") != "json") {
    std::string out;
    for (const ListenerSet::Row& row : server_.listeners().rows())
      for (const net::Address& a : row.addresses) absl::StrAppend(&out, row.name, "::", a.to_string(), "\n");
    return Response::text(std::move(out));
  }
  envoy::admin::v3::Listeners out;
  auto fill = [](envoy::config::core::v3::Address* to, const net::Address& from) {
    if (from.is_ip()) {
      to->mutable_socket_address()->set_address(from.ip_string());
      to->mutable_socket_address()->set_port_value(from.port());
    } else {
      to->mutable_pipe()->set_path(from.path());
    }
  };
  for (const ListenerSet::Row& row : server_.listeners().rows()) {
    auto* status = out.add_listener_statuses();
    status->set_name(row.name);
    for (size_t i = 0; i < row.addresses.size(); ++i) fill(i == 0 ? status->mutable_local_address() : status->add_additional_local_addresses(), row.addresses[i]);
  }
  return Response::json(doc::to_json(doc::from_message(out), true) + "\n");
}

Response AdminEndpoints::memory() const {
  const Server::MemoryUse use = Server::memory_use();
  const doc::Value out = doc::map({
      {"allocated", text(absl::StrCat(use.allocated)), {}},
      {"heap_size", text(absl::StrCat(use.heap)), {}},
      {"pageheap_unmapped", text("0"), {}},
      {"pageheap_free", text(absl::StrCat(use.free)), {}},
      {"total_thread_cache", text("0"), {}},
      {"total_physical_bytes", text(absl::StrCat(use.physical)), {}},
  });
  return Response::json(doc::to_json(out, true) + "\n");
}

Response AdminEndpoints::logging(const Request& request) const {
  if (request.has("level")) {
    const absl::StatusOr<log::Level> level = log::parse_level(request.param("level"));
    if (!level.ok()) return error(level.status());
    log::set_level(*level);
  } else if (request.has("paths")) {
    if (absl::Status status = log::set_component_levels(request.param("paths")); !status.ok()) return error(status);
  } else {
    for (const auto& [name, value] : request.query) {  // ?upstream=debug
      const absl::StatusOr<log::Level> level = log::parse_level(value);
      if (!level.ok()) return error(level.status());
      if (absl::Status status = log::set_component_level(name, *level); !status.ok()) return Response::text(std::string(status.message()), 400);
    }
  }
  std::string out = "active loggers:\n";
  for (const auto& [name, level] : log::levels()) absl::StrAppend(&out, "  ", name, ": ", log::level_name(level), "\n");
  return Response::text(out + "\n");
}

Response AdminEndpoints::init_dump() const {
  std::map<std::string, std::vector<doc::Value>> by_kind;
  for (const xds::Epoch::Waiting& w : server_.epoch().waiting()) by_kind[w.kind + " " + w.name].push_back(text(w.reason));
  std::vector<doc::Value> dumps;
  for (auto& [name, targets] : by_kind) dumps.push_back(doc::map({{"name", text(name), {}}, {"target_names", doc::list(std::move(targets)), {}}}));
  if (dumps.empty()) return Response::json("{}\n");
  return Response::json(doc::to_json(doc::map({{"unready_targets_dumps", doc::list(std::move(dumps)), {}}}), true) + "\n");
}

Response AdminEndpoints::runtime_modify(const Request& request) {
  if (request.query.empty()) {
    return Response::text("usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n       or send the parameters as form values\nuse an empty value to remove a previously added override", 400);
  }
  return server_.modify_runtime(request.query) ? ok() : Response::text("No admin layer specified", 503);
}

}  // namespace fairlead::server
