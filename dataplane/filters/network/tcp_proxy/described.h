// What formats may print of a connection of the TCP proxy. On the stack of whoever prints.
#pragma once

#include "dataplane/filters/network/tcp_proxy/filter.h"
#include "dataplane/stream/connection_log.h"

namespace fairlead::filters::network::tcp_proxy {

struct TcpProxy::Described : stream::DescribedConnection {
  explicit Described(const TcpProxy& proxy);
};

}  // namespace fairlead::filters::network::tcp_proxy
