// What a matched route does to the path, the host and a redirect's Location. Pure functions on workers.
#pragma once

#include <string>
#include <string_view>

#include "dataplane/router/route_table.h"

namespace fairlead::router {

// The path (with query) to send upstream. False when the route does not rewrite; `out` is then untouched.
bool rewrite_path(const Route& route, std::string_view path, std::string& out);

// The authority to send upstream. `upstream_hostname` is the chosen endpoint's host name, for Kind::Auto (empty: keep).
// False when nothing changes.
bool rewrite_host(const Match& match, const http::HeaderMap& headers, std::string_view upstream_hostname, std::string& out);

// Location of a RedirectAction, or of a virtual host that requires TLS.
std::string redirect_location(const Match& match, const http::HeaderMap& headers, std::string_view scheme);

// The mirror policies' clusters are resolved like routes': literal, or named by a header (empty when missing).
std::string_view mirror_cluster(const MirrorPolicy& policy, const http::HeaderMap& headers);

}  // namespace fairlead::router
