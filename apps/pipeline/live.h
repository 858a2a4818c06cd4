// The running pipeline: sources deliver objects, one thread joins, translates and plans them, and hands each step's Update to a
// sink. Nothing is handed over before every source has been read once. Endpoint changes go at once (20 ms apart at most); the
// rest waits for 100 ms of quiet, 1 s at most.
// Owner: the process. The sink is called on the pipeline's thread, in order.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/snapshot/asked.h"
#include "controlplane/snapshot/update.h"
#include "controlplane/topology/load_weights.h"

namespace fairlead::pipeline {

class Live {
 public:
  struct Options {
    std::vector<std::string> sources;  // "file:PATH", "kubernetes[:KUBECONFIG[#CONTEXT]]", in order of rank
    std::string state_dir;             // empty: nothing survives a restart
    std::string version;               // of the fairlead-proxy built with this, for preflight.h; empty: none is run
    // What the vocabularies say of the objects, after each step that the sink has been handed, and again where only the objects' own status has
    // changed since. The pipeline's thread. May be empty.
    std::function<void(std::shared_ptr<const adapters::StatusSink>, adapters::ObjectSnapshotPtr)> said = {};
    // What clients report of their load now, asked for so often on the pipeline's thread while there is a Service weighed by it. May be empty.
    std::function<std::vector<topology::LocalityLoad>()> loads = {};
    std::chrono::milliseconds loads_every{10'000};
    topology::LoadWeights::Options weighing = {};
  };
  using Sink = std::function<void(snapshot::Update)>;

  Live(Options options, const Clock& clock, Sink sink);
  ~Live();  // stops

  // InvalidArgument for a source that is not one; an unreadable state directory is an error too.
  absl::Status start();
  void stop();

  // What clients of the mesh ask for by name; any thread.
  void ask(snapshot::Asked asked);

  // {"sources": [{name, synced, lost, age_s, objects}]}; any thread.
  doc::Value sources() const;
  // {"objects": [{object, place, conditions…}]}: what the vocabularies say of each object; any thread.
  doc::Value objects() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace fairlead::pipeline
