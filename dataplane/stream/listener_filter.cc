// See listener_filter.h.
#include "dataplane/stream/listener_filter.h"

namespace fairlead::stream {

ListenerFilter::Status ListenerFilter::on_data(std::string_view, bool, AcceptedSocket&) { return Status::kContinue; }

ListenerFilterRegistry& ListenerFilterRegistry::global() {
  static ListenerFilterRegistry registry;
  return registry;
}

}  // namespace fairlead::stream
