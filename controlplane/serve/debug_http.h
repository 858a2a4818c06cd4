// The control plane's own HTTP address: health, metrics and what `fairlead` asks. JSON, read only. Threads of cpp-httplib's;
// every question is answered by the serving thread.
//   /healthz /readyz /metrics /version
//   /debug/status  /debug/config?proxy=&type=&name=  /debug/diff?proxy=  /debug/nacks  /debug/conditions  /debug/findings
//   /debug/snapshots?type=&name=  /debug/sources  /debug/load
//   /why?proxy=|gateway=&method=&url=&header=  what becomes of a request; each header "name: value", several by lines or repeated
//   /debug/watch?kind=  events as they happen, one JSON object a line, until the reader goes; empty lines while nothing happens
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/inspect/events.h"
#include "controlplane/serve/xds_server.h"

namespace fairlead::serve {

class DebugHttp {
 public:
  struct Options {
    std::string address = "127.0.0.1:18001";  // HOST:PORT; port 0: the kernel picks
    std::string version;
    // Sources, their age and what is wrong in them, and conditions of objects, from the pipeline. Any thread.
    std::function<doc::Value()> sources;
    std::function<doc::Value()> objects;
    std::function<std::string()> more_metrics;  // further lines of Prometheus; may be empty. Any thread
    // Explains a request with a proxy's snapshot. InvalidArgument: it is none. Any thread.
    using Why = std::function<absl::StatusOr<doc::Value>(const snapshot::SnapshotPtr&, const std::string& method, const std::string& url, const std::vector<std::string>& headers)>;
    Why why;
    inspect::Events* events = nullptr;  // null: nothing can be watched. Closed when this is destroyed
  };
  // Listens and serves until destroyed. A port in use is an error that names the address.
  static absl::StatusOr<std::unique_ptr<DebugHttp>> start(Options options, XdsServer& server, const Clock& clock);
  ~DebugHttp();
  const std::string& address() const;  // with the port the kernel picked

 private:
  struct Serving;
  explicit DebugHttp(std::unique_ptr<Serving> serving);
  std::unique_ptr<Serving> serving_;
};

}  // namespace fairlead::serve
