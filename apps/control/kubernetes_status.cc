// See kubernetes_status.h.
#include "apps/control/kubernetes_status.h"

#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "adapters/gatewayapi/schema.h"
#include "apps/pipeline/proxies_said.h"
#include "base/log.h"

namespace fairlead::control {

namespace k8s = adapters::kubernetes;

namespace {

constexpr std::string_view kLease = "fairlead-control";

// Asks the serving thread, and for more than a number only when that has changed.
class Asker {
 public:
  explicit Asker(serve::XdsServer& server) : server_(server) {}

  std::optional<k8s::Verdicts> operator()(bool anew) {
    struct Answer {
      uint64_t epoch = 0;
      std::optional<verdict::Progress> progress;
    };
    const Answer answer = server_.ask<Answer>([this, anew](serve::Core& core) {
      Answer out;
      out.epoch = core.progress_epoch();
      if (anew || out.epoch != epoch_) out.progress = core.progress();
      return out;
    });
    if (!answer.progress) return std::nullopt;
    epoch_ = answer.epoch;
    return pipeline::proxies_said(*answer.progress);
  }

 private:
  serve::XdsServer& server_;
  uint64_t epoch_ = 0;
};

}  // namespace

KubernetesStatus::KubernetesStatus(Options options, serve::XdsServer& server, const Clock& clock) : options_(std::move(options)), identity_(k8s::make_identity()) {
  k8s::ApiClient::Options api;
  api.credentials = options_.credentials;
  api.user_agent = "fairlead-control/" FAIRLEAD_VERSION;
  const std::string ns = options_.lease_namespace.empty() ? options_.credentials.ns : options_.lease_namespace;
  k8s::StatusWriter::Options writer;
  writer.api = api;
  writer.identity = identity_;
  writer.keeper.source = options_.source;
  writer.keeper.controller = adapters::gatewayapi::kControllerName;
  for (const std::string& address : options_.addresses) writer.keeper.addresses.push_back(k8s::address_of(address));
  if (options_.leader_election) {
    writer.lease = {"coordination.k8s.io", "Lease", ns, std::string(kLease)};
    elector_ = std::make_unique<k8s::LeaderElector>(k8s::Election::Options{ns, std::string(kLease), identity_}, api, clock, [this](bool leading, const std::string& holder) {
      FL_LOG(info, "leader", leading ? absl::StrCat("this replica writes status from now on, as ", identity_) : absl::StrCat("this replica writes no status; ", holder.empty() ? "nobody" : holder, " does"));
      writer_->wake();
      if (provisioner_) provisioner_->wake();
    });
  }
  if (elector_) {
    writer.tell_leader = [this](std::string report) { elector_->set_report(std::move(report)); };
    writer.told = [this] { return elector_->reports(); };
  }
  const auto leading = [this] { return !elector_ || elector_->leading(); };
  if (options_.planes) {
    writer.keeper.features = {"GatewayInfrastructure"};  // Gateway API v1.6: labels, annotations and parametersRef of spec.infrastructure
    provisioner_ = std::make_unique<k8s::Provisioner>(provisioner_options(api), clock, leading);
    writer.keeper.plane = [this](const adapters::ObjectSnapshot& objects, const adapters::ObjectKey& gateway) -> std::optional<k8s::Plane> {
      const std::shared_ptr<const adapters::provision::Nodes> nodes = provisioner_->nodes();
      const std::optional<adapters::provision::Reach> reach = adapters::provision::reach(objects, gateway, options_.planes->options, nodes.get());
      if (!reach) return std::nullopt;
      k8s::Plane plane{{}, reach->missing, provisioner_->trouble(gateway), reach->note, reach->unknown};
      for (const std::string& address : reach->addresses) plane.addresses.push_back(k8s::address_of(address));
      return plane;
    };
  }
  writer_ = std::make_unique<k8s::StatusWriter>(std::move(writer), clock, leading, Asker(server));
}

k8s::Provisioner::Options KubernetesStatus::provisioner_options(const k8s::ApiClient::Options& api) {
  k8s::Provisioner::Options out;
  out.source = options_.source;
  out.planes = options_.planes->options;
  out.issuer = options_.planes->issuer;
  out.api = api;
  out.changed = [this] { say_again(); };
  return out;
}

void KubernetesStatus::said(std::shared_ptr<const adapters::StatusSink> said, adapters::ObjectSnapshotPtr objects) {
  {
    std::lock_guard lock(mutex_);
    said_ = said;
    objects_ = objects;
  }
  if (provisioner_) provisioner_->update(said, objects);
  writer_->update(std::move(said), std::move(objects));
}

// What stands in the way of a data plane has changed.
void KubernetesStatus::say_again() {
  std::unique_lock lock(mutex_);
  if (said_) writer_->update(said_, objects_);
}

// The writer first: nothing is written once the Lease is given back.
void KubernetesStatus::stop() {
  if (provisioner_) provisioner_->stop();
  writer_->stop();
  if (elector_) elector_->stop();
}

void KubernetesStatus::start() {
  writer_->start();
  if (provisioner_) provisioner_->start();
  if (elector_) elector_->start();
}

doc::Value KubernetesStatus::to_doc() const {
  const bool writes = !elector_ || elector_->leading();
  std::vector<doc::Entry> out{{"source", doc::string(options_.source), {}}, {"writes", doc::boolean(writes), {}}, {"identity", doc::string(identity_), {}}};
  if (elector_) {
    const k8s::Credentials& c = options_.credentials;
    out.push_back({"leader", doc::string(elector_->holder()), {}});
    out.push_back({"lease", doc::string(absl::StrCat(options_.lease_namespace.empty() ? c.ns : options_.lease_namespace, "/", kLease)), {}});
  }
  return doc::map(std::move(out));
}

}  // namespace fairlead::control
