// A management server for tests: ADS, or a stream per type, in state-of-the-world and incremental form, driven request by request from the test's thread.
// gRPC's threads only queue what arrives; every wait is bounded (10 s) and then throws, which fails the test.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "envoy/service/discovery/v3/ads.grpc.pb.h"

namespace grpc {
class Server;
}

namespace fairlead::testing {

class FakeAds final : private envoy::service::discovery::v3::AggregatedDiscoveryService::Service {
 public:
  using Request = envoy::service::discovery::v3::DiscoveryRequest;
  using Response = envoy::service::discovery::v3::DiscoveryResponse;
  using DeltaRequest = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using DeltaResponse = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  explicit FakeAds(int port = 0);
  // On a Unix socket.
  explicit FakeAds(const std::string& path);
  // With TLS, asking for a client certificate of that CA (all PEM).
  FakeAds(const std::string& certificate, const std::string& key, const std::string& client_ca);
  ~FakeAds() override;
  int port() const { return port_; }
  void stop();   // ends streams and the listener
  void start();  // again, on the same port

  // The next request of that type (short name: "cds"…), in the order of arrival; requests of other types stay queued.
  Request next(const std::string& type);
  DeltaRequest next_delta(const std::string& type);
  // Nothing of that type is queued now.
  bool none(const std::string& type);
  void send(const std::string& type, const std::string& version, const std::string& nonce, const std::vector<std::string>& resources_yaml);
  void send_delta(const std::string& type, const std::string& nonce, const std::vector<std::pair<std::string, std::string>>& versions_and_yaml, const std::vector<std::string>& removed = {});
  void send_raw(const Response& response);
  int streams() const;  // opened so far
  std::vector<std::string> methods() const;  // of the streams opened so far: "ads", "cds", "delta-cds"…

 private:
  using Sotw = grpc::ServerReaderWriter<Response, Request>;
  using Delta = grpc::ServerReaderWriter<DeltaResponse, DeltaRequest>;
  grpc::Status StreamAggregatedResources(grpc::ServerContext* context, Sotw* stream) override;
  grpc::Status DeltaAggregatedResources(grpc::ServerContext* context, Delta* stream) override;
  template <class Request_, class Stream_>
  grpc::Status serve(grpc::ServerContext* context, Stream_* stream, std::deque<Request_>& queue, std::map<std::string, Stream_*>& open, const std::string& type, const std::string& method);
  template <class Stream_>
  Stream_* stream_for(std::map<std::string, Stream_*>& open, const std::string& type);
  template <class R>
  R take(std::deque<R>& queue, const std::string& url);
  void wait(const std::function<bool()>& what, const std::string& text);

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Request> requests_;
  std::deque<DeltaRequest> delta_requests_;
  std::map<std::string, Sotw*> sotw_;    // by short type name; "ads" for the aggregated stream
  std::map<std::string, Delta*> delta_;
  std::set<grpc::ServerContext*> contexts_;
  std::vector<std::string> methods_;
  std::string path_, certificate_, key_, client_ca_;
  struct PerType;
  std::unique_ptr<PerType> per_type_;
};

}  // namespace fairlead::testing
