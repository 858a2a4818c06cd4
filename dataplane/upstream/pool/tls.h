// What connections with TLS need of configuration and statistics, for listeners and clusters alike.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>

#include "dataplane/config/cluster.h"
#include "dataplane/net/connection.h"
#include "dataplane/stats/names.h"
#include "dataplane/stats/registry.h"
#include "dataplane/tls/session.h"
#include "dataplane/upstream/pool/proxy_header.h"

namespace fairlead::upstream {

// The statistics ssl.* of one listener or cluster; shared by all workers, outlives their connections.
class TlsStats {
 public:
  // `listener`: its block, for listeners; handshakes that take too long are counted there.
  explicit TlsStats(stats::ScopePtr scope, const stats::Block<stats::ListenerStat>* listener = nullptr);
  // For one connection of the worker whose cells these are.
  static std::unique_ptr<tls::Observer> observer(std::shared_ptr<const TlsStats> stats, stats::Cells& cells);
  // Secrets have changed, and the context with them. Main thread.
  void changed(stats::Cells& main_cells) const { main_cells.add(updates_); }
  // A connection came, or was to be made, before the secrets did.
  void not_ready(stats::Cells& cells) const { cells.add(not_ready_); }
  // Gauges ssl.certificate.<name>.expiration_unix_time_seconds. Main thread, when a context comes into use.
  void set_expirations(stats::Cells& main_cells, const std::vector<tls::ListedCertificate>& certificates, const std::vector<tls::ListedCertificate>& trusted) const;

 private:
  class Counting;
  // "ssl.ciphers.ECDHE-RSA-AES128-GCM-SHA256": found by its text, once a handshake.
  void count(stats::Cells& cells, std::string_view kind, std::string_view name) const;

  stats::ScopePtr scope_;
  stats::Block<stats::TlsStat> block_;
  std::optional<stats::Block<stats::ListenerStat>> listener_;
  stats::Counter updates_, not_ready_;
  mutable std::mutex mutex_;
  mutable absl::flat_hash_map<std::string, stats::Counter> named_;
};

// The protocols that a connection offers by ALPN where the cluster's TLS context says none, as on the wire.
inline constexpr std::string_view kAlpnHttp1 = "\x08http/1.1", kAlpnHttp2 = "\x02h2", kAlpnBoth = "\x02h2\x08http/1.1";

// Whence a connection has the names that its TLS says and checks, beside the context's own.
struct TlsNames {
  const std::string& hostname;    // the endpoint's; may be empty
  const MadeFor* whom = nullptr;  // the requests'; null: they give none
};

// Makes `dial` begin with a handshake of that context, unless it is null.
void add_tls(net::Dial& dial, const std::shared_ptr<const config::UpstreamTls>& tls, const TlsNames& names, std::string_view alpn, std::shared_ptr<const TlsStats> stats, stats::Cells& cells);

}  // namespace fairlead::upstream
