// Where retries go: RetryPolicy.retry_host_predicate, retry_priority and host_selection_retry_max_attempts; see compiler.h.
// The extensions' messages are read through the embedded descriptors.
#include <algorithm>

#include <absl/strings/str_cat.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/validate.h"
#include "dataplane/router/compiler.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::router {
namespace v3 = envoy::config::route::v3;
namespace {

std::string unknown(std::string_view name, const google::protobuf::Any& config) {
  return absl::StrCat("Didn't find a registered implementation for '", name, "' with type URL: '", config.type_url(), "'");
}

bool is(const google::protobuf::Any& config, std::string_view type) { return type_name(config.type_url()) == type; }

}  // namespace

void TableCompiler::retry_hosts(const v3::RetryPolicy& proto, const Path& path, RetryPolicy& policy) {
  const auto open = [&](const google::protobuf::Any& config, const Path& place) -> std::unique_ptr<google::protobuf::Message> {
    auto message = unpack(config, place);
    absl::Status status = message.ok() ? validate(**message, {.path = place}) : message.status();
    if (status.ok()) return std::move(*message);
    errors_.add(status);
    return nullptr;
  };
  for (int i = 0; i < proto.retry_host_predicate_size(); ++i) {
    const auto& predicate = proto.retry_host_predicate(i);
    const Path place = absl::StrCat(path, ".retry_host_predicate[", i, "]");
    if (is(predicate.typed_config(), "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")) {
      policy.previous_hosts_predicate = true;
    } else if (is(predicate.typed_config(), "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate")) {
      policy.omit_canary_hosts = true;
    } else if (is(predicate.typed_config(), "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig")) {
      const auto config = open(predicate.typed_config(), place + ".typed_config");
      if (config == nullptr) continue;
      const auto* field = config->GetDescriptor()->FindFieldByName("metadata_match");
      auto match = std::make_shared<envoy::config::core::v3::Metadata>();
      match->ParseFromString(config->GetReflection()->GetMessage(*config, field).SerializeAsString());
      policy.omit_host_metadata.push_back(std::move(match));
    } else {
      errors_.add(place, unknown(predicate.name(), predicate.typed_config()));
    }
  }
  if (proto.host_selection_retry_max_attempts() > 0) {
    policy.host_selection_max_attempts = static_cast<uint32_t>(std::min<int64_t>(proto.host_selection_retry_max_attempts(), 1000));
  }
  if (!proto.has_retry_priority()) return;
  const auto& priority = proto.retry_priority();
  if (!is(priority.typed_config(), "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig")) {
    errors_.add(path + ".retry_priority", unknown(priority.name(), priority.typed_config()));
    return;
  }
  const auto config = open(priority.typed_config(), path + ".retry_priority.typed_config");
  if (config == nullptr) return;
  policy.previous_priorities_frequency = static_cast<uint32_t>(config->GetReflection()->GetInt32(*config, config->GetDescriptor()->FindFieldByName("update_frequency")));
}

}  // namespace fairlead::router
