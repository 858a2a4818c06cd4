// Where the proxies of a Gateway are reached whose Service is of type NodePort: what is known of the cluster's nodes, and of where proxies are ready.
// A value without a thread of its own; fed with what a watch of nodes and of our Services' EndpointSlices brings.
// Invariant: the same nodes and slices give the same addresses, in the same order, whatever order they came in.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"

namespace fairlead::adapters::provision {

inline constexpr size_t kMostAddresses = 16;  // Gateway API v1: maxItems of status.addresses

class Nodes {
 public:
  // What it is to be fed with.
  static std::vector<WatchedKind> watched_kinds();

  // Whether anything that is said here has changed: nodes are written every few minutes with nothing new but the time.
  bool take(const SourceUpdate& update);

  bool known() const { return synced_; }                   // everything has been listed once
  const std::string& trouble() const { return trouble_; }  // why it cannot be

  // Of nodes that are ready the external addresses, else the internal ones, of the Service's families; the oldest nodes first, no more than may be told.
  // Where only nodes with a proxy answer (externalTrafficPolicy: Local), those alone. Empty: `why`.
  std::vector<std::string> addresses(const Object& service, std::string& why) const;

 private:
  struct Node {
    std::chrono::sys_seconds created{};
    bool ready = false;
    std::vector<std::string> external, internal;
    bool operator==(const Node&) const = default;
  };
  struct Slice {
    std::pair<std::string, std::string> service;  // namespace and name
    std::set<std::string> nodes;                  // with a ready endpoint
    bool operator==(const Slice&) const = default;
  };
  static Node read_node(const Object& object);
  static Slice read_slice(const Object& object);

  bool synced_ = false;
  std::string trouble_;
  std::map<std::string, Node> nodes_;
  std::map<ObjectKey, Slice> slices_;
};

// "80/TCP is 30080, 53/UDP is 30053": the Service's ports and the nodes'.
std::string node_ports(const Object& service);

}  // namespace fairlead::adapters::provision
