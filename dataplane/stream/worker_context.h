// What streams need of the worker they run on: loop, counters, clusters, the present epoch of configuration, and spare streams.
// One per worker, made and owned by the server, outlives every connection of the worker. Only that worker touches it.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/config/snapshot.h"
#include "dataplane/stream/overload_state.h"
#include "dataplane/upstream/pool/ref.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::format {
struct FormatContext;
}

namespace fairlead::stream {

class Stream;

// One worker's hold on a published snapshot. Streams pin it with a plain counted reference; with the last one the worker's
// shared_ptr goes, which is how the publisher learns that the worker has moved on.
class Epoch final : public upstream::Counted {
 public:
  explicit Epoch(std::shared_ptr<const config::Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}
  const config::Snapshot& snapshot() const { return *snapshot_; }

 private:
  std::shared_ptr<const config::Snapshot> snapshot_;
};

class WorkerContext {
 public:
  // `index`: 1 for the first worker (0 is the main thread), also the access log's buffer and the Cells used.
  WorkerContext(net::EventLoop& loop, stats::Cells& cells, uint32_t index, upstream::SharedClusters& shared, uint64_t seed);
  ~WorkerContext();
  WorkerContext(const WorkerContext&) = delete;

  // Clusters first, then the routes: from the next request on, every connection uses the new snapshot.
  void apply(std::shared_ptr<const config::Snapshot> snapshot);
  const upstream::Ref<Epoch>& epoch() const { return epoch_; }
  const matching::Runtime* runtime() const { return epoch_ ? epoch_->snapshot().runtime.get() : nullptr; }  // of the newest epoch; null: there is none yet

  net::EventLoop& loop() const { return loop_; }
  stats::Cells& cells() const { return cells_; }
  uint32_t index() const { return index_; }
  upstream::WorkerClusters& clusters() { return clusters_; }
  upstream::Random& random() { return random_; }

  // While set, every HTTP/1 response carries "connection: close": the drain of the whole server.
  bool drain_close = false;
  // The same after /healthcheck/fail, but for listeners whose drain_type is MODIFY_ONLY.
  bool health_failed = false;
  // Set it by set_overload(), so that what runs already follows.
  const OverloadState& overload() const { return overload_; }
  void set_overload(const OverloadState& state);
  bool sheds(config::ShedAt at) { return overload_.sheds(at, random_, cells_); }
  // Ends the streams of the heaviest classes of size; how many: OverloadState::reset_streams. Returns how many it were.
  size_t reset_heavy_streams();

  std::unique_ptr<Stream> take_stream();
  void give_back(std::unique_ptr<Stream> stream);
  // For streams of which something is printed. Empty when taken.
  std::unique_ptr<format::FormatContext> take_format();
  void give_back(std::unique_ptr<format::FormatContext> format);

 private:
  net::EventLoop& loop_;
  stats::Cells& cells_;
  uint32_t index_;
  upstream::Random random_;
  upstream::WorkerClusters clusters_;
  upstream::Ref<Epoch> epoch_;
  OverloadState overload_;
  friend class Stream;
  Stream* first_active_ = nullptr;  // of those between begin() and end()
  std::vector<std::unique_ptr<Stream>> spare_;
  std::vector<std::unique_ptr<format::FormatContext>> spare_formats_;
};

}  // namespace fairlead::stream
