// fairlead-control as a process on ports the kernel picks, and a delta ADS client that acknowledges (or refuses) what it gets.
// Everything is awaited: a line of the log, a state of the client.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <grpcpp/grpcpp.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "tests/slowness.h"

extern char** environ;

namespace fairlead::test {

constexpr std::chrono::seconds kPatience{20 * testing::kSlowness};
using Texts = std::vector<std::string>;

class Process {
 public:
  explicit Process(Texts command) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    std::vector<char*> argv;
    for (std::string& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    REQUIRE(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    reader_ = std::thread([this, fd = ends[0]] { read_lines(fd); });
  }
  ~Process() { stop(); }

  // The first line that holds `part`, from the `from`th on; "" when the process ends or time is up first.
  std::string await_line(const std::string& part, size_t from = 0) {
    std::unique_lock lock(mutex_);
    std::string found;
    changed_.wait_for(lock, kPatience, [&] {
      for (size_t i = from; i < lines_.size(); ++i) {
        if (absl::StrContains(lines_[i], part)) {
          found = lines_[i];
          return true;
        }
      }
      return ended_;
    });
    return found;
  }
  bool has_line(const std::string& part, size_t from = 0) {  // so far
    std::lock_guard lock(mutex_);
    for (size_t i = from; i < lines_.size(); ++i) {
      if (absl::StrContains(lines_[i], part)) return true;
    }
    return false;
  }
  size_t lines() {
    std::lock_guard lock(mutex_);
    return lines_.size();
  }
  std::string text() {
    std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& line : lines_) all += line + "\n";
    return all;
  }
  // Exit code, once it has ended of itself.
  int wait() {
    int status = 0;
    if (pid_ > 0) waitpid(std::exchange(pid_, 0), &status, 0);
    if (reader_.joinable()) reader_.join();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void send_signal(int number) { kill(pid_, number); }
  int stop(int signal = SIGTERM) {
    if (pid_ > 0) kill(pid_, signal);
    return wait();
  }

 private:
  void read_lines(int fd) {
    std::string rest;
    char buffer[4096];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) {
      rest.append(buffer, static_cast<size_t>(n));
      std::lock_guard lock(mutex_);
      for (size_t end; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1)) lines_.push_back(rest.substr(0, end));
      changed_.notify_all();
    }
    close(fd);
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  pid_t pid_ = 0;
  std::thread reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Texts lines_;
  bool ended_ = false;
};

inline std::string binary(const std::string& name) {
  const char* folder = getenv("FAIRLEAD_BIN");
  return absl::StrCat(folder ? folder : FAIRLEAD_BINARY_DIR "/bin", "/", name);
}

// The control plane on one source.
class Control {
 public:
  explicit Control(const std::string& path, Texts more = {}) : process([&] {
    Texts command{binary("fairlead-control"), "--source", "file:" + path, "--xds-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"};
    if (std::find(more.begin(), more.end(), "--drain-time-s") == more.end()) more.insert(more.end(), {"--drain-time-s", "0"});
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }()) {
    const std::string line = process.await_line("xDS on ");
    INFO(process.text());
    REQUIRE_FALSE(line.empty());
    const size_t xds_at = line.find("xDS on ") + 7, http = line.find("http://") + 7;
    xds = line.substr(xds_at, line.find(',', xds_at) - xds_at);
    admin = line.substr(http);
    REQUIRE_FALSE(process.await_line("all sources are read").empty());
  }
  Process process;
  std::string xds, admin;
};

// Subscribes to all clusters and listeners, and to the assignments of the clusters it has.
class Ads {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;
  using Versions = std::map<std::string, std::string>;

  explicit Ads(const std::string& address, const std::string& cluster = "edge", const Versions& has = {}, std::string node = "node-1")
      : stub_(envoy::service::discovery::v3::AggregatedDiscoveryService::NewStub(channel(address))) {
    context_.set_wait_for_ready(true);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(3));
    stream_ = stub_->DeltaAggregatedResources(&context_);
    Request first;
    first.mutable_node()->set_id(node);
    first.mutable_node()->set_cluster(cluster);
    first.mutable_node()->set_user_agent_name("test");
    first.set_type_url(kCluster);
    for (const auto& [name, version] : has) (*first.mutable_initial_resource_versions())[name] = version;
    stream_->Write(first);
    Request second;
    second.set_type_url(kListener);
    stream_->Write(second);
    reader_ = std::thread([this] { read(); });
  }
  ~Ads() {
    context_.TryCancel();
    reader_.join();
  }

  // Refuses each response that brings a cluster of this name.
  void refuse(const std::string& cluster) {
    std::lock_guard lock(mutex_);
    refused_.insert(cluster);
  }
  bool until(const std::function<bool()>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, wanted);
  }
  bool until_cluster(const std::string& part, bool has = true) {
    return until([&] { return find(part).empty() != has; });
  }
  bool until_timeout(const std::string& name, int seconds) {
    return until([&] { return clusters.contains(name) && clusters[name].connect_timeout().seconds() == seconds; });
  }
  bool until_endpoint(const std::string& part) {
    return until([&] {
      for (const auto& [name, bytes] : assignments) {
        if (absl::StrContains(bytes, part)) return true;
      }
      return false;
    });
  }
  bool until_end() {
    return until([&] { return ended; });
  }
  // How the stream ended, once it has.
  grpc::Status status() { return stream_->Finish(); }
  // Under the lock, for `until`, or when nothing comes any more.
  std::string find(const std::string& part) const {
    for (const auto& [name, c] : clusters) {
      if (absl::StrContains(name, part)) return name;
    }
    return "";
  }
  bool has(const std::string& part) {
    std::lock_guard lock(mutex_);
    return !find(part).empty();
  }

  std::map<std::string, envoy::config::cluster::v3::Cluster> clusters;  // these under the lock, too
  Versions versions, assignments, listeners;
  size_t removals = 0;
  bool ended = false;

 private:
  static constexpr const char* kCluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
  static constexpr const char* kListener = "type.googleapis.com/envoy.config.listener.v3.Listener";
  static constexpr const char* kEndpoint = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

  static std::shared_ptr<grpc::Channel> channel(const std::string& address) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
  }
  void read() {
    Response r;
    while (stream_->Read(&r)) {
      Request answer, eds;
      answer.set_type_url(r.type_url());
      answer.set_response_nonce(r.nonce());
      eds.set_type_url(kEndpoint);
      {
        std::lock_guard lock(mutex_);
        take(r, answer, eds);
        changed_.notify_all();
      }
      stream_->Write(answer);
      if (eds.resource_names_subscribe_size() > 0) stream_->Write(eds);
    }
    std::lock_guard lock(mutex_);
    ended = true;
    changed_.notify_all();
  }
  void take(const Response& r, Request& answer, Request& eds) {
    for (const auto& resource : r.resources()) {
      if (r.type_url() == kCluster && refused_.contains(resource.name())) {
        answer.mutable_error_detail()->set_message("Error adding/updating cluster(s) " + resource.name() + ": not by this client");
        return;
      }
    }
    removals += static_cast<size_t>(r.removed_resources_size());
    for (const auto& resource : r.resources()) {
      if (r.type_url() == kCluster) {
        envoy::config::cluster::v3::Cluster c;
        resource.resource().UnpackTo(&c);
        if (c.type() == c.EDS && !clusters.contains(c.name())) eds.add_resource_names_subscribe(c.name());
        versions[c.name()] = resource.version();
        clusters[c.name()] = c;
      } else {
        (r.type_url() == kListener ? listeners : assignments)[resource.name()] = resource.resource().value();
      }
    }
    for (const std::string& name : r.removed_resources()) {
      if (r.type_url() == kCluster) clusters.erase(name);
      if (r.type_url() == kListener) listeners.erase(name);
      if (r.type_url() == kEndpoint) assignments.erase(name);
    }
  }

  std::unique_ptr<envoy::service::discovery::v3::AggregatedDiscoveryService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream_;
  std::thread reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> refused_;
};

// Standard output and error of one command, and its exit code.
struct Ran {
  int code;
  std::string text;
};
inline Ran run(Texts command) {
  Process p(std::move(command));
  const int code = p.wait();
  return {code, p.text()};
}
// What fairlead-control says when it refuses to start.
inline std::string refused(const TemporaryDirectory& d, Texts flags) {
  flags.insert(flags.begin(), {binary("fairlead-control"), "--source", "file:" + d.path()});
  const Ran ran = run(std::move(flags));
  CHECK(ran.code == 1);
  return ran.text;
}
inline Ran cli(const Control& control, Texts words) {
  words.insert(words.begin(), {binary("fairlead"), "--server", control.admin});
  return run(std::move(words));
}

// Asks until the answer holds `part`.
inline bool until_told(const Control& control, const char* command, const std::string& part) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    if (absl::StrContains(cli(control, {command}).text, part)) return true;
  }
  UNSCOPED_INFO(cli(control, {command}).text);
  return false;
}

}  // namespace fairlead::test
