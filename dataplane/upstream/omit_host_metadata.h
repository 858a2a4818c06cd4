// envoy.retry_host_predicates.omit_host_metadata: a retry avoids hosts whose metadata "envoy.lb" has all the given labels. Made from the retry
// policy's configuration, immutable, any thread; hosts are those of a worker's Cluster.
#pragma once

#include <memory>

#include "dataplane/upstream/lb/pick_context.h"

namespace envoy::config::core::v3 {
class Metadata;
}

namespace fairlead::upstream {

class OmitHostMetadata final : public HostPredicate {
 public:
  // `match`: OmitHostMetadataConfig.metadata_match. Without labels under "envoy.lb" it rejects nobody.
  explicit OmitHostMetadata(std::shared_ptr<const envoy::config::core::v3::Metadata> match) : match_(std::move(match)) {}
  bool rejects(const LbHost& host) const override;

 private:
  std::shared_ptr<const envoy::config::core::v3::Metadata> match_;
};

}  // namespace fairlead::upstream
