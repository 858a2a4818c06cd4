// fairlead-control: wires the sources and vocabularies to the xDS server and the debug endpoints, and runs until a signal.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>

#include "adapters/kubernetes/credentials.h"
#include "apps/control/flags.h"
#include "apps/control/kubernetes_status.h"
#include "apps/pipeline/live.h"
#include "apps/pipeline/state_dir.h"
#include "apps/why/service.h"
#include "base/clock.h"
#include "base/log.h"
#include "controlplane/serve/credentials.h"
#include "controlplane/serve/debug_http.h"
#include "controlplane/serve/xds_server.h"

namespace {

using namespace fairlead;

int fail(const absl::Status& status) {
  std::fprintf(stderr, "fairlead-control: %s\n", std::string(status.message()).c_str());
  return 1;
}

// Writes what clients refused to the state directory, a second after it changed.
class QuarantineKeeper {
 public:
  QuarantineKeeper(pipeline::StateDir dir, serve::XdsServer& server) : dir_(std::move(dir)), server_(server), thread_([this] { run(); }) {}
  ~QuarantineKeeper() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      wake_.notify_one();
    }
    thread_.join();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      wake_.wait_for(lock, std::chrono::seconds(1), [this] { return stop_; });
      lock.unlock();
      save();
      lock.lock();
    }
  }
  void save() {
    const auto [epoch, state] = server_.ask<std::pair<uint64_t, doc::Value>>([seen = saved_](serve::Core& core) {
      return std::make_pair(core.state_epoch(), core.state_epoch() == seen ? doc::Value() : core.state());
    });
    if (epoch == saved_ || state.is_null()) return;
    if (absl::Status s = dir_.save_quarantine(state); !s.ok()) FL_LOG(error, "state", s.message());
    saved_ = epoch;
  }

  pipeline::StateDir dir_;
  serve::XdsServer& server_;
  uint64_t saved_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

std::unique_ptr<serve::Credentials> watch(const serve::Credentials::Files& files, const serve::Credentials::Loaded& in_use, serve::XdsServer& server) {
  const auto changed = [&server](serve::Credentials::Loaded loaded) {
    FL_LOG(info, "tls", "new certificates, authorities, tokens' keys or rules are in use for connections from now on");
    server.set_credentials(loaded.tls, loaded.authorization, loaded.tokens);
  };
  const auto rejected = [&server](const absl::Status& why) {
    FL_LOG(error, "tls", "the old certificates, authorities, tokens' keys and rules serve on: ", why.message());
    server.post([](serve::Core& core) { ++core.counters().credentials_rejected; });
  };
  return std::make_unique<serve::Credentials>(files, in_use, changed, rejected);
}

// Until the clients have gone elsewhere, or another signal says not to wait for them.
void drain(serve::XdsServer& server, std::chrono::seconds over, const sigset_t& signals) {
  if (over.count() == 0) return;
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  server.drain(over, [gone] { *gone = true; });
  const timespec tick{0, 20'000'000};
  while (!*gone && sigtimedwait(&signals, nullptr, &tick) < 0) {
  }
}

// For each source that is an API server.
absl::StatusOr<std::vector<std::unique_ptr<control::KubernetesStatus>>> write_statuses(const control::Flags& flags, serve::XdsServer& server, const Clock& clock) {
  std::vector<std::unique_ptr<control::KubernetesStatus>> out;
  for (const std::string& source : flags.sources) {
    if (!flags.write_status || !adapters::kubernetes::is_kubernetes_source(source)) continue;
    absl::StatusOr<adapters::kubernetes::Credentials> credentials = adapters::kubernetes::credentials_of(source);
    if (!credentials.ok()) return credentials.status();
    control::KubernetesStatus::Options options{source, *std::move(credentials), flags.leader_election, flags.leader_election_namespace, flags.gateway_addresses, std::nullopt};
    if (flags.managed_gateways) options.planes = {flags.planes, flags.issuer};
    out.push_back(std::make_unique<control::KubernetesStatus>(std::move(options), server, clock));
  }
  return out;
}

int run(const control::Flags& flags, const sigset_t& signals) {
  absl::StatusOr<log::Level> level = log::parse_level(flags.log_level);
  if (!level.ok()) return fail(level.status());
  log::set_level(*level);
  if (!flags.log_path.empty()) {
    if (absl::Status s = log::log_to_file(flags.log_path); !s.ok()) return fail(s);
  }
  const Clock& clock = RealClock::instance();

  inspect::Events events(clock);
  why::Service explanations;
  serve::XdsServer::Options xds = flags.xds;
  xds.core.events = &events;
  pipeline::Live* asked = nullptr;  // before the first stream is let in
  xds.core.mesh_asked = [&asked](snapshot::Asked names) { asked->ask(std::move(names)); };
  auto credentials = serve::Credentials::load(flags.files);
  if (!credentials.ok()) return fail(credentials.status());
  xds.tls = credentials->tls;
  xds.authorization = credentials->authorization;
  xds.tokens = credentials->tokens;
  auto server = serve::XdsServer::start(xds, clock);
  if (!server.ok()) return fail(server.status());

  std::unique_ptr<serve::Credentials> watched;
  if (!flags.files.certificate.empty() || !flags.files.token_keys.empty()) watched = watch(flags.files, *credentials, **server);

  std::unique_ptr<QuarantineKeeper> keeper;
  if (!flags.state_dir.empty()) {
    auto dir = pipeline::StateDir::open(flags.state_dir);
    if (!dir.ok()) return fail(dir.status());
    auto refused = dir->load_quarantine();
    if (!refused.ok()) return fail(refused.status());
    if (!refused->is_null()) {
      absl::Status restored = (*server)->ask<absl::Status>([&](serve::Core& core) { return core.restore(*refused); });
      if (!restored.ok()) return fail(restored);
    }
    keeper = std::make_unique<QuarantineKeeper>(*dir, **server);
  }

  auto statuses = write_statuses(flags, **server, clock);
  if (!statuses.ok()) return fail(statuses.status());
  pipeline::Live::Options sources{flags.sources, flags.state_dir, FAIRLEAD_VERSION};
  // asked at each report's time; what is three times as old says nothing of now
  sources.loads_every = flags.xds.load.interval;
  sources.loads = [&server, &clock, no_older = 3 * flags.xds.load.interval] {
    return (*server)->ask<std::vector<topology::LocalityLoad>>([&](serve::Core& core) { return core.loads().now_at(clock.monotonic(), no_older); });
  };
  if (!statuses->empty()) {
    sources.said = [&statuses](std::shared_ptr<const adapters::StatusSink> said, adapters::ObjectSnapshotPtr objects) {
      for (const auto& s : *statuses) s->said(said, objects);
    };
  }
  pipeline::Live live(std::move(sources), clock, [&server](snapshot::Update update) {
    auto shared = std::make_shared<snapshot::Update>(std::move(update));
    (*server)->post([shared](serve::Core& core) { core.apply(std::move(*shared)); });
  });

  asked = &live;

  serve::DebugHttp::Options admin;
  admin.address = flags.admin_address;
  admin.version = FAIRLEAD_VERSION;
  admin.sources = [&live, &statuses] {
    std::vector<doc::Value> status;
    for (const auto& s : *statuses) status.push_back(s->to_doc());
    return status.empty() ? live.sources() : doc::with(live.sources(), "status", doc::list(std::move(status)));
  };
  if (!statuses->empty()) admin.more_metrics = [&statuses] { return statuses->front()->prometheus(); };
  admin.objects = [&live] { return live.objects(); };
  admin.why = [&explanations](const snapshot::SnapshotPtr& snapshot, const std::string& method, const std::string& url, const std::vector<std::string>& headers) {
    return explanations.ask(snapshot, method, url, headers);
  };
  admin.events = &events;
  auto http = serve::DebugHttp::start(admin, **server, clock);
  if (!http.ok()) return fail(http.status());

  if (absl::Status s = live.start(); !s.ok()) return fail(s);
  for (const auto& s : *statuses) s->start();
  FL_LOG(info, "main", "fairlead-control ", FAIRLEAD_VERSION, ": xDS on ", (*server)->address(), ", admin on http://", (*http)->address());

  int number = 0;
  sigwait(&signals, &number);
  FL_LOG(info, "main", "signal ", number, ": shutting down");
  for (const auto& s : *statuses) s->stop();  // another may go on with it
  drain(**server, flags.drain_time, signals);
  http->reset();
  live.stop();
  keeper.reset();
  watched.reset();
  (*server)->shutdown();
  log::flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // every thread inherits the mask, so that sigwait() alone sees these
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  log::take_protobuf_lines();

  absl::StatusOr<control::Parsed> parsed = control::parse_flags(argc, argv);
  if (!parsed.ok()) return fail(parsed.status());
  if (parsed->exit) return *parsed->exit;
  return run(parsed->flags, signals);
}
