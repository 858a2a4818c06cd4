// The walk of one request through a World. Private to the room; lives for one explain().
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "apps/why/answer.h"
#include "dataplane/format/context.h"
#include "dataplane/http/header_map.h"
#include "dataplane/net/address.h"
#include "dataplane/router/rewrite.h"
#include "dataplane/router/route_table.h"

namespace fairlead::why {

struct Walk {
  Walk(World& w, const Request& r);

  // Each says in `answer` what it found; false: the walk ends here.
  bool find_listener();
  bool find_chain();
  bool prepare();
  bool find_route(size_t most_near);
  void act();

  bool find_table();
  void name_virtual_host();
  void note_fraction(router::RequestFacts facts);
  void redirect();
  void direct();
  void forward();
  void rewrite();
  bool show_cluster(const Share& share);
  void show_endpoints(const config::EndpointSet& set, const intent::Origin* origin);
  bool refuse(uint32_t status, std::string why);
  void step(std::string name, std::string what, const intent::Origin* origin = nullptr, std::string_view field = {});
  void end(Answer::Kind kind, uint32_t status, std::string summary);
  net::Address local_address() const;
  std::pair<const intent::Origin*, std::string> route_place(const router::Route& route);
  static std::string route_text(const router::Route& route);
  static const intent::Origin* origin_of(const ResourcePtr& resource);
  static std::string field_of(const intent::Origin& origin, std::string_view field);

  World& world;
  const Request& request;
  Answer answer;
  const World::Listener* listener = nullptr;
  const config::Address* listened = nullptr;  // of the listener's addresses
  net::Address local, remote;
  std::string remote_ip, client_ip;
  const config::FilterChain* chain = nullptr;
  std::shared_ptr<const router::RouteTable> table;
  ResourcePtr table_resource;  // the table's, or its listener's
  std::string chain_field;     // where the chain is in its listener
  std::string table_field;     // where the table is in that resource, with a dot behind; empty: it is the resource
  const intent::Origin* route_origin = nullptr;
  http::Arena arena;
  http::HeaderMap headers;
  format::FormatContext context;
  router::Match match;
};

}  // namespace fairlead::why
