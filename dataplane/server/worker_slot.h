// One worker with what lives on it. Private to dataplane/server. Made on the main thread before the worker starts; context and listeners
// are destroyed on the worker's own thread.
#pragma once

#include <memory>

#include "absl/strings/str_cat.h"
#include "dataplane/net/worker.h"
#include "dataplane/server/server.h"

namespace fairlead::server {

struct Server::WorkerSlot {
  WorkerSlot(uint32_t index, stats::Cells& cells, upstream::SharedClusters& shared, uint64_t seed, GlobalConnections& connections) : worker(index, absl::StrCat("worker_", index)) {
    context = std::make_unique<stream::WorkerContext>(worker.loop(), cells, index + 1, shared, seed);
    listeners = std::make_unique<WorkerListeners>(*context, index, &connections);
    worker.start();
  }
  ~WorkerSlot() {
    worker.run_and_wait([this] {
      listeners.reset();
      context->clusters().close_all();
    });
    worker.run_and_wait([this] { context.reset(); });
    worker.stop();
  }
  net::Worker worker;
  std::unique_ptr<stream::WorkerContext> context;
  std::unique_ptr<WorkerListeners> listeners;
};

}  // namespace fairlead::server
