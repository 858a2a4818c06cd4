// A Core with a wire that keeps what is sent, simulated time, and clients that speak both kinds of xDS to it in bytes.
#pragma once

#include <catch2/catch.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "controlplane/serve/core.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "tests/unit/controlplane/make.h"

namespace fairlead::test {

using serve::StreamId;
using serve::StreamKind;
using Texts = std::vector<std::string>;

inline snapshot::Update gateway(const std::string& name, std::vector<ResourcePtr> resources) {
  snapshot::Update u;
  u.gateways.push_back({{"default", name}, std::move(resources)});
  u.ready = true;
  return u;
}

inline std::string short_type(const std::string& url) {
  const auto type = resources::type_from_url(url);
  return type ? std::string(resources::short_name(*type)) : url;
}

// Whom a connection belongs to, as the transport would say.
inline rpc::PeerPtr peer(const std::string& host = "127.0.0.1", std::vector<std::string> names = {}) {
  auto out = std::make_shared<rpc::Peer>();
  out->host = host;
  out->address = host + ":1";
  out->local = host.starts_with("127.");
  out->encrypted = !names.empty();
  out->names = std::move(names);
  return out;
}

class Server final : public serve::Wire {
 public:
  explicit Server(serve::Core::Options options = {}) : core(std::move(options), clock, *this) { log::set_level(log::Level::off); }
  void send(StreamId stream, cpstream::WireMessage message) override { sent[stream].push_back(message.flatten()); }
  void end(StreamId stream, const absl::Status& status) override { ended[stream] = status; }

  void apply(snapshot::Update update) {
    core.apply(std::move(update));
    settle();
  }
  // Every push is made and, but for the streams that do not read, written.
  void settle() {
    for (bool more = true; more;) {
      more = core.pump(8);
      std::set<StreamId> all;
      for (const auto& [id, messages] : sent) all.insert(id);
      for (StreamId id : all) {
        if (!slow.contains(id)) core.written(id, clock.monotonic());
      }
      more = more || core.waiting() > 0;
    }
  }

  SimulatedClock clock;
  std::map<StreamId, Texts> sent;  // not yet taken by the client
  std::map<StreamId, absl::Status> ended;
  std::set<StreamId> slow;
  serve::Core core;
};

// One stream. `received()` takes what came, as "cds[a b]" or "cds[a -b]" (removed in delta), keeping the last of each type.
class Peer {
 public:
  Peer(Server& server, StreamKind kind, std::string node, std::string cluster = "edge", std::string agent = "envoy",
       std::optional<Type> only = std::nullopt, rpc::PeerPtr from = nullptr)
      : server_(server), kind_(kind), node_(std::move(node)), cluster_(std::move(cluster)), agent_(std::move(agent)) {
    absl::StatusOr<StreamId> opened = server.core.open(kind, only, from ? std::move(from) : peer());
    REQUIRE(opened.ok());
    id = *opened;
  }

  // SotW: the whole subscription. Delta: names to add.
  Texts ask(Type type, Texts names = {}, std::map<std::string, std::string> has = {}, std::string version = "") {
    names_[type] = names;
    return request(type, "", {}, std::move(names), std::move(has), std::move(version));
  }
  Texts ack(Type type) { return request(type, last.at(type).nonce, {}, sotw() ? names_[type] : Texts(), {}, sotw() ? last.at(type).version : ""); }
  Texts nack(Type type, std::string message) { return request(type, last.at(type).nonce, std::move(message), sotw() ? names_[type] : Texts(), {}, ""); }
  Texts ack_all(const Texts& shapes) {
    for (const std::string& shape : shapes) {
      const auto type = resources::type_from_short_name(shape.substr(0, shape.find('[')));
      if (type) ack_all(ack(*type));
    }
    return shapes;
  }
  void raw(std::string_view bytes) { server_.core.request(id, bytes); }

  Texts received() {
    Texts out;
    for (const std::string& bytes : std::exchange(server_.sent[id], {})) out.push_back(sotw() ? take_sotw(bytes) : take_delta(bytes));
    return out;
  }

  struct Last {
    std::string nonce, version;
    std::map<std::string, std::string> bytes;  // name -> serialised resource
  };
  StreamId id = 0;
  std::map<Type, Last> last;

 private:
  bool sotw() const { return kind_ == StreamKind::kSotw; }
  template <typename Request>
  void fill(Request& r, Type type, const std::string& nonce, const std::optional<std::string>& error) {
    if (!std::exchange(introduced_, true)) {
      r.mutable_node()->set_id(node_);
      r.mutable_node()->set_cluster(cluster_);
      r.mutable_node()->set_user_agent_name(agent_);
    }
    r.set_type_url(std::string(resources::type_url(type)));
    r.set_response_nonce(nonce);
    if (error) r.mutable_error_detail()->set_message(*error);
  }
  Texts request(Type type, const std::string& nonce, std::optional<std::string> error, Texts names, std::map<std::string, std::string> has, std::string version) {
    if (sotw()) {
      envoy::service::discovery::v3::DiscoveryRequest r;
      fill(r, type, nonce, error);
      for (const std::string& n : names) r.add_resource_names(n);
      r.set_version_info(version);
      raw(r.SerializeAsString());
    } else {
      envoy::service::discovery::v3::DeltaDiscoveryRequest r;
      fill(r, type, nonce, error);
      for (const std::string& n : names) r.add_resource_names_subscribe(n);
      for (const auto& [name, v] : has) (*r.mutable_initial_resource_versions())[name] = v;
      raw(r.SerializeAsString());
    }
    return received();
  }
  std::string take_sotw(const std::string& bytes) {
    envoy::service::discovery::v3::DiscoveryResponse r;
    REQUIRE(r.ParseFromString(bytes));
    const Type type = *resources::type_from_url(r.type_url());
    Last& l = last[type];
    l = {r.nonce(), r.version_info(), {}};
    std::string text = std::string(resources::short_name(type)) + "[", gap;
    for (const auto& any : r.resources()) {
      const std::string name = name_in(type, any.value());
      l.bytes[name] = any.value();
      text += std::exchange(gap, " ") + name;
    }
    return text + "]";
  }
  std::string take_delta(const std::string& bytes) {
    envoy::service::discovery::v3::DeltaDiscoveryResponse r;
    REQUIRE(r.ParseFromString(bytes));
    const Type type = *resources::type_from_url(r.type_url());
    Last& l = last[type];
    l = {r.nonce(), r.system_version_info(), {}};
    std::string text = std::string(resources::short_name(type)) + "[", gap;
    for (const auto& resource : r.resources()) {
      l.bytes[resource.name()] = resource.resource().value();
      text += std::exchange(gap, " ") + resource.name();
    }
    for (const std::string& name : r.removed_resources()) text += std::exchange(gap, " ") + "-" + name;
    return text + "]";
  }
  static std::string name_in(Type type, const std::string& body) {
    auto made = resources::make_resource_from_bytes(type, "", body, {});
    REQUIRE(made.ok());
    if (type == Type::kEndpoint) {
      envoy::config::endpoint::v3::ClusterLoadAssignment m;
      m.ParseFromString(body);
      return m.cluster_name();
    }
    envoy::config::cluster::v3::Cluster m;  // every other type here has its name in field 1
    m.ParsePartialFromString(body);
    return m.name();
  }

  Server& server_;
  StreamKind kind_;
  std::string node_, cluster_, agent_;
  bool introduced_ = false;
  std::map<Type, Texts> names_;
};

}  // namespace fairlead::test
