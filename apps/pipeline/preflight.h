// Pre-flight: every resource is judged before it is pushed, by the parser that fairlead-proxy itself runs and by what old versions of Envoy are
// known to lack (capabilities.h). It stands as refused by the clients concerned: they keep the last good one. What fairlead-proxy would refuse is
// a finding on its origin, too; what an old Envoy lacks becomes a condition once such a client is connected.
// The pipeline's thread. Each content is judged once for as long as anybody holds it, and of a route table each part (table_verdicts.h).
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "apps/pipeline/table_verdicts.h"
#include "controlplane/snapshot/update.h"

namespace fairlead::pipeline {

class Preflight {
 public:
  // `version`: of the fairlead-proxy that is built with this: "0.1.0".
  explicit Preflight(std::string version) : version_(std::move(version)) {}

  // Judges what the update brings; sets its `unfit` and the findings of the stage "preflight" where they have changed.
  void judge(snapshot::Update& update);

  // Contents whose verdicts are remembered: about twice those in use, and 1,024, at most.
  size_t remembered() const { return judged_.size(); }

 private:
  static constexpr size_t kSpare = 1024;
  using Unfit = std::vector<snapshot::Unfit>;
  struct Judged {
    std::weak_ptr<const resources::Resource> in_use;
    Unfit unfit;  // empty: nobody is known to refuse it
  };
  const Unfit& verdicts(const resources::ResourcePtr& resource);
  void forget_unused();

  const std::string version_;
  TableVerdicts tables_;
  absl::flat_hash_map<std::pair<resources::Type, ContentHash>, Judged> judged_;
  size_t most_judged_ = kSpare;
  // What is wrong now, by where it came from: a Gateway, the raw sets, an assignment.
  std::map<std::string, Unfit> by_part_;
};

}  // namespace fairlead::pipeline
