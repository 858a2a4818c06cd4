// What the control plane counts of itself, and its Prometheus form. Owned by the serving thread; copy it out to print it elsewhere.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include "controlplane/resources/resource.h"

namespace fairlead::serve {

// Seconds, in fixed buckets; enough for "how long until a change was with the proxies".
class Histogram {
 public:
  static constexpr std::array<double, 12> kBounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
  void record(std::chrono::nanoseconds value);
  // Appends the lines of one Prometheus histogram.
  void print(std::string& out, std::string_view name, std::string_view help) const;

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

// Why a stream was not let in, or was ended for what its client did.
enum class Denial : uint8_t {
  kNotReady,
  kBusy,
  kConnections,
  kStreams,
  kStreamsPerConnection,
  kStreamsPerClient,
  kNamesPerRequest,
  kNamesPerStream,
  kMessageBytes,
  kNotAuthorized,
  kNotAuthenticated,
};
inline constexpr size_t kDenialCount = static_cast<size_t>(Denial::kNotAuthenticated) + 1;

struct Metrics {
  struct PerType {
    uint64_t responses = 0;
    uint64_t resources = 0;
    uint64_t bytes = 0;
    uint64_t acks = 0;
    uint64_t nacks = 0;
  };
  std::array<PerType, resources::kTypeCount> types;
  uint64_t streams_opened = 0;
  uint64_t streams_refused = 0;
  std::array<uint64_t, kDenialCount> denied{};
  uint64_t connections = 0;           // open now
  uint64_t connects_waiting = 0;      // streams in line to be let in, now
  uint64_t handshakes_failed = 0;     // of TLS
  uint64_t credentials_loaded = 0;    // certificates, keys, authorities, tokens' keys and rules, since the start
  uint64_t credentials_rejected = 0;  // of them, what did not fit together: the old ones serve on
  int64_t certificate_expires = 0;    // the server's, Unix seconds; 0: no TLS
  uint64_t requests = 0;
  uint64_t bad_requests = 0;
  uint64_t pushes = 0;         // snapshots brought to a stream
  uint64_t empty_pushes = 0;   // …of which needed nothing
  uint64_t updates = 0;        // steps of the pipeline
  Histogram push_delay;        // from a change to the stream's bytes being written

  // `streams`: open now. Names begin with fairlead_control_.
  std::string prometheus(size_t streams, size_t waiting) const;
};

}  // namespace fairlead::serve
