// See filter.h.
#include "dataplane/filters/listener/proxy_protocol/filter.h"

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/stream/connection_info.h"
#include "dataplane/stream/worker_context.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::filters::listener::proxy_protocol {
namespace {

struct Factory final : stream::ListenerFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<ProxyProtocol>(shared); }
};

// The length of the character that `text` begins with; 0 where it is no UTF-8.
size_t character(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  const auto follows = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const uint32_t first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >> 4 == 0xe) {
    if ((first == 0xe0 && at(1) < 0xa0) || (first == 0xed && at(1) > 0x9f)) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first < 0xf0 || first > 0xf4 || (first == 0xf0 && at(1) < 0x90) || (first == 0xf4 && at(1) > 0x8f)) return 0;
  return follows(1) && follows(2) && follows(3) ? 4 : 0;
}

// Metadata holds text: Envoy 1.40 puts '!' in place of each byte that is none.
std::string sanitized(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    const size_t size = character(value);
    if (size == 0) {
      out += '!';
    } else {
      out += value.substr(0, size);
    }
    value.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

void keep_tlvs(const Header& header, const Config& config, stream::ConnectionInfo& info) {
  for (const auto& [type, value] : header.tlvs) {
    const auto rule = config.rules.find(type);
    if (rule == config.rules.end()) continue;
    if (info.dynamic_metadata == nullptr) info.dynamic_metadata = std::make_unique<envoy::config::core::v3::Metadata>();
    auto& fields = *(*info.dynamic_metadata->mutable_filter_metadata())[rule->second.metadata_namespace].mutable_fields();
    if (fields.contains(rule->second.key)) continue;  // the first of several counts
    fields[rule->second.key].set_string_value(rule->second.base64 ? absl::Base64Escape(value) : sanitized(value));
  }
}

}  // namespace

void register_filter(stream::ListenerFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::ListenerFactoryContext& context) {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    stats::ScopeName name = stats::plain_scope("proxy_proto.");
    if (const std::string& prefix = shared->config->stat_prefix; !prefix.empty()) {
      absl::StrAppend(&name.text, prefix, ".");
      name.tags.push_back({"envoy.proxy_protocol_prefix", prefix});
    }
    shared->scope = context.stats.scope(name);
    shared->stats = shared->scope->block<Stat>(kStats);
    for (const size_t version : {1, 2}) {
      stats::ScopeName of_version = name;
      absl::StrAppend(&of_version.text, "versions.v", version, ".");
      of_version.tags.push_back({"envoy.proxy_protocol_version", absl::StrCat(version)});
      shared->version_scopes[version - 1] = context.stats.scope(of_version);
      shared->version_stats[version - 1] = shared->version_scopes[version - 1]->block<VersionStat>(kVersionStats);
    }
    shared->error_scope = context.stats.scope(stats::plain_scope(""));
    shared->errors = shared->error_scope->counter("downstream_cx_proxy_proto_error");
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::ListenerFilter::Status ProxyProtocol::on_data(std::string_view peeked, bool, stream::AcceptedSocket& socket) {
  if (peeked.empty()) return Status::kWait;
  const Config& config = *shared_->config;
  stats::Cells& cells = socket.worker().cells();
  if (config.allow_without) {
    // A version that is not allowed is no header then, but the client's own bytes.
    const Candidates may = candidates(peeked);
    if (!(may.v1 && config.v1) && !(may.v2 && config.v2)) {
      cells.add(shared_->stats, Stat::not_found_allowed);
      return Status::kContinue;
    }
  }
  const Header header = read_header(peeked);
  if (header.version != 0 && !(header.version == 1 ? config.v1 : config.v2)) return refuse(header, VersionStat::disallowed, socket);
  switch (header.verdict) {
    case Verdict::kMore: return Status::kWait;
    case Verdict::kHeader: take(header, socket); return Status::kContinue;
    case Verdict::kNone:
    case Verdict::kMalformed: break;
  }
  return refuse(header, VersionStat::error, socket);
}

void ProxyProtocol::take(const Header& header, stream::AcceptedSocket& socket) const {
  stream::ConnectionInfo& info = socket.info();
  if (header.addressed) {
    info.remote = header.remote;
    if (header.local != info.local) {
      info.local = header.local;
      info.local_restored = true;
    }
  }
  keep_tlvs(header, *shared_->config, info);
  socket.consume(header.bytes);
  socket.worker().cells().add(shared_->version_stats[static_cast<size_t>(header.version) - 1], VersionStat::found);
}

stream::ListenerFilter::Status ProxyProtocol::refuse(const Header& header, VersionStat why, stream::AcceptedSocket& socket) const {
  stats::Cells& cells = socket.worker().cells();
  if (header.version == 0) {
    cells.add(shared_->stats, Stat::not_found_disallowed);
    cells.add(shared_->errors);
    return Status::kClose;
  }
  const auto& of_version = shared_->version_stats[static_cast<size_t>(header.version) - 1];
  cells.add(of_version, why);
  if (why == VersionStat::disallowed) {
    cells.add(of_version, VersionStat::found);  // Envoy 1.40: both, and no error
  } else {
    cells.add(shared_->errors);
  }
  return Status::kClose;
}

}  // namespace fairlead::filters::listener::proxy_protocol
