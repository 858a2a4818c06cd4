// See istio_debug.h.
#include "controlplane/serve/istio_debug.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/strings.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/service/status/v3/csds.pb.h"

namespace fairlead::serve {

using resources::Type;

namespace {

constexpr std::string_view kDebug = "istio.io/debug";
constexpr std::string_view kSync = "istio.io/debug/syncz";
constexpr std::string_view kDump = "istio.io/debug/config_dump";
// istioctl knows these texts: it explains the first, lists what there is after the second, and asks another replica after the third.
constexpr std::string_view kNoProxyGiven = "You must provide a proxyID in the query string";
constexpr std::string_view kNoSuchPage = "404 page not found";
constexpr std::string_view kNoSuchProxy = "Proxy not connected to this Pilot instance. It may be connected to another instance.";

// Of one client what /debug/syncz of istiod tells of it: by type what it was sent and has taken, as versions.
doc::Value sync_doc(const StreamView& stream, const inspect::Now& now) {
  constexpr std::pair<Type, std::string_view> kColumns[] = {
      {Type::kCluster, "cluster"}, {Type::kListener, "listener"}, {Type::kRoute, "route"}, {Type::kEndpoint, "endpoint"}, {Type::kExtensionConfig, "extensionconfig"}};
  std::vector<doc::Entry> entries, types;
  const auto add = [](std::vector<doc::Entry>& to, std::string key, std::string value) {
    if (!value.empty()) to.push_back({std::move(key), doc::string(std::move(value)), {}});
  };
  const envoy::service::status::v3::ClientConfig config = sync_status(stream, now);
  const auto& said = config.node().metadata().fields();
  const auto metadata = [&](const char* key) { return said.contains(key) ? said.at(key).string_value() : std::string(); };
  add(entries, "cluster_id", metadata("CLUSTER_ID"));
  add(entries, "proxy", config.node().id());
  add(entries, "istio_version", metadata("ISTIO_VERSION"));
  for (const auto& [type, name] : kColumns) {
    const cpstream::TypeStatus of_type = stream.session.status(type);
    add(entries, absl::StrCat(name, "_sent"), of_type.sent_version);
    add(entries, absl::StrCat(name, "_acked"), of_type.accepted_version);
  }
  for (const auto& one : config.generic_xds_configs()) {
    const std::optional<Type> type = resources::type_from_url(one.type_url());
    if (!type || one.config_status() == envoy::service::status::v3::UNKNOWN) continue;
    const cpstream::TypeStatus of_type = stream.session.status(*type);
    std::vector<doc::Entry> fields;
    add(fields, "sent", of_type.sent_version);
    add(fields, "acked", of_type.accepted_version);
    if (!of_type.sent_version.empty()) add(fields, "sentTime", format_time(now.wall - std::chrono::duration_cast<SystemTime::duration>(now.mono - of_type.sent_at)));
    add(fields, "lastError", one.error_state().details());
    types.push_back({one.type_url(), doc::map(std::move(fields)), {}});
  }
  entries.push_back({"resources", doc::map(std::move(types)), {}});
  return doc::map(std::move(entries));
}

// What a page below /debug/ of istiod would hold.
absl::StatusOr<std::string> page(std::string_view path, const EachStream& each, const inspect::Now& now) {
  if (path == "list") return doc::to_json(doc::list({doc::text("config_dump?proxyID=NODE"), doc::text("list"), doc::text("syncz")}));
  if (path == "syncz") {
    std::vector<doc::Value> proxies;
    each([&](const StreamView& stream) {
      if (stream.session.asks()) proxies.push_back(sync_doc(stream, now));
    });
    return doc::to_json(doc::list(std::move(proxies)));
  }
  constexpr std::string_view kQuestion = "config_dump?proxyID=";
  if (path.substr(0, path.find('?')) != "config_dump") return std::string(kNoSuchPage);
  const std::string_view proxy = path.starts_with(kQuestion) ? path.substr(kQuestion.size(), path.find('&') - kQuestion.size()) : "";
  if (proxy.empty()) return std::string(kNoProxyGiven);
  const absl::StatusOr<envoy::admin::v3::ConfigDump> dump = config_dump(proxy, each);
  if (!dump.ok()) return dump.status();
  return dump->configs().empty() ? std::string(kNoSuchProxy) : doc::to_json(doc::from_message(*dump));
}

}  // namespace

bool is_debug_type(std::string_view type_url) {
  return type_url.starts_with(kDebug) && (type_url.size() == kDebug.size() || type_url[kDebug.size()] == '/');
}

absl::StatusOr<std::vector<DebugResource>> debug_answer(const cpstream::Request& request, const EachStream& each, const inspect::Now& now) {
  std::vector<DebugResource> out;
  if (request.type_url == kSync) {
    each([&](const StreamView& stream) {
      if (stream.session.asks()) out.push_back({stream.node.id, "type.googleapis.com/envoy.service.status.v3.ClientConfig", sync_status(stream, now).SerializeAsString()});
    });
    return out;
  }
  if (request.names.size() != 1) return out;
  const std::string& name = request.names.front();
  if (request.type_url == kDump) {
    absl::StatusOr<envoy::admin::v3::ConfigDump> dump = config_dump(name, each);
    if (!dump.ok()) return dump.status();
    for (const google::protobuf::Any& section : dump->configs()) out.push_back({section.type_url(), section.type_url(), section.value()});
  } else if (request.type_url == kDebug) {
    absl::StatusOr<std::string> text = page(name, each, now);
    if (!text.ok()) return text.status();
    out.push_back({name, std::string(kDebug), *std::move(text)});
  }
  return out;
}

}  // namespace fairlead::serve
