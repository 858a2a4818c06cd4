// What the core does, in the words of those who watch (inspect/events.h). Serving thread. Costs one load where nobody watches.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/inspect/events.h"
#include "controlplane/intent/origin.h"
#include "controlplane/snapshot/node.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/stream/session.h"

namespace fairlead::serve {

class Teller {
 public:
  using Scopes = std::vector<std::pair<std::string, snapshot::SnapshotPtr>>;
  using Findings = std::vector<std::pair<std::string, std::vector<intent::Finding>>>;  // by stage

  explicit Teller(inspect::Events* events) : events_(events) {}  // null: nobody ever watches
  bool watched() const { return events_ != nullptr && events_->watched(); }

  // Of each scope in `changed`, what differs from before.
  void changes(const Scopes& before, const Scopes& after, const std::set<std::string>& changed);
  void findings(const std::vector<intent::Finding>& before, const Findings& now);  // those that are new
  void connected(const snapshot::Node& node, std::string_view scope, std::string_view kind, std::string_view peer, std::string_view reason);
  void disconnected(const snapshot::Node& node, std::string_view reason);
  void push(const snapshot::Node& node, const cpstream::Response& response);
  void accepted(const snapshot::Node& node, const cpstream::Acceptance& acceptance);
  void refused(const snapshot::Node& node, const cpstream::Refusal& refusal);

 private:
  inspect::Events* const events_;
};

}  // namespace fairlead::serve
