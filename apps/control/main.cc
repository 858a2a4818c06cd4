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

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "apps/pipeline/live.h"
#include "apps/pipeline/state_dir.h"
#include "base/clock.h"
#include "base/log.h"
#include "controlplane/serve/debug_http.h"
#include "controlplane/serve/xds_server.h"

namespace {

using namespace fairlead;

struct Flags {
  std::vector<std::string> sources;
  std::string xds_address = "127.0.0.1:18000";
  std::string admin_address = "127.0.0.1:18001";
  std::string state_dir;
  std::string log_level = "info";
  std::string log_path;
  size_t quarantine_after = 3;
  int64_t max_connection_age_s = 0;
};

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

int run(const Flags& flags, const sigset_t& signals) {
  absl::StatusOr<log::Level> level = log::parse_level(flags.log_level);
  if (!level.ok()) return fail(level.status());
  log::set_level(*level);
  if (!flags.log_path.empty()) {
    if (absl::Status s = log::log_to_file(flags.log_path); !s.ok()) return fail(s);
  }
  const Clock& clock = RealClock::instance();

  serve::XdsServer::Options xds;
  xds.address = flags.xds_address;
  xds.max_connection_age = std::chrono::seconds(flags.max_connection_age_s);
  xds.core.identifier = "fairlead-control";
  xds.core.quarantine_threshold = flags.quarantine_after;
  auto server = serve::XdsServer::start(xds, clock);
  if (!server.ok()) return fail(server.status());

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

  pipeline::Live live({flags.sources, flags.state_dir}, clock, [&server](snapshot::Update update) {
    auto shared = std::make_shared<snapshot::Update>(std::move(update));
    (*server)->post([shared](serve::Core& core) { core.apply(std::move(*shared)); });
  });

  serve::DebugHttp::Options admin;
  admin.address = flags.admin_address;
  admin.version = FAIRLEAD_VERSION;
  admin.sources = [&live] { return live.sources(); };
  admin.objects = [&live] { return live.objects(); };
  auto http = serve::DebugHttp::start(admin, **server, clock);
  if (!http.ok()) return fail(http.status());

  if (absl::Status s = live.start(); !s.ok()) return fail(s);
  FL_LOG(info, "main", "fairlead-control ", FAIRLEAD_VERSION, ": xDS on ", (*server)->address(), ", admin on http://", (*http)->address());

  int number = 0;
  sigwait(&signals, &number);
  FL_LOG(info, "main", "signal ", number, ": shutting down");
  http->reset();
  live.stop();
  keeper.reset();
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

  Flags flags;
  CLI::App app{"Fairlead's control plane: reads configuration, serves it over xDS to fairlead-proxy, Envoy and gRPC clients.", "fairlead-control"};
  app.set_version_flag("--version", "fairlead-control " FAIRLEAD_VERSION);
  app.add_option("--source", flags.sources, "where configuration comes from: file:PATH, a directory tree or one file; repeatable, earlier ones win")->required();
  app.add_option("--xds-address", flags.xds_address, "address of the xDS server (HOST:PORT or unix:PATH)")->capture_default_str();
  app.add_option("--admin-address", flags.admin_address, "address of health, metrics and debug endpoints (HOST:PORT)")->capture_default_str();
  app.add_option("--state-dir", flags.state_dir, "directory for what survives a restart: last good objects and what clients refused");
  app.add_option("--quarantine-after", flags.quarantine_after,
                 "refusals by this many distinct proxies of one version before all of that version get the last good resource")->capture_default_str()->check(CLI::Range(1, 1000000));
  app.add_option("--max-connection-age-s", flags.max_connection_age_s,
                 "seconds after which a client is asked to connect again, so that replicas share them; 0: never")->capture_default_str()->check(CLI::Range(0, 31'536'000));
  app.add_option("-l,--log-level", flags.log_level, "trace, debug, info, warning, error, critical or off")->capture_default_str();
  app.add_option("--log-path", flags.log_path, "log to this file instead of standard error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);  // --help, --version
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> words = app.remaining();  // a word that nobody knows is worth more than what is missing too
    return fail(absl::InvalidArgumentError(absl::StrCat(words.empty() ? error.what() : "unknown argument " + words.front(), " (see --help)")));
  }
  return run(flags, signals);
}
