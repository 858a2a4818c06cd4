// A control plane in a cluster, as kubectl finds and reaches it: kubectl has the user's kubeconfig, plug-ins for credentials and ways through proxies,
// and its own words when something is not allowed. One thread starts these; a Forward is used by one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "apps/cli/process.h"
#include "base/doc.h"

namespace fairlead::cli {

struct ClusterOptions {
  std::string kubeconfig, context;  // empty: as kubectl has it
  std::string name_space;           // empty: all
  std::string labels;               // of the pods, instead of those that the chart gives them
  std::string pod;                  // NAME or NAMESPACE/NAME, this one alone
};

struct Pod {
  std::string name_space, name;
  std::string instance;  // of the chart: what the release is called
  std::string unready;   // why it is not ready; empty: it is
  bool ending = false;
  int admin_port = 18001;
  std::string id() const { return name_space + "/" + name; }
};

// Of one control plane: those that can be asked, and those that are not ready. Never none of the former.
struct Replicas {
  std::vector<Pod> ready, unready;
};

// A way to a pod's admin address, for as long as this lives.
class Forward {
 public:
  absl::Status await();  // until it is there; errors are kubectl's
  const std::string& address() const { return address_; }
  // What kubectl has to say once no answer came.
  std::string lost();
  void end() { kubectl_->end(); }

 private:
  friend class Kubectl;
  Forward(std::unique_ptr<Process> kubectl, std::string pod) : kubectl_(std::move(kubectl)), pod_(std::move(pod)) {}
  std::unique_ptr<Process> kubectl_;
  std::string pod_, address_;
};

class Kubectl {
 public:
  explicit Kubectl(ClusterOptions options) : options_(std::move(options)) {}
  // NotFound: there is none; InvalidArgument: there are several; Unavailable: none of its pods is ready, or kubectl could not say.
  absl::StatusOr<Replicas> find() const;
  absl::StatusOr<std::unique_ptr<Forward>> forward(const Pod& pod) const;        // begins; then await()
  absl::StatusOr<std::string> run(const std::vector<std::string>& words) const;  // what it prints
  bool names_a_pod() const { return !options_.pod.empty(); }

 private:
  std::vector<std::string> command(const std::vector<std::string>& words) const;
  ClusterOptions options_;
};

// Those of a PodList that `options` mean.
absl::StatusOr<Replicas> choose(const std::vector<Pod>& pods, const ClusterOptions& options);
std::vector<Pod> read_pods(const doc::Value& list);
// What a program has said on standard error, for a sentence: each line once, without the marks of its log.
std::string words_of(std::string_view err);

}  // namespace fairlead::cli
