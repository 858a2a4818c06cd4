// GatewayParameters, how the data plane of a Gateway is to be run: read strictly, joined from those of its class and its own. Pure; any thread.
// Of the two the Gateway's come first, field by field: what spec.service, spec.placement, … hold is joined one level deep, anything else (a list,
// resources.requests, bootstrap) is taken as a whole.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"
#include "base/doc.h"

namespace fairlead::adapters::provision {

inline constexpr std::string_view kGroup = "fairlead.io";
inline constexpr std::string_view kKind = "GatewayParameters";

struct Autoscaling {
  int64_t min = 2, max = 10, cpu = 80;  // cpu: percent of what is requested; HorizontalPodAutoscaler's own default
};

struct Parameters {
  enum class Kind { kDeployment, kDaemonSet, kAttached };
  Kind kind = Kind::kDeployment;
  int64_t replicas = 2;
  std::string image;                     // empty: the control plane's flag
  std::string pull_policy = "IfNotPresent";
  std::vector<std::string> pull_secrets;
  std::string log_level = "info";
  int64_t concurrency = 0;               // 0: as many as there are CPUs
  int64_t drain_seconds = 30;
  doc::Value resources;                  // as in a container; null: requests only
  doc::Value node_selector, tolerations, affinity;  // as in a pod; null: none, of affinity other nodes are preferred
  std::string priority_class;
  std::string service_type = "LoadBalancer";
  std::map<std::string, std::string> service_annotations;
  std::string load_balancer_class;
  std::string external_traffic = "Local";  // keeps clients' addresses
  std::optional<Autoscaling> autoscaling;
  bool budget = true;
  doc::Value min_available, max_unavailable;  // a number or "30%"; both null: one may be away
  doc::Value bootstrap;                  // added to the bootstrap; null: nothing
};

// Fields that cannot be are errors with their path; what is wrong only together with another field is, too.
Parameters read_parameters(const Object& object, std::vector<Diagnostic>& out);

// What the class and the Gateway ask for together, either of which may be null. Of objects that have passed their check.
Parameters join_parameters(const Object* of_class, const Object* of_gateway);

// Accepted, of each object: whether it is valid, whoever refers to it.
StatusSink report_parameters(const ObjectSnapshot& objects);

// For Store::register_group(kGroup, …), of objects of this kind.
bool check_parameters(const Object& object, std::vector<Diagnostic>& out);

// The kind as sources ask for it: a CRD, which may be missing.
std::vector<WatchedKind> watched_kinds();

}  // namespace fairlead::adapters::provision
