// See load_service.h.
#include "controlplane/serve/load_service.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "base/log.h"
#include "controlplane/stream/decode.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace fairlead::serve {

namespace lrs = envoy::service::load_stats::v3;
using resources::Type;

namespace {
// Such a client can be asked for all clusters it has, whatever they are; others get them by name.
constexpr std::string_view kAllClusters = "envoy.lrs.supports_send_all_clusters";
}  // namespace

// One client's reports; deletes itself with its call.
class LoadService::Stream final : public rpc::CallEvents {
 public:
  Stream(LoadService& service, rpc::Call& call) : service_(service), call_(call), id_(service.next_++) {}
  ~Stream() override {
    if (named_) service_.core_.loads().close(id_);
  }

  void on_message(std::string_view message) override {
    lrs::LoadStatsRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return end(absl::InvalidArgumentError("the request is not an envoy.service.load_stats.v3.LoadStatsRequest"));
    }
    const bool first = !named_;
    if (first) {
      if (absl::Status status = introduce(request); !status.ok()) return end(status);
      drop_timeless(request);
    }
    if (!first || request.cluster_stats_size() > 0) service_.core_.loads().report(id_, request, service_.clock_.monotonic());
    tell();
  }
  void on_client_done() override { end(absl::OkStatus()); }
  void on_closed() override { delete this; }
  void on_drain() override { end(absl::UnavailableError("the server is going away: connect again")); }

 private:
  absl::Status introduce(const lrs::LoadStatsRequest& request) {
    if (request.node().id().empty()) return absl::InvalidArgumentError("the first request of a stream must name its node: node.id is empty");
    node_ = cpstream::node_of(request.node());
    if (absl::Status status = service_.core_.may_be(*call_.peer(), node_); !status.ok()) return status;
    named_ = true;
    service_.core_.loads().open(id_, node_.id, call_.peer()->address);
    FL_LOG(info, "xds", "node ", node_.id, " reports its load every ", service_.options_.interval.count(), " s");
    return absl::OkStatus();
  }
  // Envoy 1.40 says in the first message of a stream what was done since the last one of the stream before. What is told without a time is no rate.
  static void drop_timeless(lrs::LoadStatsRequest& request) {
    auto& all = *request.mutable_cluster_stats();
    const auto timeless = [](const auto& stats) { return stats.load_report_interval().seconds() <= 0 && stats.load_report_interval().nanos() <= 0; };
    all.erase(std::remove_if(all.begin(), all.end(), timeless), all.end());
  }
  // What to report and how often, first and whenever that has changed.
  void tell() {
    const bool all = std::binary_search(node_.client_features.begin(), node_.client_features.end(), kAllClusters);
    const snapshot::TypeSetPtr clusters = all ? snapshot::TypeSet::empty_set() : service_.core_.clusters_of(node_);
    if (told_ == clusters) return;
    told_ = clusters;
    lrs::LoadStatsResponse response;
    response.mutable_load_reporting_interval()->set_seconds(service_.options_.interval.count());
    response.set_send_all_clusters(all);
    clusters->for_each([&](const resources::ResourcePtr& r) { response.add_clusters(r->name); });
    call_.send(net::Buffer(response.SerializeAsString()));
  }
  void end(const absl::Status& status) {
    call_.finish(status);
    delete this;
  }

  LoadService& service_;
  rpc::Call& call_;
  const LoadReports::Id id_;
  bool named_ = false;
  snapshot::Node node_;
  snapshot::TypeSetPtr told_;  // null: nothing yet
};

void LoadService::add_to(rpc::Server& server) {
  server.add(absl::StrCat("/", kLoadServiceName, "/StreamLoadStats"), [this](rpc::Call& call) -> rpc::CallEvents* {
    if (!core_.ready()) {
      call.finish(absl::UnavailableError("the sources have not been read completely yet"));
      return nullptr;
    }
    if (core_.loads().reporters() >= options_.max_streams) {
      call.finish(absl::ResourceExhaustedError(absl::StrCat("more than ", options_.max_streams, " streams of load reports")));
      return nullptr;
    }
    return new Stream(*this, call);
  });
}

}  // namespace fairlead::serve
