// What formats may print of a connection, with the texts that it refers to. On the stack of whoever prints.
#pragma once

#include <string>

#include "dataplane/filters/network/tcp_proxy/filter.h"

namespace fairlead::filters::network::tcp_proxy {

struct TcpProxy::Described {
  format::FormatContext format;
  std::string failure, remote, local, direct_remote, direct_local;
};

}  // namespace fairlead::filters::network::tcp_proxy
