// See parameters.h.
#include "adapters/provision/parameters.h"

#include <algorithm>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "adapters/object/rejections.h"
#include "base/doc_reader.h"
#include "base/status.h"

namespace fairlead::adapters::provision {

namespace {

// Fields whose own fields are joined, not taken as a whole.
constexpr std::string_view kGroups[] = {"placement", "service", "autoscaling", "podDisruptionBudget", "resources"};

// A map, left as it is: what may stand in it is the API server's to know.
doc::Value as_it_is(doc::Object& o, std::string_view key) {
  const doc::Reader reader = o.get(key);
  if (!reader.present()) return {};
  if (!reader.value().is_map()) {
    o.error(key, absl::StrCat("expected a map, got ", reader.value().describe()));
    return {};
  }
  return reader.value();
}

// A count or a share, "30%".
doc::Value number_or_percent(doc::Object& o, std::string_view key) {
  const doc::Reader reader = o.get(key);
  if (!reader.present()) return {};
  const doc::Value& v = reader.value();
  int percent = 0;
  const bool count = v.kind() == doc::Kind::integer && v.as_integer() >= 0;
  const bool share = v.is_string() && absl::EndsWith(v.as_string(), "%") && absl::SimpleAtoi(v.as_string().substr(0, v.as_string().size() - 1), &percent) && percent >= 0 && percent <= 100;
  if (!count && !share) o.error(key, absl::StrCat("expected a number or a percentage like \"30%\", got ", v.describe()));
  return v;
}

void read_placement(doc::Object o, ErrorList& errors, Parameters& p) {
  if (o.has("nodeSelector")) {
    o.string_map("nodeSelector");
    p.node_selector = o.reader().get("nodeSelector").value();
  }
  const std::vector<doc::Reader> tolerations = o.list("tolerations");
  for (const doc::Reader& item : tolerations) {
    doc::Object t(item, errors);
    t.string("key");
    t.choice("operator", {"Exists", "Equal"});
    t.string("value");
    t.choice("effect", {"NoSchedule", "PreferNoSchedule", "NoExecute"});
    t.integer("tolerationSeconds", 0);
    t.finish();
  }
  if (!tolerations.empty()) p.tolerations = o.reader().get("tolerations").value();
  p.affinity = as_it_is(o, "affinity");
  p.priority_class = o.string_or("priorityClassName", "");
  o.finish();
}

void read_service(doc::Object o, Parameters& p) {
  p.service_type = o.choice("type", {"ClusterIP", "NodePort", "LoadBalancer"}).value_or(p.service_type);
  p.service_annotations = o.string_map("annotations");
  p.load_balancer_class = o.string_or("loadBalancerClass", "");
  p.external_traffic = o.choice("externalTrafficPolicy", {"Local", "Cluster"}).value_or(p.external_traffic);
  o.finish();
}

void read_autoscaling(doc::Object o, Parameters& p) {
  if (!o.present()) return;
  Autoscaling a;
  a.min = o.integer_or("minReplicas", a.min, 1, 1000);
  if (!o.has("maxReplicas")) o.error("maxReplicas", "is required");
  a.max = o.integer_or("maxReplicas", std::max(a.min, a.max), 1, 1000);
  a.cpu = o.integer_or("cpu", a.cpu, 1, 1000);
  if (a.min > a.max) o.error("minReplicas", absl::StrCat(a.min, " is more than maxReplicas, ", a.max));
  p.autoscaling = a;
  o.finish();
}

void read_budget(doc::Object o, Parameters& p) {
  p.budget = o.boolean_or("enabled", true);
  p.min_available = number_or_percent(o, "minAvailable");
  p.max_unavailable = number_or_percent(o, "maxUnavailable");
  if (!p.min_available.is_null() && !p.max_unavailable.is_null()) o.error("maxUnavailable", "must not be given beside minAvailable");
  o.finish();
}

// `alone`: of one object, whose fields must fit together; else of several, where the narrower ones count.
Parameters read_spec(doc::Object spec, ErrorList& errors, bool alone) {
  Parameters p;
  const std::string kind = spec.choice("kind", {"Deployment", "DaemonSet", "Attached"}).value_or("Deployment");
  p.kind = kind == "DaemonSet" ? Parameters::Kind::kDaemonSet : kind == "Attached" ? Parameters::Kind::kAttached : Parameters::Kind::kDeployment;
  if (alone && kind != "Deployment" && (spec.has("autoscaling") || spec.has("replicas"))) {
    spec.error(spec.has("autoscaling") ? "autoscaling" : "replicas", absl::StrCat("a ", kind, " has no number of replicas"));
  }
  if (alone && spec.has("autoscaling") && spec.has("replicas")) spec.error("replicas", "must not be given beside autoscaling");
  p.replicas = spec.integer_or("replicas", p.replicas, 0, 1000);
  p.image = spec.string_or("image", "");
  p.pull_policy = spec.choice("imagePullPolicy", {"Always", "IfNotPresent", "Never"}).value_or(p.pull_policy);
  for (const doc::Reader& item : spec.list("imagePullSecrets")) {
    doc::Object ref(item, errors);
    p.pull_secrets.push_back(ref.required_string("name"));
    ref.finish();
  }
  p.log_level = spec.choice("logLevel", {"trace", "debug", "info", "warning", "error", "critical", "off"}).value_or(p.log_level);
  p.concurrency = spec.integer_or("concurrency", p.concurrency, 0, 1024);
  p.drain_seconds = spec.integer_or("drainSeconds", p.drain_seconds, 0, 86'400);
  p.resources = as_it_is(spec, "resources");
  read_placement(spec.object("placement"), errors, p);
  read_service(spec.object("service"), p);
  read_autoscaling(spec.object("autoscaling"), p);
  read_budget(spec.object("podDisruptionBudget"), p);
  p.bootstrap = as_it_is(spec, "bootstrap");
  spec.finish();
  return p;
}

doc::Value spec_of(const Object* object) {
  const doc::Value* spec = object ? object->body.find("spec") : nullptr;
  return spec && spec->is_map() ? *spec : doc::map({});
}

}  // namespace

Parameters read_parameters(const Object& object, std::vector<Diagnostic>& out) {
  ErrorList errors;
  Parameters p;
  {
    doc::Object top(doc::Reader(object.body), errors);
    for (std::string_view field : {"apiVersion", "kind", "metadata", "status"}) top.ignore(field);
    p = read_spec(top.object("spec"), errors, true);
  }
  add_errors(errors, object, out);
  return p;
}

Parameters join_parameters(const Object* of_class, const Object* of_gateway) {
  doc::Value joined = spec_of(of_class);
  for (const doc::Entry& e : spec_of(of_gateway).entries()) {
    doc::Value value = e.value;
    for (std::string_view group : kGroups) {
      const doc::Value* there = joined.find(e.key);
      if (e.key != group || there == nullptr || !value.is_map()) continue;
      value = *there;
      for (const doc::Entry& inner : e.value.entries()) {
        // the one excludes the other
        if (e.key == "podDisruptionBudget" && inner.key == "minAvailable") value = doc::without(value, "maxUnavailable");
        if (e.key == "podDisruptionBudget" && inner.key == "maxUnavailable") value = doc::without(value, "minAvailable");
        value = doc::with(value, inner.key, inner.value);
      }
    }
    if (e.key == "replicas") joined = doc::without(joined, "autoscaling");
    joined = doc::with(joined, e.key, std::move(value));
  }
  ErrorList unread;  // each has passed its check; minReplicas above the other's maxReplicas is for the autoscaler to refuse
  return read_spec(doc::Object(doc::Reader(joined), unread), unread, false);
}

StatusSink report_parameters(const ObjectSnapshot& objects) {
  StatusSink out;
  for (const auto& [key, object] : objects.of(kGroup, kKind)) out.set(key, {}, {"Accepted", Truth::kTrue, "Accepted", "it is valid", object->generation});
  Rejections(objects, kGroup).report(kKind, out);
  return out;
}

bool check_parameters(const Object& object, std::vector<Diagnostic>& out) {
  if (version_of(object.api_version) != "v1alpha1") {
    out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, "apiVersion", absl::StrCat(kKind, " is read in version ", kGroup, "/v1alpha1 only, not ", object.api_version)});
  } else {
    read_parameters(object, out);
  }
  return true;
}

std::vector<WatchedKind> watched_kinds() {
  WatchedKind kind{std::string(kGroup), "gatewayparameters", std::string(kKind), {"v1alpha1"}};
  kind.optional = true;
  return {kind};
}

}  // namespace fairlead::adapters::provision
