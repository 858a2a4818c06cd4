// See tls.h.
#include "dataplane/upstream/pool/tls.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <map>

#include "dataplane/tls/unready.h"

namespace fairlead::upstream {

using stats::TlsStat;

class TlsStats::Counting final : public tls::Observer {
 public:
  Counting(std::shared_ptr<const TlsStats> stats, stats::Cells& cells) : stats_(std::move(stats)), cells_(cells) {}
  void count(tls::Count what) override {
    if (what != tls::Count::kHandshakeTimeout) return cells_.add(stats_->block_, static_cast<TlsStat>(what));
    if (stats_->listener_) cells_.add(*stats_->listener_, stats::ListenerStat::downstream_cx_transport_socket_connect_timeout);
  }
  void negotiated(const tls::Session& session) override {
    stats_->count(cells_, "ssl.ciphers.", session.cipher());
    stats_->count(cells_, "ssl.versions.", session.version());
    stats_->count(cells_, "ssl.curves.", session.curve());
    stats_->count(cells_, "ssl.sigalgs.", session.signature());
  }

 private:
  std::shared_ptr<const TlsStats> stats_;
  stats::Cells& cells_;
};

static_assert(static_cast<size_t>(TlsStat::first_histogram) == static_cast<size_t>(tls::Count::kHandshakeTimeout));

TlsStats::TlsStats(stats::ScopePtr scope, const stats::Block<stats::ListenerStat>* listener) : scope_(std::move(scope)), block_(scope_->block<TlsStat>(stats::kTlsStats)) {
  if (listener != nullptr) listener_ = *listener;
  updates_ = scope_->counter(listener != nullptr ? "server_ssl_socket_factory.ssl_context_update_by_sds" : "client_ssl_socket_factory.ssl_context_update_by_sds");
  not_ready_ = scope_->counter(listener != nullptr ? "server_ssl_socket_factory.downstream_context_secrets_not_ready" : "client_ssl_socket_factory.upstream_context_secrets_not_ready");
}

std::unique_ptr<tls::Observer> TlsStats::observer(std::shared_ptr<const TlsStats> stats, stats::Cells& cells) { return std::make_unique<Counting>(std::move(stats), cells); }

void TlsStats::count(stats::Cells& cells, std::string_view kind, std::string_view name) const {
  if (name.empty()) return;
  const std::string leaf = absl::StrCat(kind, name);
  stats::Counter counter;
  {
    std::lock_guard lock(mutex_);
    const auto known = named_.find(leaf);
    counter = known != named_.end() ? known->second : named_.emplace(leaf, scope_->counter_on_use(leaf)).first->second;
  }
  cells.add(counter);
}

void TlsStats::set_expirations(stats::Cells& main_cells, const std::vector<tls::ListedCertificate>& certificates, const std::vector<tls::ListedCertificate>& trusted) const {
  const auto set = [&](const std::vector<tls::ListedCertificate>& listed, std::string_view unnamed) {
    std::map<std::string_view, std::chrono::system_clock::time_point> first;  // to expire, by name
    for (const tls::ListedCertificate& certificate : listed) {
      const auto [it, fresh] = first.try_emplace(certificate.secret.empty() ? unnamed : std::string_view(certificate.secret), certificate.facts.not_after);
      if (!fresh) it->second = std::min(it->second, certificate.facts.not_after);
    }
    for (const auto& [name, time] : first)
      main_cells.set(scope_->gauge(absl::StrCat("ssl.certificate.", name, ".expiration_unix_time_seconds")), static_cast<uint64_t>(std::chrono::system_clock::to_time_t(time)));
  };
  // Envoy 1.40: the secret's name, else "unnamed" and the beginning of SHA-256 of no name
  set(certificates, "unnamed_cert_e3b0c442");
  set(trusted, "unnamed_ca_cert_e3b0c442");
}

void add_tls(net::Dial& dial, const std::shared_ptr<const config::UpstreamTls>& tls, const TlsNames& names, std::string_view alpn, std::shared_ptr<const TlsStats> stats, stats::Cells& cells) {
  if (tls == nullptr) return;
  tls::ClientPeer peer;
  // Envoy 1.40: the request's names go before the endpoint's
  if (names.whom != nullptr && !names.whom->server_name.empty()) {
    peer.server_name = names.whom->server_name;
  } else if (tls->auto_host_sni && !names.hostname.empty()) {
    peer.server_name = names.hostname;
  }
  if (tls->auto_sni_san_validation) peer.verify_name = peer.server_name.empty() ? tls->server_name : peer.server_name;
  if (names.whom != nullptr && !names.whom->verify_name.empty()) {
    peer.verify_name = names.whom->verify_name;
    peer.for_request = true;
  }
  if (tls->alpn.empty()) peer.alpn = alpn;
  // the context when the handshake begins: a connect may take seconds
  dial.transport = [tls, peer = std::move(peer), stats = std::move(stats), &cells]() -> std::unique_ptr<net::Transport> {
    if (auto context = tls->context()) return tls::Session::connect(std::move(context), peer, stats ? TlsStats::observer(stats, cells) : nullptr);
    if (stats) stats->not_ready(cells);
    return std::make_unique<tls::Unready>();
  };
}

}  // namespace fairlead::upstream
