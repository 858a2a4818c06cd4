// Private to resources: the parts of build(), each from plan to one generated message.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/plan/plan.h"
#include "controlplane/resources/resource.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::resources {

// A route table as it was encoded last: what of its virtual hosts and their routes is the same by pointer is not encoded again. The bytes are those
// of the message, since a repeated field's elements stand one after the other.
class EncodedTable {
 public:
  EncodedTable();
  ~EncodedTable();
  // The next one of that name.
  ResourcePtr build(const plan::RouteTable& table);

 private:
  struct Route;
  struct Host;
  using HostPtr = std::shared_ptr<const Host>;
  // `scratch`: one message for all of them, what of it was allocated is used again.
  using Scratch = envoy::config::route::v3::Route;
  static std::shared_ptr<const Route> encode(const intent::Route& route, const plan::VirtualHost& host, const plan::RouteTable& table, Scratch& scratch);
  static HostPtr encode(const Shared<plan::VirtualHost>& host, const plan::RouteTable& table, const Host* before, Scratch& scratch);
  void use(const Host& host, int by);

  uint16_t port_ = 0;
  bool https_ = false;
  std::vector<HostPtr> hosts_;
  std::map<std::string, int> clusters_;  // that it names, by how many virtual hosts
};

envoy::config::listener::v3::Listener listener(const plan::Listener& l);
envoy::config::cluster::v3::Cluster cluster(const plan::Cluster& c);

void over_ads(envoy::config::core::v3::ConfigSource& source);
// The connection manager for a route table, at the end of a chain.
void add_http(const std::string& route_table, const plan::HttpFilters& filters, envoy::config::listener::v3::FilterChain& to);
// Of connections that go on as bytes.
void add_tcp_proxy(const std::string& stat_prefix, const plan::Shares& shares, envoy::config::listener::v3::FilterChain& to);
// Of a listener for datagrams.
void add_udp_proxy(const plan::Listener& l, envoy::config::listener::v3::Listener& to);
// What a route says to the filters that it needs.
void fill_cors(const intent::Cors& from, envoy::config::route::v3::Route& to);
// Whether preflight requests want an answer that depends on what they ask for, which Envoy's filter does not give: a route of their own,
// before the one that they would have. Its match is that one's; the rest is filled in.
bool wants_preflight_route(const intent::Route& route);
void fill_preflight(const intent::Cors& from, envoy::config::route::v3::Route& to);
void fill_session(const intent::Session& from, envoy::config::route::v3::Route& to);
void set_duration(google::protobuf::Duration* to, std::chrono::milliseconds from);
void set_regex(envoy::type::matcher::v3::RegexMatcher& to, const std::string& regex);
// Of a listener that speaks TLS.
void add_chains(const plan::Listener& l, envoy::config::listener::v3::Listener& to);
// Of a cluster that speaks TLS.
void secure(const plan::Cluster& c, envoy::config::cluster::v3::Cluster& to);
ResourcePtr build_secret(const intent::Secret& secret);

}  // namespace fairlead::resources
