// Listeners that look at no request: connections and datagrams go on as they are.
#include "controlplane/resources/messages.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/filters/udp/udp_proxy/v3/route.pb.h"
#include "envoy/extensions/filters/udp/udp_proxy/v3/udp_proxy.pb.h"

namespace fairlead::resources {

void add_tcp_proxy(const std::string& stat_prefix, const plan::Shares& shares, envoy::config::listener::v3::FilterChain& to) {
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  proxy.set_stat_prefix(stat_prefix);
  if (shares.size() == 1) {
    proxy.set_cluster(shares[0].first);
  } else {
    for (const auto& [cluster, weight] : shares) {
      auto* share = proxy.mutable_weighted_clusters()->add_clusters();
      share->set_name(cluster);
      share->set_weight(weight);
    }
  }
  auto* filter = to.add_filters();
  filter->set_name("envoy.filters.network.tcp_proxy");
  filter->mutable_typed_config()->PackFrom(proxy);
}

void add_udp_proxy(const plan::Listener& l, envoy::config::listener::v3::Listener& to) {
  to.mutable_address()->mutable_socket_address()->set_protocol(envoy::config::core::v3::SocketAddress::UDP);
  for (auto& more : *to.mutable_additional_addresses()) more.mutable_address()->mutable_socket_address()->set_protocol(envoy::config::core::v3::SocketAddress::UDP);
  envoy::extensions::filters::udp::udp_proxy::v3::Route route;
  route.set_cluster(l.shares[0].first);
  envoy::extensions::filters::udp::udp_proxy::v3::UdpProxyConfig proxy;
  proxy.set_stat_prefix(l.name);
  auto* action = proxy.mutable_matcher()->mutable_on_no_match()->mutable_action();
  action->set_name("route");
  action->mutable_typed_config()->PackFrom(route);
  auto* filter = to.add_listener_filters();
  filter->set_name("envoy.filters.udp_listener.udp_proxy");
  filter->mutable_typed_config()->PackFrom(proxy);
}

}  // namespace fairlead::resources
