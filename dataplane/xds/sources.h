// Where configuration comes from: the ADS stream, streams per type, watched files. Keeps each source's interest equal to what is wanted and brings
// every response to `apply`. The protocols are SotwState and DeltaState, gRPC is behind Connector (grpc_connector.h).
// Main thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/config/address.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/xds/ingest.h"
#include "dataplane/xds/sotw_state.h"
#include "dataplane/xds/types.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace fairlead::xds {

// One bidirectional stream. Events come on the main loop, never from inside open() or send(); none after destruction.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void send(std::string message) = 0;
  // Whether all that was given to send() has left: a peer that does not read must not have ever more wait for it.
  virtual bool idle() const { return true; }
};
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void on_open() = 0;  // the server has answered with headers or a first message
  virtual void on_message(std::string message) = 0;
  virtual void on_closed(absl::Status status) = 0;  // the last event
};
class Connector {
 public:
  virtual ~Connector() = default;
  // `method`: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources".
  virtual std::unique_ptr<Stream> open(const config::GrpcTarget& target, const std::string& method, StreamEvents& events) = 0;
};

// 500 ms doubling to 30 s, each wait drawn from its upper half. Envoy 1.40: 500 ms → 30 s, jittered.
class BackOff {
 public:
  explicit BackOff(uint64_t seed) : state_(seed) {}
  std::chrono::milliseconds next();
  void reset() { current_ = std::chrono::milliseconds(500); }

 private:
  uint64_t state_;
  std::chrono::milliseconds current_{500};
};

class GrpcSubscription;
class FileSubscription;

class Sources {
 public:
  struct Options {
    net::EventLoop* loop = nullptr;
    Connector* connector = nullptr;
    std::shared_ptr<const envoy::config::core::v3::Node> node;
    const config::ApiSource* ads = nullptr;  // null: none configured
    std::function<Outcome(const Update&)> apply;
    // A file or a response could not be read at all, or a stream ended: counted.
    std::function<void(Type, const absl::Status&)> failed;
    // A file holds nothing (valid) for these names, or, without names, for the type: whoever waits for it waits no longer.
    std::function<void(Type, const std::vector<std::string>& names)> no_answer;
    std::function<void(Type)> attempted;         // an update was begun (a request sent for the type)
    std::function<void(std::string_view row)> ignored;  // a field of a response that is read and not acted on
    std::function<void(bool connected)> connected;  // of ADS, or of any stream when there is no ADS
    uint64_t seed = 1;
  };
  explicit Sources(Options options);
  ~Sources();

  // The complete wish: what is not in it is unsubscribed.
  using Wish = std::map<std::pair<std::string, Type>, std::pair<config::ConfigSource, Interest>>;
  static void add(Wish& wish, Type type, const config::ConfigSource& source, const std::string& name);  // "" for a wildcard
  absl::Status set(const Wish& wish);

 private:
  void set_stream(const std::string& stream_key, const std::string& source_key, const config::ConfigSource& source, Type type, const Interest& interest, std::set<std::string>& wanted);

  Options options_;
  std::map<std::string, std::unique_ptr<GrpcSubscription>> streams_;                          // by source (and, unless ADS, type, and name of a secret)
  std::map<std::pair<std::string, Type>, std::unique_ptr<FileSubscription>> files_;
};

}  // namespace fairlead::xds
