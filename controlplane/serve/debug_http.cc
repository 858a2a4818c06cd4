#include "controlplane/serve/debug_http.h"

#include <sys/socket.h>

#include <optional>
#include <thread>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <httplib.h>

#include "base/strings.h"
#include "controlplane/inspect/inspect.h"

namespace fairlead::serve {

namespace {

using httplib::Request;
using httplib::Response;

void json(Response& out, const doc::Value& value) { out.set_content(doc::to_json(value, true) + "\n", "application/json"); }

void fail(Response& out, int status, std::string_view message) {
  out.status = status;
  json(out, doc::map({{"error", doc::string(std::string(message)), {}}}));
}

// The `type` parameter; nullopt with `bad` set when it is not one.
std::optional<resources::Type> type_of(const Request& in, Response& out, bool& bad) {
  bad = false;
  if (!in.has_param("type") || in.get_param_value("type").empty()) return std::nullopt;
  const std::string name = in.get_param_value("type");
  auto type = resources::type_from_short_name(name);
  if (!type) type = resources::type_from_url(name);
  if (!type) {
    bad = true;
    fail(out, 400, absl::StrCat("unknown type \"", name, "\"; known are cds, eds, lds, rds, srds, vhds, sds, rtds, ecds"));
  }
  return type;
}

}  // namespace

struct DebugHttp::Serving {
  Serving(Options o, XdsServer& s, const Clock& c) : options(std::move(o)), server(s), clock(c) {}
  ~Serving() {
    if (options.events != nullptr) options.events->close();  // who watches holds a thread until told
    http.stop();
    if (thread.joinable()) thread.join();
  }

  doc::Value ask(std::function<doc::Value(Core&)> question) { return server.ask<doc::Value>(std::move(question)); }
  // Only the pointers are taken on the serving thread; a thousand resources are printed here.
  doc::Value scopes(std::optional<resources::Type> type, std::string_view name) {
    using Scopes = std::vector<std::pair<std::string, snapshot::SnapshotPtr>>;
    std::vector<doc::Value> list;
    for (const auto& [scope, snapshot] : server.ask<Scopes>([](Core& core) { return core.snapshots(); })) {
      const doc::Value config = inspect::config(*snapshot, type, name);
      list.push_back(doc::map({{"scope", doc::string(scope), {}}, {"resources", *config.find("resources"), {}}}));
    }
    return doc::map({{"scopes", doc::list(std::move(list)), {}}});
  }
  void answer(Response& out, const absl::StatusOr<doc::Value>& value) {
    if (value.ok()) {
      json(out, *value);
    } else {
      const absl::StatusCode code = value.status().code();
      fail(out, code == absl::StatusCode::kNotFound ? 404 : code == absl::StatusCode::kInvalidArgument ? 400 : 503, value.status().message());
    }
  }
  absl::StatusOr<snapshot::SnapshotPtr> snapshot_for(const std::string& proxy, const std::string& gateway);
  void why(const Request& in, Response& out);
  void watch(const Request& in, Response& out);
  void routes();

  Options options;
  XdsServer& server;
  const Clock& clock;
  std::string address;
  httplib::Server http;
  std::thread thread;
};

// A connected proxy's, or a scope's by the name of its Gateway; without either the only one there is.
absl::StatusOr<snapshot::SnapshotPtr> DebugHttp::Serving::snapshot_for(const std::string& proxy, const std::string& gateway) {
  using Found = absl::StatusOr<snapshot::SnapshotPtr>;
  const absl::Status gone = absl::UnavailableError("shutting down");
  if (!proxy.empty()) return server.ask<Found>([&](Core& core) { return core.snapshot_of(proxy); }, gone);
  using Scopes = std::vector<std::pair<std::string, snapshot::SnapshotPtr>>;
  const Scopes scopes = server.ask<Scopes>([](Core& core) { return core.snapshots(); });
  if (gateway.empty() && scopes.size() == 1) return scopes.front().second;
  std::vector<std::string_view> names;
  for (const auto& [scope, snapshot] : scopes) {
    if (scope == gateway || scope == absl::StrCat("gateway:", gateway) || scope == absl::StrCat("raw:", gateway)) return snapshot;
    if (names.size() < 20) names.push_back(scope);
  }
  const std::string there = absl::StrCat("there are: ", names.empty() ? "none" : absl::StrJoin(names, ", "), names.size() < scopes.size() ? ", …" : "");
  if (gateway.empty()) return absl::NotFoundError(absl::StrCat("which proxy or Gateway? ", there));
  const auto meant = closest(absl::StrCat("gateway:", gateway), names);
  return absl::NotFoundError(absl::StrCat("no Gateway \"", gateway, "\"", meant ? absl::StrCat("; did you mean \"", *meant, "\"?") : "", "; ", there));
}

void DebugHttp::Serving::why(const Request& in, Response& out) {
  if (!options.why) return fail(out, 404, "requests are not explained here");
  std::vector<std::string> headers;
  for (size_t i = 0; i < in.get_param_value_count("header"); ++i) {
    const std::string given = in.get_param_value("header", i);
    for (const std::string_view line : absl::StrSplit(given, '\n', absl::SkipWhitespace())) headers.emplace_back(line);
  }
  const std::string url = in.get_param_value("url");
  if (url.empty()) return fail(out, 400, "which request? /why?proxy=NODE_ID&method=GET&url=http://HOST/PATH");
  const absl::StatusOr<snapshot::SnapshotPtr> snapshot = snapshot_for(in.get_param_value("proxy"), in.get_param_value("gateway"));
  if (!snapshot.ok()) return answer(out, snapshot.status());
  answer(out, options.why(*snapshot, in.get_param_value("method"), url, headers));
}

void DebugHttp::Serving::watch(const Request& in, Response& out) {
  std::set<std::string, std::less<>> kinds;
  for (size_t i = 0; i < in.get_param_value_count("kind"); ++i) {
    const std::string given = in.get_param_value("kind", i);
    for (const std::string_view kind : absl::StrSplit(given, ',', absl::SkipEmpty())) kinds.emplace(kind);
  }
  for (const std::string& kind : kinds) {
    if (!inspect::Events::known(kind)) return fail(out, 400, absl::StrCat("nothing of kind \"", kind, "\" ever happens; there are: ", absl::StrJoin(inspect::Events::kKinds, ", ")));
  }
  const std::shared_ptr<inspect::Events::Reader> reader = options.events == nullptr ? nullptr : options.events->open(std::move(kinds));
  if (!reader) return fail(out, 503, options.events == nullptr ? "nothing can be watched here" : absl::StrCat("more than ", inspect::Events::kMostReaders, " are watching already"));
  out.set_chunked_content_provider("application/jsonlines", [reader](size_t, httplib::DataSink& sink) {
    const std::optional<std::string> line = reader->next(std::chrono::seconds(1));
    const std::string text = line ? *line + "\n" : reader->over() ? "" : "\n";  // an empty line finds out whether anyone still reads
    if (!text.empty() && !sink.write(text.data(), text.size())) return false;
    if (reader->over()) sink.done();
    return true;
  });
}

void DebugHttp::Serving::routes() {
  // before any body is read: cpp-httplib would wait for one where neither length nor encoding is given
  http.set_pre_routing_handler([](const Request& in, Response& out) {
    if (in.method == "GET" || in.method == "HEAD") return httplib::Server::HandlerResponse::Unhandled;
    out.set_header("Allow", "GET, HEAD");
    fail(out, 405, absl::StrCat(in.method, " is not allowed here: everything is read only"));
    return httplib::Server::HandlerResponse::Handled;
  });
  http.Get("/healthz", [this](const Request&, Response& out) {  // healthy: the serving thread answers
    out.status = server.ask<bool>([](Core&) { return true; }) ? 200 : 503;
    out.set_content(out.status == 200 ? "ok\n" : "shutting down\n", "text/plain");
  });
  http.Get("/readyz", [this](const Request&, Response& out) {
    const auto [ready, leaving] = server.ask<std::pair<bool, bool>>([](Core& core) { return std::pair(core.ready(), core.leaving()); }, {false, true});
    out.status = ready ? 200 : 503;
    out.set_content(ready ? "ok\n" : leaving ? "shutting down\n" : "the sources have not been read completely yet\n", "text/plain");
  });
  http.Get("/version", [this](const Request&, Response& out) { json(out, doc::map({{"version", doc::string(options.version), {}}})); });
  http.Get("/metrics", [this](const Request&, Response& out) {
    const auto [metrics, streams, waiting] = server.ask<std::tuple<Metrics, size_t, size_t>>(
        [](Core& core) { return std::make_tuple(core.metrics(), core.streams(), core.waiting()); });
    out.set_content(metrics.prometheus(streams, waiting) + (options.more_metrics ? options.more_metrics() : ""), "text/plain; version=0.0.4");
  });
  http.Get("/debug/status", [this](const Request&, Response& out) {
    json(out, inspect::status(server.ask<std::vector<inspect::StreamRecord>>([](Core& core) { return core.records(); }),
                              {clock.system(), clock.monotonic()}));
  });
  http.Get("/debug/config", [this](const Request& in, Response& out) {
    bool bad;
    const auto type = type_of(in, out, bad);
    if (bad) return;
    const std::string proxy = in.get_param_value("proxy"), name = in.get_param_value("name");
    if (proxy.empty()) return json(out, scopes(type, name));
    using Found = absl::StatusOr<snapshot::SnapshotPtr>;
    const Found snapshot = server.ask<Found>([&](Core& core) { return core.snapshot_of(proxy); }, absl::UnavailableError("shutting down"));
    answer(out, snapshot.ok() ? absl::StatusOr<doc::Value>(inspect::config(**snapshot, type, name)) : snapshot.status());
  });
  http.Get("/debug/snapshots", [this](const Request& in, Response& out) {
    bool bad;
    const auto type = type_of(in, out, bad);
    if (bad) return;
    json(out, scopes(type, in.get_param_value("name")));
  });
  http.Get("/debug/diff", [this](const Request& in, Response& out) {
    const std::string proxy = in.get_param_value("proxy");
    if (proxy.empty()) return fail(out, 400, "which proxy? /debug/diff?proxy=NODE_ID");
    answer(out, server.ask<absl::StatusOr<doc::Value>>([&](Core& core) { return core.diff(proxy); }, absl::UnavailableError("shutting down")));
  });
  http.Get("/debug/nacks", [this](const Request&, Response& out) { json(out, ask([](Core& core) { return core.nacks(); })); });
  http.Get("/debug/conditions", [this](const Request&, Response& out) {
    json(out, ask([](Core& core) { return inspect::conditions(core.conditions()); }));
  });
  http.Get("/debug/findings", [this](const Request&, Response& out) {
    json(out, ask([](Core& core) { return inspect::findings(core.findings()); }));
  });
  http.Get("/debug/load", [this](const Request&, Response& out) {
    json(out, ask([now = clock.monotonic()](Core& core) { return core.loads().to_doc(now); }));
  });
  http.Get("/why", [this](const Request& in, Response& out) { why(in, out); });
  http.Get("/debug/watch", [this](const Request& in, Response& out) { watch(in, out); });
  http.Get("/debug/sources", [this](const Request&, Response& out) { json(out, options.sources ? options.sources() : doc::map({})); });
  http.Get("/debug/objects", [this](const Request&, Response& out) { json(out, options.objects ? options.objects() : doc::map({})); });
  http.set_error_handler([](const Request& in, Response& out) {
    if (out.body.empty()) fail(out, out.status, out.status == 404 ? absl::StrCat("nothing at ", in.path) : "the request cannot be answered");
  });
}

absl::StatusOr<std::unique_ptr<DebugHttp>> DebugHttp::start(Options options, XdsServer& server, const Clock& clock) {
  const size_t colon = options.address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(options.address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("admin address \"", options.address, "\" is not HOST:PORT"));
  }
  std::string host = options.address.substr(0, colon);
  auto serving = std::make_unique<Serving>(std::move(options), server, clock);
  // cpp-httplib's default sets SO_REUSEPORT: a second instance would share the port silently
  serving->http.set_socket_options([](socket_t s) {
    int yes = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  // Each connection holds a thread: one that is idle or slow must not keep a health check waiting for long.
  serving->http.new_task_queue = [] { return new httplib::ThreadPool(32); };
  serving->http.set_keep_alive_max_count(1);
  serving->http.set_keep_alive_timeout(1);
  serving->http.set_read_timeout(1);
  serving->http.set_payload_max_length(1 << 20);
  std::string bare = host;
  if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') bare = bare.substr(1, bare.size() - 2);
  const bool bound = port == 0 ? (port = serving->http.bind_to_any_port(bare)) > 0 : serving->http.bind_to_port(bare, port);
  if (!bound) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for admin requests on ", serving->options.address, ": the address is in use or not one of this machine"));
  }
  serving->address = absl::StrCat(host, ":", port);
  serving->routes();
  serving->thread = std::thread([s = serving.get()] { s->http.listen_after_bind(); });
  while (!serving->http.is_running()) std::this_thread::yield();  // stop() has no effect before
  return std::unique_ptr<DebugHttp>(new DebugHttp(std::move(serving)));
}

DebugHttp::DebugHttp(std::unique_ptr<Serving> serving) : serving_(std::move(serving)) {}
DebugHttp::~DebugHttp() = default;
const std::string& DebugHttp::address() const { return serving_->address; }

}  // namespace fairlead::serve
