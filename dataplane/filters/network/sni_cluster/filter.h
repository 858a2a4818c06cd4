// Names the TCP proxy's cluster after the client's SNI.
#pragma once

#include "dataplane/filters/network/sni_cluster/config.h"
#include "dataplane/stream/network_filter.h"

namespace fairlead::filters::network::sni_cluster {

void register_filter(stream::NetworkFilterRegistry& registry);

class SniCluster final : public stream::NetworkFilter {
 public:
  Status on_new_connection() override;
};

}  // namespace fairlead::filters::network::sni_cluster
