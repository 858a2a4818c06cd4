// The objects of a Gateway's own data plane. See data_plane.h.
#include <algorithm>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "adapters/provision/bootstrap.h"
#include "adapters/provision/data_plane.h"
#include "adapters/provision/values.h"
#include "base/digest.h"
#include "base/hash.h"

namespace fairlead::adapters::provision {

namespace {

using doc::Value;

constexpr int64_t kUser = 65532;     // "nonroot" of the images
constexpr int64_t kGrace = 15;       // seconds beyond the drain, for what ends by itself
constexpr size_t kMostLabel = 63;
constexpr std::string_view kGatewayLabel = "gateway.networking.k8s.io/gateway-name", kClassLabel = "gateway.networking.k8s.io/gateway-class-name",
                           kComponentLabel = "app.kubernetes.io/component";

Value number(int64_t n) { return doc::integer(n); }
Value yes() { return doc::boolean(true); }
Value no() { return doc::boolean(false); }
Value items(std::vector<Value> all) { return doc::list(std::move(all)); }
Value strings(const std::map<std::string, std::string>& fields) {
  std::vector<doc::Entry> entries;
  for (const auto& [key, value] : fields) entries.push_back({key, text(value), {}});
  return doc::map(std::move(entries));
}

// A name as a label's value.
std::string label_value(const std::string& name) {
  if (name.size() <= kMostLabel) return name;
  std::string cut = name.substr(0, kMostLabel - 9);
  while (!absl::ascii_isalnum(static_cast<unsigned char>(cut.back()))) cut.pop_back();
  return absl::StrCat(cut, "-", hex64(xx_hash64(name)).substr(0, 8));
}

std::map<std::string, std::string> strings_at(const Value& value, std::string_view path) {
  std::map<std::string, std::string> out;
  const Value* v = value.find_path(path);
  for (const doc::Entry& e : v ? v->entries() : std::span<const doc::Entry>()) {
    if (e.value.is_string()) out[e.key] = e.value.as_string();
  }
  return out;
}

class Maker {
 public:
  Maker(const Plan& plan, const Options& options, const Credentials* credentials)
      : plan_(plan), p_(plan.parameters), options_(options), credentials_(credentials), gateway_(*plan.gateway) {
    // Ours last: a selector must not depend on what a user writes.
    labels_ = strings_at(gateway_.body, "spec.infrastructure.labels");
    annotations_ = strings_at(gateway_.body, "spec.infrastructure.annotations");
    selector_ = {{std::string(kComponentLabel), "proxy"}, {std::string(kGatewayLabel), label_value(gateway_.key.name)}};
    for (const auto& [key, value] : selector_) labels_[key] = value;
    labels_[std::string(kClassLabel)] = label_value(plan.class_name);
    labels_["app.kubernetes.io/name"] = "fairlead-proxy";
    labels_[std::string(kManagedByLabel)] = std::string(kManager);
  }

  absl::StatusOr<std::vector<Value>> make() const {
    absl::StatusOr<std::string> bootstrap = this->bootstrap();
    if (!bootstrap.ok()) return bootstrap.status();
    std::vector<Value> out;
    out.push_back(object("v1", "ServiceAccount", plan_.name, {}, {{"automountServiceAccountToken", no()}}));
    if (credentials_) out.push_back(secret());
    out.push_back(service());
    const bool of_nodes = p_.kind == Parameters::Kind::kDaemonSet;
    out.push_back(workload(of_nodes, *bootstrap));
    if (p_.budget && (!of_nodes || p_.min_available.kind() == doc::Kind::integer)) out.push_back(budget());
    if (p_.autoscaling && !of_nodes) out.push_back(autoscaler());
    return out;
  }

 private:
  bool tls() const { return options_.tls != Options::Tls::kNone; }

  Value object(std::string_view api_version, std::string_view kind, const std::string& name, const std::map<std::string, std::string>& annotations, Fields rest) const {
    std::map<std::string, std::string> all = annotations_;
    for (const auto& [key, value] : annotations) all[key] = value;
    const Value* uid = gateway_.body.find_path("metadata.uid");
    // Without blockOwnerDeletion, which would need a permission on Gateways' finalizers and helps nobody here.
    const Value owner = map({{"apiVersion", text(gateway_.api_version)}, {"kind", text("Gateway")}, {"name", text(gateway_.key.name)}, {"uid", uid ? *uid : text("")}, {"controller", yes()}});
    Fields metadata{{"name", text(name)}, {"namespace", text(gateway_.key.ns)}, {"labels", strings(labels_)}, {"ownerReferences", items({owner})}};
    if (!all.empty()) metadata.emplace_back("annotations", strings(all));
    Fields fields{{"apiVersion", text(api_version)}, {"kind", text(kind)}, {"metadata", map(std::move(metadata))}};
    for (auto& field : rest) fields.push_back(std::move(field));
    return map(std::move(fields));
  }

  Value secret() const {
    const auto data = [](const std::string& pem) { return text(absl::Base64Escape(pem)); };
    // not kubernetes.io/tls: Secrets of that type are what Gateways may show, and are held in memory
    return object("v1", "Secret", credentials_key(plan_).name, {},
                  {{"type", text("Opaque")}, {"data", map({{"ca.crt", data(credentials_->authority)}, {"tls.crt", data(credentials_->certificate)}, {"tls.key", data(credentials_->key)}})}});
  }

  Value service() const {
    std::vector<Value> ports;
    for (const auto& [port, protocol] : plan_.ports) {
      const std::string name = port_name(port, protocol);
      ports.push_back(map({{"name", text(name)}, {"protocol", text(protocol)}, {"port", number(port)}, {"targetPort", text(name)}}));
    }
    Fields spec{{"type", text(p_.service_type)}, {"selector", strings(selector_)}, {"ports", items(std::move(ports))}};
    if (p_.service_type != "ClusterIP") spec.emplace_back("externalTrafficPolicy", text(p_.external_traffic));
    if (p_.service_type == "LoadBalancer") {
      if (!p_.load_balancer_class.empty()) spec.emplace_back("loadBalancerClass", text(p_.load_balancer_class));
      const Value* asked = gateway_.body.find_path("spec.addresses");
      const Value* first = asked && asked->size() > 0 ? asked->items()[0].find("value") : nullptr;
      // Out of favour since 1.24 for that it means something else to each cloud; there is no other word for it that all of them read.
      if (first && first->is_string() && !first->as_string().empty()) spec.emplace_back("loadBalancerIP", *first);
    }
    return object("v1", "Service", plan_.name, p_.service_annotations, {{"spec", map(std::move(spec))}});
  }

  static std::string port_name(int64_t port, const std::string& protocol) { return absl::StrCat(absl::AsciiStrToLower(protocol), "-", port); }

  absl::StatusOr<std::string> bootstrap() const {
    BootstrapOptions o;
    o.id = plan_.name;  // in each pod that pod's name takes its place
    o.gateway = absl::StrCat(gateway_.key.ns, "/", gateway_.key.name);
    o.xds_address = options_.xds_address;
    o.readiness_port = options_.readiness_port;
    if (tls()) {
      o.tls_ca = "/etc/fairlead/tls/ca.crt";
      o.tls_cert = "/etc/fairlead/tls/tls.crt";
      o.tls_key = "/etc/fairlead/tls/tls.key";
    }
    absl::StatusOr<Value> document = bootstrap_document(o);
    if (!document.ok()) return document.status();
    // In arguments $(NAME) would be a variable of the container.
    return absl::StrReplaceAll(doc::to_json(p_.bootstrap.is_null() ? *document : merged(*document, p_.bootstrap)), {{"$(", "$$("}});
  }

  Value container(const std::string& bootstrap) const {
    std::vector<Value> args{text(absl::StrCat("--config-yaml=", bootstrap)), text("--service-node=$(POD_NAME)"), text(absl::StrCat("--drain-time-s=", p_.drain_seconds)),
                            text(absl::StrCat("--log-level=", p_.log_level))};
    if (p_.concurrency != 0) args.push_back(text(absl::StrCat("--concurrency=", p_.concurrency)));
    std::vector<Value> ports;
    for (const auto& [port, protocol] : plan_.ports) ports.push_back(map({{"name", text(port_name(port, protocol))}, {"containerPort", number(port)}, {"protocol", text(protocol)}}));
    ports.push_back(map({{"name", text("readiness")}, {"containerPort", number(options_.readiness_port)}, {"protocol", text("TCP")}}));
    std::vector<Value> mounts{map({{"name", text("tmp")}, {"mountPath", text("/tmp")}})};
    if (tls()) mounts.push_back(map({{"name", text("tls")}, {"mountPath", text("/etc/fairlead/tls")}, {"readOnly", yes()}}));
    const Value security = map({{"allowPrivilegeEscalation", no()}, {"readOnlyRootFilesystem", yes()}, {"privileged", no()}, {"capabilities", map({{"drop", items({text("ALL")})}})}});
    const Value pod_name = map({{"name", text("POD_NAME")}, {"valueFrom", map({{"fieldRef", map({{"fieldPath", text("metadata.name")}})}})}});
    const Value requests = map({{"requests", map({{"cpu", text("100m")}, {"memory", text("64Mi")}})}});
    return map({{"name", text("proxy")},
                {"image", text(p_.image.empty() ? options_.image : p_.image)},
                {"imagePullPolicy", text(p_.pull_policy)},
                {"securityContext", security},
                {"env", items({pod_name})},
                {"args", items(std::move(args))},
                {"ports", items(std::move(ports))},
                // Nothing listens there before the first configuration is in use.
                {"readinessProbe", map({{"httpGet", map({{"path", text("/ready")}, {"port", text("readiness")}})}, {"periodSeconds", number(5)}, {"failureThreshold", number(2)}})},
                {"resources", p_.resources.is_null() ? requests : p_.resources},
                {"volumeMounts", items(std::move(mounts))}});
  }

  Value pod(const std::string& bootstrap) const {
    // Ports below 1024 by the pod's own sysctl, one of those that Kubernetes calls safe, and not by NET_BIND_SERVICE: that would need a capability,
    // which `restricted` allows but a process without root only gets by file capabilities, and no_new_privs takes those away. Other target ports
    // would have the listeners' ports differ from those that the proxies are configured with.
    const Value sysctl = map({{"name", text("net.ipv4.ip_unprivileged_port_start")}, {"value", text("0")}});
    const Value security = map({{"runAsNonRoot", yes()}, {"runAsUser", number(kUser)}, {"runAsGroup", number(kUser)}, {"fsGroup", number(kUser)},
                                {"seccompProfile", map({{"type", text("RuntimeDefault")}})}, {"sysctls", items({sysctl})}});
    std::vector<Value> volumes{map({{"name", text("tmp")}, {"emptyDir", map({{"sizeLimit", text("64Mi")}})}})};
    if (tls()) {
      const std::string name = options_.tls == Options::Tls::kSecret ? options_.tls_secret : credentials_key(plan_).name;
      volumes.push_back(map({{"name", text("tls")}, {"secret", map({{"secretName", text(name)}, {"defaultMode", number(0440)}})}}));
    }
    std::vector<Value> pull_secrets;
    for (const std::string& name : p_.pull_secrets) pull_secrets.push_back(map({{"name", text(name)}}));
    const Value term = map({{"topologyKey", text("kubernetes.io/hostname")}, {"labelSelector", map({{"matchLabels", strings(selector_)}})}});
    const Value apart = map({{"podAntiAffinity", map({{"preferredDuringSchedulingIgnoredDuringExecution", items({map({{"weight", number(100)}, {"podAffinityTerm", term}})})}})}});
    return map({{"serviceAccountName", text(plan_.name)},
                {"automountServiceAccountToken", no()},
                {"terminationGracePeriodSeconds", number(p_.drain_seconds + kGrace)},
                {"securityContext", security},
                {"imagePullSecrets", pull_secrets.empty() ? Value() : items(std::move(pull_secrets))},
                {"nodeSelector", p_.node_selector},
                {"tolerations", p_.tolerations},
                {"affinity", p_.affinity.is_null() ? apart : p_.affinity},
                {"priorityClassName", p_.priority_class.empty() ? Value() : text(p_.priority_class)},
                {"containers", items({container(bootstrap)})},
                {"volumes", items(std::move(volumes))}});
  }

  Value workload(bool of_nodes, const std::string& bootstrap) const {
    std::map<std::string, std::string> annotations = annotations_;
    // Proxies read these files when they start: new ones are taken into service by new pods, one after the other.
    if (credentials_) annotations["fairlead.io/credentials"] = sha256_hex(absl::StrCat(credentials_->certificate, credentials_->authority)).substr(0, 16);
    Fields metadata{{"labels", strings(labels_)}};
    if (!annotations.empty()) metadata.emplace_back("annotations", strings(annotations));
    Fields spec{{"selector", map({{"matchLabels", strings(selector_)}})}, {"template", map({{"metadata", map(std::move(metadata))}, {"spec", pod(bootstrap)}})}};
    if (of_nodes) {
      spec.emplace_back("updateStrategy", map({{"type", text("RollingUpdate")}, {"rollingUpdate", map({{"maxUnavailable", number(1)}, {"maxSurge", number(0)}})}}));
    } else {
      if (!p_.autoscaling) spec.emplace_back("replicas", number(p_.replicas));  // else the autoscaler's
      spec.emplace_back("strategy", map({{"type", text("RollingUpdate")}, {"rollingUpdate", map({{"maxUnavailable", number(0)}, {"maxSurge", number(1)}})}}));
    }
    return object("apps/v1", of_nodes ? "DaemonSet" : "Deployment", plan_.name, {}, {{"spec", map(std::move(spec))}});
  }

  Value budget() const {
    Fields spec{{"selector", map({{"matchLabels", strings(selector_)}})}};
    if (!p_.min_available.is_null()) {
      spec.emplace_back("minAvailable", p_.min_available);
    } else {
      spec.emplace_back("maxUnavailable", p_.max_unavailable.is_null() ? number(1) : p_.max_unavailable);  // never in the way of a drain for good, as minAvailable is of one replica
    }
    return object("policy/v1", "PodDisruptionBudget", plan_.name, {}, {{"spec", map(std::move(spec))}});
  }

  Value autoscaler() const {
    const Value metric = map({{"type", text("Resource")}, {"resource", map({{"name", text("cpu")}, {"target", map({{"type", text("Utilization")}, {"averageUtilization", number(p_.autoscaling->cpu)}})}})}});
    return object("autoscaling/v2", "HorizontalPodAutoscaler", plan_.name, {},
                  {{"spec", map({{"scaleTargetRef", map({{"apiVersion", text("apps/v1")}, {"kind", text("Deployment")}, {"name", text(plan_.name)}})},
                                 {"minReplicas", number(p_.autoscaling->min)},
                                 {"maxReplicas", number(p_.autoscaling->max)},
                                 {"metrics", items({metric})}})}});
  }

  const Plan& plan_;
  const Parameters& p_;
  const Options& options_;
  const Credentials* const credentials_;
  const Object& gateway_;
  std::map<std::string, std::string> labels_, annotations_, selector_;
};

}  // namespace

const std::vector<ManagedKind>& managed_kinds() {
  static const std::vector<ManagedKind> kKinds{{"", "v1", "ServiceAccount", "serviceaccounts"},
                                               {"", "v1", "Secret", "secrets"},
                                               {"", "v1", "Service", "services"},
                                               {"apps", "v1", "Deployment", "deployments"},
                                               {"apps", "v1", "DaemonSet", "daemonsets"},
                                               {"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"},
                                               {"autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"}};
  return kKinds;
}

const ManagedKind* managed_kind(const ObjectKey& key) {
  for (const ManagedKind& k : managed_kinds()) {
    if (k.group == key.group && k.kind == key.kind) return &k;
  }
  return nullptr;
}

std::string object_path(const ManagedKind& kind, const ObjectKey& key) {
  return absl::StrCat(kind.group.empty() ? "/api/" : absl::StrCat("/apis/", kind.group, "/"), kind.version, "/namespaces/", key.ns, "/", kind.plural, "/", key.name);
}

absl::StatusOr<std::vector<doc::Value>> make_objects(const Plan& plan, const Options& options, const Credentials* credentials) {
  return Maker(plan, options, credentials).make();
}

}  // namespace fairlead::adapters::provision
