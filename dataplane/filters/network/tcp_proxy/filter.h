// The TCP proxy: gives each connection one upstream connection of its own and passes on bytes, half-closes and resets both ways.
// One TcpProxy per connection, on its worker, owned by its FilteredConnection until both connections have closed.
// Invariant: up_ is set exactly from the upstream's connect to its close, stream_ likewise. Where bytes go through a tunnel, that is tunnel_'s part, and
// up_ is never set.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dataplane/filters/network/tcp_proxy/config.h"
#include "dataplane/filters/network/tcp_proxy/tunnel.h"
#include "dataplane/format/context.h"
#include "dataplane/net/read_pauses.h"
#include "dataplane/net/splice.h"
#include "dataplane/net/timer.h"
#include "dataplane/stream/network_filter.h"
#include "dataplane/upstream/pool/connection_pool.h"
#include "dataplane/upstream/pool/ref.h"

namespace fairlead::upstream {
class Cluster;
class Host;
}

namespace fairlead::filters::network::tcp_proxy {

void register_filter(stream::NetworkFilterRegistry& registry);

// What all connections of one filter share.
struct Shared {
  std::shared_ptr<const Config> config;
  accesslog::AccessLoggers logs;
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
  std::string listener_name, chain_name;
};

class TcpProxy final : public stream::TerminalFilter, private upstream::PoolRequest, private TunnelEvents {
 public:
  explicit TcpProxy(std::shared_ptr<const Shared> shared);
  ~TcpProxy() override;
  void start(stream::NetworkConnection& connection, std::function<void(net::CloseReason)> on_end) override;
  void not_reached(stream::NetworkConnection& connection) override;

 private:
  // Envoy 1.40's numbers, in DOWNSTREAM_LOCAL_CLOSE_REASON
  enum class Failure : uint8_t { kConnect = 0, kNoHealthyUpstream = 1, kOverflow = 2, kNoRoute = 3 };
  struct DownstreamEvents final : net::ConnectionEvents {
    explicit DownstreamEvents(TcpProxy& proxy_in) : proxy(proxy_in) {}
    void on_data(net::Buffer& data, bool end_stream) override { proxy.on_downstream_data(data, end_stream); }
    void on_write_high() override { proxy.on_downstream_high(); }
    void on_write_low() override { proxy.on_downstream_low(); }
    void on_closed(net::CloseReason reason) override { proxy.on_downstream_closed(reason); }
    TcpProxy& proxy;
  };
  struct UpstreamEvents final : net::ConnectionEvents {
    explicit UpstreamEvents(TcpProxy& proxy_in) : proxy(proxy_in) {}
    void on_data(net::Buffer& data, bool end_stream) override { proxy.on_upstream_data(data, end_stream); }
    void on_write_high() override { proxy.on_upstream_high(); }
    void on_write_low() override { proxy.on_upstream_low(); }
    void on_closed(net::CloseReason reason) override { proxy.on_upstream_closed(reason); }
    TcpProxy& proxy;
  };

  // What goes one way. In bulk the kernel moves it, and this object hears how much that was.
  struct Way final : net::SpliceEvents {
    Way(TcpProxy& proxy_in, bool up_in) : proxy(proxy_in), up(up_in) {}
    void on_spliced(size_t bytes) override { proxy.on_spliced(*this, bytes); }
    void on_splice_ended() override { proxy.end_splice(*this); }
    void on_splice_broken(bool reader) override { proxy.on_splice_broken(*this, reader); }
    TcpProxy& proxy;
    const bool up;                      // from the client to the upstream
    bool never = false;                 // bytes may not or could not be spliced
    uint64_t in_bulk = 0;               // bytes of large reads, one after another
    uint64_t spliced = 0;               // which the connections have not counted
    net::DeferredPtr<net::Splice> splice;
  };

  void use(stream::NetworkConnection& connection);
  void connect();
  void connect_once();
  upstream::Host* pick_host();
  std::optional<uint64_t> hash() const;
  void fail(Failure why, format::ResponseFlag flag);
  void try_again();
  void on_pool_ready(upstream::PooledStream& stream) override;
  void on_pool_failure(upstream::ResetReason reason, std::string_view detail) override;

  void on_downstream_data(net::Buffer& data, bool end_stream);
  void on_downstream_high();
  void on_downstream_low();
  void on_downstream_closed(net::CloseReason reason);
  void on_upstream_data(net::Buffer& data, bool end_stream);
  void on_upstream_high();
  void on_upstream_low();
  void on_upstream_closed(net::CloseReason reason);
  void take_early(net::Buffer& data, bool end_stream);

  void on_tunnel_open() override;
  void on_tunnel_refused(uint32_t status) override;
  void on_tunnel_data(net::Buffer& data) override { on_upstream_data(data, false); }
  void on_tunnel_ended(bool reset) override { on_upstream_closed(reset ? net::CloseReason::RemoteReset : net::CloseReason::Remote); }
  void on_tunnel_blocked() override { on_upstream_high(); }
  void on_tunnel_ready() override { on_upstream_low(); }
  bool tunnel_open() const { return tunnel_ != nullptr && tunnel_->open(); }
  void on_ready(net::Connection& connection);
  void send_upstream(net::Buffer& data, bool end_stream);

  void consider_splice(Way& way, size_t bytes);
  void on_spliced(Way& way, size_t bytes);
  void end_splice(Way& way);
  void on_splice_broken(const Way& way, bool reader);

  void arm_idle();
  void on_idle();
  void on_max_duration();
  void on_log_interval();
  void close_downstream(net::CloseType type, std::string_view why);
  void end_upstream(net::CloseReason reason);
  void end_tunnel();
  void finish();
  void count_bytes();
  void count(Stat stat);
  stats::Cells& cells() const;
  void log(format::LogType type);
  struct Described;
  void describe(format::FormatContext& out) const;
  bool logged() const { return !shared_->logs.empty() || connection_->end_is_logged(); }

  std::shared_ptr<const Shared> shared_;
  stream::NetworkConnection* connection_ = nullptr;
  std::function<void(net::CloseReason)> on_end_;
  DownstreamEvents downstream_{*this};
  UpstreamEvents upstream_{*this};
  Way way_up_{*this, true}, way_down_{*this, false};
  net::Connection* down_ = nullptr;
  net::Connection* up_ = nullptr;
  upstream::PooledStream* stream_ = nullptr;
  net::DeferredPtr<Tunnel> tunnel_;  // null: the upstream gets the bytes as they are
  upstream::Ref<upstream::Cluster> cluster_;
  upstream::Ref<upstream::Host> host_;
  std::string cluster_name_;
  uint32_t attempts_ = 0;
  bool connecting_ = false;       // within connect()
  bool again_ = false;            // connect() is to try once more
  bool asked_ = false;            // connect() has been called
  bool host_known_ = false;       // host_ has connected or failed: before, logs do not name it
  bool down_closed_ = false;
  bool flushing_ = false;         // counted as such
  bool early_end_ = false;
  bool ended_ = false;
  bool down_broken_ = false, up_broken_ = false;  // a reset that a splice has met
  net::CloseReason close_reason_ = net::CloseReason::Local;
  net::Buffer early_;             // from the client before the upstream was there
  net::ReadPauses down_pauses_, up_pauses_;
  net::Timer idle_timer_;
  std::unique_ptr<net::Timer> duration_timer_, log_timer_, retry_timer_;
  uint64_t received_counted_ = 0, sent_counted_ = 0;
  uint64_t up_sent_ = 0, up_received_ = 0, passed_ = 0;  // without what the transports add; passed_: when bytes were last counted for the cluster
  uint64_t stuck_at_ = 0;         // what had been sent both ways when the idle timeout last found bytes that wait
  // For logs
  std::string hosts_attempted_, failure_reason_, local_address_, remote_address_;
  std::optional<uint64_t> upstream_id_;
  net::TimePoint ready_at_{};
  std::string_view detected_close_ = "Normal";
};

}  // namespace fairlead::filters::network::tcp_proxy
