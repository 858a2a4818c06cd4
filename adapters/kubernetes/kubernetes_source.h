// The source `kubernetes[:KUBECONFIG[#CONTEXT]]`: objects as an API server has them, by list and watch. What watchers find within some
// milliseconds ends as one SourceUpdate, handed to the callback on the source's thread. Invariant: updates arrive in order, never two at once.
// Threads: one for updates, and one for each kind (and namespace, where namespaces are named), which waits for its connection. That is the
// simplest thing that cannot starve one kind for another's sake; an idle one costs some 100 KB, most of it the connection's TLS, and no time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/kind_watcher.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"

namespace fairlead::adapters::kubernetes {

struct KubernetesSourceOptions {
  Credentials credentials;
  std::vector<WatchedKind> kinds;
  std::vector<std::string> namespaces;  // empty: all
  std::string user_agent = "fairlead-control";
  std::chrono::milliseconds timeout{10'000};  // of connecting, and of silence in lists
  WatchOptions watch;
  std::chrono::milliseconds batch{5}, busy_batch{25}, heartbeat{10'000};  // see hub.h
};

class KubernetesSource {
 public:
  using Callback = std::function<void(SourceUpdate)>;

  KubernetesSource(std::string name, KubernetesSourceOptions options, Callback callback);
  ~KubernetesSource();  // stops
  KubernetesSource(const KubernetesSource&) = delete;
  KubernetesSource& operator=(const KubernetesSource&) = delete;

  // Starts the threads. Whether the server can be reached shows in the updates: the first of them comes once there is something to tell.
  absl::Status start();
  void stop();  // no callback runs after it returns; not to be called from the callback
  const std::string& name() const { return name_; }

 private:
  struct Running;

  const std::string name_;
  const KubernetesSourceOptions options_;
  const Callback callback_;
  std::unique_ptr<Running> running_;
};

}  // namespace fairlead::adapters::kubernetes
