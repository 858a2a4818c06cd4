// The stateful session filter's configuration, and how a session's host is read from a request and told to the client: pure, also linked by the
// control plane.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/config/registry.h"
#include "dataplane/http/header_map.h"

namespace fairlead::filters::stateful_session {

struct Settings {
  enum class Carrier : uint8_t { None, Cookie, Header };  // None: no session_state was given, so there are no sessions
  Carrier carrier = Carrier::None;
  std::string name;                  // of the cookie, or of the header in lower case
  std::string path;                  // of the cookie: sessions are those of requests below it
  std::string attributes;            // of the cookie: "; Path=/a; Secure"
  std::chrono::seconds ttl{0};       // of the cookie; 0: as long as the browser keeps it
  bool strict = false;               // no other host than the session's
  uint32_t missing_status = 503;     // Envoy 1.40: 503, StatefulSession.status_on_strict_destination_not_found; with `strict` alone
};

struct Config final : config::FilterConfig {
  Settings settings;
  std::string stat_prefix;  // empty: nothing is counted
};

struct RouteConfig final : fairlead::router::PerFilterConfig {
  bool disabled = false;
  Settings settings;
};

// Whether requests for this path have a session: all but for a cookie whose own path does not cover it.
bool has_session(const Settings& settings, std::string_view path);
// "10.0.0.1:80" as the request carries it; empty: it carries none that can be read or is still valid. `now` in seconds since 1970.
std::string session_host(const Settings& settings, const http::HeaderMap& request, uint64_t now);
// Makes the client come back to `host`.
void tell_client(const Settings& settings, std::string_view host, uint64_t now, http::HeaderMap& response);

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::stateful_session
