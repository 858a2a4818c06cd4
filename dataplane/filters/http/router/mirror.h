// A copy of a request, sent to a mirror cluster and forgotten: the response is read and dropped, failures are only counted.
// Owns itself; lives on one worker until its response has ended or its time is over, independent of the stream it was copied from.
#pragma once

#include <chrono>

#include "dataplane/http/header_map.h"
#include "dataplane/net/buffer.h"

namespace fairlead::upstream {
class Cluster;
}

namespace fairlead::filters::router {

// `headers` are copied as they are; `trailers` may be null; `timeout` 0 = none.
void send_mirror(upstream::Cluster& cluster, const http::HeaderMap& headers, net::Buffer body, const http::HeaderMap* trailers, std::chrono::milliseconds timeout, bool high_priority);

}  // namespace fairlead::filters::router
