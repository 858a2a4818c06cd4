// Restores where the client meant to connect before the kernel's packet filter sent it here.
#pragma once

#include <optional>

#include "dataplane/filters/listener/original_dst/config.h"
#include "dataplane/net/address.h"
#include "dataplane/stream/listener_filter.h"

namespace fairlead::filters::listener::original_dst {

void register_filter(stream::ListenerFilterRegistry& registry);

// What the connection's first packet was addressed to: before REDIRECT, or as TPROXY left it. Nothing when the kernel does not say.
std::optional<net::Address> original_destination(int fd, const net::Address& local);

class OriginalDst final : public stream::ListenerFilter {
 public:
  Status on_accept(stream::AcceptedSocket& socket) override;
};

}  // namespace fairlead::filters::listener::original_dst
