// Resolves DNS clusters; see cluster_resolver.h.
#include "dataplane/upstream/cluster_resolver.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "dataplane/net/dns.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/lb/random.h"

namespace fairlead::upstream {
namespace {

net::DnsFamily family_of(config::ClusterConfig::DnsFamily family) {
  using F = config::ClusterConfig::DnsFamily;
  switch (family) {
    case F::V4Only: return net::DnsFamily::V4;
    case F::V6Only: return net::DnsFamily::V6;
    case F::V4Preferred: return net::DnsFamily::V4Preferred;
    case F::All: return net::DnsFamily::All;
    case F::Auto: break;
  }
  return net::DnsFamily::Auto;
}

}  // namespace

// One cluster with names: a query and a timer per name.
class DnsCluster {
 public:
  DnsCluster(ClusterResolver& owner, std::shared_ptr<const config::ClusterConfig> cluster, const DnsCluster* before)
      : owner_(owner), cluster_(std::move(cluster)), random_(owner.seed_ ^ cluster_->content_hash), publish_task_(net::LoopTask::of<&DnsCluster::publish_if_complete>(this)) {
    if (cluster_->endpoints) {
      for (const auto& priority : cluster_->endpoints->priorities) {
        for (const config::Locality& locality : priority) {
          for (const config::Endpoint& endpoint : locality.endpoints) {
            const std::string& name = endpoint.address.host;
            if (endpoint.address.kind == config::Address::Kind::Pipe || endpoint.address.is_ip() || targets_.contains(name)) continue;
            Target& target = targets_[name];
            target.timer = std::make_unique<net::Timer>(owner_.loop_.timers(), [this, name] { look_up(name); });
            if (before != nullptr) {
              const auto known = before->targets_.find(name);
              if (known != before->targets_.end()) target.addresses = known->second.addresses;
            }
          }
        }
      }
    }
    if (before != nullptr) lookups = before->lookups;
    for (auto& [name, target] : targets_) look_up(name);
    owner_.loop_.run_soon(publish_task_);
  }

  ClusterResolver::Lookups lookups;

 private:
  struct Target {
    std::vector<std::string> addresses;  // IPs, in the resolver's order without duplicates
    bool answered = false;               // once, with success or not
    uint32_t failures = 0;               // in a row
    std::unique_ptr<net::DnsResolver::Query> query;
    std::unique_ptr<net::Timer> timer;
  };

  void look_up(const std::string& name) {
    Target& target = targets_[name];
    ++lookups.attempts;
    if (owner_.resolver_ == nullptr) {
      ++lookups.failures;
      target.answered = true;
      return;
    }
    target.query = owner_.resolver_->resolve(name, family_of(cluster_->dns_family), [this, name](net::DnsAnswer answer) { answered(name, std::move(answer)); });
  }

  void answered(const std::string& name, net::DnsAnswer answer) {
    Target& target = targets_[name];
    target.answered = true;
    std::chrono::milliseconds wait = cluster_->dns_refresh_rate;
    if (answer.ok()) {
      ++lookups.successes;
      if (answer->empty()) ++lookups.empty;
      target.failures = 0;
      target.addresses.clear();
      std::chrono::seconds ttl = std::chrono::seconds::max();
      for (const net::DnsRecord& record : *answer) {
        std::string ip = record.address.ip_string();
        ttl = std::min(ttl, record.ttl);
        if (std::find(target.addresses.begin(), target.addresses.end(), ip) == target.addresses.end()) target.addresses.push_back(std::move(ip));
      }
      if (cluster_->respect_dns_ttl && !answer->empty() && ttl.count() > 0) wait = ttl;
    } else {
      // A name that cannot be resolved now keeps its last addresses.
      ++lookups.failures;
      FL_LOG(warning, "upstream", "cluster '", cluster_->name, "': cannot resolve '", name, "': ", answer.status().message());
      if (cluster_->dns_failure_refresh) {
        std::chrono::milliseconds bound = cluster_->dns_failure_refresh->first;
        for (uint32_t i = 0; i < target.failures && bound < cluster_->dns_failure_refresh->second; ++i) bound *= 2;
        wait = std::chrono::milliseconds(random_.below(std::min(bound, cluster_->dns_failure_refresh->second).count()) + 1);
      }
      ++target.failures;
    }
    if (cluster_->dns_jitter.count() != 0) wait += std::chrono::milliseconds(random_.below(cluster_->dns_jitter.count()));
    target.timer->arm(wait);
    publish_if_complete();
  }

  // The set as configured, with every name replaced by its addresses; the first time once every name has had its answer.
  void publish_if_complete() {
    for (const auto& [name, target] : targets_) {
      if (!target.answered) return;
    }
    auto set = std::make_shared<config::EndpointSet>();
    if (cluster_->endpoints) *set = *cluster_->endpoints;
    std::string signature;
    for (auto& priority : set->priorities) {
      for (config::Locality& locality : priority) {
        std::vector<config::Endpoint> resolved;
        for (const config::Endpoint& endpoint : locality.endpoints) {
          const auto target = targets_.find(endpoint.address.host);
          if (target == targets_.end()) {
            resolved.push_back(endpoint);
            continue;
          }
          for (const std::string& ip : target->second.addresses) {
            signature += ip + ' ';
            config::Address address = endpoint.address;
            address.host = ip;
            // Envoy 1.40: a LOGICAL_DNS host is the first address; connects to the others are raced with it
            if (cluster_->discovery == config::ClusterConfig::Discovery::LogicalDns && !resolved.empty()) {
              resolved.back().additional.push_back(std::move(address));
              continue;
            }
            resolved.push_back(endpoint);
            resolved.back().address = std::move(address);
            if (resolved.back().hostname.empty()) resolved.back().hostname = endpoint.address.host;
          }
        }
        signature += '\n';
        locality.endpoints = std::move(resolved);
      }
    }
    if (published_ && signature == signature_) return;
    published_ = true;
    signature_ = std::move(signature);
    owner_.publish_(cluster_->name, std::move(set));
  }

  ClusterResolver& owner_;
  std::shared_ptr<const config::ClusterConfig> cluster_;
  Random random_;
  std::map<std::string, Target> targets_;
  bool published_ = false;
  std::string signature_;
  net::LoopTask publish_task_;
};

ClusterResolver::ClusterResolver(net::EventLoop& loop, net::DnsResolver* resolver, uint64_t seed, Publish publish)
    : loop_(loop), resolver_(resolver), seed_(seed), publish_(std::move(publish)) {}

ClusterResolver::~ClusterResolver() = default;

void ClusterResolver::add(const std::shared_ptr<const config::ClusterConfig>& cluster) {
  using Discovery = config::ClusterConfig::Discovery;
  const auto known = dns_.find(cluster->name);
  if (cluster->discovery == Discovery::StrictDns || cluster->discovery == Discovery::LogicalDns) {
    auto fresh = std::make_unique<DnsCluster>(*this, cluster, known == dns_.end() ? nullptr : known->second.get());
    dns_[cluster->name] = std::move(fresh);
    return;
  }
  if (known != dns_.end()) dns_.erase(known);
  if (cluster->discovery == Discovery::Static) publish_(cluster->name, cluster->endpoints);
}

void ClusterResolver::remove(const std::string& name) { dns_.erase(name); }

ClusterResolver::Lookups ClusterResolver::lookups(const std::string& name) const {
  const auto it = dns_.find(name);
  return it == dns_.end() ? Lookups{} : it->second->lookups;
}

}  // namespace fairlead::upstream
