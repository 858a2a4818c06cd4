// Golden folder of data planes: tests/golden/provision/NAME.in.yaml -> NAME.out.yaml. In: objects as `kubectl get -o yaml` gives them; out: for each
// Gateway whether it has a data plane of its own, the objects of that and where it is reached. FAIRLEAD_REGENERATE=1 rewrites the outputs: read the diff.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "adapters/gatewayapi/translate.h"
#include "adapters/provision/data_plane.h"
#include "adapters/provision/nodes.h"
#include "adapters/provision/parameters.h"
#include "base/file.h"

namespace fairlead::adapters::provision {
namespace {

const std::string kFolder = std::string(FAIRLEAD_SOURCE_DIR) + "/tests/golden/provision";

Options options() {
  Options o;
  o.controller = "fairlead.io/gateway-controller";
  o.image = "fairlead/proxy:1";
  o.xds_address = "fairlead.fairlead-system.svc:18000";
  return o;
}

ObjectSnapshotPtr world(const std::string& yaml, std::vector<Diagnostic>* told = nullptr) {
  Store store;
  gatewayapi::register_groups(store);
  store.register_group(std::string(kGroup), check_parameters);
  SourceUpdate update;
  update.source = "kubernetes";
  update.synced = true;
  const auto documents = doc::parse_yaml(yaml, "");  // as from an API server: without lines
  INFO(documents.status().message());
  REQUIRE(documents.ok());
  for (const doc::Value& d : *documents) {
    if (ObjectPtr o = read_object(d, "kubernetes", "", update.diagnostics)) update.upserted.push_back(o);
  }
  store.apply(update);
  if (told) *told = store.snapshot()->diagnostics();
  return store.snapshot();
}

std::string make_case(const std::string& name) {
  const absl::StatusOr<std::string> text = read_file(kFolder + "/" + name + ".in.yaml");
  REQUIRE(text.ok());
  std::vector<Diagnostic> told;
  const ObjectSnapshotPtr objects = world(*text, &told);
  const StatusSink said = gatewayapi::translate(*objects).status;
  Options o = options();
  Credentials credentials{"certificate", "key", "authority"};
  if (absl::StrContains(*text, "# TLS issued")) o.tls = Options::Tls::kIssued;
  if (absl::StrContains(*text, "# TLS secret")) o.tls = Options::Tls::kSecret, o.tls_secret = "fairlead-xds-client";
  std::string out;
  for (const Diagnostic& d : told) absl::StrAppend(&out, "# ", d.str(), "\n");
  for (const Plan& plan : survey(*objects, said, o)) {
    absl::StrAppend(&out, "# ", plan.gateway->key.str(), ": ", plan.state == Plan::State::kManaged ? "managed" : plan.state == Plan::State::kHeld ? "held, " : "attached", plan.why, "\n");
    if (const auto at = reach(*objects, plan.gateway->key, o)) {
      absl::StrAppend(&out, "# reached at");
      for (const std::string& a : at->addresses) absl::StrAppend(&out, " ", a);
      absl::StrAppend(&out, at->missing.empty() ? "" : absl::StrCat(" nothing: ", at->missing), at->note.empty() ? "" : absl::StrCat("; ", at->note), "\n");
    }
    if (plan.state != Plan::State::kManaged) continue;
    const auto made = make_objects(plan, o, o.tls == Options::Tls::kIssued ? &credentials : nullptr);
    REQUIRE(made.ok());
    for (const doc::Value& object : *made) absl::StrAppend(&out, doc::to_yaml(object), "---\n");
  }
  return out;
}

TEST_CASE("Gateways and parameters become the objects of the golden folder") {
  const bool regenerate = std::getenv("FAIRLEAD_REGENERATE") != nullptr;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string file = entry.path().filename();
    if (const size_t end = file.rfind(".in.yaml"); end != std::string::npos) names.push_back(file.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  CHECK(names.size() >= 6);
  for (const std::string& name : names) {
    INFO("case " << name);
    const std::string got = make_case(name), path = kFolder + "/" + name + ".out.yaml";
    if (regenerate) REQUIRE(replace_file(path, got).ok());
    const absl::StatusOr<std::string> want = read_file(path);
    REQUIRE(want.ok());
    CHECK(got == *want);
  }
}

constexpr char kClass[] = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead}
spec: {controllerName: fairlead.io/gateway-controller}
---
)";

std::string gateway(const std::string& name) {
  return absl::StrCat("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ", name, ", namespace: shop, uid: u1}\n",
                      "spec: {gatewayClassName: fairlead, listeners: [{name: http, port: 80, protocol: HTTP}]}\n---\n");
}

TEST_CASE("names of objects are those of Services, whatever a Gateway is called, and differ where Gateways do") {
  std::string yaml = kClass;
  std::set<std::string> names;
  const std::string longest(240, 'a');
  for (const std::string& name : {std::string("edge"), std::string("edge.v1"), std::string("edge-v1"), std::string("1st"), longest, longest + "b"}) yaml += gateway(name);
  const ObjectSnapshotPtr objects = world(yaml);
  for (const Plan& plan : survey(*objects, gatewayapi::translate(*objects).status, options())) {
    CHECK(plan.name.size() <= 63);
    CHECK(std::all_of(plan.name.begin(), plan.name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }));
    CHECK((plan.name.front() >= 'a' && plan.name.back() != '-'));
    names.insert(plan.name);
    const auto made = make_objects(plan, options());
    REQUIRE(made.ok());
    for (const doc::Entry& label : made->front().find_path("metadata.labels")->entries()) CHECK(label.value.as_string().size() <= 63);
  }
  CHECK(names.size() == 6);
  CHECK(names.contains("edge-fairlead"));
}

std::string errors_of(const std::string& spec) {
  std::vector<Diagnostic> told;
  world(absl::StrCat("apiVersion: fairlead.io/v1alpha1\nkind: GatewayParameters\nmetadata: {name: p}\nspec: ", spec, "\n"), &told);
  std::string out;
  for (const Diagnostic& d : told) absl::StrAppend(&out, d.field, ": ", d.message, "\n");
  return out;
}

TEST_CASE("parameters that cannot be are told with their field") {
  CHECK(errors_of("{kind: Deployment, replicas: 3, podDisruptionBudget: {minAvailable: 50%}}") == "");
  CHECK(absl::StrContains(errors_of("{kind: StatefulSet}"), "spec.kind"));
  CHECK(absl::StrContains(errors_of("{kind: DaemonSet, replicas: 3}"), "spec.replicas: a DaemonSet has no number of replicas"));
  CHECK(absl::StrContains(errors_of("{replicas: 3, autoscaling: {maxReplicas: 4}}"), "spec.replicas: must not be given beside autoscaling"));
  CHECK(absl::StrContains(errors_of("{autoscaling: {minReplicas: 3, maxReplicas: 2}}"), "spec.autoscaling.minReplicas: 3 is more than maxReplicas, 2"));
  CHECK(absl::StrContains(errors_of("{autoscaling: {}}"), "spec.autoscaling.maxReplicas: is required"));
  CHECK(absl::StrContains(errors_of("{podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}}"), "spec.podDisruptionBudget.maxUnavailable"));
  CHECK(absl::StrContains(errors_of("{podDisruptionBudget: {minAvailable: half}}"), "spec.podDisruptionBudget.minAvailable: expected a number or a percentage"));
  CHECK(absl::StrContains(errors_of("{placement: {tolerations: [{operator: Sometimes}]}}"), "spec.placement.tolerations[0].operator"));
  CHECK(absl::StrContains(errors_of("{service: {typ: ClusterIP}}"), "did you mean 'type'"));
  CHECK(absl::StrContains(errors_of("{bootstrap: 3}"), "spec.bootstrap: expected a map"));
}

TEST_CASE("each GatewayParameters object is told whether it is valid, in the generation that it is said of") {
  const std::string object = "apiVersion: fairlead.io/v1alpha1\nkind: GatewayParameters\nmetadata: {name: ", key = "Accepted";
  const ObjectSnapshotPtr objects = world(
      absl::StrCat(object, "good, generation: 2}\nspec: {replicas: 3}\n---\n", object, "bad, generation: 3}\nspec: {replicas: many, kind: StatefulSet}\n"));
  const StatusSink said = report_parameters(*objects);
  const Condition* good = said.find({"fairlead.io", "GatewayParameters", "default", "good"}, {}, key);
  const Condition* bad = said.find({"fairlead.io", "GatewayParameters", "default", "bad"}, {}, key);
  REQUIRE(good);
  REQUIRE(bad);
  CHECK(*good == Condition{"Accepted", Truth::kTrue, "Accepted", "it is valid", 2});
  CHECK(bad->status == Truth::kFalse);
  CHECK(bad->observed_generation == 3);
  CHECK(absl::StrContains(bad->message, "spec.replicas: "));
  CHECK(absl::StrContains(bad->message, "spec.kind: "));
}

TEST_CASE("what is known of nodes decides where a Service of type NodePort is reached, where they may be read") {
  const absl::StatusOr<std::string> text = read_file(kFolder + "/node_port.in.yaml");
  REQUIRE(text.ok());
  const ObjectSnapshotPtr objects = world(*text);
  const ObjectKey edge{"gateway.networking.k8s.io", "Gateway", "shop", "edge"};
  Options o = options();
  CHECK(reach(*objects, edge, o)->addresses == std::vector<std::string>{"10.96.0.9"});
  o.node_addresses = true;
  CHECK(reach(*objects, edge, o)->unknown);
  Nodes nodes;
  CHECK(reach(*objects, edge, o, &nodes)->unknown);
  SourceUpdate update;
  update.diagnostics.push_back({Severity::kError, {"", "Node", "", ""}, "", 0, "", "Node: list: 403: forbidden"});
  nodes.take(update);
  CHECK(reach(*objects, edge, o, &nodes)->missing == "the nodes' addresses cannot be told: Node: list: 403: forbidden");
  CHECK_FALSE(reach(*objects, edge, o, &nodes)->unknown);
  update = {};
  update.synced = true;
  nodes.take(update);
  CHECK(absl::StrContains(reach(*objects, edge, o, &nodes)->missing, "no node has a ready proxy of Service shop/edge-fairlead"));
  CHECK(reach(*objects, edge, o, &nodes)->note == "its Service's ports are these of the nodes: 80/TCP is 30080");
}

TEST_CASE("an address of the control plane that makes no bootstrap is told from the start") {
  Options o = options();
  CHECK(check_options(o).ok());
  o.xds_address = "nowhere";
  CHECK_FALSE(check_options(o).ok());
  o.xds_address = "10.0.0.1:18000";
  CHECK(check_options(o).ok());
  o.tls = Options::Tls::kIssued;  // for which name would its certificate be?
  CHECK_FALSE(check_options(o).ok());
}

}  // namespace
}  // namespace fairlead::adapters::provision
