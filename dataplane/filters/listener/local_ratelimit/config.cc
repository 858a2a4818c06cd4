// See config.h.
#include "dataplane/filters/listener/local_ratelimit/config.h"

#include "base/descriptors.h"
#include "dataplane/config/fields.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/type/v3/token_bucket.pb.h"

namespace fairlead::filters::listener::local_ratelimit {
namespace {

constexpr stats::StatDef kDefs[] = {{"rate_limited", stats::Kind::counter}};

// The message has no generated class; what it holds has.
absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, unpack(any, field));
  const google::protobuf::Descriptor& descriptor = *proto->GetDescriptor();
  const google::protobuf::Reflection& reflection = *proto->GetReflection();
  const auto of = [&](const char* name) { return descriptor.FindFieldByName(name); };
  auto out = std::make_shared<Config>();
  out->stat_prefix = reflection.GetString(*proto, of("stat_prefix"));
  const auto& bucket = dynamic_cast<const envoy::type::v3::TokenBucket&>(reflection.GetMessage(*proto, of("token_bucket")));
  auto size = filters::local_ratelimit::read_bucket(bucket);
  if (!size.ok()) return prefix(field + ".token_bucket.fill_interval", size.status());
  out->bucket = *size;
  if (reflection.HasField(*proto, of("runtime_enabled"))) {
    const auto& enabled = dynamic_cast<const envoy::config::core::v3::RuntimeFeatureFlag&>(reflection.GetMessage(*proto, of("runtime_enabled")));
    out->enabled = {enabled.default_value().value(), enabled.runtime_key()};
  }
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::ListenerFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.listener.local_ratelimit", .parse = parse}); }

}  // namespace fairlead::filters::listener::local_ratelimit
