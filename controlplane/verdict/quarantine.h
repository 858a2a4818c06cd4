// Resources that clients refused, and what they get instead: the last one their class accepted. Keyed by client class
// (implementation, version, features) and resource hash: one old or hostile proxy never freezes another class, and a class
// as a whole only after refusals by several distinct nodes. A stream's own refusals are its session's business.
// Owned by the pipeline's thread; the snapshots it returns may go anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/resources/resource.h"
#include "controlplane/snapshot/node.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/stream/session.h"

namespace fairlead::verdict {

using resources::ResourcePtr;
using resources::Type;
using snapshot::ClientClass;

// One refused resource of one class in one scope.
struct Refused {
  ClientClass client_class;
  std::string scope;
  Type type = Type::kCluster;
  std::string name;
  ContentHash hash;
  intent::Origins origins;
  std::string message;              // of the latest refusal
  SystemTime first{}, latest{};
  std::set<std::string> nodes;      // ids, distinct
  uint64_t count = 0;
  bool frozen = false;              // the whole class gets the last good one
  bool foreseen = false;            // nobody was asked: it is known beforehand
  ResourcePtr last_good;            // null: the class never accepted one; the resource is left out
};

class Quarantine {
 public:
  // `threshold`: refusals by distinct nodes before the class is frozen; never more than the class has nodes connected.
  explicit Quarantine(size_t threshold = 3) : threshold_(threshold ? threshold : 1) {}

  // One call for each stream. Leaving may make a class so small that a refusal stands for it all: true then, as below.
  void node_joined(const ClientClass& c, const std::string& node_id);
  bool node_left(const ClientClass& c, const std::string& node_id);
  template <typename F>
  void for_each_class(F&& f) const {  // of the nodes connected
    for (const auto& [c, nodes] : nodes_) f(c);
  }

  // True when what the class is to see has changed: push view() of the scope again.
  bool refused(const ClientClass& c, const std::string& node_id, std::string_view scope, const cpstream::Refusal& refusal,
               SystemTime now);
  // What is known to be refused before anyone is asked stands as refused by the class as a whole. Call before the resource is pushed.
  bool foresee(const ClientClass& c, std::string_view scope, const ResourcePtr& resource, const std::string& message, SystemTime now);
  void accepted(const ClientClass& c, std::string_view scope, const cpstream::Acceptance& acceptance);
  // Forgets refusals whose resource is no longer wanted with those bytes, or whose origin changed (generation, line or
  // place): the author acted, so it is tried again. Call with each new snapshot of a scope.
  bool settle(const snapshot::SnapshotPtr& wanted);

  // What the class is to see of the scope: the snapshot itself when nothing is frozen (always the same pointer for the
  // same snapshot and refusals).
  snapshot::SnapshotPtr view(const ClientClass& c, const snapshot::SnapshotPtr& wanted);

  std::vector<const Refused*> list() const;  // by class, scope, type, name
  std::vector<const Refused*> list(const ClientClass& c, std::string_view scope) const;
  // The quarantine's memory as a document, last good resources included, for --state-dir; restore() replaces all.
  doc::Value to_doc() const;
  absl::Status restore(const doc::Value& value);

 private:
  struct Key {
    ClientClass client_class;
    std::string scope;
    Type type;
    std::string name;
  };
  using GoodKey = std::tuple<ClientClass, std::string, Type>;
  using ViewKey = std::pair<ClientClass, std::string>;
  // All of them are looked up with every push and every ACK: without a copy.
  struct ByParts {
    using is_transparent = void;
    using KeyParts = std::tuple<std::string_view, std::string_view, Type, std::string_view>;
    using GoodParts = std::tuple<std::string_view, std::string_view, Type>;
    using ViewParts = std::pair<std::string_view, std::string_view>;
    static KeyParts parts(const Key& k) { return {k.client_class.name, k.scope, k.type, k.name}; }
    static GoodParts parts(const GoodKey& k) { return {std::get<0>(k).name, std::get<1>(k), std::get<2>(k)}; }
    static ViewParts parts(const ViewKey& k) { return {k.first.name, k.second}; }
    static const KeyParts& parts(const KeyParts& k) { return k; }
    static const GoodParts& parts(const GoodParts& k) { return k; }
    static const ViewParts& parts(const ViewParts& k) { return k; }
    bool operator()(const auto& a, const auto& b) const { return parts(a) < parts(b); }
  };
  struct Cached {
    snapshot::SnapshotPtr wanted, seen;
    uint64_t epoch = 0;
  };
  bool freeze_if_due(Refused& r);
  ResourcePtr last_good(const ByParts::GoodParts& key, const std::string& name, const ContentHash& refused) const;

  size_t threshold_;
  uint64_t epoch_ = 0;  // rises when any freeze changes
  std::map<Key, Refused, ByParts> refused_;
  using Good = std::map<GoodKey, snapshot::TypeSetPtr, ByParts>;
  Good good_;  // last accepted, with what was refused in it replaced; none is ever taken out
  Good::value_type* latest_ = nullptr;  // accepted: of a change the ACKs come one after the other
  std::map<ClientClass, std::map<std::string, int>> nodes_;  // id -> streams
  std::map<ViewKey, Cached, ByParts> views_;
};

}  // namespace fairlead::verdict
