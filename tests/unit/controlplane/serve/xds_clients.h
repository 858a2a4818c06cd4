// An xDS server on a port that the kernel picks, and clients of it over real gRPC: what its tests share.
#pragma once

#include <catch2/catch.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "controlplane/serve/xds_server.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "tests/unit/controlplane/make.h"

namespace fairlead::test {

using envoy::service::discovery::v3::AggregatedDiscoveryService;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using serve::Core;
using serve::XdsServer;

inline constexpr std::chrono::seconds kPatience{20};

inline snapshot::Update edge(int variant = 1, std::vector<ResourcePtr> more = {}) {
  more.push_back(cluster("a", variant));
  more.push_back(assignment("a"));
  more.push_back(listener("l", "r"));
  more.push_back(routes("r", {"a"}));
  snapshot::Update u;
  u.gateways.push_back({{"default", "edge"}, std::move(more)});
  u.ready = true;
  return u;
}

struct Running {
  explicit Running(XdsServer::Options options = {}) {
    log::set_level(log::Level::off);
    options.address = "127.0.0.1:0";
    auto started = XdsServer::start(options, RealClock::instance());
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  void apply(snapshot::Update update) {
    auto shared = std::make_shared<snapshot::Update>(std::move(update));
    server->ask<bool>([shared](Core& core) { core.apply(std::move(*shared)); return true; });
  }
  // A channel with a connection of its own.
  std::shared_ptr<grpc::Channel> channel() const {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server->address(), grpc::InsecureChannelCredentials(), args);
  }
  size_t streams() { return server->ask<size_t>([](Core& core) { return core.streams(); }, 999); }
  void await_streams(size_t n) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (streams() != n && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    CHECK(streams() == n);
  }
  std::unique_ptr<XdsServer> server;
};

inline std::unique_ptr<grpc::ClientContext> context() {
  auto c = std::make_unique<grpc::ClientContext>();
  c->set_deadline(std::chrono::system_clock::now() + kPatience);
  c->set_wait_for_ready(true);
  return c;
}

template <typename R>
R request(Type type, const std::string& node = "n1") {
  R r;
  r.mutable_node()->set_id(node);
  r.mutable_node()->set_cluster("edge");
  r.set_type_url(std::string(resources::type_url(type)));
  return r;
}

template <typename R>
R ack(const std::string& nonce, Type type) {
  R r;
  r.set_type_url(std::string(resources::type_url(type)));
  r.set_response_nonce(nonce);
  return r;
}

// A delta stream that asks for clusters.
struct Asking {
  explicit Asking(const std::shared_ptr<grpc::Channel>& channel, const std::string& node = "n1", const std::vector<std::string>& authorization = {})
      : stub(AggregatedDiscoveryService::NewStub(channel)), c(context()) {
    for (const std::string& value : authorization) c->AddMetadata("authorization", value);
    stream = stub->DeltaAggregatedResources(c.get());
    stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster, node));
  }
  bool answered() {
    DeltaDiscoveryResponse r;
    return stream->Read(&r);
  }
  grpc::Status end() {
    DeltaDiscoveryResponse r;
    while (stream->Read(&r)) {
    }
    return stream->Finish();
  }
  std::unique_ptr<AggregatedDiscoveryService::Stub> stub;
  std::unique_ptr<grpc::ClientContext> c;
  std::unique_ptr<grpc::ClientReaderWriter<DeltaDiscoveryRequest, DeltaDiscoveryResponse>> stream;
};

inline uint64_t denied(Running& run, serve::Denial why) {
  return run.server->ask<uint64_t>([why](Core& core) { return core.metrics().denied[static_cast<size_t>(why)]; });
}

}  // namespace fairlead::test
