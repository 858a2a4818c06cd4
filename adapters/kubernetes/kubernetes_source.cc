// See kubernetes_source.h.
#include "adapters/kubernetes/kubernetes_source.h"

#include <deque>
#include <thread>
#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::adapters::kubernetes {

struct KubernetesSource::Running {
  Running(const KubernetesSource& source, std::vector<Hub::Watcher> watchers)
      : api({source.options_.credentials, source.options_.timeout, ApiClient::Options().stream_silence, source.options_.user_agent}),
        discovery(api),
        hub({source.name_, source.options_.batch, source.options_.busy_batch, source.options_.heartbeat}, std::move(watchers), source.callback_) {}

  ApiClient api;
  Discovery discovery;
  Hub hub;
  std::deque<KindWatcher> watchers;
  std::vector<std::thread> threads;
};

KubernetesSource::KubernetesSource(std::string name, KubernetesSourceOptions options, Callback callback)
    : name_(std::move(name)), options_(std::move(options)), callback_(std::move(callback)) {}

KubernetesSource::~KubernetesSource() { stop(); }

absl::Status KubernetesSource::start() {
  if (running_) return absl::FailedPreconditionError(absl::StrCat(name_, ": is running already"));
  struct Planned {
    const WatchedKind* kind;
    std::string ns;
  };
  std::vector<Planned> planned;
  std::vector<Hub::Watcher> watchers;
  for (const WatchedKind& kind : options_.kinds) {
    const bool all = kind.cluster_scoped || options_.namespaces.empty();
    for (const std::string& ns : all ? std::vector<std::string>{""} : options_.namespaces) {
      planned.push_back({&kind, ns});
      watchers.push_back({kind.group, kind.kind, ns, kind.optional});
    }
  }
  running_ = std::make_unique<Running>(*this, std::move(watchers));
  Running& r = *running_;
  for (size_t i = 0; i < planned.size(); ++i) r.watchers.emplace_back(options_.watch, name_, *planned[i].kind, planned[i].ns, i, r.api, r.discovery, r.hub);
  r.threads.emplace_back([&r] { r.hub.run(); });
  for (KindWatcher& w : r.watchers) r.threads.emplace_back([&w] { w.run(); });
  return absl::OkStatus();
}

void KubernetesSource::stop() {
  if (!running_) return;
  running_->hub.stop();
  running_->api.cancel();
  for (std::thread& t : running_->threads) t.join();
  running_.reset();
}

}  // namespace fairlead::adapters::kubernetes
