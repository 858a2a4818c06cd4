// Which host a request names itself: of clusters of type ORIGINAL_DST. On the stream's worker.
#pragma once

namespace envoy::config::core::v3 {
class Metadata;
}
namespace fairlead::http {
class HeaderMap;
}
namespace fairlead::net {
class Connection;
}
namespace fairlead::upstream {
class Cluster;
class Host;
}

namespace fairlead::filters::router {

// Dynamic metadata, else a header, else where the client wanted to go before its connection was redirected, as far as the cluster's
// configuration looks at each. `metadata` and `client` may be null. Null: the request names no host, or none that can be read.
upstream::Host* pick_original(upstream::Cluster& cluster, const http::HeaderMap& headers, const envoy::config::core::v3::Metadata* metadata, const net::Connection* client);

}  // namespace fairlead::filters::router
