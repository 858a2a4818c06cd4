// See config.h.
#include "dataplane/filters/network/sni_cluster/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.pb.h"

namespace fairlead::filters::network::sni_cluster {

void register_config(config::Registry& registry) {
  registry.add(config::NetworkFilterType{.type_url = kTypeUrl,
                                         .canonical = "envoy.filters.network.sni_cluster",
                                         .parse = [](const google::protobuf::Any& any, const std::string& field) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                                           FL_RETURN_IF_ERROR(config::unpack_as<envoy::extensions::filters::network::sni_cluster::v3::SniCluster>(any, field).status());
                                           return std::make_shared<Config>();
                                         }});
}

}  // namespace fairlead::filters::network::sni_cluster
