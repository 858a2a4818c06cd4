// See connection_info.h.
#include "dataplane/stream/connection_info.h"

#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::stream {

ConnectionInfo::ConnectionInfo() = default;
ConnectionInfo::~ConnectionInfo() = default;

}  // namespace fairlead::stream
