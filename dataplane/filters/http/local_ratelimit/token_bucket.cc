// See token_bucket.h.
#include "dataplane/filters/http/local_ratelimit/token_bucket.h"

#include <absl/strings/str_cat.h>

#include "envoy/type/v3/token_bucket.pb.h"

namespace fairlead::filters::local_ratelimit {

absl::StatusOr<BucketSize> read_bucket(const envoy::type::v3::TokenBucket& proto, std::string_view what) {
  BucketSize out;
  out.max = proto.max_tokens();
  if (proto.has_tokens_per_fill()) out.per_fill = proto.tokens_per_fill().value();
  out.interval = std::chrono::seconds(proto.fill_interval().seconds()) + std::chrono::nanoseconds(proto.fill_interval().nanos());
  if (out.interval < std::chrono::milliseconds(50)) return absl::InvalidArgumentError(absl::StrCat(what, " token bucket fill timer must be >= 50ms"));
  return out;
}

}  // namespace fairlead::filters::local_ratelimit
