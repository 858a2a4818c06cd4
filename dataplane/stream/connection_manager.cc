// Builds what serves an HcmConfig; see connection_manager.h.
#include "dataplane/stream/connection_manager.h"

#include <absl/strings/str_cat.h>
#include <ifaddrs.h>
#include <net/if.h>

#include "base/status.h"
#include "dataplane/net/address.h"
#include "dataplane/upstream/pool/http2_codec.h"

namespace fairlead::stream {
namespace {

// The first IPv4 address of an interface that is up and not the loopback; 127.0.0.1 when there is none. Envoy 1.40 does the same.
std::string find_local_ip() {
  std::string found = "127.0.0.1";
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0) continue;
    found = net::Address::from_sockaddr(i->ifa_addr, sizeof(sockaddr_in)).ip_string();
    break;
  }
  freeifaddrs(list);
  return found;
}

h1::Settings codec_settings(const config::HcmConfig& config) {
  h1::Settings settings;
  settings.max_head_bytes = config.max_request_headers_kb * 1024;
  settings.max_headers = config.max_headers_count;
  settings.accept_http_10 = config.accept_http_10;
  settings.default_host_for_http_10 = config.default_host_for_http_10;
  settings.enable_trailers = config.enable_trailers;
  settings.allow_absolute_url = config.allow_absolute_url;
  settings.allow_chunked_length = config.allow_chunked_length;
  return settings;
}

h2::Settings http2_settings(const config::HcmConfig& config) {
  h2::Settings settings = upstream::http2_settings(config.http2);
  settings.max_head_bytes = config.max_request_headers_kb * 1024;
  settings.max_headers = config.max_headers_count;
  settings.drain_timeout = config.drain_timeout;
  settings.flush_timeout = config.stream_flush_timeout.value_or(config.stream_idle_timeout);
  return settings;
}

EscapedSlashes escaped_slashes(config::HcmConfig::EscapedSlashes action) {
  switch (action) {
    case config::HcmConfig::EscapedSlashes::RejectRequest: return EscapedSlashes::kReject;
    case config::HcmConfig::EscapedSlashes::UnescapeAndRedirect: return EscapedSlashes::kUnescapeAndRedirect;
    case config::HcmConfig::EscapedSlashes::UnescapeAndForward: return EscapedSlashes::kUnescapeAndForward;
    case config::HcmConfig::EscapedSlashes::KeepUnchanged: break;
  }
  return EscapedSlashes::kKeep;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ConnectionManager>> ConnectionManager::create(std::shared_ptr<const config::ListenerConfig> listener,
                                                                                     std::shared_ptr<const config::FilterChain> chain, const Options& options) {
  std::shared_ptr<ConnectionManager> manager(new ConnectionManager());
  manager->listener_ = std::move(listener);
  manager->chain_ = std::move(chain);
  const config::HcmConfig& config = *(manager->config_ = manager->chain_->hcm);
  const std::string place = absl::StrCat("listener '", manager->listener_->name, "'");
  manager->registry_ = options.filters != nullptr ? options.filters : &FilterRegistry::global();
  manager->scope = options.stats->scope(stats::http_scope(config.stat_prefix));
  manager->context_.emplace(FactoryContext{.stats = *options.stats, .scope = manager->scope, .stat_prefix = config.stat_prefix, .service_cluster = options.service_cluster});
  for (const config::HttpFilterEntry& entry : config.http_filters) {
    if (entry.discovery != nullptr) {
      if (manager->discovery_ == nullptr) manager->discovery_ = entry.discovery.get();
      manager->filters_.push_back({entry.name, entry.disabled, nullptr, entry.discovery});
      continue;
    }
    auto factory = manager->make_factory(*entry.type, entry.config);
    if (factory == nullptr) return absl::InvalidArgumentError(absl::StrCat(place, ": http filter '", entry.name, "': this build cannot run ", entry.type->type_url));
    manager->filters_.push_back({entry.name, entry.disabled, std::move(factory)});
  }
  auto log = accesslog::AccessLoggers::open(config.access_logs, *options.logs);
  if (!log.ok()) return prefix(place, log.status());
  manager->access_log_ = *std::move(log);
  manager->h1_settings_ = codec_settings(config);
  manager->h2_settings_ = http2_settings(config);
  manager->path_options_ = {.normalize = config.normalize_path, .merge_slashes = config.merge_slashes, .escaped_slashes = escaped_slashes(config.escaped_slashes)};
  manager->local_ip_ = find_local_ip();
  manager->service_cluster_ = options.service_cluster;
  manager->service_node_ = options.service_node;
  manager->stats = manager->scope->block<stats::HttpStat>(stats::kHttpStats);
  manager->overload_close = manager->scope->counter("downstream_rq_overload_close");
  manager->overload_disable_keepalive = manager->scope->counter("downstream_cx_overload_disable_keepalive");
  const std::string& name = manager->listener_->stat_prefix.empty() ? options.listener_address : manager->listener_->stat_prefix;
  manager->listener_scope = options.stats->scope(stats::listener_http_scope(name, config.stat_prefix));
  manager->root_scope = options.stats->scope(stats::plain_scope(""));
  manager->http2_stats = manager->root_scope->block<stats::Http2Stat>(stats::kHttp2Stats);
  manager->listener_stats = manager->listener_scope->block<stats::ListenerHttpStat>(stats::kListenerHttpStats);
  return std::shared_ptr<const ConnectionManager>(std::move(manager));
}

std::shared_ptr<const FilterFactory> ConnectionManager::make_factory(const config::HttpFilterType& type, std::shared_ptr<const config::FilterConfig> config) const {
  const FilterRegistry::MakeWithStats* make = registry_->find(type.type_url);
  return make == nullptr ? nullptr : (*make)(std::move(config), *context_);
}

}  // namespace fairlead::stream
